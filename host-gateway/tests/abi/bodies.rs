//! Bodies and trailers: passing, holding back, changing, and the bounds.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use postern_gateway::plugin::PluginStream;

use crate::harness::*;

/// A request with a body to come.
async fn posted(wasm: &[u8]) -> PluginStream {
    let mut stream = open(&plugin(wasm));
    go_on(stream.request_headers(get("/"), false).await);
    stream
}

fn on_body(body: &str) -> Vec<u8> {
    guest(&format!(
        r#"(func (export "proxy_on_request_body") (param $id i32) (param $size i32) (param $end i32) (result i32)
             {body})"#
    ))
}

/// Holds the whole body back, then puts `[` before and `]` behind it.
const BRACKETS: &str = "(if (i32.eqz (local.get $end)) (then (return (i32.const 1))))
    (drop (call $set_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 0) {[}))
    (drop (call $set_buffer_bytes (i32.const 0) (i32.const -1) (i32.const 0) {]}))
    (i32.const 0)";

#[test]
fn bytes_that_nobody_changes_are_not_copied() {
    on_a_worker(async {
        let mut stream = posted(&on_body("(i32.const 0)")).await;
        let data = Bytes::from(vec![1; 1000]);
        let passed = go_on(stream.request_body(data.clone(), false).await);
        assert_eq!((passed.as_ptr(), passed.len()), (data.as_ptr(), data.len()));
    });
}

#[test]
fn a_body_is_held_until_its_end_and_changed_as_a_whole() {
    on_a_worker(async {
        let mut stream = posted(&on_body(BRACKETS)).await;
        for part in ["one ", "two "] {
            assert_eq!(go_on(stream.request_body(Bytes::from(part), false).await), "");
        }
        assert_eq!(
            go_on(stream.request_body(Bytes::from("three"), true).await),
            "[one two three]"
        );
    });
}

#[test]
fn the_size_is_that_of_all_that_is_held() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_request_body") (param $id i32) (param $size i32) (param $end i32) (result i32)
                 (call $trace (i32.add (i32.const 48) (local.get $size)))
                 (i32.eq (local.get $size) (i32.const 2)))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $show_trace) (i32.const 0))"#,
        );
        let plugins = plugin(&wasm);
        let mut stream = open(&plugins);
        go_on(stream.request_headers(get("/"), false).await);
        // Held at two bytes, let go at five; the next part is counted by itself.
        assert_eq!(go_on(stream.request_body(Bytes::from("ab"), false).await), "");
        assert_eq!(go_on(stream.request_body(Bytes::from("cde"), false).await), "abcde");
        assert_eq!(go_on(stream.request_body(Bytes::from("f"), false).await), "f");
        assert_eq!(trace(&plugins).await, "251");
    });
}

#[test]
fn parts_of_a_buffer_are_clamped() {
    on_a_worker(async {
        let reads = [(1, -1), (0, 2), (4, 4), (99, 1)];
        let calls: String = reads
            .iter()
            .map(|(start, max)| {
                format!(
                    "(drop (call $get_buffer_bytes (i32.const 0) (i32.const {start}) (i32.const {max}) (i32.const 2000) (i32.const 2004)))
                     (drop (call $set_buffer_bytes (i32.const 0) (i32.const -1) (i32.const 0) {{|}}))
                     (drop (call $set_buffer_bytes (i32.const 0) (i32.const -1) (i32.const 0)
                       (i32.load (i32.const 2000)) (i32.load (i32.const 2004))))"
                )
            })
            .collect();
        let mut stream = posted(&on_body(&format!("{calls} (i32.const 0)"))).await;
        // Each read sees what the ones before have appended.
        let passed = go_on(stream.request_body(Bytes::from("body"), true).await);
        assert_eq!(passed, "body|ody|bo||ody|");
    });
}

