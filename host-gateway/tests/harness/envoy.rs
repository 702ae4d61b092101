//! The real Envoy, with the bootstrap that the gateway prints.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::gateway::{folder, run};

/// Ended when the test is.
pub struct Envoy {
    process: Child,
    /// Of its listeners, in their order.
    pub addresses: Vec<SocketAddr>,
}

impl Envoy {
    /// Starts it with `gateway.yaml`, which is written for the ports of its listeners. `None`: there is no Envoy here, and the
    /// test is skipped.
    pub fn start<const N: usize>(config: impl FnOnce([u16; N]) -> String) -> Option<Self> {
        let Some(program) = std::env::var_os("ENVOY_BIN").filter(|envoy| !envoy.is_empty()) else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no Envoy: set ENVOY_BIN");
            println!("skipped: no Envoy (set ENVOY_BIN)");
            return None;
        };
        let ports = [(); N].map(|()| {
            let probe = TcpListener::bind("127.0.0.1:0").expect("no port");
            probe.local_addr().expect("no address").port()
        });
        let folder = folder();
        std::fs::write(folder.join("gateway.yaml"), config(ports)).expect("cannot write the configuration");
        let printed = run(&["envoy", "--config", "gateway.yaml"], &folder);
        assert!(printed.status.success(), "{}", printed.stderr);
        std::fs::write(folder.join("envoy.json"), &printed.stdout).expect("cannot write the bootstrap");
        let log = std::fs::File::create(folder.join("envoy.log")).expect("cannot write the log");
        let process = Command::new(program)
            .args(["--concurrency", "1", "--disable-hot-restart"])
            .args(["--log-level", "warn", "-c", "envoy.json"])
            .current_dir(&folder)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Envoy does not start");
        let addresses: Vec<_> = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).into();
        let envoy = Self { process, addresses };
        let accepts = |address: &SocketAddr| TcpStream::connect(address).is_ok();
        for _ in 0..600 {
            if envoy.addresses.iter().all(accepts) {
                return Some(envoy);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let said = std::fs::read_to_string(folder.join("envoy.log")).unwrap_or_default();
        panic!("Envoy does not serve: {said}");
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
