//! What a plugin is told of an HTTP call that failed: the same on both hosts.

#![allow(clippy::expect_used, reason = "a test may panic")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
};

use postern_e2e::{
    client::Request,
    host::Host,
    servers::{Servers, folder},
    visit::compare_hosts,
};
use serde_json::json;

/// Reads a request's head, says so much, and then either hangs up or waits until the other side does.
fn upstream(says: &'static str, hangs_up: bool) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream, says, hangs_up));
        }
    });
    port
}

fn answer(mut stream: TcpStream, says: &str, hangs_up: bool) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    stream.write_all(says.as_bytes())?;
    if !hangs_up {
        reader.read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

#[test]
fn what_a_plugin_is_told_of_a_failed_call() {
    let closed = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.local_addr().expect("a bound socket has an address").port()
    };
    const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok";
    let clusters = [
        ("closed", closed),
        ("silent", upstream("", false)),
        ("reset", upstream("", true)),
        ("nonsense", upstream("not HTTP\r\n\r\n", true)),
        ("half", upstream(HALF, true)),
        ("slow", upstream(HALF, false)),
        ("nowhere", 0),
    ];
    let entries: serde_json::Map<_, _> = clusters
        .iter()
        .filter(|(_, port)| *port != 0)
        .map(|(name, port)| {
            (
                (*name).to_owned(),
                json!({ "endpoints": [ format!("127.0.0.1:{port}") ] }),
            )
        })
        .collect();
    compare_hosts(|kind| {
        let stack = &Servers::shared().stack;
        let wasm = folder("failed-calls").join("call.wasm");
        let guest = wat::parse_str(include_str!("../guests/call.wat")).expect("the guest is good WAT");
        fs::write(&wasm, guest).expect("the folder can be written");
        let host = Host::start_on(stack, kind, |port, admin| {
            json!({
                "listeners": [ { "address": format!("127.0.0.1:{port}") } ],
                "admin": { "address": format!("127.0.0.1:{admin}") },
                "clusters": entries,
                "plugins": [ { "name": "guest", "wasm": wasm } ],
            })
            .to_string()
        });
        // Those with an answer first: after a failure without one, Envoy's status of calls stays what it was.
        let seen: Vec<_> = clusters
            .iter()
            .map(|(name, _)| Request::get(format!("/{name}")).send(host.port).text())
            .collect();
        let failure = "upstream connect error or disconnect/reset before headers. reset reason: ";
        for (told, (status, text)) in seen.iter().zip([
            (503, format!("{failure}remote connection failure")),
            (504, "upstream request timeout".to_owned()),
            (503, format!("{failure}connection termination")),
            (502, format!("{failure}protocol error")),
        ]) {
            let status = format!(":status\0{status}\0");
            assert!(told.contains(&status) && told.ends_with(&text), "{told:?}");
        }
        // No headers, no body, no trailers; 11: broken connection. Of an unknown cluster: BAD_ARGUMENT.
        assert_eq!(seen[4..], ["0000000000000011reset", "0000000000000011reset", "0002"]);
        seen
    });
}
