//! Local responses: from every phase, and against everything else a plugin may do at the same time.

use bytes::Bytes;
use http::StatusCode;

use crate::harness::*;

/// Answers 418 with `x-local: 1` and the body `teapot`. The pairs stand at 500.
const LOCAL: &str = r#"
  (func $local (param $status i32) (result i32)
    (call $send_local_response (local.get $status) {why} {teapot}
      {\01\00\00\00\07\00\00\00\01\00\00\00x-local\001\00} (i32.const -1)))
"#;

#[test]
fn a_local_response_wins_over_continue_and_the_first_counts() {
    on_a_worker(async {
        let wasm = guest(&format!(
            r#"{LOCAL} (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (drop (call $local (i32.const 418))) (drop (call $local (i32.const 500)))
                 (drop (call $continue_stream (i32.const 0))) (i32.const 0))"#
        ));
        let local = response(open(&plugin(&wasm)).request_headers(get("/"), true).await);
        assert_eq!(local.status, StatusCode::IM_A_TEAPOT);
        assert_eq!((&local.body[..], local.details.as_str()), (&b"teapot"[..], "why"));
        assert_eq!(values(&local.headers, "x-local"), ["1"]);
        assert_eq!(values(&local.headers, "content-type"), ["text/plain"]);
    });
}

#[test]
fn later_plugins_do_not_see_the_request() {
    on_a_worker(async {
        let answers = guest(&format!(
            r#"{LOCAL} (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (drop (call $local (i32.const 403))) (i32.const 1))"#
        ));
        let traps = guest(r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable)"#);
        let plugins = plugins(&[config(&answers), config(&traps)]);
        assert_eq!(
            response(open(&plugins).request_headers(get("/"), true).await).status,
            403
        );
    });
}

#[test]
fn later_plugins_do_not_see_the_answer_either() {
    on_a_worker(async {
        let answers = guest(&format!(
            r#"{LOCAL} (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (drop (call $local (i32.const 403))) (i32.const 1))
               (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
                 (drop (call $add_header_map_value (i32.const 2) {{x-first}} {{1}})) (i32.const 0))"#
        ));
        let never = guest(
            r#"(func (export "proxy_on_context_create") (param i32) (param $root i32)
                 (if (local.get $root) (then unreachable)))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
               (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) unreachable)
               (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) unreachable)"#,
        );
        let plugins = plugins(&[config(&answers), config(&never)]);
        let local = response(open(&plugins).request_headers(get("/"), true).await);
        assert_eq!((local.status.as_u16(), &local.body[..]), (403, &b"teapot"[..]));
        assert_eq!(values(&local.headers, "x-first"), ["1"]);
    });
}

#[test]
fn only_final_statuses_are_taken() {
    on_a_worker(async {
        let calls: String = [99, 101, 1000]
            .map(|status| format!("(call $report (call $local (i32.const {status})))"))
            .concat();
        let head = first_head(&guest(&format!(
            r#"{LOCAL} (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {calls} (i32.const 0))"#
        )))
        .await;
        assert_eq!(values(&head.headers, "r"), ["02"; 3]);
    });
}

#[test]
fn a_paused_request_is_answered_from_a_tick() {
    on_a_worker(async {
        let wasm = guest(&format!(
            r#"{LOCAL}
               (global $stream (mut i32) (i32.const 0))
               (func (export "proxy_on_configure") (param i32 i32) (result i32)
                 (drop (call $set_tick_period_milliseconds (i32.const 10))) (i32.const 1))
               (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
                 (global.set $stream (local.get $id)) (i32.const 1))
               (func (export "proxy_on_tick") (param i32)
                 ;; Without a stream it is accepted and lost.
                 (if (call $local (i32.const 500)) (then unreachable))
                 (if (i32.eqz (call $set_effective_context (global.get $stream)))
                   (then (drop (call $local (i32.const 504))))))"#
        ));
        let local = response(open(&plugin(&wasm)).request_headers(get("/"), true).await);
        assert_eq!(local.status, StatusCode::GATEWAY_TIMEOUT);
    });
}

#[test]
fn body_and_response_phases_may_answer_as_well() {
    on_a_worker(async {
        for phase in ["request_body", "response_headers"] {
            let wasm = guest(&format!(
                r#"{LOCAL} (func (export "proxy_on_{phase}") (param i32 i32 i32) (result i32)
                     (drop (call $local (i32.const 418))) (i32.const 1))"#
            ));
            let mut stream = open(&plugin(&wasm));
            go_on(stream.request_headers(get("/"), false).await);
            let local = if phase == "request_body" {
                response(stream.request_body(Bytes::from("a"), false).await)
            } else {
                go_on(stream.request_body(Bytes::from("a"), true).await);
                response(stream.response_headers(answered(200), false).await)
            };
            assert_eq!(local.status, 418, "{phase}");
        }
    });
}

