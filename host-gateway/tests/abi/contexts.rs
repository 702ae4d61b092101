//! Contexts: who is created and deleted when, and on whose behalf host functions act.

use std::time::Duration;

use crate::harness::*;

/// Traces a letter for each callback at the end of a stream.
const ENDS: &str = r#"
  (func (export "proxy_on_done") (param i32) (result i32) (call $trace (i32.const 111)) (i32.const 0))
  (func (export "proxy_on_log") (param i32)
    (drop (call $get_header_map_value (i32.const 0) {:path} (i32.const 2000) (i32.const 2004)))
    (call $trace (i32.add (i32.const 48) (i32.load (i32.const 2004))))
    (call $trace (i32.add (i32.const 97) (call $add_header_map_value (i32.const 0) {x} {1}))))
  (func (export "proxy_on_delete") (param i32) (call $trace (i32.const 100)))
"#;

#[test]
fn a_stream_ends_with_done_log_delete() {
    on_a_worker(async {
        let wasm = guest(&format!(
            r#"{ENDS}
               (func (export "proxy_on_context_create") (param $id i32) (param $parent i32)
                 (call $trace (i32.add (i32.const 48) (local.get $parent))))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $show_trace) (i32.const 0))"#
        ));
        let plugins = plugin(&wasm);
        let mut stream = open(&plugins);
        go_on(stream.request_headers(get("/four"), true).await);
        drop(stream);
        // The root context has parent 0; the log reads the request (/four: 5 bytes) and changes nothing (c: 2).
        assert_eq!(trace(&plugins).await, "01o5cd1");
    });
}

#[test]
fn a_client_that_leaves_a_paused_stream_ends_it_once() {
    on_a_worker(async {
        let wasm = guest(&format!(
            r#"{ENDS}
               (func (export "proxy_on_request_headers") (param i32) (param i32 i32) (result i32)
                 (call $show_trace)
                 (i32.eqz (i32.load (i32.const 2900))))"#
        ));
        let plugins = plugin(&wasm);
        let mut stream = open(&plugins);
        let paused = tokio::time::timeout(Duration::from_millis(5), stream.request_headers(get("/four"), true)).await;
        assert!(paused.is_err());
        drop(stream);
        assert_eq!(trace(&plugins).await, "o5cd");
    });
}

#[test]
fn unknown_contexts_and_ends_that_nobody_waits_for_are_refused() {
    on_a_worker(async {
        let head = first_head(&guest(
            r#"(func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
                 (call $report (call $set_effective_context (i32.const 0)))
                 (call $report (call $set_effective_context (i32.add (local.get $id) (i32.const 1))))
                 (call $report (call $set_effective_context (local.get $id)))
                 (call $report (call $done))
                 (i32.const 0))"#,
        ))
        .await;
        assert_eq!(values(&head.headers, "r"), ["02", "02", "00", "01"]);
    });
}

#[test]
fn in_the_root_context_there_is_no_exchange() {
    on_a_worker(async {
        let head = first_head(&guest(
            r#"(func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
                 (local $value i32) (local $add i32) (local $property i32)
                 (drop (call $set_effective_context (i32.const 1)))
                 (local.set $value (call $get_header_map_value (i32.const 0) {:path} (i32.const 2000) (i32.const 2004)))
                 (local.set $add (call $add_header_map_value (i32.const 0) {x} {1}))
                 (local.set $property (call $set_property {x} {1}))
                 (drop (call $set_effective_context (local.get $id)))
                 (call $report (local.get $value)) (call $report (local.get $add)) (call $report (local.get $property))
                 (i32.const 0))"#,
        ))
        .await;
        assert_eq!(values(&head.headers, "r"), ["01", "02", "01"]);
    });
}

#[test]
fn a_plugin_without_stream_callbacks_gets_no_streams() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_context_create") (param i32) (param $parent i32)
                 (if (local.get $parent) (then unreachable)))"#,
        );
        first_head(&wasm).await;
    });
}

#[test]
fn two_streams_of_one_vm_are_apart() {
    on_a_worker(async {
        // The second request lets the first one go on, with a field of its own.
        let wasm = guest(
            r#"(global $first (mut i32) (i32.const 0))
               (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
                 (if (i32.eqz (global.get $first))
                   (then (global.set $first (local.get $id)) (return (i32.const 1))))
                 (drop (call $set_effective_context (global.get $first)))
                 (drop (call $add_header_map_value (i32.const 0) {x-from} {second}))
                 (drop (call $continue_stream (i32.const 0)))
                 (i32.const 0))"#,
        );
        let plugins = plugin(&wasm);
        let mut first = open(&plugins);
        let waiting = tokio::task::spawn_local(async move { go_on(first.request_headers(get("/1"), true).await) });
        a_moment().await;
        let second = go_on(open(&plugins).request_headers(get("/2"), true).await);
        assert!(!second.headers.contains_key("x-from"));
        let first = waiting.await.unwrap();
        assert_eq!(
            (first.uri.path(), values(&first.headers, "x-from")),
            ("/1", vec!["second".to_owned()])
        );
    });
}

