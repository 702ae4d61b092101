//! Programs and libraries of others that call a host, unmodified. What they saw is compared like any other answer.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::{Sender, channel},
    thread,
    time::Duration,
};

use serde_json::Value;
use xtask::{
    clock,
    program::Program,
    real_clients::{self, Browser, Node, RealClients},
};

use crate::{
    client::Response,
    servers::{folder, workspace},
    visit::Visit,
};

/// Longer than any of them takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The clients of this machine. One may be missing where things may be skipped (`cargo xtask test` says so at the end).
pub fn installed() -> RealClients {
    let clients = real_clients::find(&workspace());
    let must = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(
        clients.missing().is_empty() || !must,
        "nothing may be skipped when CI=true, but {}",
        clients.missing().join(", and ")
    );
    clients
}

/// What a client saw, answer by answer.
pub struct Play(Vec<(String, Response)>);

impl Play {
    /// The answer to the call of this name.
    pub fn answer(&self, call: &str) -> &Response {
        let mut answers = self.0.iter().filter(|(name, _)| name == call);
        let (_, answer) = answers
            .next()
            .unwrap_or_else(|| panic!("no answer to `{call}` among these:\n{}", self.text()));
        assert!(
            answers.next().is_none(),
            "several answers to `{call}`:\n{}",
            self.text()
        );
        answer
    }

    fn text(&self) -> String {
        let line = |(call, answer): &(String, Response)| format!("{call}: {} {}\n", answer.status, answer.text());
        self.0.iter().map(line).collect()
    }

    /// One line of JSON for each answer: `call`, `status`, `body`. Other lines are the program's own.
    fn read(visit: &Visit<'_>, text: &str) -> Self {
        let lines = text.lines().filter(|line| line.starts_with('{'));
        let answers = lines.map(|line| {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let text = |key: &str| {
                line[key]
                    .as_str()
                    .unwrap_or_else(|| panic!("no {key}: {line}"))
                    .to_owned()
            };
            let response = Response {
                status: line["status"]
                    .as_u64()
                    .and_then(|code| u16::try_from(code).ok())
                    .unwrap_or_else(|| panic!("no status: {line}")),
                headers: Vec::new(),
                body: text("body").into(),
            };
            visit.saw(&response);
            (text("call"), response)
        });
        Self(answers.collect())
    }
}

/// Calls the host with curl. `{}` in an argument stands for the host.
pub fn curl(visit: &Visit<'_>, curl: &Path, arguments: &[&str]) -> Response {
    let gateway = gateway(visit);
    let arguments: Vec<String> = arguments.iter().map(|word| word.replace("{}", &gateway)).collect();
    let output = Command::new(curl)
        // Beside the request itself: what was answered, and no configuration of whoever runs the tests.
        .args([
            "--disable",
            "--silent",
            "--show-error",
            "--max-time",
            "60",
            "--write-out",
            "\n%{http_code}",
        ])
        .args(&arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run curl: {error}"));
    assert!(
        output.status.success(),
        "curl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let (body, status) = text.rsplit_once('\n').expect("curl writes the status behind the body");
    let response = Response {
        status: status.parse().unwrap_or_else(|error| panic!("{error}: {text}")),
        headers: Vec::new(),
        body: body.into(),
    };
    visit.saw(&response);
    response
}

/// Runs a script of `tests/clients/` with Python.
pub fn python(visit: &Visit<'_>, python: &Path, script: &str, environment: &[(&str, &str)]) -> Play {
    let mut command = Command::new(python);
    // An access token over plain HTTP, which the library refuses unless told.
    command.env("OAUTHLIB_INSECURE_TRANSPORT", "1");
    play(visit, command, script, environment)
}

/// Runs a script of `tests/clients/` with Node.
pub fn node(visit: &Visit<'_>, node: &Node, script: &str, environment: &[(&str, &str)]) -> Play {
    let mut command = Command::new(&node.program);
    command.env("NODE_PATH", &node.modules).env("NODE_NO_WARNINGS", "1");
    play(visit, command, script, environment)
}

/// Shows a page of `tests/clients/`, which calls the host from an origin of its own, in Chromium.
pub fn page(visit: &Visit<'_>, browser: &Browser, page: &str, query: &str) -> Play {
    let (sender, seen) = channel();
    let read = |path: PathBuf| fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let port = serve(read(script(page)), read(browser.jquery.clone()), sender);
    let folder = folder("browser");
    let mut command = Command::new(&browser.program);
    command
        .args([
            "--headless",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
        ])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()));
    if fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
        // Chromium's sandbox refuses to run as root.
        command.arg("--no-sandbox");
    }
    command.arg(format!("http://localhost:{port}/?gateway={}&{query}", gateway(visit)));
    let program =
        Program::start("chromium", command, &folder.join("chromium.log")).unwrap_or_else(|error| panic!("{error:#}"));
    let seen = seen
        .recv_timeout(TIMEOUT)
        .unwrap_or_else(|_| panic!("the page told nothing; Chromium said:\n{}", program.log_tail(20)));
    Play::read(visit, &seen)
}

fn play(visit: &Visit<'_>, mut command: Command, file: &str, environment: &[(&str, &str)]) -> Play {
    command
        .arg(script(file))
        .env("GATEWAY", gateway(visit))
        .envs(environment.iter().copied());
    let log = folder("client").join(format!("{file}.log"));
    let mut program = Program::start(file, command, &log).unwrap_or_else(|error| panic!("{error:#}"));
    let deadline = clock::now() + TIMEOUT;
    let exit = loop {
        if let Some(exit) = program.exited() {
            break exit;
        }
        assert!(
            clock::now() < deadline,
            "{file} does not end:\n{}",
            program.log_tail(20)
        );
        thread::sleep(Duration::from_millis(20));
    };
    assert!(exit.success(), "{file} failed:\n{}", program.log_tail(40));
    let text = fs::read_to_string(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    Play::read(visit, &text)
}

fn gateway(visit: &Visit<'_>) -> String {
    format!("http://127.0.0.1:{}", visit.host.port)
}

fn script(file: &str) -> PathBuf {
    workspace().root.join("tests/clients").join(file)
}

/// Serves a page and its jQuery, and passes on what the page posts, until the process ends. Returns the port.
fn serve(page: Vec<u8>, jquery: Vec<u8>, seen: Sender<String>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (page, jquery, seen) = (page.clone(), jquery.clone(), seen.clone());
            // A browser opens connections that it does not use.
            thread::spawn(move || answer(stream, &page, &jquery, &seen));
        }
    });
    port
}

fn answer(mut stream: TcpStream, page: &[u8], jquery: &[u8], seen: &Sender<String>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut length = 0;
    loop {
        let mut field = String::new();
        if reader.read_line(&mut field)? == 0 || field == "\r\n" {
            break;
        }
        if let Some((name, value)) = field.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let (kind, body) = match line.split(' ').nth(1).unwrap_or_default() {
        "/jquery.js" => ("text/javascript", jquery),
        "/seen" => {
            let mut told = vec![0; length];
            reader.read_exact(&mut told)?;
            // A test that has given up waits no more.
            let _gone = seen.send(String::from_utf8_lossy(&told).into_owned());
            ("text/plain", &b""[..])
        }
        path if path.starts_with("/?") => ("text/html", page),
        _ => ("text/plain", &b""[..]),
    };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)
}
