//! A real `postern-auth` on a temporary folder and a database of its own, beside a login service that speaks the three reserved interfaces.

pub mod browser;
pub mod dump;
pub mod engine;
pub mod http;
pub mod login;
pub mod tkey;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use self::http::Answer;
use self::login::LoginService;

pub const BINARY: &str = env!("CARGO_BIN_EXE_postern-auth");

/// One server with its folder, its login service and one client `demo` / `demo-secret`.
pub struct Server {
    pub folder: Arc<tempfile::TempDir>,
    pub login: Arc<LoginService>,
    pub address: String,
    child: Child,
    log: Arc<Mutex<String>>,
}

/// What a server is started with.
pub struct Setup {
    pub compat: &'static str,
    /// Beside those of profile `spring`, with a comma before each.
    pub mounts: &'static str,
    pub clients: &'static [&'static str],
    /// Further lines of `auth.yaml`.
    pub more: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            compat: "{}",
            mounts: "",
            clients: &[],
            more: "",
        }
    }
}

/// The client of the demo, and one for every other shape.
pub const DEMO: &str = "demo --secret demo-secret --profile spring --grants password,refresh_token --scopes all";

impl Server {
    pub fn start() -> Self {
        Self::with(Setup::default())
    }

    /// A server that answers as a version of Spring Security OAuth did.
    pub fn of_version(version: &str) -> Self {
        Self::with(Setup {
            compat: match version {
                "2.0.7" => r#"{ spring_oauth: "2.0.7" }"#,
                "2.0.13" => r#"{ spring_oauth: "2.0.13" }"#,
                "2.3" => r#"{ spring_oauth: "2.3" }"#,
                "2.5" => r#"{ spring_oauth: "2.5" }"#,
                _ => panic!("there is no version {version}"),
            },
            ..Setup::default()
        })
    }

