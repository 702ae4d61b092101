//! `cargo xtask demo`: everything built, started, loaded with data and ready to be tried.

mod welcome;

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::{
    envoy, filter, health,
    program::Program,
    progress::Progress,
    stack::{HostKind, HostPorts, Plugin, ServerPorts, Stack, demo_plugin},
    workspace::{Workspace, succeed},
};

/// The packages whose programs the demo runs. The end-to-end suite runs the same ones.
pub const PROGRAMS: &[&str] = &[
    "build",
    "-p",
    "postern-gateway",
    "-p",
    "postern-auth",
    "-p",
    "postern-login",
    "-p",
    "postern-demo",
];

/// What the command line says.
pub struct Options {
    /// What stands in front.
    pub host: HostKind,
    /// Configuration, databases and logs.
    pub folder: PathBuf,
    /// The host's ports.
    pub host_ports: HostPorts,
    /// The servers' ports.
    pub server_ports: ServerPorts,
}

impl Options {
    /// Reads the words after `demo`.
    ///
    /// # Errors
    /// When a word is unknown or its value is missing or wrong.
    pub fn parse(workspace: &Workspace, words: &[&str]) -> Result<Self> {
        let mut options = Self {
            host: HostKind::Gateway,
            folder: workspace.target.join("demo"),
            host_ports: HostPorts {
                gateway: 8081,
                admin: 9901,
            },
            server_ports: ServerPorts {
                auth: 8086,
                login: 8087,
                service: 8088,
                provider: 8089,
            },
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (flag, value) = match word.split_once('=') {
                Some((flag, value)) => (flag, Some(value)),
                None => (*word, words.next().copied()),
            };
            let value = value.with_context(|| format!("`{flag}` needs a value"))?;
            match flag {
                "--host" => {
                    options.host = match value {
                        "gateway" => HostKind::Gateway,
                        "envoy" => HostKind::Envoy,
                        _ => bail!("`--host {value}`: write `gateway` or `envoy`"),
                    }
                }
                "--data" => {
                    options.folder = std::path::absolute(value).with_context(|| format!("`--data {value}`"))?;
                }
                _ => *options.port(flag)? = parse_port(flag, value)?,
            }
        }
        Ok(options)
    }

    fn port(&mut self, flag: &str) -> Result<&mut u16> {
        match self.ports_by_flag().into_iter().find(|(known, ..)| *known == flag) {
            Some((.., port)) => Ok(port),
            None => bail!("`{flag}` is not known here; `cargo xtask help` lists what is"),
        }
    }

    /// Each port with its flag and the name of what listens there.
    fn ports_by_flag(&mut self) -> [(&'static str, &'static str, &mut u16); 6] {
        [
            ("--gateway-port", "gateway", &mut self.host_ports.gateway),
            ("--admin-port", "gateway's admin interface", &mut self.host_ports.admin),
            ("--auth-port", "auth server", &mut self.server_ports.auth),
            ("--login-port", "login service", &mut self.server_ports.login),
            ("--service-port", "demo service", &mut self.server_ports.service),
            (
                "--provider-port",
                "demo service-provider",
                &mut self.server_ports.provider,
            ),
        ]
    }
}

fn parse_port(flag: &str, value: &str) -> Result<u16> {
    match value.parse() {
        Ok(0) | Err(_) => bail!("`{flag} {value}`: write a port from 1 to 65535"),
        Ok(port) => Ok(port),
    }
}

/// Builds, starts, and stays until Ctrl-C, SIGTERM or the end of one of the programs.
///
/// # Errors
/// When something is missing or cannot be built or started, or when a program ends by itself.
pub fn run(workspace: &Workspace, progress: &Progress, options: &Options) -> Result<()> {
    check_ports(options)?;
    if options.host == HostKind::Envoy && envoy::find(workspace)?.is_none() {
        bail!("Envoy is not there; `cargo xtask envoy` installs it into the target folder");
    }
    filter::build(workspace, progress)?;
    progress.step("building the programs (the first time this takes some minutes)");
    succeed(&mut workspace.cargo(PROGRAMS))?;

    // From here on a signal stops the programs first. Before, it ends this process and cargo at once, as it should.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("cannot listen for signals")?;
    }
    let stack = Stack {
        workspace: workspace.clone(),
        folder: options.folder.clone(),
        ports: options.server_ports,
        stop: Arc::clone(&stop),
    };
    let mut programs = Vec::new();
    let outcome = start(&stack, progress, options, &mut programs).and_then(|()| {
        print!("{}", welcome::text(options));
        progress.step("ready");
        watch(&mut programs, &stop)
    });
    progress.step("stopping");
    stop_all(programs);
    if stop.load(Ordering::Relaxed) { Ok(()) } else { outcome }
}

/// Finds a port that is in use before anything is built or started.
fn check_ports(options: &Options) -> Result<()> {
    let mut options = Options {
        folder: options.folder.clone(),
        ..*options
    };
    let mut seen: Vec<(u16, &str)> = Vec::new();
    for (flag, name, port) in options.ports_by_flag() {
        if let Some((_, other)) = seen.iter().find(|(taken, _)| *taken == *port) {
            bail!("port {port} is given to the {other} and to the {name}; choose another with {flag}");
        }
        seen.push((*port, name));
        if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, *port)) {
            let why = match error.kind() {
                ErrorKind::AddrInUse => "is in use".to_owned(),
                _ => format!("cannot be used ({error})"),
            };
            bail!("port {port} for the {name} {why}; stop what listens there, or choose another with {flag}");
        }
    }
    Ok(())
}

/// Starts everything in the order in which one needs the other. What was started stands in `programs` also on an error.
fn start(stack: &Stack, progress: &Progress, options: &Options, programs: &mut Vec<Program>) -> Result<()> {
    progress.step(format_args!(
        "configuration, databases and logs: {}",
        shown(&options.folder)
    ));
    stack.write_configuration()?;
    if !stack.has_data() {
        progress.step("loading the demo data");
        stack.load_data()?;
    }
    let plugin = Plugin {
        wasm: stack.workspace.filter(),
        configuration: demo_plugin(),
    };
    let steps: [(&str, &dyn Fn() -> Result<Program>); 5] = [
        ("login service", &|| stack.start_login()),
        ("auth server", &|| stack.start_auth()),
        ("demo service-provider", &|| stack.start_provider()),
        ("demo service", &|| stack.start_service()),
        ("host", &|| {
            stack.start_host("gateway", options.host, options.host_ports, &plugin)
        }),
    ];
    for (name, step) in steps {
        progress.step(format_args!("starting the {name}"));
        programs.push(step()?);
    }
    // 401 and not 503: the filter has its first snapshots.
    if let Some(host) = programs.last_mut() {
        health::wait(
            host,
            options.host_ports.gateway,
            "/service/demo/test",
            401,
            Duration::from_secs(30),
            &stack.stop,
        )?;
    }
    Ok(())
}

fn watch(programs: &mut [Program], stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        for program in &mut *programs {
            if let Some(exit) = program.exited() {
                bail!(
                    "{} ended ({exit}); the end of {}:\n{}",
                    program.name,
                    program.log.display(),
                    program.log_tail(15)
                );
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The host first, so that no request meets a server that is gone; each is given time to finish what it has begun.
fn stop_all(mut programs: Vec<Program>) {
    while let Some(mut program) = programs.pop() {
        program.terminate();
        if !program.wait_stopped() {
            eprintln!("{} did not stop in time and was killed", program.name);
        }
    }
}

/// A path as somebody would type it here.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}
