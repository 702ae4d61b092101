//! TCP listeners, and what plugins do with connections.

#![expect(clippy::unwrap_used, reason = "a test: what cannot be set up is its failure")]

#[cfg(test)]
mod harness;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use harness::Gateway;

/// A guest with the given callbacks. `$close` closes the client's side, `$go_on` continues it, `$append` and `$prepend`
/// put `!` to buffer 2 or 3, `$choose` sends the connection to the cluster `other`.
fn guest(callbacks: &str) -> Vec<u8> {
    let wat = format!(
        r#"(module
  (import "env" "proxy_set_buffer_bytes" (func $set_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
  (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
  (import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "!")
  (data (i32.const 32) "set_envoy_filter_state")
  (data (i32.const 64) "\0a\17envoy.tcp_proxy.cluster\12\05other")
  (data (i32.const 128) "client gone: ?, upstream gone: ?")
  (data (i32.const 176) "source\00address")
  (data (i32.const 208) "cluster_metadata\00filter_metadata\00guest\00mark")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func $append (param $buffer i32)
    (if (call $set_buffer (local.get $buffer) (i32.const -1) (i32.const 0) (i32.const 16) (i32.const 1)) (then unreachable)))
  (func $choose
    (if (call $foreign (i32.const 32) (i32.const 22) (i32.const 64) (i32.const 32) (i32.const 0) (i32.const 0))
      (then unreachable)))
  {callbacks})"#
    );
    wat::parse_str(wat).unwrap()
}

/// A server that answers each chunk with its name in front, until the client has ended; then it says goodbye.
fn server(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(size @ 1..) = stream.read(&mut chunk) {
                    let answer = [name.as_bytes(), b":", &chunk[..size]].concat();
                    if stream.write_all(&answer).is_err() {
                        return;
                    }
                }
                let _ = stream.write_all(b" bye");
            });
        }
    });
    address
}

/// A gateway with a TCP listener in front of `echo`, with another cluster `other`, and the guest as its plugin.
fn gateway(wasm: Option<&[u8]>) -> (Gateway, SocketAddr) {
    gateway_with(wasm, "")
}

/// `keys` are further ones of the plugin.
fn gateway_with(wasm: Option<&[u8]>, keys: &str) -> (Gateway, SocketAddr) {
    let folder = harness::folder();
    let file = folder.join("guest.wasm");
    let (plugins, named) = match wasm {
        None => (String::new(), ""),
        Some(wasm) => {
            std::fs::write(&file, wasm).unwrap();
            (
                format!("plugins: [ {{ name: guest, wasm: \"{}\" {keys} }} ]", file.display()),
                "guest",
            )
        }
    };
    let (echo, other) = (server("echo"), server("other"));
    // A port that is free now.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::start_with_listeners(
        &format!("{{ address: \"{free}\", tcp: {{ cluster: echo }}, plugins: [ {named} ] }}"),
        &format!(
            "clusters: {{ echo: {{ endpoints: [\"{echo}\"] }}, other: {{ endpoints: [\"{other}\"], metadata: {{ filter_metadata: {{ guest: {{ mark: \"?\" }} }} }} }} }}\n{plugins}"
        ),
    );
    (gateway, free)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn said(stream: &mut TcpStream, size: usize) -> String {
    let mut bytes = vec![0; size];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    // A reset is an end as well.
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn bytes_go_both_ways_and_each_end_is_passed_on() {
    let (_gateway, address) = gateway(None);
    let mut client = connect(address);
    client.write_all(b"one").unwrap();
    assert_eq!(said(&mut client, 8), "echo:one");
    client.write_all(b"two").unwrap();
    assert_eq!(said(&mut client, 8), "echo:two");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), " bye");
}

#[test]
fn much_goes_through_although_nobody_reads_at_first() {
    let (_gateway, address) = gateway(None);
    let mut client = connect(address);
    let mut writing = client.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        for _ in 0..1000 {
            writing.write_all(&[b'x'; 4096]).unwrap();
        }
        writing.shutdown(Shutdown::Write).unwrap();
    });
    std::thread::sleep(Duration::from_millis(200));
    let answer = rest(&mut client);
    writer.join().unwrap();
    assert_eq!(answer.matches('x').count(), 4096 * 1000);
    assert!(answer.ends_with(" bye"));
}