#[test]
fn a_local_response_passes_the_response_callbacks() {
    on_a_worker(async {
        let wasm = guest(&format!(
            r#"{LOCAL}
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (drop (call $local (i32.const 418))) (i32.const 1))
               (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
                 (drop (call $add_header_map_value (i32.const 2) {{x-passed}} {{1}})) (i32.const 0))
               (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
                 (drop (call $set_buffer_bytes (i32.const 1) (i32.const -1) (i32.const 0) {{!}})) (i32.const 0))"#
        ));
        let local = response(open(&plugin(&wasm)).request_headers(get("/"), true).await);
        assert_eq!((local.status.as_u16(), &local.body[..]), (418, &b"teapot!"[..]));
        assert_eq!(values(&local.headers, "x-passed"), ["1"]);
    });
}

#[test]
fn one_that_is_given_from_the_response_callback_takes_its_place_and_does_not_pass_it() {
    on_a_worker(async {
        let wasm = guest(&format!(
            r#"{LOCAL}
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (drop (call $local (i32.const 418))) (i32.const 1))
               (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
                 (drop (call $local (i32.const 500)))
                 (drop (call $add_header_map_value (i32.const 2) {{x-passed}} {{1}})) (i32.const 1))
               (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) unreachable)"#
        ));
        let local = response(open(&plugin(&wasm)).request_headers(get("/"), true).await);
        assert_eq!((local.status.as_u16(), &local.body[..]), (500, &b"teapot"[..]));
        assert!(values(&local.headers, "x-passed").is_empty());
        assert!(!local.breaks_off);
    });
}

#[test]
fn a_local_response_breaks_off_where_a_plugin_fails_at_its_body() {
    on_a_worker(async {
        let wasm = guest(&format!(
            r#"{LOCAL}
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (drop (call $local (i32.const 418))) (i32.const 1))
               (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0))
               (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) unreachable)"#
        ));
        let local = response(open(&plugin(&wasm)).request_headers(get("/"), true).await);
        assert_eq!((local.status.as_u16(), local.breaks_off), (418, true));
        assert!(local.body.is_empty());
    });
}

#[test]
fn a_closed_stream_fails() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (drop (call $close_stream (i32.const 0))) (i32.const 0))"#,
        );
        fails(open(&plugin(&wasm)).request_headers(get("/"), true).await);
    });
}

#[test]
fn a_grpc_client_is_answered_as_grpc_has_it() {
    on_a_worker(async {
        for (status, named, expected) in [(403, "-1", "7"), (200, "10", "10"), (418, "17", "2")] {
            let wasm = guest(&format!(
                r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                     (drop (call $send_local_response (i32.const {status}) {{}} {{50%}} {{}} (i32.const {named})))
                     (i32.const 1))"#
            ));
            let mut head = get("/");
            head.headers
                .insert("content-type", http::HeaderValue::from_static("application/grpc+proto"));
            let local = response(open(&plugin(&wasm)).request_headers(head, false).await);
            assert_eq!((local.status.as_u16(), &local.body[..]), (200, &b""[..]));
            assert_eq!(values(&local.headers, "content-type"), ["application/grpc"]);
            assert_eq!(values(&local.headers, "grpc-status"), [expected]);
            assert_eq!(values(&local.headers, "grpc-message"), ["50%25"]);
        }
    });
}

#[test]
fn fields_given_before_the_response_are_added_to_it() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (drop (call $add_header_map_value (i32.const 2) {x-early} {1}))
                 (drop (call $add_header_map_value (i32.const 2) {x-early} {2}))
                 (i32.const 0))"#,
        );
        let mut stream = open(&plugin(&wasm));
        assert!(!stream.wants_response_headers());
        go_on(stream.request_headers(get("/"), true).await);
        assert!(stream.wants_response_headers());
        let head = go_on(stream.response_headers(answered(200), true).await);
        assert_eq!(values(&head.headers, "x-early"), ["1", "2"]);
    });
}

#[test]
fn trailers_may_be_answered_too_and_after_the_head_the_response_breaks_off() {
    on_a_worker(async {
        let on = |phase: &str| {
            guest(&format!(
                r#"{LOCAL} (func (export "proxy_on_{phase}") (param i32 i32) (result i32)
                     (if (call $local (i32.const 418)) (then unreachable)) (i32.const 0))"#
            ))
        };
        let trailers = || {
            [("x".parse().unwrap(), http::HeaderValue::from_static("1"))]
                .into_iter()
                .collect()
        };
        let mut stream = open(&plugin(&on("request_trailers")));
        go_on(stream.request_headers(get("/"), false).await);
        assert_eq!(response(stream.request_trailers(trailers()).await).status, 418);

        let mut stream = open(&plugin(&on("response_trailers")));
        go_on(stream.request_headers(get("/"), true).await);
        go_on(stream.response_headers(answered(200), false).await);
        fails(stream.response_trailers(trailers()).await);

        let wasm = guest(&format!(
            r#"{LOCAL} (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
                 (if (call $local (i32.const 418)) (then unreachable)) (i32.const 1))"#
        ));
        let mut stream = open(&plugin(&wasm));
        go_on(stream.request_headers(get("/"), true).await);
        go_on(stream.response_headers(answered(200), false).await);
        fails(stream.response_body(Bytes::from("a"), false).await);
    });
}