    pub fn with_clients(clients: &'static [&'static str]) -> Self {
        Self::with(Setup {
            clients,
            ..Setup::default()
        })
    }

    pub fn with(setup: Setup) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let login = Arc::new(LoginService::start());
        let yaml = yaml(&login.url, setup.compat).replace(" ]\ncompat", &format!("{} ]\ncompat", setup.mounts));
        let yaml = yaml + setup.more;
        std::fs::write(folder.path().join("auth.yaml"), yaml).unwrap();
        for client in [DEMO].iter().chain(setup.clients) {
            let arguments: Vec<&str> = ["client", "add"].into_iter().chain(client.split(' ')).collect();
            let output = run_in(folder.path().to_owned(), &arguments);
            assert!(output.status.success(), "{output:?}");
        }
        Self::spawn(folder, login)
    }

    /// A server on a folder with a configuration, beside which no login service has started.
    pub fn on(folder: &Arc<tempfile::TempDir>) -> Self {
        Self::spawn(Arc::clone(folder), Arc::new(LoginService::start()))
    }

    /// Another server on the same database.
    pub fn beside(&self) -> Self {
        Self::spawn(Arc::clone(&self.folder), Arc::clone(&self.login))
    }

    fn spawn(folder: Arc<tempfile::TempDir>, login: Arc<LoginService>) -> Self {
        let (child, address, log) = spawn(folder.path().to_owned());
        Self {
            folder,
            login,
            address,
            child,
            log,
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts a server that has ended again.
    pub fn start_again(&mut self) {
        (self.child, self.address, self.log) = spawn(self.folder.path().to_owned());
    }

    /// Replaces a text in the configuration, for the next start.
    pub fn reconfigure(&self, from: &str, to: &str) {
        let file = self.folder.path().join("auth.yaml");
        let before = std::fs::read_to_string(&file).unwrap();
        assert!(before.contains(from), "{from} in {before}");
        std::fs::write(file, before.replace(from, to)).unwrap();
    }

    /// Stops the server as a supervisor does, and starts it again on the same folder.
    pub fn restart(&mut self) {
        self.terminate();
        self.start_again();
    }

    /// SIGTERM; returns the exit code and how long it took.
    pub fn terminate(&mut self) -> (Option<i32>, Duration) {
        let asked = now();
        let done = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(done.success());
        let status = self.child.wait().unwrap();
        (status.code(), asked.elapsed())
    }

    /// Everything the server has written to stderr once a text is in it; it is written beside the answers.
    pub fn log_with(&self, text: &str) -> String {
        let asked = now();
        loop {
            let log = self.log.lock().unwrap().clone();
            if log.contains(text) {
                return log;
            }
            assert!(asked.elapsed() < Duration::from_secs(10), "no {text} in {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a command of the command line beside the server.
    pub fn run(&self, arguments: &[&str]) -> Output {
        run_in(self.folder.path().to_owned(), arguments)
    }

    /// The same, with a line on its standard input.
    pub fn run_with_input(&self, arguments: &[&str], line: &str) -> Output {
        use std::io::Write as _;
        let mut child = Command::new(BINARY)
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{line}").unwrap();
        child.wait_with_output().unwrap()
    }

    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        http::request(&self.address, method, path, headers, body)
    }

    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request("GET", path, headers, "")
    }

    /// A form with HTTP Basic.
    pub fn post(&self, path: &str, client: (&str, &str), form: &str) -> Answer {
        let authorization = basic(client);
        self.request(
            "POST",
            path,
            &[("authorization", &authorization), ("content-type", FORM)],
            form,
        )
    }

    /// A form without HTTP Basic.
    pub fn post_form(&self, path: &str, form: &str) -> Answer {
        self.request("POST", path, &[("content-type", FORM)], form)
    }

    /// The token endpoint, as client `demo`.
    pub fn token(&self, form: &str) -> Answer {
        self.post("/oauth/token", DEMO_CLIENT, form)
    }

    /// The tokens of a login that must succeed.
    pub fn log_in(&self, user: &str) -> Value {
        let answer = self.token(&format!("grant_type=password&username={user}&password=password"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub fn refresh(&self, refresh_token: &str) -> Answer {
        self.token(&format!("grant_type=refresh_token&refresh_token={refresh_token}"))
    }

    pub fn check_token(&self, token: &str) -> Answer {
        self.post("/oauth/check_token", DEMO_CLIENT, &format!("token={token}"))
    }

    pub fn log_out(&self, token: &str) -> Answer {
        self.request("POST", "/logout", &[("authorization", &format!("bearer {token}"))], "")
    }

    pub fn feed(&self, after: Option<&str>, wait: u64) -> Answer {
        let after = after.map(|version| format!("after={version}&")).unwrap_or_default();
        self.get(
            &format!("/feed/tokens?{after}wait={wait}"),
            &[("authorization", &basic(("gateway", "secret")))],
        )
    }

    /// A fresh snapshot once every change so far is told.
    pub fn snapshot(&self) -> Value {
        std::thread::sleep(Duration::from_millis(100));
        let answer = self.feed(None, 0);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub const DEMO_CLIENT: (&str, &str) = ("demo", "demo-secret");
pub const FORM: &str = "application/x-www-form-urlencoded";

pub fn basic((user, password): (&str, &str)) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

pub fn yaml(login: &str, compat: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\n\
         database: {}\n\
         login_service: {{ url: \"{login}\", credentials: \"gateway:secret\", timeout: 2s }}\n\
         feed: {{ credentials: [ \"gateway:secret\" ] }}\n\
         mounts: [ {{ profile: spring, path: /login }}, {{ profile: spring, path: / }} ]\n\
         compat: {compat}\n",
        engine::new_database()
    )
}

pub fn run_in(folder: PathBuf, arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Moves the redemption of every code into the past.
pub fn redeemed_earlier(server: &Server, seconds: u32) {
    let statement = format!("UPDATE authorization_code SET redeemed_at_ms = redeemed_at_ms - {seconds}000");
    engine::run(server.folder.path(), statement);
}

/// The payload of a JWT, as it was written.
pub fn payload(token: &str) -> String {
    let part = token.split('.').nth(1).expect("a JWT has three parts");
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

pub fn claims(token: &str) -> Value {
    serde_json::from_str(&payload(token)).unwrap()
}

/// The names of an object's members, in order.
pub fn keys(object: &Value) -> String {
    object
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect::<Vec<_>>()
        .join(", ")
}

pub fn text<'a>(object: &'a Value, member: &str) -> &'a str {
    object[member]
        .as_str()
        .unwrap_or_else(|| panic!("no text `{member}` in {object}"))
}

/// The body with the values that differ from run to run replaced: `timestamp`, and what the caller names.
pub fn masked(body: &str, values: &[(&str, &str)]) -> String {
    let mut body = body.to_owned();
    for (value, name) in values {
        body = body.replace(value, &format!("<{name}>"));
    }
    if let Some((before, rest)) = body.split_once(r#""timestamp":"#) {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        assert!(digits >= 13, "a timestamp in milliseconds: {body}");
        body = format!(r#"{before}"timestamp":<now>{}"#, &rest[digits..]);
    }
    body
}

#[expect(clippy::disallowed_methods, reason = "tests measure how long a real process takes")]
pub fn now() -> Instant {
    Instant::now()
}

fn spawn(folder: PathBuf) -> (Child, String, Arc<Mutex<String>>) {
    let mut child = Command::new(BINARY)
        // Whatever is said at any level counts when a test looks for secrets.
        .args(["serve", "--log-level", "trace"])
        .current_dir(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let log = Arc::new(Mutex::new(String::new()));
    let address = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| {
            *log.lock().unwrap() += &format!("{line}\n");
            let (_, rest) = line.split_once("listens on http://")?;
            rest.split(' ').next().map(str::to_owned)
        })
        .unwrap_or_else(|| panic!("the server did not start: {}", log.lock().unwrap()));
    let sink = Arc::clone(&log);
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            *sink.lock().unwrap() += &format!("{line}\n");
        }
    });
    (child, address, log)
}
