//! What one plugin may use, and who is touched when it fails or floods.

use postern_gateway::plugin::{
    ByteSize, CallTime, FailurePolicy, Isolation, PluginConfig, PluginProcess, ReloadBackoff,
};
use std::time::Duration;

use crate::harness::*;

/// Shows how many requests this VM has seen, in `n`. Traps at `/bad`, pauses at `/wait`.
const COUNTS: &str = r#"
    (global $seen (mut i32) (i32.const 0))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (global.set $seen (i32.add (global.get $seen) (i32.const 1)))
      (call $show_number (global.get $seen))
      (drop (call $get_header_map_value (i32.const 0) {:path} (i32.const 2000) (i32.const 2004)))
      (if (i32.eq (i32.load (i32.const 2004)) (i32.const 4)) (then unreachable))
      (i32.eq (i32.load (i32.const 2004)) (i32.const 5)))"#;

fn with(wasm: &[u8], change: impl FnOnce(&mut PluginConfig)) -> PluginConfig {
    let mut config = config(wasm);
    config.limits.call = CallTime(Duration::from_secs(5));
    change(&mut config);
    config
}

async fn seen(plugins: &std::rc::Rc<postern_gateway::plugin::Plugins>) -> String {
    let head = go_on(open(plugins).request_headers(get("/"), true).await);
    values(&head.headers, "n").concat()
}

/// The value of a line of `/metrics`.
#[track_caller]
fn metric(process: &PluginProcess, name: &str) -> u64 {
    let text = metrics(process);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix("{plugin=\"guest\"} "));
    line.unwrap_or_else(|| panic!("{name} is not in {text}"))
        .parse()
        .unwrap()
}

#[test]
fn by_default_the_exchanges_of_a_worker_share_a_vm() {
    on_a_worker(async {
        let plugins = plugins(&[with(&guest(COUNTS), |_| ())]);
        assert_eq!(seen(&plugins).await, "00000001");
        assert_eq!(seen(&plugins).await, "00000002");
    });
}

#[test]
fn with_isolation_by_request_each_exchange_has_a_vm_of_its_own() {
    on_a_worker(async {
        let config = with(&guest(COUNTS), |config| config.isolation = Isolation::Request);
        let process = PluginProcess::new();
        let plugins = start(&[config], no_clusters(), &process).unwrap();
        for _ in 0..3 {
            assert_eq!(seen(&plugins).await, "00000001");
        }
        // One fails; another that is open goes on.
        let mut waits = open(&plugins);
        let waiting = tokio::task::spawn_local(async move {
            let verdict = waits.request_headers(get("/wait"), true).await;
            (verdict, waits)
        });
        a_moment().await;
        fails(open(&plugins).request_headers(get("/bad"), true).await);
        a_moment().await;
        assert!(!waiting.is_finished());
        waiting.abort();
        assert_eq!(seen(&plugins).await, "00000001");
        assert_eq!(metric(&process, "postern_plugin_traps_total"), 1);
        assert_eq!(metric(&process, "postern_plugin_failed_streams_total"), 1);
    });
}

#[test]
fn reload_waits_before_the_next_vm() {
    on_a_worker(async {
        let config = |failure| {
            with(&guest(COUNTS), |config| {
                config.failure = failure;
                config.reload_backoff = ReloadBackoff(Duration::from_secs(3600));
            })
        };
        let reload = plugins(&[config(FailurePolicy::Reload)]);
        let closed = plugins(&[config(FailurePolicy::Closed)]);
        for plugins in [&reload, &closed] {
            fails(open(plugins).request_headers(get("/bad"), true).await);
            assert_eq!(seen(plugins).await, "00000001", "the first failure is mended at once");
            fails(open(plugins).request_headers(get("/bad"), true).await);
        }
        fails(open(&reload).request_headers(get("/"), true).await);
        assert_eq!(seen(&closed).await, "00000001");
    });
}

