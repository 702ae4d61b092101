//! The whole of Postern as it runs in the demo and in the end-to-end suite: login service, auth server, the two demo
//! services, and a host in front of them. One folder holds its configuration, databases and logs.

mod configuration;
mod data;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use anyhow::{Context, Result, bail};

pub use self::configuration::plugin as demo_plugin;
use crate::{
    envoy, health,
    program::Program,
    workspace::{Workspace, shown},
};

/// Long enough for a loaded machine, short enough for somebody who waits.
const START: Duration = Duration::from_secs(60);

/// The ports of the servers, all on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub struct ServerPorts {
    /// Auth server.
    pub auth: u16,
    /// Login service.
    pub login: u16,
    /// Demo service.
    pub service: u16,
    /// Demo service-provider.
    pub provider: u16,
}

/// The ports of a host.
#[derive(Debug, Clone, Copy)]
pub struct HostPorts {
    /// Where clients connect.
    pub gateway: u16,
    /// Admin interface.
    pub admin: u16,
}

/// What stands in front of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKind {
    /// host-gateway.
    Gateway,
    /// Envoy.
    Envoy,
}

/// A plugin as `gateway.yaml` names it.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// The module.
    pub wasm: PathBuf,
    /// Its configuration, JSON.
    pub configuration: String,
}

/// One stack: where its programs and files are, and where it listens.
#[derive(Debug, Clone)]
pub struct Stack {
    /// The workspace whose programs run.
    pub workspace: Workspace,
    /// Configuration, databases and logs.
    pub folder: PathBuf,
    /// The servers' ports.
    pub ports: ServerPorts,
    /// Set: whoever waits for a program to become ready gives up.
    pub stop: Arc<AtomicBool>,
}

