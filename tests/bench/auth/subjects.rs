//! Who is measured, with the same clients everywhere, and what each is called with.

use std::{
    fmt::{self, Write as _},
    fs,
    path::Path,
    process::Command,
    sync::atomic::AtomicBool,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use postern_e2e::{client::Request, ports, processes::on_core};
use xtask::{health, program::Program, workspace::succeed};

use crate::Bench;

/// As many tokens are introspected and given again, in turn: one of each client.
pub const CLIENTS: usize = 50;

/// A server of a kind.
pub struct Subject {
    /// In the report.
    pub name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
    /// npm `oidc-provider`.
    Peer,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `client_credentials`, a new token each time.
    FreshToken,
    /// `client_credentials`, which gives the living token again.
    SameToken,
    /// The legacy forerunner of introspection.
    CheckToken,
    /// RFC 7662.
    Introspection,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FreshToken => "fresh token",
            Self::SameToken => "same token",
            Self::CheckToken => "check_token",
            Self::Introspection => "introspection",
        })
    }
}

/// A running server.
pub struct Server {
    pub program: Program,
    pub port: u16,
    kind: Kind,
}

/// Those that can be measured here.
pub fn all(bench: &Bench) -> Vec<Subject> {
    let subject = |name, kind| Subject { name, kind };
    let mut subjects = vec![subject("postern-auth on SQLite", Kind::Sqlite)];
    if bench.postgres.is_some() {
        subjects.push(subject("postern-auth on PostgreSQL", Kind::Postgres));
    }
    subjects.push(subject("oidc-provider", Kind::Peer));
    subjects
}

impl Subject {
    /// What it can be asked for.
    pub fn calls(&self) -> &'static [Call] {
        match self.kind {
            Kind::Sqlite | Kind::Postgres => {
                &[Call::SameToken, Call::CheckToken, Call::Introspection, Call::FreshToken]
            }
            Kind::Peer => &[Call::Introspection, Call::FreshToken],
        }
    }

    /// Whether PostgreSQL works for it.
    pub fn uses_postgres(&self) -> bool {
        self.kind == Kind::Postgres
    }

    /// Starts it on core 0, with an empty database.
    pub fn start(&self, bench: &Bench) -> Result<Server> {
        let port = ports::free();
        let (command, ready) = match self.kind {
            Kind::Peer => {
                // Beside the folder in which Node looks for the package.
                let script = bench.write("oidc-provider.mjs", include_str!("oidc-provider.mjs"))?;
                let mut command = on_core(0, &bench.node);
                command.arg(script).args([port.to_string(), CLIENTS.to_string()]);
                command.env("NODE_ENV", "production");
                (command, "/.well-known/openid-configuration")
            }
            Kind::Sqlite | Kind::Postgres => {
                let configuration = self.configure(bench, port)?;
                let mut command = on_core(0, &bench.auth);
                command
                    .args(["serve", "--log-level", "warn", "--config"])
                    .arg(configuration);
                (command, "/health/ready")
            }
        };
        let mut program = Program::start("server", command, &bench.folder.join("server.log"))?;
        health::wait(
            &mut program,
            port,
            ready,
            200,
            Duration::from_secs(30),
            &AtomicBool::new(false),
        )?;
        Ok(Server {
            program,
            port,
            kind: self.kind,
        })
    }

    /// Writes a configuration with an empty database, and registers the clients.
    fn configure(&self, bench: &Bench, port: u16) -> Result<std::path::PathBuf> {
        let database = match (self.kind, bench.postgres) {
            (Kind::Postgres, Some(postgres)) => postgres.database(),
            _ => {
                for file in ["auth.db", "auth.db-wal", "auth.db-shm"] {
                    // Nothing there: nothing to remove.
                    let _absent = fs::remove_file(bench.folder.join(file));
                }
                "sqlite:auth.db".to_owned()
            }
        };
        let configuration = bench.write(
            "auth.yaml",
            &format!(
                "listen: 127.0.0.1:{port}\n\
                 database: \"{database}\"\n\
                 # nobody asks it: clients get tokens of their own\n\
                 login_service: {{ url: \"http://127.0.0.1:9\" }}\n\
                 feed: {{ credentials: [ \"gateway:secret\" ] }}\n\
                 mounts: [ {{ profile: spring, path: / }} ]\n"
            ),
        )?;
        let mut dump = String::new();
        for number in 0..CLIENTS {
            let _ = writeln!(
                dump,
                "insert into oauth_client_details (client_id, client_secret, authorized_grant_types) \
                 values ('client{number}', 'secret-of-client{number}', 'client_credentials');"
            );
        }
        let dump = bench.write("clients.sql", &dump)?;
        let mut import = Command::new(&bench.auth);
        import.arg("import").arg("--config").arg(&configuration).arg(dump);
        succeed(
            import
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null()),
        )?;
        Ok(configuration)
    }
}

