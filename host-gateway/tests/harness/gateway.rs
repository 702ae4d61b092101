use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::Client;

/// A running gateway on free ports. Dropping it kills it.
pub struct Gateway {
    pub address: SocketAddr,
    /// Of every listener, in their order.
    pub addresses: Vec<SocketAddr>,
    pub admin: SocketAddr,
    pub folder: PathBuf,
    child: Child,
    log: Receiver<String>,
}

/// How a command ended.
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Gateway {
    /// Starts with two workers; `rest` holds routes, clusters and whatever else the test is about.
    pub fn start(rest: &str) -> Self {
        Self::start_with_workers(2, rest)
    }

    pub fn start_with_workers(workers: usize, rest: &str) -> Self {
        Self::start_on(workers, "{ address: \"127.0.0.1:0\" }", rest)
    }

    /// Starts with other listeners beside that for HTTP.
    pub fn start_with_listeners(others: &str, rest: &str) -> Self {
        Self::start_on(2, &format!("{{ address: \"127.0.0.1:0\" }}, {others}"), rest)
    }

    /// `listeners` are the items of that list.
    pub fn start_on(workers: usize, listeners: &str, rest: &str) -> Self {
        let folder = folder();
        let config = folder.join("gateway.yaml");
        let yaml =
            format!("workers: {workers}\nlisteners: [ {listeners} ]\nadmin: {{ address: \"127.0.0.1:0\" }}\n{rest}\n");
        std::fs::write(&config, yaml).unwrap();
        Self::start_in(&folder, &[])
    }

    /// Starts with the `gateway.yaml` of a folder.
    pub fn start_in(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = program()
            .args(["run", "--config"])
            .arg(folder.join("gateway.yaml"))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let (mut addresses, mut admin, mut said) = (Vec::new(), None, String::new());
        loop {
            let line = log
                .recv_timeout(Duration::from_secs(20))
                .unwrap_or_else(|_| panic!("the gateway did not start:\n{said}"));
            let after = |text: &str| {
                let (_, rest) = line.split_once(text)?;
                rest.split_whitespace().next()?.parse().ok()
            };
            addresses.extend(after("listening on http://"));
            admin = admin.or_else(|| after("admin on http://"));
            said.push_str(&line);
            said.push('\n');
            if line.contains("workers:") {
                break;
            }
        }
        Self {
            address: addresses[0],
            addresses,
            admin: admin.unwrap(),
            folder: folder.to_owned(),
            child,
            log,
        }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// A line of `/metrics`, without its value, to its value.
    pub fn metric(&self, name: &str) -> u64 {
        let metrics = Client::connect(self.admin).get("/metrics").text();
        let line = metrics
            .lines()
            .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// The next line of its log that contains a text.
    pub fn says(&self, text: &str) -> String {
        loop {
            let line = self
                .log
                .recv_timeout(Duration::from_secs(20))
                .unwrap_or_else(|_| panic!("the gateway does not say: {text}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Resident memory in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn terminate(&self) {
        let sent = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Runs the program to its end.
pub fn run(arguments: &[&str], folder: &Path) -> Finished {
    finished(program().args(arguments), folder)
}

/// The same in a shell in which a limit was set.
pub fn run_limited(limit: &str, arguments: &[&str], folder: &Path) -> Finished {
    let mut shell = tidy(Command::new("sh"));
    shell.args(["-c", &format!("{limit}; exec \"$0\" \"$@\"")]);
    shell.arg(env!("CARGO_BIN_EXE_postern-gateway")).args(arguments);
    finished(&mut shell, folder)
}

fn finished(command: &mut Command, folder: &Path) -> Finished {
    let output = command.current_dir(folder).output().unwrap();
    Finished {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A new empty folder.
pub fn folder() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gateway-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn program() -> Command {
    tidy(Command::new(env!("CARGO_BIN_EXE_postern-gateway")))
}

/// Nothing is left in the folders of who runs the tests.
fn tidy(mut program: Command) -> Command {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("code-cache");
    program.env("CACHE_DIRECTORY", cache);
    program
}
