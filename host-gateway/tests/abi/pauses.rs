//! What happens to a body while a plugin pauses at its head, in the ways of different hosts.

use std::cell::Cell;
use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::Bytes;
use postern_gateway::plugin::{ByteSize, Compat, PluginConfig, PluginStream};

use crate::harness::*;

/// Pauses at both heads; lets go when the end of the body was seen. Shows the sizes that it sees in `n` of the request, and
/// in the trace of the response.
const WAITS_FOR_THE_BODY: &str = r#"
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 1))
    (func (export "proxy_on_request_body") (param i32) (param $size i32) (param $end i32) (result i32)
      (call $show_number (local.get $size))
      (i32.eqz (local.get $end)))
    (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 1))
    (func (export "proxy_on_response_body") (param i32) (param $size i32) (param $end i32) (result i32)
      (drop (call $add_header_map_value (i32.const 2) {seen} {1}))
      (i32.eqz (local.get $end)))"#;

fn spec(wasm: &[u8]) -> PluginConfig {
    let mut config = config(wasm);
    config.compat = Compat::Spec;
    config
}

/// A body that arrives in these parts.
fn parts<'a>(parts: &'a [&'static str]) -> impl FnMut(&mut Context<'_>) -> Poll<Option<(Bytes, bool)>> + 'a {
    let mut left: VecDeque<_> = parts.iter().collect();
    move |_| match left.pop_front() {
        Some(part) => Poll::Ready(Some((Bytes::from_static(part.as_bytes()), left.is_empty()))),
        None => Poll::Pending,
    }
}

async fn early(stream: &mut PluginStream) -> (Bytes, bool) {
    let (verdict, last) = stream.early_request_body().await;
    (go_on(verdict), last)
}

#[test]
fn as_the_specification_has_it_the_body_is_seen_meanwhile() {
    on_a_worker(async {
        let plugins = plugins(&[spec(&guest(WAITS_FOR_THE_BODY))]);
        let mut stream = open(&plugins);
        let head = stream
            .request_headers_reading(get("/"), false, &mut parts(&["hel", "lo"]))
            .await;
        assert_eq!(values(&go_on(head).headers, "n"), ["00000003", "00000005"]);
        assert!(stream.has_read_early());
        assert_eq!(early(&mut stream).await, (Bytes::from("hello"), true));
        assert!(!stream.has_read_early());

        let head = stream
            .response_headers_reading(answered(200), false, &mut parts(&["a", "b", "c"]))
            .await;
        assert_eq!(values(&go_on(head).headers, "seen").len(), 3);
        let (verdict, last) = stream.early_response_body().await;
        assert_eq!((go_on(verdict), last), (Bytes::from("abc"), true));
    });
}

#[test]
fn as_envoy_has_it_the_body_waits() {
    on_a_worker(async {
        // Resumed by a tick.
        let wasm = guest(
            r#"(global $waits (mut i32) (i32.const 0))
               (func (export "proxy_on_configure") (param i32 i32) (result i32)
                 (drop (call $set_tick_period_milliseconds (i32.const 20))) (i32.const 1))
               (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
                 (global.set $waits (local.get $id)) (i32.const 1))
               (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 0))
               (func (export "proxy_on_tick") (param i32)
                 (drop (call $set_effective_context (global.get $waits)))
                 (drop (call $continue_stream (i32.const 0))))"#,
        );
        let plugins = plugins(&[config(&wasm)]);
        let mut stream = open(&plugins);
        let asked = Cell::new(0);
        let mut reading = |_: &mut Context<'_>| {
            asked.set(asked.get() + 1);
            Poll::Pending
        };
        go_on(stream.request_headers_reading(get("/"), false, &mut reading).await);
        assert_eq!(asked.get(), 0);
        assert_eq!(go_on(stream.request_body(Bytes::from("body"), true).await), "body");
    });
}

#[test]
fn every_plugin_sees_every_part_once() {
    on_a_worker(async {
        // Shows the sizes of what passes in `n`, and holds nothing.
        let passes = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
               (func (export "proxy_on_request_body") (param i32) (param $size i32) (param i32) (result i32)
                 (call $show_number (i32.add (i32.const 256) (local.get $size))) (i32.const 0))"#,
        );
        let waits = guest(WAITS_FOR_THE_BODY);
        let plugins = plugins(&[config(&passes), spec(&waits), spec(&waits)]);
        let mut stream = open(&plugins);
        let head = stream
            .request_headers_reading(get("/"), false, &mut parts(&["hel", "lo"]))
            .await;
        // The first sees each part, the second collects them, the third gets them as one.
        let expected = ["00000103", "00000003", "00000102", "00000005", "00000005"];
        assert_eq!(values(&go_on(head).headers, "n"), expected);
        assert_eq!(early(&mut stream).await, (Bytes::from("hello"), true));
    });
}

#[test]
fn what_is_let_go_before_the_end_goes_on_and_the_rest_follows() {
    on_a_worker(async {
        // Lets go at four bytes.
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 1))
               (func (export "proxy_on_request_body") (param i32) (param $size i32) (param i32) (result i32)
                 (i32.lt_u (local.get $size) (i32.const 4)))"#,
        );
        let plugins = plugins(&[spec(&wasm)]);
        let mut stream = open(&plugins);
        let mut reading = parts(&["ab", "cd", "not yet"]);
        go_on(stream.request_headers_reading(get("/"), false, &mut reading).await);
        assert_eq!(early(&mut stream).await, (Bytes::from("abcd"), false));
        assert_eq!(go_on(stream.request_body(Bytes::from("efgh"), true).await), "efgh");
    });
}

#[test]
fn a_limit_of_its_own_bounds_what_a_plugin_holds() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 1))
               (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 1))"#,
        );
        let mut config = spec(&wasm);
        config.limits.body = ByteSize(4);
        let plugins = plugins(&[config]);
        let mut stream = open(&plugins);
        let verdict = stream
            .request_headers_reading(get("/"), false, &mut parts(&["abc", "def", "g"]))
            .await;
        assert_eq!(response(verdict).status, 413);
    });
}