impl Server {
    /// The path of a call, and one request a line: its `Authorization`, a tabulator, its form. `{n}` stands for a number
    /// that is another one each time.
    pub fn requests(&self, call: Call) -> Result<(&'static str, String)> {
        let path = match (self.kind, call) {
            (Kind::Peer, Call::Introspection) => "/token/introspection",
            (Kind::Peer, _) => "/token",
            (_, Call::Introspection) => "/oauth2/introspect",
            (_, Call::CheckToken) => "/oauth/check_token",
            (_, Call::FreshToken | Call::SameToken) => "/oauth/token",
        };
        let mut requests = String::new();
        for number in 0..CLIENTS {
            let (client, secret) = (format!("client{number}"), format!("secret-of-client{number}"));
            let (user, password, form) = match call {
                // Its scope makes it another token; the peer gives a new one each time.
                Call::FreshToken if self.kind == Kind::Peer => {
                    (client, secret, "grant_type=client_credentials".to_owned())
                }
                Call::FreshToken => (client, secret, "grant_type=client_credentials&scope=s{n}".to_owned()),
                Call::SameToken => (client, secret, "grant_type=client_credentials&scope=all".to_owned()),
                Call::CheckToken => {
                    let token = self.token(number)?;
                    (client, secret, format!("token={token}"))
                }
                Call::Introspection => {
                    let form = format!("token={}", self.token(number)?);
                    match self.kind {
                        Kind::Peer => (client, secret, form),
                        // A gateway asks.
                        _ => ("gateway".to_owned(), "secret".to_owned(), form),
                    }
                }
            };
            let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
            let _ = writeln!(requests, "Basic {credentials}\t{form}");
        }
        self.check(call, path, &requests)?;
        Ok((path, requests))
    }

    /// A token of a client.
    fn token(&self, number: usize) -> Result<String> {
        let (path, form) = match self.kind {
            Kind::Peer => ("/token", "grant_type=client_credentials"),
            _ => ("/oauth/token", "grant_type=client_credentials&scope=all"),
        };
        let secret = format!("secret-of-client{number}");
        let answer = Request::form(path, form)
            .basic(&format!("client{number}"), &secret)
            .send(self.port);
        let token = answer.json()["access_token"].as_str().map(str::to_owned);
        token.with_context(|| format!("no token: {answer:?}"))
    }

    /// A server that refuses everything is quick.
    fn check(&self, call: Call, path: &str, requests: &str) -> Result<()> {
        let first = requests.lines().next().and_then(|line| line.split_once('\t'));
        let (authorization, form) = first.context("there is a first client")?;
        let send = |form: &str| {
            Request::form(path, form)
                .header("Authorization", authorization)
                .send(self.port)
        };
        let [one, other] = [send(&form.replace("{n}", "a")), send(&form.replace("{n}", "b"))];
        let right = match call {
            Call::FreshToken => one.json()["access_token"] != other.json()["access_token"],
            Call::SameToken => one.json()["access_token"] == other.json()["access_token"],
            Call::CheckToken => one.json()["client_id"] == "client0",
            Call::Introspection => one.json()["active"] == true && send("token=x").json()["active"] == false,
        };
        if one.status != 200 || !right {
            bail!("{call}: a wrong answer: {one:?}, {other:?}");
        }
        Ok(())
    }
}

/// The process in which PostgreSQL's own are born.
pub fn postmaster(postgres: &private_postgres::Postgres) -> Result<u32> {
    let folder = postgres.sql(&postgres.database(), "SHOW data_directory");
    let file = Path::new(folder.trim()).join("postmaster.pid");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let first = text.lines().next().and_then(|line| line.trim().parse().ok());
    first.with_context(|| format!("{} does not begin with a process id", file.display()))
}
