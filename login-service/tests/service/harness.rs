//! Starts the program, speaks HTTP/1.1 to it, stops it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use private_postgres::Postgres;
use serde_json::Value;
use tempfile::TempDir;

/// `gateway:secret`
pub const BASIC: &str = "Authorization: Basic Z2F0ZXdheTpzZWNyZXQ=";

/// What keeps the data.
#[derive(Debug, Clone, Copy)]
pub enum Engine {
    Sqlite,
    Postgres(&'static Postgres),
}

/// Runs each test once on SQLite and once on PostgreSQL: `sqlite::a_test` and `postgres::a_test`.
macro_rules! on_each_engine {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $test() { super::$test($crate::harness::Engine::Sqlite); })+
        }
        mod postgres {
            $(#[test] fn $test() {
                if let Some(postgres) = private_postgres::Postgres::shared() {
                    super::$test($crate::harness::Engine::Postgres(postgres));
                }
            })+
        }
    };
}
pub(crate) use on_each_engine;

/// A folder with a `login.yaml`, and a database.
pub struct Folder {
    folder: TempDir,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A running service; killed when dropped.
pub struct Service {
    child: Child,
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

/// An answer, headers as they came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Folder {
    /// A configuration with these lines beside those it needs, and a database that nobody has used.
    pub fn new(engine: Engine, lines: &str) -> Self {
        let database = match engine {
            Engine::Sqlite => "sqlite:login.db".into(),
            Engine::Postgres(postgres) => postgres.database(),
        };
        Self::on(&database, lines)
    }

    /// The same on a database of one's choice.
    pub fn on(database: &str, lines: &str) -> Self {
        Self::with(&format!(
            "listen: 127.0.0.1:0\ndatabase: {database}\ncredentials: [ \"gateway:secret\" ]\n{lines}\n"
        ))
    }

    /// Exactly this configuration.
    pub fn with(yaml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("login.yaml"), yaml).unwrap();
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What stands under `database`.
    pub fn database(&self) -> String {
        let yaml = std::fs::read_to_string(self.config()).unwrap();
        let database = yaml.lines().find_map(|line| line.strip_prefix("database: "));
        database.unwrap().to_owned()
    }

    /// Copies the database; nobody may use it meanwhile. Returns what is to stand under `database` for the copy.
    pub fn backup(&self, engine: Engine) -> String {
        match engine {
            Engine::Sqlite => {
                let copy = self.path().join("backup");
                std::fs::create_dir(&copy).unwrap();
                // After a crash, the newest is beside the file.
                for file in ["login.db", "login.db-wal"] {
                    if self.path().join(file).exists() {
                        std::fs::copy(self.path().join(file), copy.join(file)).unwrap();
                    }
                }
                "sqlite:backup/login.db".into()
            }
            Engine::Postgres(postgres) => postgres.copy(&self.database()),
        }
    }

    /// From now on the data are those of a backup.
    pub fn restore(&self, backup: &str) {
        let yaml = std::fs::read_to_string(self.config()).unwrap();
        std::fs::write(self.config(), yaml.replace(&self.database(), backup)).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.path().join("login.yaml")
    }

    /// Runs a command to its end; the words of `line` are its arguments.
    pub fn run(&self, line: &str) -> Said {
        self.run_with_stdin(line, "")
    }

    pub fn run_with_stdin(&self, line: &str, stdin: &str) -> Said {
        let mut child = Command::new(env!("CARGO_BIN_EXE_postern-login"))
            .arg("--config")
            .arg(self.config())
            .args(line.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        Said {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr)
                .unwrap()
                .replace(&format!("{}/", self.path().display()), ""),
        }
    }

    /// Runs commands that must succeed, one a line.
    pub fn must(&self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let said = self.run(line);
            assert_eq!(said.code, Some(0), "{line}: {said:?}");
        }
    }

    /// The directory of the demonstration.
    pub fn fill(&self) {
        self.must(
            "permission add ROLE_TEST --url /service/demo/test --description demo服务1-1
             permission add ROLE_TEST2 --url /service/demo/test2 --description demo服务1-2
             permission add ROLE_ADMIN --url /service/demo/admin/** --method GET
             role add tester
             role grant tester 1
             role add tester2
             role grant tester2 2
             user add u1 --password password
             user grant u1 tester
             user add u2 --password password
             user grant u2 tester
             user grant u2 tester2",
        );
    }

    /// Starts the service and waits until it listens.
    pub fn serve(&self) -> Service {
        let mut child = Command::new(env!("CARGO_BIN_EXE_postern-login"))
            .args(["serve", "--config"])
            .arg(self.config())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| Some(line.split_once("listening on http://")?.1.parse().unwrap()))
            .expect("the service ended before it listened");
        // Somebody must read on, or the service would block on its log one day.
        let log = Arc::<Mutex<Vec<String>>>::default();
        let reader = Arc::clone(&log);
        std::thread::spawn(move || lines.for_each(|line| reader.lock().unwrap().push(line.unwrap())));
        Service { child, address, log }
    }
}

impl Service {
    pub fn get(&self, target: &str) -> Answer {
        self.request("GET", target, &[BASIC], "")
    }

    pub fn form(&self, target: &str, form: &str) -> Answer {
        self.request(
            "POST",
            target,
            &[BASIC, "Content-Type: application/x-www-form-urlencoded"],
            form,
        )
    }

    pub fn request(&self, method: &str, target: &str, headers: &[&str], body: &str) -> Answer {
        request(self.address, method, target, headers, body)
    }

    pub fn feed(&self, query: &str) -> Value {
        let answer = self.get(&format!("/feed/permissions{query}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }

    pub fn terminate(&self) {
        let kill = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(kill.success());
    }

    /// The lines of the log with these words.
    pub fn logged(&self, words: &str) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter().filter(|line| line.contains(words)).cloned().collect()
    }

    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request on a connection of its own.
pub fn request(address: SocketAddr, method: &str, target: &str, headers: &[&str], body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Answer {
        status,
        headers,
        body: body.to_owned(),
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body, with its timestamp replaced by 0 after a look that it is a time of today.
    pub fn timeless_body(&self) -> String {
        let (before, rest) = self.body.split_once("\"timestamp\":").expect("a timestamp");
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap();
        let ms: i64 = rest[..end].parse().unwrap();
        assert!(ms > 1_700_000_000_000, "{ms} is no Unix time in milliseconds");
        format!("{before}\"timestamp\":0{}", &rest[end..])
    }
}