#[test]
fn buffers_answer_with_their_statuses() {
    on_a_worker(async {
        let read = |buffer| {
            format!(
                "(call $trace (i32.add (i32.const 97) (call $get_buffer_bytes (i32.const {buffer}) (i32.const 0) (i32.const 9) (i32.const 2000) (i32.const 2004))))"
            )
        };
        let write = |buffer, start| {
            format!(
                "(call $trace (i32.add (i32.const 97) (call $set_buffer_bytes (i32.const {buffer}) (i32.const {start}) (i32.const 0) {{x}})))"
            )
        };
        let calls: String = (0..10)
            .map(read)
            .chain([write(0, 1), write(0, 0), write(1, 0), write(7, 0), write(9, 0)])
            .chain(["(call $trace (i32.add (i32.const 97) (call $get_buffer_status (i32.const 0) (i32.const 2000) (i32.const 2004))))
                     (call $trace (i32.add (i32.const 48) (i32.load (i32.const 2000))))".to_owned()])
            .collect();
        let wasm = guest(&format!(
            r#"(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) {calls} (i32.const 0))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $show_trace) (i32.const 0))"#
        ));
        let plugins = plugin(&wasm);
        let mut stream = open(&plugins);
        go_on(stream.request_headers(get("/"), false).await);
        assert_eq!(go_on(stream.request_body(Bytes::from("body"), true).await), "xbody");
        // a OK, b NOT_FOUND, c BAD_ARGUMENT: the body and the two configurations can be read, only bodies be changed.
        assert_eq!(trace(&plugins).await, "abbbbbaabc".to_owned() + "caccc" + "a5");
    });
}

#[test]
fn a_length_that_may_change_is_not_announced() {
    on_a_worker(async {
        let with_length = || {
            let mut head = get("/");
            head.headers.append("content-length", HeaderValue::from_static("4"));
            head
        };
        let changes = plugin(&on_body(BRACKETS));
        let head = go_on(open(&changes).request_headers(with_length(), false).await);
        assert!(!head.headers.contains_key("content-length"));
        let head = go_on(open(&changes).request_headers(with_length(), true).await);
        assert!(
            head.headers.contains_key("content-length"),
            "there is no body to change"
        );
        let looks_at_heads = plugin(&guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))"#,
        ));
        let head = go_on(open(&looks_at_heads).request_headers(with_length(), false).await);
        assert!(head.headers.contains_key("content-length"));
    });
}

#[test]
fn no_more_than_one_mebibyte_is_held() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 1))
               (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (i32.const 1))"#,
        );
        let half = Bytes::from(vec![0; 600 << 10]);
        let mut stream = posted(&wasm).await;
        assert_eq!(go_on(stream.request_body(half.clone(), false).await), "");
        assert_eq!(
            response(stream.request_body(half.clone(), false).await).status,
            StatusCode::PAYLOAD_TOO_LARGE
        );

        let mut stream = posted(&wasm).await;
        go_on(stream.response_headers(answered(200), false).await);
        assert_eq!(go_on(stream.response_body(half.clone(), false).await), "");
        assert_eq!(
            response(stream.response_body(half, false).await).status,
            StatusCode::INTERNAL_SERVER_ERROR
        );
    });
}

#[test]
fn the_end_of_the_stream_is_told_once() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param $id i32) (param i32) (param $end i32) (result i32)
                 (call $show_trace)
                 (call $trace (i32.add (i32.const 104) (i32.mul (i32.const -32) (local.get $end)))) (i32.const 0))
               (func (export "proxy_on_request_body") (param $id i32) (param i32) (param $end i32) (result i32)
                 (call $trace (i32.add (i32.const 98) (i32.mul (i32.const -32) (local.get $end)))) (i32.const 0))"#,
        );
        let plugins = plugin(&wasm);
        let mut without_body = open(&plugins);
        go_on(without_body.request_headers(get("/"), true).await);
        go_on(without_body.request_body(Bytes::new(), true).await);
        let mut with_body = open(&plugins);
        go_on(with_body.request_headers(get("/"), false).await);
        go_on(with_body.request_body(Bytes::from("a"), false).await);
        go_on(with_body.request_body(Bytes::new(), false).await);
        go_on(with_body.request_body(Bytes::new(), true).await);
        go_on(with_body.request_body(Bytes::new(), true).await);
        assert_eq!(trace(&plugins).await, "HhbB");
    });
}

#[test]
fn trailers_let_go_of_the_body_before_them() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 1))
               (func (export "proxy_on_request_trailers") (param i32) (param $count i32) (result i32)
                 (drop (call $add_header_map_value (i32.const 1) {x-added} {1}))
                 (i32.const 0))"#,
        );
        let mut stream = posted(&wasm).await;
        assert_eq!(go_on(stream.request_body(Bytes::from("held"), false).await), "");
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sent", HeaderValue::from_static("1"));
        let trailers = go_on(stream.request_trailers(trailers).await);
        assert_eq!(stream.take_released_request_body(), "held");
        assert!(trailers.contains_key("x-sent") && trailers.contains_key("x-added"));
    });
}

/// Holds both bodies back until the trailers.
const HOLDS: &str = r#"
    (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 1))
    (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (i32.const 1))"#;

fn sent_trailers() -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("x-sent"), HeaderValue::from_static("1"))])
}

#[test]
fn what_trailers_let_go_passes_the_plugins_that_follow() {
    on_a_worker(async {
        // Refuses every body, in either direction.
        let refuses = guest(
            r#"(func $refuse (result i32)
                 (drop (call $send_local_response (i32.const 403) {} {} {} (i32.const -1))) (i32.const 1))
               (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (call $refuse))
               (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) unreachable)"#,
        );
        let before_it = plugins(&[config(&guest(HOLDS)), config(&refuses)]);
        let mut stream = open(&before_it);
        go_on(stream.request_headers(get("/"), false).await);
        assert_eq!(go_on(stream.request_body(Bytes::from("attack"), false).await), "");
        assert_eq!(response(stream.request_trailers(sent_trailers()).await).status, 403);
        assert_eq!(stream.take_released_request_body(), "");

        // Responses pass in reverse.
        let behind_it = plugins(&[config(&refuses), config(&guest(HOLDS))]);
        let mut stream = open(&behind_it);
        go_on(stream.request_headers(get("/"), true).await);
        go_on(stream.response_headers(answered(200), false).await);
        assert_eq!(go_on(stream.response_body(Bytes::from("secret"), false).await), "");
        fails(stream.response_trailers(sent_trailers()).await);
        assert_eq!(stream.take_released_response_body(), "");
    });
}

