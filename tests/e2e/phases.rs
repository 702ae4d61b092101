//! Guests built with the SDK (`tests/guests/sdk/`), one for each phase of an exchange, run on both hosts with the same
//! configuration. A row says what is sent, and what the client and the upstream must see; where no difference is named, of
//! both hosts.

mod connections;
mod grpc;
mod http_calls;
mod lives;
mod local_responses;
mod own_answers;
mod requests;
mod responses;
mod state;
mod statuses;

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use postern_e2e::{
    host::{Host, kinds},
    ports,
    recorder::{Answer, Recorder},
    rpc,
    servers::Servers,
    wire::{self, Message},
};
use serde_json::{Value, json};
use xtask::stack::HostKind;

/// One exchange.
pub struct Row {
    /// The path without its first slash: the phase, what the guest is to do, and behind `?` what the upstream answers
    /// (`chunks`, `trailers`, `unannounced` ones, `none-yet`, `nothing`, `half` of it).
    pub path: &'static str,
    /// The method, fields, an empty line, and the body.
    pub sent: &'static str,
    pub client: Seen,
    /// With the calls that the guest made.
    pub upstream: Seen,
}

/// What is seen, as [`Message::shown`] has it; nothing at all is an empty text.
pub enum Seen {
    Both(&'static str),
    Differs {
        gateway: &'static str,
        envoy: &'static str,
        why: &'static str,
    },
    /// An answer that is cut off, however much of it came.
    Broken,
    /// Nobody can say: the exchange was broken off.
    Unsure,
}

/// What a listener does with trailers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trailers {
    Pass,
    Drop,
}

/// Fields of the hosts' own. How a body is framed is theirs, too: that it arrives whole is what counts.
const HOSTS_OWN: &[&str] = &[
    "connection",
    "content-length",
    "date",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-internal",
    "x-forwarded-for",
    "x-forwarded-proto",
];

/// Each has a route, and on it a guest of its own.
const PHASES: [&str; 18] = [
    "foreign_function",
    "grpc",
    "http_call",
    "life",
    "local_response",
    "metrics",
    "own_answer",
    "properties",
    "request_body",
    "request_headers",
    "request_trailers",
    "response_body",
    "response_headers",
    "response_trailers",
    "shared_data",
    "shared_queue",
    "statuses",
    "timer",
];

/// A host with the guest on a route for each phase, and what is behind it.
pub struct Stage {
    pub host: Host,
    /// Where everything goes that the guest lets pass.
    pub upstream: Recorder,
    /// What the guest may call.
    pub directory: Recorder,
}

impl Stage {
    /// Starts a host whose listener lets trailers through, or drops them.
    pub fn start(kind: HostKind, trailers: Trailers) -> Self {
        let (upstream, directory) = (Recorder::start(answered), Recorder::start(asked));
        let (nowhere, rpc) = (ports::free(), rpc::start());
        let trailers = trailers == Trailers::Pass;
        let route = |prefix: &str, phase: &str, cluster: &str| {
            json!({ "prefix": prefix, "cluster": cluster, "retries": 0,
                    "plugins": { "guest": { "configuration": phase } } })
        };
        let mut routes: Vec<Value> = PHASES
            .iter()
            .map(|phase| route(&format!("/{phase}"), phase, "upstream"))
            .collect();
        routes.push(route("/own_answer/nowhere", "own_answer", "nowhere"));
        routes.push(route("/own_answer/impatient", "own_answer", "upstream"));
        if let Some(route) = routes.last_mut() {
            route["timeout"] = json!("200ms");
        }
        let text = |port, admin| {
            json!({
                "workers": 2,
                "listeners": [ { "address": format!("127.0.0.1:{port}"),
                                 "request_trailers": trailers, "response_trailers": trailers } ],
                "admin": { "address": format!("127.0.0.1:{admin}") },
                "routes": routes,
                "clusters": {
                    "upstream": { "endpoints": [ format!("127.0.0.1:{}", upstream.port) ] },
                    "directory": { "endpoints": [ format!("127.0.0.1:{}", directory.port) ] },
                    "narrow": { "endpoints": [ format!("127.0.0.1:{}", directory.port) ],
                                "max_connections": 1, "max_pending": 1 },
                    "nowhere": { "endpoints": [ format!("127.0.0.1:{nowhere}") ] },
                    "rpc": { "endpoints": [ format!("127.0.0.1:{rpc}") ] },
                },
                "plugins": [ { "name": "guest", "wasm": guests(), "vm_id": "phases", "root_id": "root", "disabled": true,
                                 "configuration": PHASES[0] } ],
            })
            .to_string()
        };
        let host = Host::start_on_changed(&Servers::shared().stack, kind, text, speak_http2);
        Self {
            host,
            upstream,
            directory,
        }
    }

