//! Guests that fail: each ends its own streams once, and the next request is served.

use std::time::Duration;

use bytes::Bytes;
use postern_gateway::plugin::{ByteSize, CallTime, FailurePolicy, PluginProcess, Verdict};

use crate::harness::*;

/// A guest that does something bad to requests for `/bad`, and stops those for `/wait`.
fn bad(deed: &str, functions: &str) -> Vec<u8> {
    guest(&format!(
        r#"{functions}
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (drop (call $get_header_map_value (i32.const 0) {{:path}} (i32.const 2000) (i32.const 2004)))
             (if (i32.eq (i32.load (i32.const 2004)) (i32.const 4)) (then {deed}))
             (i32.eq (i32.load (i32.const 2004)) (i32.const 5)))"#
    ))
}

async fn is_served_afterwards(wasm: &[u8]) {
    let mut config = config(wasm);
    config.limits.call = CallTime(Duration::from_millis(50));
    config.limits.memory = ByteSize(2 << 20);
    let process = PluginProcess::new();
    let plugins = start(&[config], no_clusters(), &process).unwrap();
    let mut stream = open(&plugins);
    fails(stream.request_headers(get("/bad"), true).await);
    drop(stream);
    go_on(open(&plugins).request_headers(get("/good/path"), true).await);
    let metrics = metrics(&process);
    for count in [
        "traps_total{plugin=\"guest\"} 1\n",
        "failed_streams_total{plugin=\"guest\"} 1\n",
        "contexts{plugin=\"guest\"} 0\n",
    ] {
        assert!(
            metrics.contains(&format!("postern_plugin_{count}")),
            "{count} is not in {metrics}"
        );
    }
}

#[test]
fn a_trap() {
    on_a_worker(async { is_served_afterwards(&bad("unreachable", "")).await });
}

#[test]
fn an_endless_loop() {
    on_a_worker(async { is_served_afterwards(&bad("(loop $again (br $again))", "")).await });
}

/// The thread gets no processor, as among busy neighbours: whoever logs is put to sleep.
struct Neighbours;

impl tracing::Subscriber for Neighbours {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        std::thread::sleep(Duration::from_millis(400));
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_guest_whose_thread_gets_no_processor_has_not_used_its_time() {
    on_a_worker(async {
        let mut config = config(&guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (local $left i32)
                 (drop (call $log (i32.const 2) {waits}))
                 (local.set $left (i32.const 1000))
                 (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                 (call $show_number (i32.const 1)) (i32.const 0))"#,
        ));
        config.limits.call = CallTime(Duration::from_millis(100));
        let plugins = plugins(&[config]);
        let _stalled = tracing::subscriber::set_default(Neighbours);
        let head = go_on(open(&plugins).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "n"), ["00000001"]);
    });
}

#[test]
fn an_endless_loop_of_host_functions_that_allocate() {
    on_a_worker(async {
        let deed = "(loop $again
            (global.set $free (i32.const 65536))
            (drop (call $get_header_map_pairs (i32.const 0) (i32.const 2000) (i32.const 2004))) (br $again))";
        is_served_afterwards(&bad(deed, "")).await;
    });
}

#[test]
fn a_memory_bomb() {
    on_a_worker(async {
        let deed = "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable";
        is_served_afterwards(&bad(deed, "")).await;
    });
}

#[test]
fn memory_beyond_the_limit_is_refused_and_the_guest_may_go_on() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $show_number (memory.grow (i32.const 100))) (i32.const 0))"#,
        );
        let mut config = config(&wasm);
        config.limits.memory = ByteSize(2 << 20);
        let head = go_on(open(&plugins(&[config])).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "n"), ["ffffffff"]);
    });
}

#[test]
fn deep_recursion() {
    on_a_worker(async {
        let functions = "(func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))";
        is_served_afterwards(&bad("(drop (call $deep (i32.const 0)))", functions)).await;
    });
}

#[test]
fn an_exit() {
    on_a_worker(async {
        let wasm = guest_with(
            r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#,
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $exit (i32.const 1)) (i32.const 0))"#,
        );
        fails(open(&plugin(&wasm)).request_headers(get("/"), true).await);
    });
}

#[test]
fn hostile_allocators() {
    on_a_worker(async {
        let allocators = [
            "(i32.const 0)",
            "(i32.const -1)",
            "(i32.const 262143)",
            "unreachable",
            "(loop $again (br $again)) (i32.const 0)",
            "(drop (call $set_tick_period_milliseconds (i32.const 1))) (i32.const 70000)",
            "(drop (call $get_header_map_pairs (i32.const 0) (i32.const 2000) (i32.const 2004))) (i32.const 70000)",
        ];
        for allocator in allocators {
            let wasm = bare(&format!(
                r#"(memory (export "memory") 4)
                   (func (export "proxy_abi_version_0_2_1"))
                   (func (export "malloc") (param i32) (result i32) {allocator})
                   (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                     (call $get_header_map_value (i32.const 0) {{:path}} (i32.const 2000) (i32.const 2004)))"#
            ));
            fails(open(&plugin(&wasm)).request_headers(get("/path"), true).await);
        }
    });
}

#[test]
fn an_allocator_may_log() {
    on_a_worker(async {
        let wasm = bare(
            r#"(memory (export "memory") 4)
               (func (export "proxy_abi_version_0_2_1"))
               (func (export "malloc") (param i32) (result i32) (drop (call $log (i32.const 0) {a})) (i32.const 70000))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $get_header_map_value (i32.const 0) {:path} (i32.const 2000) (i32.const 2004)))"#,
        );
        first_head(&wasm).await;
    });
}

