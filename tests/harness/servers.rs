//! The servers and demo services, running on ports of their own with the demo's data.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use xtask::{
    program::Program,
    stack::{ServerPorts, Stack},
    workspace::Workspace,
};

use crate::ports;

/// Everything behind a host. Dropped, it stops.
pub struct Servers {
    /// Their configuration, data and command lines.
    pub stack: Stack,
    auth: Mutex<Option<Program>>,
    login: Mutex<Option<Program>>,
    _others: Vec<Program>,
}

impl Servers {
    /// Those that most scenarios share. Each scenario has users of its own.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Servers> = LazyLock::new(|| {
            let servers = Servers::start_without_auth("shared");
            servers.start_auth();
            servers
        });
        &SHARED
    }

    /// Everything but the auth server, in a folder of its own under the target folder.
    pub fn start_without_auth(name: &str) -> Self {
        let stack = Stack {
            workspace: workspace(),
            folder: folder(name),
            ports: ServerPorts {
                auth: ports::free(),
                login: ports::free(),
                service: ports::free(),
                provider: ports::free(),
            },
            stop: Arc::default(),
        };
        let started = stack
            .write_configuration()
            .and_then(|()| stack.load_data())
            .and_then(|()| Ok(vec![stack.start_provider()?, stack.start_service()?]));
        let others = started.unwrap_or_else(|error| panic!("{error:#}"));
        let servers = Self {
            stack,
            auth: Mutex::new(None),
            login: Mutex::new(None),
            _others: others,
        };
        servers.start_login();
        servers
    }

    /// These servers for a host with a folder of its own.
    pub fn for_host(&self, name: &str) -> Stack {
        Stack {
            folder: folder(name),
            ..self.stack.clone()
        }
    }

    /// The same, with another service behind the host than the demo's.
    pub fn for_host_before(&self, name: &str, service: u16) -> Stack {
        let mut stack = self.for_host(name);
        stack.ports.service = service;
        stack
    }

    /// Starts the login service.
    pub fn start_login(&self) {
        let login = self.stack.start_login().unwrap_or_else(|error| panic!("{error:#}"));
        *self.login.lock().expect("nobody panics with the lock") = Some(login);
    }

    /// Kills the login service, as a crash would.
    pub fn kill_login(&self) {
        *self.login.lock().expect("nobody panics with the lock") = None;
    }

    /// Starts the auth server.
    pub fn start_auth(&self) {
        let auth = self.stack.start_auth().unwrap_or_else(|error| panic!("{error:#}"));
        *self.auth.lock().expect("nobody panics with the lock") = Some(auth);
    }

    /// Kills the auth server, as a crash would.
    pub fn kill_auth(&self) {
        *self.auth.lock().expect("nobody panics with the lock") = None;
    }

    /// The login service's command line.
    pub fn login(&self, line: &str) -> String {
        self.stack
            .login_command(line)
            .unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// The auth server's command line.
    pub fn auth(&self, line: &str) -> String {
        self.stack
            .auth_command(line)
            .unwrap_or_else(|error| panic!("{error:#}"))
    }
}

/// The workspace of this test, with everything in it that the suite runs.
pub fn workspace() -> Workspace {
    let workspace = Workspace::locate().unwrap_or_else(|error| panic!("{error:#}"));
    let programs = ["postern-gateway", "postern-auth", "postern-login", "postern-demo"];
    let needed = programs
        .iter()
        .map(|name| workspace.program(name))
        .chain([workspace.filter()]);
    let missing: Vec<String> = needed
        .filter(|path| !path.is_file())
        .map(|path| path.display().to_string())
        .collect();
    assert!(
        missing.is_empty(),
        "missing: {}; `cargo xtask test` builds them, or `cargo build` and `cargo xtask filter`",
        missing.join(", ")
    );
    workspace
}

/// An empty folder for one stack. Those of earlier runs are removed, so that the last one can be looked at.
pub fn folder(name: &str) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    static RUN: LazyLock<PathBuf> = LazyLock::new(|| {
        let workspace = Workspace::locate().unwrap_or_else(|error| panic!("{error:#}"));
        let run = workspace.target.join("e2e");
        // Nothing there: nothing to remove.
        let _absent = fs::remove_dir_all(&run);
        run
    });
    let folder = RUN.join(format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder
}
