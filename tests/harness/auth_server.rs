//! An auth server that answers as a test wants: for what the real one does only when something is wrong with it.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use serde_json::json;

/// What is answered to a question about a token (RFC 7662).
#[derive(Debug, Clone)]
pub enum Introspected {
    /// This body, with 200.
    Body(String),
    /// This status, without a body.
    Status(u16),
}

/// Tells gateways by its feed that there are opaque tokens, and answers what is asked about them, until the process ends.
pub struct FakeAuthServer {
    /// Where it listens.
    pub port: u16,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// How often each token was asked about.
    questions: BTreeMap<String, usize>,
    open: usize,
    most_open: usize,
}

impl FakeAuthServer {
    /// Begins to listen. `answer` may take its time.
    pub fn start(answer: impl Fn(&str) -> Introspected + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let seen = Arc::<Mutex<Seen>>::default();
        let shared = Arc::clone(&seen);
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&shared));
                // A host that goes away in the middle ends the thread, which is all that is wanted.
                thread::spawn(move || serve(stream, &*answer, &seen));
            }
        });
        Self { port, seen }
    }

    /// How often a token was asked about.
    pub fn questions(&self, token: &str) -> usize {
        lock(&self.seen).questions.get(token).copied().unwrap_or(0)
    }

    /// How many questions there were, and how many at the same time.
    pub fn all_questions(&self) -> (usize, usize) {
        let seen = lock(&self.seen);
        (seen.questions.values().sum(), seen.most_open)
    }
}

/// Serves one connection.
fn serve(stream: TcpStream, answer: &dyn Fn(&str) -> Introspected, seen: &Mutex<Seen>) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let length = field(&head, "content-length").and_then(|length| length.parse().ok());
        let mut form = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut form)?;
        let target = head.split(' ').nth(1).unwrap_or_default();
        let (status, body) = match target.split('?').next().unwrap_or_default() {
            // The gateway's own credentials (`gateway:secret`), as to the feed of the real one.
            _ if field(&head, "authorization") != Some("Basic Z2F0ZXdheTpzZWNyZXQ=") => (401, String::new()),
            "/feed/tokens" if target.contains("after=") => {
                thread::sleep(Duration::from_secs(1));
                (304, String::new())
            }
            "/feed/tokens" => (200, snapshot()),
            "/oauth2/introspect" => {
                let form = String::from_utf8_lossy(&form).into_owned();
                let token = form
                    .strip_prefix("token=")
                    .and_then(|rest| rest.strip_suffix("&token_type_hint=access_token"));
                introspect(token.unwrap_or_default(), answer, seen)
            }
            _ => (404, String::new()),
        };
        let length = body.len();
        write!(
            writer,
            "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )?;
    }
}

fn introspect(token: &str, answer: &dyn Fn(&str) -> Introspected, seen: &Mutex<Seen>) -> (u16, String) {
    {
        let mut seen = lock(seen);
        *seen.questions.entry(token.to_owned()).or_default() += 1;
        seen.open += 1;
        seen.most_open = seen.most_open.max(seen.open);
    }
    let answered = answer(token);
    lock(seen).open -= 1;
    match answered {
        Introspected::Body(body) => (200, body),
        Introspected::Status(status) => (status, String::new()),
    }
}

/// There are opaque tokens, and one key that nothing was signed with.
fn snapshot() -> String {
    let key = json!({ "kty": "oct", "alg": "HS256", "use": "sig", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY" });
    json!({
        "version": "1",
        "issuers": [ { "jwks": { "inline": { "keys": [key] } } } ],
        "introspection": { "opaque": true },
    })
    .to_string()
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(value.trim())
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