impl Stack {
    /// Writes the servers' configuration into the folder.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_configuration(&self) -> Result<()> {
        fs::create_dir_all(&self.folder).with_context(|| format!("cannot create {}", self.folder.display()))?;
        self.write("login.yaml", &configuration::login_service(&self.ports))?;
        self.write("auth.yaml", &configuration::auth_server(&self.ports))
    }

    /// Whether the databases have had the demo's data once: what somebody changed afterwards stays.
    pub fn has_data(&self) -> bool {
        self.data_loaded().exists()
    }

    /// Loads the demo's users, roles, permissions and clients.
    ///
    /// # Errors
    /// When one of the command lines fails; with what it said.
    pub fn load_data(&self) -> Result<()> {
        for line in data::LOGIN_SERVICE {
            self.login_command(line)?;
        }
        for line in data::AUTH_SERVER {
            self.auth_command(&line.replace("{service}", &self.ports.service.to_string()))?;
        }
        let loaded = self.data_loaded();
        fs::write(&loaded, "").with_context(|| format!("cannot write {}", loaded.display()))
    }

    /// Runs `postern-login` with the words of the line, and returns what it printed.
    ///
    /// # Errors
    /// When it fails; with what it said.
    pub fn login_command(&self, line: &str) -> Result<String> {
        self.command_line("postern-login", "login.yaml", line)
    }

    /// Runs `postern-auth` with the words of the line, and returns what it printed.
    ///
    /// # Errors
    /// When it fails; with what it said.
    pub fn auth_command(&self, line: &str) -> Result<String> {
        self.command_line("postern-auth", "auth.yaml", line)
    }

    /// Starts the login service and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started or does not become ready.
    pub fn start_login(&self) -> Result<Program> {
        self.start(
            "login-service",
            "postern-login",
            &["serve", "--config", "login.yaml"],
            self.ports.login,
        )
    }

    /// Starts the auth server and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started or does not become ready.
    pub fn start_auth(&self) -> Result<Program> {
        self.start(
            "auth-server",
            "postern-auth",
            &["serve", "--config", "auth.yaml"],
            self.ports.auth,
        )
    }

    /// Starts the demo service-provider and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started or does not become ready.
    pub fn start_provider(&self) -> Result<Program> {
        let listen = format!("127.0.0.1:{}", self.ports.provider);
        self.start(
            "demo-provider",
            "postern-demo",
            &["provider", "--listen", &listen],
            self.ports.provider,
        )
    }

    /// Starts the demo service and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started or does not become ready.
    pub fn start_service(&self) -> Result<Program> {
        let listen = format!("127.0.0.1:{}", self.ports.service);
        let provider = format!("http://127.0.0.1:{}", self.ports.provider);
        let arguments = ["service", "--listen", &listen, "--provider", &provider];
        self.start("demo-service", "postern-demo", &arguments, self.ports.service)
    }

    /// Starts a host with the plugin and waits until it takes connections. Its files and its log carry `name`.
    ///
    /// # Errors
    /// When it cannot be started or does not become ready; for Envoy also when there is none.
    pub fn start_host(&self, name: &str, kind: HostKind, ports: HostPorts, plugin: &Plugin) -> Result<Program> {
        let text = configuration::gateway(&self.ports, ports, plugin);
        self.start_host_on(name, kind, ports.admin, &text)
    }

    /// The same with a `gateway.yaml` of somebody else's, which names this port for the admin interface.
    ///
    /// # Errors
    /// Likewise.
    pub fn start_host_on(&self, name: &str, kind: HostKind, admin: u16, text: &str) -> Result<Program> {
        if kind == HostKind::Envoy {
            return self.start_envoy_on(name, admin, &self.bootstrap(name, text)?);
        }
        let file = format!("{name}.yaml");
        self.write(&file, text)?;
        let mut command = Command::new(self.workspace.program("postern-gateway"));
        command.args(["run", "--config", &file]);
        self.start_program(name, command, admin, "/health/ready")
    }

    /// The Envoy bootstrap (JSON) that does the same as [`Stack::start_host`] would.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn envoy_bootstrap(&self, name: &str, ports: HostPorts, plugin: &Plugin) -> Result<String> {
        self.bootstrap(name, &configuration::gateway(&self.ports, ports, plugin))
    }

    /// Starts Envoy with a bootstrap, which names this port for the admin interface, and waits until it takes connections.
    ///
    /// # Errors
    /// When it cannot be started or does not become ready, or when there is none.
    pub fn start_envoy_on(&self, name: &str, admin: u16, bootstrap: &str) -> Result<Program> {
        let Some(envoy) = envoy::find(&self.workspace)? else {
            bail!("Envoy is not there; `cargo xtask envoy` installs it into the target folder");
        };
        let file = format!("{name}-bootstrap.yaml");
        self.write(&file, bootstrap)?;
        self.start_program(name, envoy::command(&envoy, Path::new(&file)), admin, "/ready")
    }

    /// The Envoy bootstrap (JSON) that does the same as a `gateway.yaml`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn bootstrap(&self, name: &str, text: &str) -> Result<String> {
        let file = format!("{name}.yaml");
        self.write(&file, text)?;
        let gateway = self.workspace.program("postern-gateway");
        self.output(Command::new(gateway).args(["envoy", "--config", &file]))
    }

    fn start_program(&self, name: &str, command: Command, admin: u16, ready: &str) -> Result<Program> {
        let mut host = self.spawn(name, command)?;
        health::wait(&mut host, admin, ready, 200, START, &self.stop)?;
        Ok(host)
    }

    /// Where the log of a program is.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    fn data_loaded(&self) -> PathBuf {
        self.folder.join("demo-data-loaded")
    }

    fn start(&self, name: &str, program: &str, arguments: &[&str], port: u16) -> Result<Program> {
        let mut command = Command::new(self.workspace.program(program));
        command.args(arguments);
        let mut program = self.spawn(name, command)?;
        health::wait(&mut program, port, "/health/ready", 200, START, &self.stop)?;
        Ok(program)
    }

    fn spawn(&self, name: &str, mut command: Command) -> Result<Program> {
        command.current_dir(&self.folder);
        Program::start(name, command, &self.log(name))
    }

    fn command_line(&self, program: &str, configuration: &str, line: &str) -> Result<String> {
        let mut command = Command::new(self.workspace.program(program));
        command.args(line.split_whitespace()).args(["--config", configuration]);
        self.output(&mut command)
    }

    fn output(&self, command: &mut Command) -> Result<String> {
        let shown = shown(command);
        let output = command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run `{shown}`"))?;
        if !output.status.success() {
            bail!("`{shown}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed something that is not UTF-8"))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}
