//! A filter that traps: the request fails closed, and the next one finds a new VM.

use std::{fs, time::Duration};

use postern_e2e::{
    client::Request,
    host::Host,
    servers::Servers,
    visit::{Visit, compare_hosts},
};
use xtask::stack::Plugin;

#[test]
fn a_trap_fails_closed_and_only_once() {
    compare_hosts(|kind| {
        let servers = Servers::shared();
        let stack = servers.for_host("trap");
        let wasm = stack.folder.join("trap.wasm");
        let guest = wat::parse_str(include_str!("../guests/trap.wat")).expect("the guest is good WAT");
        fs::write(&wasm, guest).expect("the folder can be written");
        let host = Host::start(
            &stack,
            kind,
            &Plugin {
                wasm,
                configuration: "{}".into(),
            },
        );
        let visit = Visit::new(servers, &host);

        let harmless = Request::get("/demo/test");
        assert_eq!(visit.send(&harmless).status, 200);
        for _ in 0..3 {
            assert_eq!(visit.status(&Request::get("/demo/test").header("x-trap", "1")), 503);
            // Envoy waits a second before it makes a new VM.
            visit.wait(Duration::from_secs(20), 200, &harmless);
        }
        visit.seen()
    });
}
