//! Connections that go on as WebSockets.

#![expect(clippy::unwrap_used, reason = "a test: what cannot be set up is its failure")]

#[cfg(test)]
mod harness;

use std::io::Read;
use std::net::Shutdown;

use harness::{Client, Gateway, Peer, Upstream};

/// RFC 6455 section 1.3.
const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// A frame with the text `Hello`, masked as a client must (RFC 6455 section 5.7), and as a server says it.
const FROM_CLIENT: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
const FROM_SERVER: &[u8] = b"\x81\x05Hello";

/// Accepts, greets at once, and sends back what it reads until the client has ended.
fn echo() -> Upstream {
    Upstream::serving(|mut peer| {
        peer.receive_head().unwrap();
        peer.send([ACCEPTED.as_bytes(), FROM_SERVER].concat());
        echo_until_the_end(&mut peer);
    })
}

fn echo_until_the_end(peer: &mut Peer) {
    let mut chunk = [0; 4096];
    while let Ok(size @ 1..) = peer.reader.read(&mut chunk) {
        peer.send(&chunk[..size]);
    }
    peer.send(" bye");
}

/// `route` and `rest` are further keys.
fn gateway(upstream: &Upstream, route: &str, rest: &str) -> Gateway {
    Gateway::start(&format!(
        "routes: [ {{ prefix: /, cluster: up {route} }} ]\nclusters: {{ up: {{ endpoints: [\"{}\"] }} }}\n{rest}",
        upstream.address
    ))
}

const ALLOWED: &str = ", upgrades: [websocket]";

/// A plugin with these callbacks, in a file; what goes to `plugins`.
fn plugin(callbacks: &str) -> String {
    let wat = format!(
        r#"(module
  (import "env" "proxy_set_buffer_bytes" (func $set_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))
  (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "!no")
  (data (i32.const 32) "x-seen1upgradethe exchange has ended")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func $refuse (param $status i32)
    (drop (call $respond (local.get $status) (i32.const 0) (i32.const 0) (i32.const 17) (i32.const 2)
      (i32.const 0) (i32.const 0) (i32.const -1))))
  (func $append (param $buffer i32)
    (drop (call $set_buffer (local.get $buffer) (i32.const -1) (i32.const 0) (i32.const 16) (i32.const 1))))
  (func $mark (param $map i32)
    (drop (call $add (local.get $map) (i32.const 32) (i32.const 6) (i32.const 38) (i32.const 1))))
  {callbacks})"#
    );
    let file = harness::folder().join("guest.wasm");
    std::fs::write(&file, wat::parse_str(wat).unwrap()).unwrap();
    format!("plugins: [ {{ name: guest, wasm: \"{}\" }} ]", file.display())
}

fn open(gateway: &Gateway) -> Client {
    let mut client = gateway.connect();
    client.send(HANDSHAKE);
    let head = client.receive_head();
    assert_eq!(head.status(), 101);
    assert_eq!(head.field("upgrade"), Some("websocket"));
    assert_eq!(head.field("connection"), Some("upgrade"));
    assert_eq!(head.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    client
}

fn hears(client: &mut Client, expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    client.reader.read_exact(&mut heard).unwrap();
    assert_eq!(heard, expected);
}

/// What comes until the end; a reset is an end as well.
fn rest(client: &mut Client) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = client.reader.read_to_end(&mut rest);
    rest
}

fn end(client: &mut Client) {
    client.reader.get_mut().shutdown(Shutdown::Write).unwrap();
}

#[test]
fn frames_go_both_ways_where_the_route_allows_it() {
    let upstream = echo();
    let mut gateway = gateway(&upstream, ALLOWED, "access_log: { path: access.log }");
    let mut client = open(&gateway);
    let seen = upstream.last();
    assert_eq!(seen.field("connection"), Some("upgrade"));
    assert_eq!(seen.field("upgrade"), Some("websocket"));
    assert_eq!(seen.field("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    // What came with the answer.
    hears(&mut client, FROM_SERVER);
    for _ in 0..3 {
        client.send(FROM_CLIENT);
        hears(&mut client, FROM_CLIENT);
    }
    assert_eq!(gateway.metric("postern_gateway_connections_active"), 1);
    end(&mut client);
    assert_eq!(rest(&mut client), b" bye");
    gateway.terminate();
    gateway.wait();
    let log = std::fs::read_to_string(gateway.folder.join("access.log")).unwrap();
    let line: serde_json::Value = serde_json::from_str(log.trim_end()).unwrap();
    assert_eq!((&line["status"], &line["complete"]), (&101.into(), &true.into()));
    assert_eq!(line["bytes"], FROM_SERVER.len() + 3 * FROM_CLIENT.len() + 4);
}

#[test]
fn much_passes_although_nobody_reads_at_first() {
    let upstream = echo();
    let gateway = gateway(&upstream, ALLOWED, "");
    let mut client = open(&gateway);
    hears(&mut client, FROM_SERVER);
    let mut writing = client.reader.get_ref().try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        for _ in 0..1000 {
            std::io::Write::write_all(&mut writing, &[b'x'; 4096]).unwrap();
        }
        writing.shutdown(Shutdown::Write).unwrap();
    });
    std::thread::sleep(std::time::Duration::from_millis(200));
    let answer = rest(&mut client);
    writer.join().unwrap();
    assert_eq!(answer.len(), 4096 * 1000 + 4);
}