    /// The one that tests share, one after the other: in Envoy, every one compiles the guests anew.
    pub fn shared(kind: HostKind, trailers: Trailers) -> MutexGuard<'static, Self> {
        static STAGES: [LazyLock<Mutex<Stage>>; 4] = [
            LazyLock::new(|| Mutex::new(Stage::start(HostKind::Gateway, Trailers::Drop))),
            LazyLock::new(|| Mutex::new(Stage::start(HostKind::Gateway, Trailers::Pass))),
            LazyLock::new(|| Mutex::new(Stage::start(HostKind::Envoy, Trailers::Drop))),
            LazyLock::new(|| Mutex::new(Stage::start(HostKind::Envoy, Trailers::Pass))),
        ];
        let stage = &STAGES[2 * usize::from(kind == HostKind::Envoy) + usize::from(trailers == Trailers::Pass)];
        let stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
        // What a test left that failed.
        stage.passed();
        stage
    }

    /// What the client sees.
    pub fn send(&self, path: &str, sent: &str) -> String {
        let answer = wire::exchange(self.host.port, &request(path, sent));
        answer.map_or_else(String::new, |answer| answer.shown(HOSTS_OWN))
    }

    /// What the upstream has seen since this was last asked, and then the guest's calls.
    pub fn passed(&self) -> String {
        let mut calls = self.directory.taken();
        // Two at the same time come in any order.
        calls.sort_by(|one, other| one.start.cmp(&other.start));
        let passed = self.upstream.taken().into_iter().chain(calls);
        passed
            .map(|message| message.shown(HOSTS_OWN))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// The gateway speaks HTTP/2 wherever a plugin calls by gRPC; Envoy must be told of the cluster.
fn speak_http2(bootstrap: &mut Value) {
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut();
    for cluster in clusters
        .into_iter()
        .flatten()
        .filter(|cluster| cluster["name"] == "rpc")
    {
        let options = &mut cluster["typed_extension_protocol_options"];
        let options = &mut options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
        options["explicit_http_config"] = json!({ "http2_protocol_options": {} });
    }
}

/// What guests note in the log of a host, as it comes.
pub struct Notes {
    read: usize,
}

impl Notes {
    /// From now on.
    pub fn of(host: &Host) -> Self {
        Self {
            read: noted(host).len(),
        }
    }

    /// From the start of the host.
    pub const fn from_the_start() -> Self {
        Self { read: 0 }
    }

    /// What is new, once there is a note that begins so.
    pub fn up_to(&mut self, host: &Host, last: &str) -> Vec<String> {
        for _ in 0..2000 {
            let new = noted(host).split_off(self.read);
            if new.iter().any(|note| note.starts_with(last)) {
                self.read += new.len();
                return new;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("no note `{last}` in {}", host.log.display());
    }
}

fn noted(host: &Host) -> Vec<String> {
    let log = fs::read_to_string(&host.log).unwrap_or_default();
    let notes = log.lines().filter_map(|line| line.split_once("<<")?.1.split_once(">>"));
    notes.map(|(note, _)| note.to_owned()).collect()
}

/// Runs all rows on each host, and says of all at once what is not as expected.
pub fn run(rows: &[Row], trailers: Trailers) {
    let wrong = kinds()
        .into_iter()
        .map(|kind| wrong(kind, &Stage::shared(kind, trailers), rows));
    let wrong: String = wrong.collect();
    assert!(wrong.is_empty(), "{wrong}");
}

/// The same on hosts that nobody else uses: the rows leave connections broken, or a VM.
pub fn run_apart(rows: &[Row], trailers: Trailers) {
    let wrong = kinds()
        .into_iter()
        .map(|kind| wrong(kind, &Stage::start(kind, trailers), rows));
    let wrong: String = wrong.collect();
    assert!(wrong.is_empty(), "{wrong}");
}

fn wrong(kind: HostKind, stage: &Stage, rows: &[Row]) -> String {
    let mut wrong = String::new();
    for (number, row) in rows.iter().enumerate() {
        let client = stage.send(row.path, row.sent);
        let upstream = stage.passed();
        for (who, seen, expected) in [("client", client, &row.client), ("upstream", upstream, &row.upstream)] {
            let (expected, why) = match (expected, kind) {
                (Seen::Both(expected), _) => (expected, "as the other host"),
                (Seen::Differs { gateway, why, .. }, HostKind::Gateway) => (gateway, *why),
                (Seen::Differs { envoy, why, .. }, HostKind::Envoy) => (envoy, *why),
                (Seen::Broken, _) if seen.is_empty() || seen.ends_with("(cut)") => continue,
                (Seen::Broken, _) => (&"(cut)", "it has no end"),
                (Seen::Unsure, _) => continue,
            };
            if seen != *expected {
                let _written = write!(
                    wrong,
                    "\n\n=== {kind:?}, row {number} {}: the {who} sees\n{seen}\n--- expected ({why})\n{expected}",
                    row.path
                );
            }
        }
    }
    wrong
}

/// The guests, which `cargo test` cannot build.
pub fn guests() -> PathBuf {
    let guests = Servers::shared().stack.workspace.guests();
    assert!(
        guests.is_file(),
        "missing: {}; `cargo xtask guests` builds it",
        guests.display()
    );
    guests
}

/// The bytes of a request; a body without `transfer-encoding` gets its length.
fn request(path: &str, sent: &str) -> Vec<u8> {
    let (head, body) = sent.split_once("\n\n").unwrap_or((sent, ""));
    let mut lines = head.lines();
    let method = lines.next().unwrap_or_default();
    let mut bytes = format!("{method} /{path} HTTP/1.1\r\nhost: phases.example\r\nconnection: close\r\n");
    for line in lines {
        bytes.push_str(&format!("{line}\r\n"));
    }
    if !body.is_empty() && !head.contains("transfer-encoding") {
        bytes.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    format!("{bytes}\r\n{body}").into_bytes()
}

/// Trailers that may come, sent or made by a guest.
const ANNOUNCED: &str = "trailer: x-sum, x-new, x-read, x-all, x-one, x-two";
/// The rest of a message that has some.
const TRAILED: &str = "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n";

/// What the upstream answers.
fn answered(request: &Message) -> Answer {
    let target = request.start.split(' ').nth(1).unwrap_or_default();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx-up: one\r\nx-up: two\r\n";
    Answer::Is(match target.split_once('?') {
        Some((_, "closed")) => return Answer::Closed,
        Some((_, "never")) => return Answer::Never,
        Some((_, "no-http")) => "nonsense\r\n\r\n".to_owned(),
        Some((_, "chunks")) => format!("{head}transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
        Some((_, "trailers")) => format!("{head}{ANNOUNCED}\r\n{TRAILED}"),
        Some((_, "half")) => format!("{head}content-length: 5\r\n\r\nhel"),
        Some((_, "unannounced")) => format!("{head}{TRAILED}"),
        Some((_, "none-yet")) => {
            format!("{head}{ANNOUNCED}\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        }
        Some((_, "nothing")) => "HTTP/1.1 204 No Content\r\nx-up: one\r\n\r\n".to_owned(),
        _ => format!("{head}content-length: 5\r\n\r\nhello"),
    })
}

/// What is answered to the guests' calls.
fn asked(request: &Message) -> Answer {
    let target = request.start.split(' ').nth(1).unwrap_or_default();
    Answer::Is(match target {
        "/closed" => return Answer::Closed,
        "/silent" => return Answer::Never,
        "/not-found" => "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno".to_owned(),
        "/empty" => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "/trailers" => {
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n".to_owned()
        }
        path => {
            let body = path.trim_start_matches('/');
            let length = body.len();
            format!("HTTP/1.1 200 OK\r\nx-up: one\r\nx-up: two\r\ncontent-length: {length}\r\n\r\n{body}")
        }
    })
}