#[test]
fn a_service_gets_no_streams() {
    on_a_worker(async {
        // As an SDK does whose root context has no kind of streams.
        let wasm = guest(
            r#"(func (export "proxy_on_context_create") (param i32) (param $parent i32)
                 (if (local.get $parent) (then unreachable)))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable)
               (func (export "proxy_on_log") (param $id i32)
                 (if (i32.ne (local.get $id) (i32.const 1)) (then unreachable)))"#,
        );
        fails(open(&plugin(&wasm)).request_headers(get("/"), true).await);
        let mut config = config(&wasm);
        config.service = true;
        go_on(open(&plugins(&[config])).request_headers(get("/"), true).await);
    });
}

/// Writes `d`, `l` and `x` into the shared datum `ends` at done, log and delete of the root context, which asks to wait.
/// Ticks call `proxy_done`, the second in vain.
fn reluctant() -> Vec<u8> {
    guest(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $set_tick_period_milliseconds (i32.const 10))) (i32.const 1))
           (func $end (param $letter i32)
             (call $trace (local.get $letter))
             (drop (call $set_shared_data {ends} (i32.const 3000) (i32.load (i32.const 2900)) (i32.const 0))))
           (func (export "proxy_on_done") (param $id i32) (result i32)
             (if (i32.eq (local.get $id) (i32.const 1)) (then (call $end (i32.const 100))))
             (i32.const 0))
           (func (export "proxy_on_tick") (param i32)
             (if (i32.eqz (call $done)) (then (call $end (i32.const 49))
               (if (i32.eqz (call $done)) (then (call $end (i32.const 50)))))))
           (func (export "proxy_on_log") (param $id i32)
             (if (i32.eq (local.get $id) (i32.const 1)) (then (call $end (i32.const 108)))))
           (func (export "proxy_on_delete") (param $id i32)
             (if (i32.eq (local.get $id) (i32.const 1)) (then (call $end (i32.const 120)))))"#,
    )
}

#[test]
fn a_root_context_may_wait_with_its_end() {
    on_a_worker(async {
        let process = postern_gateway::plugin::PluginProcess::new();
        let reads = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (drop (call $get_shared_data {ends} (i32.const 2000) (i32.const 2004) (i32.const 2100))) (call $show)
                 (i32.const 0))"#,
        );
        let reads = start(&[config(&reads)], no_clusters(), &process).unwrap();
        let plugins = start(&[config(&reluctant())], no_clusters(), &process).unwrap();
        a_moment().await;
        plugins.stop(std::time::Duration::from_secs(5)).await;
        drop(plugins);
        let head = go_on(open(&reads).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "v"), ["d1lx"]);
    });
}

#[test]
fn at_the_end_both_heads_and_trailers_can_be_read_and_nothing_changed() {
    on_a_worker(async {
        let process = postern_gateway::plugin::PluginProcess::new();
        let wasm = guest(
            r#"(func $note (param $map i32) (param $name i32) (param $size i32)
                 (drop (call $get_header_map_value (local.get $map) (local.get $name) (local.get $size)
                   (i32.const 2000) (i32.const 2004)))
                 (memory.copy (i32.add (i32.const 3000) (i32.load (i32.const 2900)))
                   (i32.load (i32.const 2000)) (i32.load (i32.const 2004)))
                 (i32.store (i32.const 2900) (i32.add (i32.load (i32.const 2900)) (i32.load (i32.const 2004)))))
               (func (export "proxy_on_log") (param i32)
                 (call $note (i32.const 0) {:path})
                 (call $note (i32.const 1) {x-up})
                 (call $note (i32.const 2) {:status})
                 (call $note (i32.const 3) {x-down})
                 (if (i32.ne (call $add_header_map_value (i32.const 0) {x} {1}) (i32.const 2)) (then unreachable))
                 (if (i32.ne (call $add_header_map_value (i32.const 2) {x} {1}) (i32.const 2)) (then unreachable))
                 (drop (call $set_shared_data {ends} (i32.const 3000) (i32.load (i32.const 2900)) (i32.const 0))))"#,
        );
        let reads = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (drop (call $get_shared_data {ends} (i32.const 2000) (i32.const 2004) (i32.const 2100))) (call $show)
                 (i32.const 0))"#,
        );
        let reads = start(&[config(&reads)], no_clusters(), &process).unwrap();
        let plugins = start(&[config(&wasm)], no_clusters(), &process).unwrap();
        let trailer = |name: &str| {
            [(name.parse().unwrap(), http::HeaderValue::from_static("!"))]
                .into_iter()
                .collect()
        };
        let mut stream = open(&plugins);
        go_on(stream.request_headers(get("/asked"), false).await);
        go_on(stream.request_trailers(trailer("x-up")).await);
        go_on(stream.response_headers(answered(201), false).await);
        go_on(stream.response_trailers(trailer("x-down")).await);
        drop(stream);
        let head = go_on(open(&reads).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "v"), ["/asked!201!"]);
    });
}
