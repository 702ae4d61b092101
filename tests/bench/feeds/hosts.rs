//! The real hosts with the shipped filter, two workers each, and connections that ask them without a pause.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use postern_e2e::{client::Request, ports};
use serde_json::json;
use xtask::{clock, envoy, health, program::Program, workspace::Workspace};

use crate::write;

/// Connections are spread over the workers of a host: so many meet both.
const CONNECTIONS: usize = 8;

/// Between two requests on one connection.
const PAUSE: Duration = Duration::from_millis(2);

/// Longer than anything here takes.
const AT_MOST: Duration = Duration::from_secs(20);

/// Needs a token, and is answered by the auth server.
const PATH: &str = "/health/live";

/// A running host.
pub struct Host {
    /// In the report.
    pub name: &'static str,
    port: u16,
    _program: Program,
}

/// Those that are there: Envoy may be missing.
pub fn start(workspace: &Workspace, folder: &Path, auth: u16) -> Result<Vec<Host>> {
    let filter = workspace.filter();
    let gateway = workspace.target.join("release/postern-gateway");
    let configuration = |port: u16, admin: u16| {
        json!({
            "workers": 2,
            "listeners": [ { "address": format!("127.0.0.1:{port}") } ],
            "admin": { "address": format!("127.0.0.1:{admin}") },
            "routes": [ { "prefix": "/", "cluster": "auth-server" } ],
            "clusters": { "auth-server": { "endpoints": [ format!("127.0.0.1:{auth}") ] } },
            "plugins": [ { "name": "auth", "wasm": filter, "configuration": {
                "auth_server": { "cluster": "auth-server", "authority": "auth-server", "credentials": "gateway:secret" },
                "rules": [ { "path": PATH } ],
            } } ],
        })
        .to_string()
    };
    let never = AtomicBool::new(false);
    let mut hosts = Vec::new();

    let (port, admin) = (ports::free(), ports::free());
    let yaml = write(folder, "gateway.yaml", &configuration(port, admin))?;
    let mut command = Command::new(&gateway);
    command.args(["run", "--log-level", "warn", "--config"]).arg(&yaml);
    let mut program = Program::start("host-gateway", command, &folder.join("gateway.log"))?;
    health::wait(&mut program, admin, "/health/ready", 200, AT_MOST, &never)?;
    hosts.push(Host {
        name: "host-gateway",
        port,
        _program: program,
    });

    if let Some(envoy) = envoy::find(workspace)? {
        let (port, admin) = (ports::free(), ports::free());
        let yaml = write(folder, "envoy-gateway.yaml", &configuration(port, admin))?;
        let printed = Command::new(&gateway)
            .args(["envoy", "--config"])
            .arg(&yaml)
            .output()
            .with_context(|| format!("cannot start {}", gateway.display()))?;
        ensure!(
            printed.status.success(),
            "`postern-gateway envoy` failed: {}",
            String::from_utf8_lossy(&printed.stderr)
        );
        let bootstrap = folder.join("envoy.yaml");
        fs::write(&bootstrap, printed.stdout).with_context(|| format!("cannot write {}", bootstrap.display()))?;
        let mut program = Program::start("Envoy", envoy::command(&envoy, &bootstrap), &folder.join("envoy.log"))?;
        health::wait(&mut program, admin, "/ready", 200, AT_MOST, &never)?;
        hosts.push(Host {
            name: "Envoy",
            port,
            _program: program,
        });
    }
    Ok(hosts)
}

/// Connections that go on asking with one token.
pub struct Watch {
    connections: Vec<JoinHandle<Result<Instant>>>,
    gone: Arc<AtomicBool>,
}

impl Host {
    /// Opens the connections; when this returns, the token was good on each.
    pub fn watch(&self, token: &str) -> Result<Watch> {
        let gone = Arc::new(AtomicBool::new(false));
        let request = Request::get(PATH).bearer(token);
        let deadline = clock::now() + AT_MOST;
        // A token of a moment ago is good at once; only the first snapshot may still be on its way.
        loop {
            let answer = request.send(self.port);
            if answer.status == 200 {
                break;
            }
            ensure!(
                clock::now() < deadline,
                "{}: the token is not good: {answer:?}",
                self.name
            );
            thread::sleep(PAUSE);
        }
        let connections = (0..CONNECTIONS)
            .map(|_| {
                let (request, gone, port, name) = (request.clone(), Arc::clone(&gone), self.port, self.name);
                thread::spawn(move || {
                    while !gone.load(Ordering::Relaxed) {
                        match request.send(port).status {
                            200 => thread::sleep(PAUSE),
                            401 => return Ok(clock::now()),
                            status => bail!("{name} answered {status}"),
                        }
                    }
                    bail!("{name} goes on letting a revoked token through")
                })
            })
            .collect();
        Ok(Watch { connections, gone })
    }
}

impl Watch {
    /// When each connection was refused for the first time.
    pub fn refused(self) -> Result<Vec<Instant>> {
        let deadline = clock::now() + AT_MOST;
        while self.connections.iter().any(|connection| !connection.is_finished()) {
            if clock::now() > deadline {
                self.gone.store(true, Ordering::Relaxed);
            }
            thread::sleep(PAUSE);
        }
        self.connections
            .into_iter()
            .map(|connection| connection.join().unwrap_or_else(|_| bail!("a connection panicked")))
            .collect()
    }
}