#[test]
fn nothing_changes_the_protocol_unless_it_is_allowed() {
    let upstream = echo();
    let refused = |gateway: &Gateway, request: &str| {
        let mut client = gateway.connect();
        let answer = client.send(request).receive();
        assert_eq!(answer.status(), 403, "{request}");
        assert!(client.is_closed(), "{request}");
    };
    let without = gateway(&upstream, "", &plugin(""));
    refused(&without, HANDSHAKE);
    let with = gateway(&upstream, ALLOWED, "");
    refused(&with, &HANDSHAKE.replace("WebSocket\r", "other\r"));
    refused(&with, &HANDSHAKE.replace("GET", "POST"));
    refused(&with, &HANDSHAKE.replace(", Upgrade", ""));
    refused(&with, &HANDSHAKE.replace("Host", "Upgrade: other\r\nHost"));
    refused(&with, &HANDSHAKE.replacen("Host", "Content-Length: 1\r\nHost", 1));
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn the_plugins_decide_before_the_upstream_hears_of_it() {
    let upstream = echo();
    let refuse = r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (call $refuse (i32.const 401)) (i32.const 1))"#;
    let gateway = gateway(&upstream, ALLOWED, &plugin(refuse));
    let mut client = gateway.connect();
    for _ in 0..2 {
        let answer = client.send(HANDSHAKE).receive();
        assert_eq!((answer.status(), answer.text().as_str()), (401, "no"));
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn the_plugins_see_both_heads_and_every_byte() {
    let upstream = echo();
    // The request does not end with its head.
    let callbacks = r#"
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (if (local.get 2) (then (call $refuse (i32.const 400)) (return (i32.const 1))))
          (call $mark (i32.const 0)) (i32.const 0))
        (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
          (if (local.get 2) (then (call $refuse (i32.const 400)) (return (i32.const 1))))
          (call $mark (i32.const 2)) (i32.const 0))
        (func (export "proxy_on_request_body") (param i32) (param $size i32) (param i32) (result i32)
          (if (local.get $size) (then (call $append (i32.const 0)))) (i32.const 0))
        (func (export "proxy_on_response_body") (param i32) (param $size i32) (param i32) (result i32)
          (if (local.get $size) (then (call $append (i32.const 1)))) (i32.const 0))
        (func (export "proxy_on_log") (param i32) (drop (call $log (i32.const 3) (i32.const 46) (i32.const 22))))"#;
    let gateway = gateway(&upstream, ALLOWED, &plugin(callbacks));
    let mut client = gateway.connect();
    client.send(HANDSHAKE);
    let head = client.receive_head();
    assert_eq!((head.status(), head.field("x-seen")), (101, Some("1")));
    assert_eq!(upstream.last().field("x-seen"), Some("1"));
    hears(&mut client, FROM_SERVER);
    hears(&mut client, b"!");
    client.send("one");
    hears(&mut client, b"one!!");
    end(&mut client);
    assert_eq!(rest(&mut client), b" bye!");
    gateway.says("the exchange has ended");
}

#[test]
fn a_plugin_may_take_the_wish_off_or_refuse_the_answer() {
    let upstream = Upstream::serving(|mut peer| {
        if peer.receive().unwrap().field("upgrade").is_some() {
            peer.send(ACCEPTED);
            echo_until_the_end(&mut peer);
        } else {
            peer.respond("plain");
        }
    });
    let take_off = r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (drop (call $remove (i32.const 0) (i32.const 39) (i32.const 7))) (i32.const 0))"#;
    let plain = gateway(&upstream, ALLOWED, &plugin(take_off));
    let answer = plain.connect().send(HANDSHAKE).receive();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "plain"));
    let refuse = r#"(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
        (call $refuse (i32.const 403)) (i32.const 1))"#;
    let refused = gateway(&upstream, ALLOWED, &plugin(refuse));
    let answer = refused.connect().send(HANDSHAKE).receive();
    assert_eq!((answer.status(), answer.text().as_str()), (403, "no"));
}