#[test]
fn plugins_change_what_passes() {
    let wasm = guest(
        r#"(func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
             (if (local.get 1) (then (call $append (i32.const 2)))) (i32.const 0))
           (func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32)
             (if (local.get 1) (then (call $append (i32.const 3)))) (i32.const 0))"#,
    );
    let (_gateway, address) = gateway(Some(&wasm));
    let mut client = connect(address);
    client.write_all(b"one").unwrap();
    assert_eq!(said(&mut client, 10), "echo:one!!");
}

#[test]
fn data_is_held_until_there_is_enough() {
    let wasm = guest(
        r#"(func (export "proxy_on_downstream_data") (param i32) (param $size i32) (param i32) (result i32)
             (i32.lt_u (local.get $size) (i32.const 6)))"#,
    );
    let (_gateway, address) = gateway(Some(&wasm));
    let mut client = connect(address);
    client.write_all(b"one").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    client.write_all(b"two").unwrap();
    assert_eq!(said(&mut client, 11), "echo:onetwo");
}

#[test]
fn a_connection_waits_until_it_is_continued() {
    let wasm = guest(
        r#"(global $stream (mut i32) (i32.const 0))
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $tick (i32.const 50))) (i32.const 1))
           (func (export "proxy_on_new_connection") (param i32) (result i32)
             (global.set $stream (local.get 0)) (i32.const 1))
           (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
             (global.get $stream))
           (func (export "proxy_on_tick") (param i32)
             (if (global.get $stream) (then
               (drop (call $effective (global.get $stream)))
               (drop (call $continue (i32.const 2)))
               (global.set $stream (i32.const 0)))))"#,
    );
    let (_gateway, address) = gateway(Some(&wasm));
    let mut client = connect(address);
    client.write_all(b"one").unwrap();
    assert_eq!(said(&mut client, 8), "echo:one");
}

#[test]
fn a_plugin_chooses_the_cluster() {
    let wasm =
        guest(r#"(func (export "proxy_on_new_connection") (param i32) (result i32) (call $choose) (i32.const 0))"#);
    let (_gateway, address) = gateway(Some(&wasm));
    let mut client = connect(address);
    client.write_all(b"one").unwrap();
    assert_eq!(said(&mut client, 9), "other:one");
}

#[test]
fn a_plugin_knows_the_cluster_that_it_chose() {
    let wasm = guest(
        r#"(func (export "proxy_on_new_connection") (param i32) (result i32) (call $choose) (i32.const 0))
           (func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32)
             (if (call $property (i32.const 208) (i32.const 43) (i32.const 8) (i32.const 12)) (then unreachable))
             (drop (call $set_buffer (i32.const 3) (i32.const -1) (i32.const 0)
               (i32.load (i32.const 8)) (i32.load (i32.const 12))))
             (i32.const 0))"#,
    );
    let (_gateway, address) = gateway(Some(&wasm));
    let mut client = connect(address);
    client.write_all(b"one").unwrap();
    assert_eq!(said(&mut client, 10), "other:one?");
}

#[test]
fn a_plugin_closes_the_connection_and_a_trap_does_too() {
    for deed in ["(drop (call $close (i32.const 2)))", "unreachable"] {
        let wasm = guest(&format!(
            r#"(func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32) {deed} (i32.const 1))"#
        ));
        let (_gateway, address) = gateway(Some(&wasm));
        let mut client = connect(address);
        client.write_all(b"one").unwrap();
        assert_eq!(rest(&mut client), "", "{deed}");
    }
}

#[test]
fn what_a_plugin_held_goes_on_without_it_when_it_may_fail() {
    for side in ["downstream", "upstream"] {
        // Holds everything of one side, and traps at a tick once it has seen the end of it.
        let wasm = guest(&format!(
            r#"(global $all (mut i32) (i32.const 0))
               (func (export "proxy_on_configure") (param i32 i32) (result i32)
                 (drop (call $tick (i32.const 20))) (i32.const 1))
               (func (export "proxy_on_{side}_data") (param i32 i32 i32) (result i32)
                 (global.set $all (local.get 2)) (i32.const 1))
               (func (export "proxy_on_tick") (param i32) (if (global.get $all) (then unreachable)))"#
        ));
        let (_gateway, address) = gateway_with(Some(&wasm), ", failure: open");
        let mut client = connect(address);
        client.write_all(b"one").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut client), "echo:one bye", "{side}");
    }
}

