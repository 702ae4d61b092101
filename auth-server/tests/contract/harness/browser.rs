//! A real Chromium without a window, driven over its DevTools protocol through a pipe.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::now;

const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page, 375 pixels wide, as a phone has it.
pub struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    events: VecDeque<Value>,
    session: Option<String>,
    last_id: u64,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// `None`: there is no Chromium, and nobody says that there must be one (`CI=true`).
    pub fn start() -> Option<Self> {
        let Some(program) = find() else {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "Chromium is not there");
            eprintln!("skipped: there is no Chromium");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        // The browser takes commands from descriptor 3 and answers at 4.
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#])
            .arg(program)
            .args([
                "--headless",
                "--remote-debugging-pipe",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ])
            // A container has no user namespaces to make a sandbox of; the pages are our own.
            .args(["--no-sandbox", "--no-first-run", "--disable-background-networking"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, messages) = mpsc::channel();
        let answers = BufReader::new(child.stdout.take().unwrap()).split(0);
        std::thread::spawn(move || {
            for message in answers.map_while(Result::ok) {
                let _ = sender.send(serde_json::from_slice(&message).unwrap());
            }
        });
        let mut browser = Self {
            commands: child.stdin.take().unwrap(),
            child,
            messages,
            events: VecDeque::new(),
            session: None,
            last_id: 0,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        browser.call("Page.enable", json!({}));
        browser.call("Network.enable", json!({}));
        let phone = json!({ "width": 375, "height": 667, "deviceScaleFactor": 2, "mobile": true });
        browser.call("Emulation.setDeviceMetricsOverride", phone);
        Some(browser)
    }

    /// From now on, pages run no scripts of their own.
    pub fn without_scripts(&mut self) {
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    }

    pub fn speak(&mut self, language: &str) {
        let headers = json!({ "headers": { "Accept-Language": language } });
        self.call("Network.setExtraHTTPHeaders", headers);
    }

    /// Goes to an address, through every redirect.
    pub fn open(&mut self, url: &str) {
        self.events.clear();
        self.call("Page.navigate", json!({ "url": url }));
        self.wait_for_page();
    }

    /// Types into what has the focus.
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    pub fn press_tab(&mut self) {
        self.press("Tab", 9, "");
    }

    /// Presses Enter and waits for the page that comes of it.
    pub fn press_enter(&mut self) {
        self.events.clear();
        self.press("Enter", 13, "\r");
        self.wait_for_page();
    }

    fn press(&mut self, key: &str, code: u32, text: &str) {
        let key = |kind| json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
        self.call("Input.dispatchKeyEvent", key("keyDown"));
        self.call("Input.dispatchKeyEvent", key("keyUp"));
    }

    /// The value of an expression in the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.call(
            "Runtime.evaluate",
            json!({ "expression": expression, "returnByValue": true }),
        );
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    pub fn address(&mut self) -> String {
        self.evaluate("location.href").as_str().unwrap().to_owned()
    }

    /// A command of the protocol, and its result.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.commands.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let answer = self.messages.recv_timeout(PATIENCE).unwrap();
            if answer["id"] == self.last_id {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push_back(answer);
        }
    }

    /// Until the next page is there, and what it wants to have the focus has it: that comes with the first picture.
    fn wait_for_page(&mut self) {
        while !self
            .events
            .iter()
            .any(|message| message["method"] == "Page.loadEventFired")
        {
            let message = self.messages.recv_timeout(PATIENCE);
            self.events
                .push_back(message.unwrap_or_else(|error| panic!("no page: {error}")));
        }
        let focused =
            "(() => { const f = document.querySelector('[autofocus]'); return !f || f === document.activeElement })()";
        let asked = now();
        while self.evaluate(focused) != true {
            assert!(asked.elapsed() < PATIENCE, "nothing has the focus");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Chromium: `CHROMIUM_BIN`, or what Debian calls it.
fn find() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM_BIN").map(PathBuf::from);
    named.or_else(|| Some("/usr/bin/chromium".into()).filter(|program: &PathBuf| program.is_file()))
}

/// An application of a client: answers every request with a page, and remembers what was asked for.
pub struct Application {
    pub callback: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Application {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let callback = format!("http://{}/callback", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sink = Arc::clone(&sink);
                // One each: browsers open connections ahead of need, and send nothing on some.
                std::thread::spawn(move || answer(stream, &sink));
            }
        });
        Self { callback, requests }
    }

    /// The queries with which it was called back so far, once there are so many.
    pub fn callbacks(&self, count: usize) -> Vec<String> {
        let asked = now();
        loop {
            let requests = self.requests.lock().unwrap().clone();
            if requests.len() >= count {
                return requests;
            }
            assert!(asked.elapsed() < PATIENCE, "called back with {requests:?} only");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn answer(mut stream: TcpStream, sink: &Mutex<Vec<String>>) -> Option<()> {
    let mut head = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok);
    let line = head.next()?;
    head.find(String::is_empty)?;
    let path = line.split(' ').nth(1)?;
    if path.starts_with("/callback") {
        sink.lock().unwrap().push(path.to_owned());
    }
    let body = "<!doctype html><title>arrived</title>";
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length:";
    stream
        .write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes())
        .ok()
}
