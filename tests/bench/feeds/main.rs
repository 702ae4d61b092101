//! `cargo xtask bench feeds`: how soon a logout is known everywhere.
//!
//! So many simulated gateways hold a poll of the auth server's feed, and beside them the two real hosts run with two
//! workers each. Then, again and again: a new token, a logout, and from its acknowledgement the time until each simulated
//! gateway has been told of it, and until no connection to a host gets through with that token any more. Everything runs
//! on the cores of this machine, the simulated gateways too.

mod gateways;
mod hosts;
mod report;

use std::{fs, path::PathBuf, process::ExitCode, sync::atomic::AtomicBool, thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use postern_e2e::{client::Request, ports, processes::ticks_per_second};
use serde_json::Value;
use xtask::{clock, health, program::Program, progress::Progress, workspace::Workspace};

use crate::{gateways::Gateways, hosts::Host};

/// What the command line says.
struct Options {
    /// Simulated ones.
    gateways: usize,
    rounds: usize,
}

/// The times of all rounds, in milliseconds.
#[derive(Default)]
struct Times {
    /// One a round and simulated gateway.
    told: Vec<f64>,
    /// One a round and connection to the host of that name.
    refused: Vec<(&'static str, Vec<f64>)>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let options = Options::parse()?;
    let workspace = Workspace::locate()?;
    let folder = workspace.target.join("bench/feeds");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let progress = Progress::begin();
    progress.step("starting the auth server and the hosts");
    let auth = AuthServer::start(&workspace, &folder)?;
    let hosts = hosts::start(&workspace, &folder, auth.port)?;
    progress.step(format_args!("{} gateways begin to poll", options.gateways));
    let gateways = Gateways::start(auth.port, options.gateways)?;
    gateways.wait_until_all_poll(Duration::from_secs(60))?;

    let mut times = Times::default();
    for round in 0..options.rounds {
        times.add(&auth, &gateways, &hosts, round)?;
        if (round + 1) % 10 == 0 {
            progress.step(format_args!("{} of {} logouts", round + 1, options.rounds));
        }
    }
    report::report(&workspace, &options, &auth, &times)
}

impl Times {
    fn add(&mut self, auth: &AuthServer, gateways: &Gateways, hosts: &[Host], round: usize) -> Result<()> {
        let token = auth.token(round)?;
        let watched = hosts
            .iter()
            .map(|host| host.watch(&token.value))
            .collect::<Result<Vec<_>>>()?;
        gateways.expect(&token.id);
        // Every poll of the last round is held again.
        thread::sleep(Duration::from_millis(200));
        auth.log_out(&token)?;
        let acknowledged = clock::now();
        let milliseconds = |at: std::time::Instant| at.saturating_duration_since(acknowledged).as_secs_f64() * 1e3;
        let told = gateways.told(Duration::from_secs(20))?;
        self.told.extend(told.into_iter().map(milliseconds));
        for (host, watch) in hosts.iter().zip(watched) {
            let refused = watch.refused()?.into_iter().map(milliseconds);
            match self.refused.iter_mut().find(|(name, _)| *name == host.name) {
                Some((_, times)) => times.extend(refused),
                None => self.refused.push((host.name, refused.collect())),
            }
        }
        Ok(())
    }
}

/// The auth server, on SQLite, with one client.
struct AuthServer {
    program: Program,
    port: u16,
    ticks_per_second: f64,
}

struct Token {
    value: String,
    id: String,
}

const CLIENT: &str = "postern-bench";

impl AuthServer {
    fn start(workspace: &Workspace, folder: &std::path::Path) -> Result<Self> {
        let binary = workspace.target.join("release/postern-auth");
        for file in ["auth.db", "auth.db-wal", "auth.db-shm"] {
            // Nothing there: nothing to remove.
            let _absent = fs::remove_file(folder.join(file));
        }
        let port = ports::free();
        let configuration = write(
            folder,
            "auth.yaml",
            &format!(
                "listen: 127.0.0.1:{port}\n\
                 database: \"sqlite:auth.db\"\n\
                 # nobody asks it: the client gets tokens of its own\n\
                 login_service: {{ url: \"http://127.0.0.1:9\" }}\n\
                 feed: {{ credentials: [ \"gateway:secret\" ] }}\n\
                 mounts: [ {{ profile: spring, path: / }} ]\n"
            ),
        )?;
        let clients = write(
            folder,
            "clients.sql",
            &format!(
                "insert into oauth_client_details (client_id, client_secret, authorized_grant_types) \
                 values ('{CLIENT}', '{CLIENT}', 'client_credentials');\n"
            ),
        )?;
        let mut import = std::process::Command::new(&binary);
        import.arg("import").arg("--config").arg(&configuration).arg(clients);
        let imported = import
            .output()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        ensure!(
            imported.status.success(),
            "the client could not be registered: {}",
            String::from_utf8_lossy(&imported.stderr)
        );
        let mut serve = std::process::Command::new(&binary);
        serve
            .args(["serve", "--log-level", "warn", "--config"])
            .arg(&configuration);
        let mut program = Program::start("auth server", serve, &folder.join("auth.log"))?;
        let never = AtomicBool::new(false);
        health::wait(
            &mut program,
            port,
            "/health/ready",
            200,
            Duration::from_secs(30),
            &never,
        )?;
        Ok(Self {
            program,
            port,
            ticks_per_second: ticks_per_second()?,
        })
    }

    /// A token that nobody was given before.
    fn token(&self, round: usize) -> Result<Token> {
        let form = format!("grant_type=client_credentials&scope=round{round}");
        let answer = Request::form("/oauth/token", &form)
            .basic(CLIENT, CLIENT)
            .send(self.port);
        let value = answer.json()["access_token"].as_str().map(str::to_owned);
        let value = value.with_context(|| format!("no token: {answer:?}"))?;
        let claims = value.split('.').nth(1).unwrap_or_default();
        let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims)?)?;
        let id = claims["jti"].as_str().context("a token without an id")?.to_owned();
        Ok(Token { value, id })
    }

    fn log_out(&self, token: &Token) -> Result<()> {
        let answer = Request::new("POST", "/logout").bearer(&token.value).send(self.port);
        ensure!(answer.status == 200, "logout: {answer:?}");
        Ok(())
    }
}

fn write(folder: &std::path::Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self {
            gateways: 1000,
            rounds: 100,
        };
        let words: Vec<String> = std::env::args().skip(1).collect();
        for pair in words.chunks(2) {
            let [flag, value] = pair else {
                bail!("`{}` needs a value", pair.join(" "))
            };
            let number = match flag.as_str() {
                "--gateways" => &mut options.gateways,
                "--rounds" => &mut options.rounds,
                _ => bail!("`{flag}` is not known; there are --gateways and --rounds"),
            };
            *number = match value.parse() {
                Ok(0) | Err(_) => bail!("`{flag} {value}`: write a whole number above 0"),
                Ok(value) => value,
            };
        }
        Ok(options)
    }
}