#[test]
fn a_vm_that_has_grown_is_replaced_and_its_open_streams_finish() {
    on_a_worker(async {
        // `/bad` grows by 6 MiB; the trace says how often this VM was asked.
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $trace (i32.const 104)) (call $show_trace)
                 (drop (call $get_header_map_value (i32.const 0) {:path} (i32.const 2000) (i32.const 2004)))
                 (if (i32.eq (i32.load (i32.const 2004)) (i32.const 4)) (then (drop (memory.grow (i32.const 96)))))
                 (i32.const 0))
               (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
                 (call $trace (i32.const 114)) (i32.const 0))
               (func (export "proxy_on_delete") (param i32) (call $trace (i32.const 100)))"#,
        );
        let config = with(&wasm, |config| config.limits.recycle = Some(ByteSize(4 << 20)));
        let process = PluginProcess::new();
        let plugins = start(&[config], no_clusters(), &process).unwrap();
        let mut stays = open(&plugins);
        go_on(stays.request_headers(get("/"), true).await);
        go_on(open(&plugins).request_headers(get("/bad"), true).await);
        a_moment().await;
        assert_eq!(metric(&process, "postern_plugin_vm_recycled_total"), 1);
        assert_eq!(metric(&process, "postern_plugin_memory_bytes"), 4 << 16);
        assert_eq!(trace(&plugins).await, "h", "a fresh memory");
        go_on(stays.response_headers(answered(200), true).await);
        drop(stays);
        assert_eq!(metric(&process, "postern_plugin_traps_total"), 0);
    });
}

#[test]
fn a_configuration_that_needs_much_memory_is_no_reason_to_replace_the_vm() {
    on_a_worker(async {
        let config = with(&guest(COUNTS), |config| config.limits.recycle = Some(ByteSize(1 << 16)));
        let plugins = plugins(&[config]);
        seen(&plugins).await;
        a_moment().await;
        assert_eq!(seen(&plugins).await, "00000002");
    });
}

#[test]
fn a_flood_of_contexts_ends_at_the_limit() {
    on_a_worker(async {
        let config = with(&guest(COUNTS), |config| config.limits.contexts = 2);
        let process = PluginProcess::new();
        let plugins = start(&[config], no_clusters(), &process).unwrap();
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut stream = open(&plugins);
            go_on(stream.request_headers(get("/"), true).await);
            held.push(stream);
        }
        fails(open(&plugins).request_headers(get("/"), true).await);
        held.pop();
        assert_eq!(seen(&plugins).await, "00000003");
        drop(held);
        assert_eq!(metric(&process, "postern_plugin_contexts"), 0);
        assert_eq!(metric(&process, "postern_plugin_traps_total"), 0);
        assert_eq!(metric(&process, "postern_plugin_failed_streams_total"), 1);
    });
}

#[test]
fn a_flood_of_calls_is_refused_to_the_guest() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (local $status i32)
                 (loop $again
                   (local.set $status (call $http_call {up}
                     {\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00}
                     {} {} (i32.const 1000) (i32.const 2000)))
                   (br_if $again (i32.eqz (local.get $status))))
                 (call $report (local.get $status)) (i32.const 0))"#,
        );
        let clusters = cluster("up", |_| None).await;
        let config = with(&wasm, |config| config.limits.calls = 5);
        let process = PluginProcess::new();
        let plugins = start(&[config], clusters, &process).unwrap();
        let head = go_on(open(&plugins).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "r"), ["10"]);
        assert_eq!(metric(&process, "postern_plugin_calls_refused_total"), 1);
    });
}

#[test]
fn a_flood_of_log_lines_is_cut() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (local $left i32) (local.set $left (i32.const 100000))
                 (loop $again
                   (drop (call $log (i32.const 5) {flood}))
                   (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                   (br_if $again (local.get $left)))
                 (i32.const 0))"#,
        );
        let process = PluginProcess::new();
        let config = with(&wasm, |config| config.limits.log_lines = 10);
        let plugins = start(&[config], no_clusters(), &process).unwrap();
        go_on(open(&plugins).request_headers(get("/"), true).await);
        assert!(metric(&process, "postern_plugin_log_lines_dropped_total") > 90_000);
    });
}