#[test]
fn both_ends_are_told_once_and_who_was_there() {
    let wasm = guest(
        r#"(func $number (param $at i32) (param $peer i32)
             ;; A second call would be seen.
             (if (i32.ne (i32.load8_u (local.get $at)) (i32.const 63)) (then unreachable))
             (i32.store8 (local.get $at) (i32.add (i32.const 48) (local.get $peer))))
           (func (export "proxy_on_new_connection") (param i32) (result i32)
             (i32.store8 (i32.const 141) (i32.const 63)) (i32.store8 (i32.const 159) (i32.const 63))
             (if (call $property (i32.const 176) (i32.const 14) (i32.const 512) (i32.const 516)) (then unreachable))
             (drop (call $log (i32.const 3) (i32.load (i32.const 512)) (i32.load (i32.const 516))))
             (i32.const 0))
           (func (export "proxy_on_downstream_connection_close") (param i32 i32) (call $number (i32.const 141) (local.get 1)))
           (func (export "proxy_on_upstream_connection_close") (param i32 i32) (call $number (i32.const 159) (local.get 1)))
           (func (export "proxy_on_log") (param i32) (drop (call $log (i32.const 3) (i32.const 128) (i32.const 32))))"#,
    );
    let (gateway, address) = gateway(Some(&wasm));
    let mut client = connect(address);
    let source = client.local_addr().unwrap().to_string();
    client.write_all(b"one").unwrap();
    assert_eq!(said(&mut client, 8), "echo:one");
    gateway.says(&source);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), " bye");
    // Both went away by themselves.
    gateway.says("client gone: 2, upstream gone: 2");
}

/// A plugin that says when the client's side is closed.
fn telling() -> Vec<u8> {
    guest(
        r#"(func (export "proxy_on_downstream_connection_close") (param i32 i32)
             (drop (call $log (i32.const 3) (i32.const 128) (i32.const 12))))"#,
    )
}

#[test]
fn a_stop_lets_connections_finish() {
    let (mut gateway, address) = gateway(Some(&telling()));
    let mut client = connect(address);
    client.write_all(b"one").unwrap();
    assert_eq!(said(&mut client, 8), "echo:one");
    gateway.terminate();
    gateway.says("stopping");
    // Nobody else is let in.
    while TcpStream::connect(address).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
    client.write_all(b"two").unwrap();
    assert_eq!(said(&mut client, 8), "echo:two");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), " bye");
    gateway.says("client gone");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_stop_cuts_connections_off_in_the_end_and_tells_the_plugins() {
    let (mut gateway, address) = gateway_with(Some(&telling()), "} ]\ndrain_timeout: 300ms #");
    let mut client = connect(address);
    client.write_all(b"one").unwrap();
    assert_eq!(said(&mut client, 8), "echo:one");
    gateway.terminate();
    gateway.says("client gone");
    assert_eq!(rest(&mut client), "");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn without_an_upstream_the_client_is_let_go() {
    let (_gateway, address) = {
        let dead = harness::Upstream::dead();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let gateway = Gateway::start_with_listeners(
            &format!("{{ address: \"{free}\", tcp: {{ cluster: dead }} }}"),
            &format!("clusters: {{ dead: {{ endpoints: [\"{dead}\"] }} }}"),
        );
        (gateway, free)
    };
    assert_eq!(rest(&mut connect(address)), "");
}

/// Ten times, with pauses that are shorter than the limit but together longer.
fn talk(stream: &mut TcpStream) {
    for _ in 0..10 {
        let _ = stream.write_all(b".");
        std::thread::sleep(Duration::from_millis(150));
    }
}

#[test]
fn a_connection_is_closed_when_nothing_moves_on_it_either_way() {
    for client_talks in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            if !client_talks {
                talk(&mut stream);
            }
            rest(&mut stream)
        });
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let _gateway = Gateway::start_with_listeners(
            &format!("{{ address: \"{free}\", tcp: {{ cluster: quiet, idle_timeout: 1s }} }}"),
            &format!("clusters: {{ quiet: {{ endpoints: [\"{address}\"] }} }}"),
        );
        let mut client = connect(free);
        if client_talks {
            talk(&mut client);
        }
        // Neither side ends the connection.
        let heard = rest(&mut client);
        let (from_client, from_server) = if client_talks { (10, 0) } else { (0, 10) };
        assert_eq!(heard, ".".repeat(from_server));
        assert_eq!(server.join().unwrap(), ".".repeat(from_client));
    }
}
