//! A connection that becomes a WebSocket passes a plugin, byte by byte; and a plugin may end an exchange without an answer.

#![allow(clippy::expect_used, reason = "a test may panic")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use postern_e2e::{
    host::Host,
    servers::{Servers, folder},
    visit::compare_hosts,
};
use serde_json::{Value, json};
use xtask::stack::HostKind;

/// A host whose only plugin is the guest, with routes to the upstream.
fn with_guest(kind: HostKind, upstream: u16, routes: &Value) -> Host {
    let wasm = folder("upgrades").join("upgrade.wasm");
    let guest = wat::parse_str(include_str!("../guests/upgrade.wat")).expect("the guest is good WAT");
    fs::write(&wasm, guest).expect("the folder can be written");
    Host::start_on(&Servers::shared().stack, kind, |port, admin| {
        json!({
            "listeners": [ { "address": format!("127.0.0.1:{port}") } ],
            "admin": { "address": format!("127.0.0.1:{admin}") },
            "routes": routes,
            "clusters": { "chat": { "endpoints": [ format!("127.0.0.1:{upstream}") ] } },
            "plugins": [ { "name": "guest", "wasm": wasm } ],
        })
        .to_string()
    })
}

/// Accepts every handshake, says which `x-end` the request has, and sends back what it reads.
fn chat_upstream() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || chat(stream));
        }
    });
    port
}

fn chat(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let head = read_head(&mut reader);
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nx-request-end: {}\r\n\r\n",
        field(&head, "x-end").unwrap_or_default()
    )?;
    let mut bytes = [0; 1024];
    loop {
        match reader.read(&mut bytes)? {
            0 => return Ok(()),
            read => stream.write_all(&bytes[..read])?,
        }
    }
}

/// Lines until an empty one, or the end, in lower case.
fn read_head(reader: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if !matches!(reader.read_line(&mut head), Ok(1..)) {
            break;
        }
    }
    head.to_lowercase()
}

fn field(head: &str, name: &str) -> Option<String> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(known, _)| *known == name)?;
    Some(value.trim().to_owned())
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn ask(port: u16, path: &str) -> (Self, String) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the host listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a timeout can be set");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .expect("the request can be sent");
        let mut reader = BufReader::new(stream);
        let head = read_head(&mut reader);
        (Self(reader), head)
    }

    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("it can be sent");
    }

    fn hear(&mut self, size: usize) -> String {
        let mut bytes = vec![0; size];
        self.0.read_exact(&mut bytes).expect("bytes come back");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[test]
fn a_websocket_passes_the_plugins_where_its_route_allows_it() {
    let upstream = chat_upstream();
    compare_hosts(|kind| {
        let routes = json!([ { "prefix": "/", "cluster": "chat", "upgrades": ["websocket"] } ]);
        let host = with_guest(kind, upstream, &routes);

        let (mut client, head) = Client::ask(host.port, "/chat");
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        let mut seen: Vec<String> = ["upgrade", "connection", "x-end", "x-request-end"]
            .map(|name| format!("{name}: {:?}", field(&head, name)))
            .into();
        client.say("one");
        seen.push(client.hear(5));
        client.say("two");
        seen.push(client.hear(5));

        let (_, refused) = Client::ask(host.port, "/refuse");
        seen.push(refused.lines().next().unwrap_or_default().to_owned());
        let (_, closed) = Client::ask(host.port, "/close");
        seen.push(closed);
        assert_eq!(seen[4..], ["one!!", "two!!", "http/1.1 403 forbidden", ""]);
        seen
    });
}

#[test]
fn a_protocol_that_the_route_does_not_allow_is_refused() {
    let upstream = chat_upstream();
    compare_hosts(|kind| {
        let routes = json!([
            { "prefix": "/", "cluster": "chat" },
            { "prefix": "/chat", "cluster": "chat", "upgrades": ["websocket"] },
        ]);
        let host = with_guest(kind, upstream, &routes);
        let asked = |request: &str| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, host.port)).expect("the host listens");
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .expect("a timeout can be set");
            write!(stream, "{request}\r\n\r\n").expect("the request can be sent");
            read_head(&mut BufReader::new(stream))
        };
        [
            "GET / websocket",
            "GET / other",
            "GET /chat other",
            "GET /refuse websocket",
        ]
        .iter()
        .map(|request| {
            let (line, protocol) = request.rsplit_once(' ').expect("a protocol is named");
            let head = asked(&format!(
                "{line} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {protocol}"
            ));
            // The plugin, which would add `x-end`, is not asked; what follows may be in the other protocol.
            let fields = ["connection", "content-length", "x-end"].map(|name| field(&head, name));
            assert_eq!(fields, [Some("close".to_owned()), Some("0".to_owned()), None], "{head}");
            head.lines().next().unwrap_or_default().to_owned()
        })
        .inspect(|status| assert_eq!(status, "http/1.1 403 forbidden"))
        .collect()
    });
}