#[test]
fn a_flood_of_timers_leaves_time_for_others() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func $timers (local $left i32) (local.set $left (i32.const 100000))
                 (loop $again
                   (drop (call $set_tick_period_milliseconds (i32.const 1)))
                   (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                   (br_if $again (local.get $left))))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $timers) (i32.const 0))
               (func (export "proxy_on_tick") (param i32) (call $timers))"#,
        );
        let plugins = plugins(&[with(&wasm, |_| ())]);
        for _ in 0..3 {
            go_on(open(&plugins).request_headers(get("/"), true).await);
            a_moment().await;
        }
    });
}

#[test]
fn what_is_not_allowed_is_denied_and_not_called() {
    on_a_worker(async {
        let wasm = guest_with(
            r#"(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))"#,
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $report (call $get_header_map_value (i32.const 0) {:path} (i32.const 2000) (i32.const 2004)))
                 (call $report (call $random (i32.const 2000) (i32.const 4)))
                 (i32.const 0))
               (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) unreachable)"#,
        );
        let allowed = with(&wasm, |config| {
            config.capability_restriction_config = serde_json::from_value(serde_json::json!({
                "allowed_capabilities": { "proxy_on_request_headers": {}, "proxy_add_header_map_value": {} }
            }))
            .unwrap();
        });
        let plugins = plugins(&[allowed]);
        let mut stream = open(&plugins);
        let head = go_on(stream.request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "r"), ["10", "76"]);
        go_on(stream.response_headers(answered(200), true).await);
    });
}

#[test]
fn callbacks_and_host_calls_are_counted() {
    on_a_worker(async {
        let process = PluginProcess::new();
        let plugins = start(&[config(&guest(COUNTS))], no_clusters(), &process).unwrap();
        for _ in 0..2 {
            seen(&plugins).await;
        }
        let text = metrics(&process);
        let labels = r#"{plugin="guest",callback="proxy_on_request_headers"}"#;
        assert!(
            text.contains(&format!("postern_plugin_callback_seconds_count{labels} 2\n")),
            "{text}"
        );
        assert!(
            text.contains(&format!("postern_plugin_host_calls_total{labels} 4\n")),
            "{text}"
        );
        assert_eq!(metric(&process, "postern_plugin_vm_starts_total"), 1);
    });
}

#[test]
fn what_a_guest_makes_the_host_keep_has_a_limit() {
    on_a_worker(async {
        // A metric of a new name, and a new key of 64 KiB, until the host says no.
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (local $status i32)
                 (loop $again
                   (i32.store (i32.const 3000) (i32.add (i32.load (i32.const 3000)) (i32.const 1)))
                   (call $digit (i32.const 3100) (i32.and (i32.load (i32.const 3000)) (i32.const 15)))
                   (call $digit (i32.const 3101) (i32.and (i32.shr_u (i32.load (i32.const 3000)) (i32.const 4)) (i32.const 15)))
                   (call $digit (i32.const 3102) (i32.and (i32.shr_u (i32.load (i32.const 3000)) (i32.const 8)) (i32.const 15)))
                   (call $digit (i32.const 3103) (i32.and (i32.shr_u (i32.load (i32.const 3000)) (i32.const 12)) (i32.const 15)))
                   (local.set $status (call $define_metric (i32.const 0) (i32.const 3100) (i32.const 4) (i32.const 2000)))
                   (br_if $again (i32.eqz (local.get $status))))
                 (call $report (local.get $status))
                 (loop $again
                   (i32.store (i32.const 3000) (i32.add (i32.load (i32.const 3000)) (i32.const 1)))
                   (local.set $status
                     (call $set_shared_data (i32.const 3000) (i32.const 4) (i32.const 0) (i32.const 65536) (i32.const 0)))
                   (br_if $again (i32.eqz (local.get $status))))
                 (call $report (local.get $status))
                 (i32.const 0))"#,
        );
        let plugins = plugins(&[with(&wasm, |_| ())]);
        let head = go_on(open(&plugins).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "r"), ["10", "10"]);
    });
}