#[test]
fn every_open_stream_fails_once() {
    on_a_worker(async {
        let plugins = plugin(&bad("unreachable", ""));
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let mut stream = open(&plugins);
                tokio::task::spawn_local(async move {
                    let verdict = stream.request_headers(get("/wait"), true).await;
                    fails(verdict);
                })
            })
            .collect();
        a_moment().await;
        fails(open(&plugins).request_headers(get("/bad"), true).await);
        for stream in waiting {
            stream.await.unwrap();
        }
        go_on(open(&plugins).request_headers(get("/good/path"), true).await);
    });
}

#[test]
fn a_stream_under_way_fails_at_its_next_phase() {
    on_a_worker(async {
        let wasm = bad(
            "unreachable",
            r#"(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0))"#,
        );
        let plugins = plugin(&wasm);
        let mut under_way = open(&plugins);
        go_on(under_way.request_headers(get("/good/path"), true).await);
        fails(open(&plugins).request_headers(get("/bad"), true).await);
        fails(under_way.response_headers(answered(200), true).await);
    });
}

#[test]
fn nothing_is_called_in_a_stream_that_failed() {
    on_a_worker(async {
        // The successor has a fresh memory: what it has not seen is not in its trace.
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
                 (call $show_trace)
                 (if (i32.eqz (i32.load (i32.const 2900))) (then (call $trace (i32.const 104)) unreachable))
                 (i32.const 0))
               (func (export "proxy_on_configure") (param i32 i32) (result i32)
                 (drop (call $get_shared_data {started} (i32.const 2000) (i32.const 2004) (i32.const 2008)))
                 (if (i32.load (i32.const 2004)) (then (call $trace (i32.const 99))))
                 (drop (call $set_shared_data {started} {1} (i32.const 0)))
                 (i32.const 1))
               (func (export "proxy_on_delete") (param i32) (call $trace (i32.const 100)))"#,
        );
        let plugins = plugin(&wasm);
        let mut stream = open(&plugins);
        fails(stream.request_headers(get("/"), true).await);
        drop(stream);
        assert_eq!(trace(&plugins).await, "c");
    });
}

#[test]
fn with_the_open_policy_the_plugin_is_skipped_and_nothing_is_lost() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32) (param $count i32) (param i32) (result i32)
                 (if (i32.gt_u (local.get $count) (i32.const 4)) (then unreachable)) (i32.const 0))
               (func (export "proxy_on_request_body") (param i32 i32) (param $end i32) (result i32)
                 (if (local.get $end) (then unreachable)) (i32.const 1))"#,
        );
        let mut config = config(&wasm);
        config.failure = FailurePolicy::Open;
        let plugins = plugins(&[config]);
        let mut head = get("/");
        head.headers.append("x-many", "1".parse().unwrap());
        let passed = go_on(open(&plugins).request_headers(head, true).await);
        assert_eq!(values(&passed.headers, "x-many"), ["1"]);

        let mut stream = open(&plugins);
        go_on(stream.request_headers(get("/"), false).await);
        assert_eq!(go_on(stream.request_body(Bytes::from("held "), false).await), "");
        assert_eq!(go_on(stream.request_body(Bytes::from("back"), true).await), "held back");
    });
}

#[test]
fn a_plugin_that_does_not_start_again_is_tried_later() {
    on_a_worker(async {
        // The length of the value is the number of starts. The second is refused.
        let wasm = bad(
            "unreachable",
            r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
                 (drop (call $get_shared_data {starts} (i32.const 2000) (i32.const 2004) (i32.const 2008)))
                 (drop (call $set_shared_data {starts} (i32.const 4096)
                   (i32.add (i32.load (i32.const 2004)) (i32.const 1)) (i32.const 0)))
                 (i32.ne (i32.load (i32.const 2004)) (i32.const 1)))"#,
        );
        let process = PluginProcess::new();
        let plugins = start(&[config(&wasm)], no_clusters(), &process).unwrap();
        fails(open(&plugins).request_headers(get("/bad"), true).await);
        fails(open(&plugins).request_headers(get("/good/path"), true).await);
        assert!(metrics(&process).contains("postern_plugin_traps_total{plugin=\"guest\"} 2\n"));
        until(
            async || match open(&plugins).request_headers(get("/good/path"), true).await {
                Verdict::Continue(_) => Some(()),
                _ => None,
            },
        )
        .await;
    });
}

#[test]
fn fields_and_bodies_without_end_are_refused() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (local $status i32)
                 (loop $again
                   (local.set $status (call $add_header_map_value (i32.const 0) {x-many} {1}))
                   (br_if $again (i32.eqz (local.get $status))))
                 (drop (call $remove_header_map_value (i32.const 0) {x-many}))
                 (call $report (local.get $status)) (i32.const 0))
               (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
                 (local $status i32)
                 (loop $again
                   (local.set $status
                     (call $set_buffer_bytes (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 0) (i32.const 262144)))
                   (br_if $again (i32.eqz (local.get $status))))
                 (i32.const 0))"#,
        );
        let mut config = config(&wasm);
        config.limits.call = CallTime(Duration::from_secs(5));
        let mut stream = open(&plugins(&[config]));
        let head = go_on(stream.request_headers(get("/"), false).await);
        assert_eq!(values(&head.headers, "r"), ["10"]);
        assert_eq!(
            go_on(stream.request_body(Bytes::from("a"), true).await).len(),
            1 + (16 << 20) - (256 << 10)
        );
    });
}