#[test]
fn what_is_let_go_between_two_parts_passes_the_plugins_that_follow() {
    on_a_worker(async {
        let resumes = guest(
            r#"(global $stream (mut i32) (i32.const 0))
               (func (export "proxy_on_configure") (param i32 i32) (result i32)
                 (drop (call $set_tick_period_milliseconds (i32.const 5))) (i32.const 1))
               (func (export "proxy_on_request_body") (param $id i32) (param i32 i32) (result i32)
                 (global.set $stream (local.get $id)) (i32.const 1))
               (func (export "proxy_on_tick") (param i32)
                 (if (global.get $stream) (then
                   (drop (call $set_effective_context (global.get $stream)))
                   (drop (call $continue_stream (i32.const 0))))))"#,
        );
        let appends =
            on_body("(drop (call $set_buffer_bytes (i32.const 0) (i32.const -1) (i32.const 0) {!})) (i32.const 0)");
        let plugins = plugins(&[config(&resumes), config(&appends)]);
        let mut stream = open(&plugins);
        go_on(stream.request_headers(get("/"), false).await);
        assert_eq!(go_on(stream.request_body(Bytes::from("held"), false).await), "");
        assert_eq!(go_on(stream.let_go_request_body().await), "", "nobody has let go");
        let mut passed = Bytes::new();
        while passed.is_empty() {
            a_moment().await;
            passed = go_on(stream.let_go_request_body().await);
        }
        assert_eq!(passed, "held!");
        assert_eq!(go_on(stream.let_go_request_body().await), "", "once");
    });
}

#[test]
fn what_two_plugins_hold_until_trailers_stays_in_order() {
    on_a_worker(async {
        // Lets the first byte pass and holds what follows, so that the second plugin holds the earlier bytes.
        let holds_later = guest(
            r#"(global $seen (mut i32) (i32.const 0))
               (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
                 (global.set $seen (i32.add (global.get $seen) (i32.const 1)))
                 (i32.gt_u (global.get $seen) (i32.const 1)))"#,
        );
        let plugins = plugins(&[config(&holds_later), config(&guest(HOLDS))]);
        let mut stream = open(&plugins);
        go_on(stream.request_headers(get("/"), false).await);
        for part in ["one ", "two ", "three"] {
            assert_eq!(go_on(stream.request_body(Bytes::from(part), false).await), "");
        }
        go_on(stream.request_trailers(sent_trailers()).await);
        assert_eq!(stream.take_released_request_body(), "one two three");
    });
}

#[test]
fn requests_pass_plugins_in_order_and_responses_in_reverse() {
    on_a_worker(async {
        let appends = |letter: char| {
            config(&guest(&format!(
                r#"(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
                     (drop (call $set_buffer_bytes (i32.const 0) (i32.const -1) (i32.const 0) {{{letter}}})) (i32.const 0))
                   (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
                     (drop (call $set_buffer_bytes (i32.const 1) (i32.const -1) (i32.const 0) {{{letter}}})) (i32.const 0))"#
            )))
        };
        let plugins = plugins(&[appends('a'), appends('b')]);
        let mut stream = open(&plugins);
        go_on(stream.request_headers(get("/"), false).await);
        assert_eq!(go_on(stream.request_body(Bytes::from("-"), true).await), "-ab");
        go_on(stream.response_headers(answered(200), false).await);
        assert_eq!(go_on(stream.response_body(Bytes::from("-"), true).await), "-ba");
    });
}

#[test]
fn trailers_may_be_added_to_the_last_bytes() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_request_body") (param i32 i32) (param $end i32) (result i32)
                 (if (local.get $end)
                   (then (if (call $add_header_map_value (i32.const 1) {x-sum} {7}) (then unreachable)))
                   (else (if (i32.ne (call $add_header_map_value (i32.const 1) {x-sum} {7}) (i32.const 2))
                     (then unreachable))))
                 (i32.const 0))"#,
        );
        let mut stream = open(&plugin(&wasm));
        go_on(stream.request_headers(get("/"), false).await);
        assert_eq!(go_on(stream.request_body("a".into(), false).await), "a");
        assert_eq!(stream.added_request_trailers(), None);
        assert_eq!(go_on(stream.request_body("b".into(), true).await), "b");
        assert_eq!(values(&stream.added_request_trailers().unwrap(), "x-sum"), ["7"]);
    });
}