#[test]
fn a_plugin_ends_the_connection_when_it_closes_it_or_fails() {
    for deed in [
        "(drop (call $close (i32.const 0)))",
        "(call $refuse (i32.const 403))",
        "unreachable",
    ] {
        let upstream = echo();
        let callbacks =
            format!(r#"(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) {deed} (i32.const 1))"#);
        let gateway = gateway(&upstream, ALLOWED, &plugin(&callbacks));
        let mut client = open(&gateway);
        hears(&mut client, FROM_SERVER);
        client.send("one");
        assert_eq!(rest(&mut client), b"", "{deed}");
    }
}

#[test]
fn idle_connections_make_way() {
    let upstream = Upstream::serving(|mut peer| {
        while let Some(request) = peer.receive() {
            if request.field("upgrade").is_some() {
                peer.send(ACCEPTED);
                return echo_until_the_end(&mut peer);
            }
            peer.respond("ok");
        }
    });
    let gateway = Gateway::start_with_workers(
        1,
        &format!(
            "routes: [ {{ prefix: /, cluster: up {ALLOWED} }} ]\n\
             clusters: {{ up: {{ endpoints: [\"{}\"], max_connections: 1 }} }}",
            upstream.address
        ),
    );
    assert_eq!(gateway.connect().get("/").text(), "ok");
    let mut client = open(&gateway);
    client.send("one");
    hears(&mut client, b"one");
    end(&mut client);
    assert_eq!(rest(&mut client), b" bye");
    // The place is free again.
    assert_eq!(gateway.connect().get("/").text(), "ok");
}

#[test]
fn an_upstream_may_refuse() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 3\r\n\r\nno."
            .to_vec()
    });
    let gateway = gateway(&upstream, ALLOWED, "");
    let mut client = gateway.connect();
    for _ in 0..2 {
        let answer = client.send(HANDSHAKE).receive();
        assert_eq!((answer.status(), answer.text().as_str()), (426, "no."));
        assert_eq!(answer.field("upgrade"), None);
    }
}

#[test]
fn a_stop_lets_a_connection_finish_and_cuts_it_off_in_the_end() {
    for finish in [true, false] {
        let upstream = echo();
        let drain = if finish { "" } else { "drain_timeout: 300ms" };
        let mut gateway = gateway(&upstream, ALLOWED, drain);
        let mut client = open(&gateway);
        hears(&mut client, FROM_SERVER);
        gateway.terminate();
        gateway.says("stopping");
        if finish {
            client.send("one");
            hears(&mut client, b"one");
            end(&mut client);
            assert_eq!(rest(&mut client), b" bye");
        } else {
            assert_eq!(rest(&mut client), b"");
        }
        assert_eq!(gateway.wait().code(), Some(0));
    }
}

#[test]
fn a_websocket_is_closed_when_nothing_moves_on_it_either_way() {
    // Ten times, with pauses that are shorter than the limit but together longer.
    let talk = |say: &mut dyn FnMut()| {
        for _ in 0..10 {
            say();
            std::thread::sleep(std::time::Duration::from_millis(150));
        }
    };
    for client_talks in [true, false] {
        let (heard, hearing) = std::sync::mpsc::channel();
        let upstream = Upstream::serving(move |mut peer| {
            peer.receive_head().unwrap();
            peer.send(ACCEPTED);
            if !client_talks {
                talk(&mut || {
                    peer.send(".");
                });
            }
            let mut from_client = Vec::new();
            let _ = peer.reader.read_to_end(&mut from_client);
            let _ = heard.send(from_client.len());
        });
        let gateway = gateway(&upstream, ", upgrades: [websocket], idle_timeout: 1s", "");
        let mut client = open(&gateway);
        if client_talks {
            talk(&mut || {
                client.send(".");
            });
        }
        // Neither side ends the connection.
        let (from_client, from_server) = if client_talks { (10, 0) } else { (0, 10) };
        assert_eq!(rest(&mut client).len(), from_server);
        assert_eq!(hearing.recv().unwrap(), from_client);
    }
}
