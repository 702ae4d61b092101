//! Several plugins as root contexts of one VM.

use postern_gateway::plugin::{PluginConfig, PluginProcess};

use crate::harness::*;

/// Counts requests in `n`, and shows in `v` the name of the plugin that is asked, in `t` the root contexts that were
/// configured (`a`), ticked (`A`) and are parents of streams (`1`), by their ids.
const GUEST: &str = r#"
    (global $seen (mut i32) (i32.const 0))
    (func (export "proxy_on_configure") (param $root i32) (param i32) (result i32)
      (call $trace (i32.add (i32.const 96) (local.get $root)))
      (drop (call $set_tick_period_milliseconds (i32.const 5)))
      (i32.const 1))
    (func (export "proxy_on_tick") (param $root i32)
      (drop (call $set_tick_period_milliseconds (i32.const 0)))
      (call $trace (i32.add (i32.const 64) (local.get $root))))
    (func (export "proxy_on_context_create") (param $id i32) (param $parent i32)
      (if (local.get $parent) (then (call $trace (i32.add (i32.const 48) (local.get $parent))))))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (global.set $seen (i32.add (global.get $seen) (i32.const 1)))
      (call $show_number (global.get $seen))
      (drop (call $get_property {plugin_name} (i32.const 2000) (i32.const 2004)))
      (call $show)
      (call $show_trace)
      (drop (call $get_header_map_value (i32.const 0) {:path} (i32.const 2000) (i32.const 2004)))
      (if (i32.eq (i32.load (i32.const 2004)) (i32.const 4)) (then unreachable))
      (i32.const 0))"#;

/// Two plugins of the same code, `first` and `second`.
pub fn two(wasm: &[u8], change: impl Fn(usize, &mut PluginConfig)) -> Vec<PluginConfig> {
    let plugin = |(place, name): (usize, &str)| {
        let mut config = config(wasm);
        config.name = name.to_owned();
        config.vm_id = "shared".to_owned();
        change(place, &mut config);
        config
    };
    ["first", "second"].into_iter().enumerate().map(plugin).collect()
}

#[test]
fn plugins_of_the_same_code_and_vm_id_share_a_vm() {
    on_a_worker(async {
        let wasm = guest(GUEST);
        // Once a moment was long enough for both to tick.
        let head = until(async || {
            let plugins = plugins(&two(&wasm, |_, _| ()));
            a_moment().await;
            let head = go_on(open(&plugins).request_headers(get("/"), true).await);
            (values(&head.headers, "t")[0].len() > "ab1".len() + 1).then_some(head)
        })
        .await;
        assert_eq!(values(&head.headers, "n"), ["00000001", "00000002"]);
        assert_eq!(values(&head.headers, "v"), ["first", "second"]);
        let traces = values(&head.headers, "t");
        // Both are configured before anything else; each ticks for itself, in any order.
        assert!(traces[0] == "abAB1" || traces[0] == "abBA1", "{traces:?}");
        assert_eq!(traces[1].strip_prefix(traces[0].as_str()), Some("2"));
    });
}

#[test]
fn what_differs_has_a_vm_of_its_own() {
    on_a_worker(async {
        type Change = fn(usize, &mut PluginConfig);
        let changes: [Change; 4] = [
            |_, config| config.vm_id = String::new(),
            |place, config| config.vm_id = place.to_string(),
            |place, config| config.vm_configuration = Some(place.into()),
            |place, config| config.limits.calls = place as u32 + 1,
        ];
        for change in changes {
            let plugins = plugins(&two(&guest(GUEST), change));
            let head = go_on(open(&plugins).request_headers(get("/"), true).await);
            assert_eq!(values(&head.headers, "n"), ["00000001", "00000001"]);
        }
    });
}

#[test]
fn who_shares_a_vm_shares_its_end() {
    on_a_worker(async {
        let process = PluginProcess::new();
        let plugins = start(&two(&guest(GUEST), |_, _| ()), no_clusters(), &process).unwrap();
        fails(open(&plugins).request_headers(get("/bad"), true).await);
        let head = go_on(open(&plugins).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "n"), ["00000001", "00000002"]);
        let text = metrics(&process);
        for plugin in ["first", "second"] {
            for count in [
                "traps_total{plugin=\"NAME\"} 1\n",
                "vm_starts_total{plugin=\"NAME\"} 2\n",
            ] {
                let line = format!("postern_plugin_{}", count.replace("NAME", plugin));
                assert!(text.contains(&line), "{line} is not in {text}");
            }
        }
    });
}

#[test]
fn the_answer_to_a_call_comes_to_the_root_context_that_made_it() {
    on_a_worker(async {
        let wasm = guest(
            r#"(global $waits (mut i32) (i32.const 0))
               (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
                 (global.set $waits (local.get $id))
                 (drop (call $http_call {up}
                   {\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00}
                   {} {} (i32.const 1000) (i32.const 2000)))
                 (i32.const 1))
               (func (export "proxy_on_http_call_response") (param $root i32) (param i32 i32 i32 i32)
                 (drop (call $set_effective_context (global.get $waits)))
                 (call $show_number (local.get $root))
                 (drop (call $continue_stream (i32.const 0))))"#,
        );
        let clusters = cluster("up", |_| ok("")).await;
        let plugins = start(&two(&wasm, |_, _| ()), clusters, &PluginProcess::new()).unwrap();
        let head = go_on(open(&plugins).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "n"), ["00000001", "00000002"]);
    });
}

#[test]
fn each_queue_is_told_to_the_root_context_that_registered_it() {
    on_a_worker(async {
        // Each root context has a queue, named by its number. The first request puts a value into both.
        let wasm = guest(
            r#"(global $put (mut i32) (i32.const 0))
               (func $queue (param $root i32) (result i32)
                 (i32.add (i32.const 2100) (i32.shl (local.get $root) (i32.const 2))))
               (func (export "proxy_on_configure") (param $root i32) (param i32) (result i32)
                 (i32.store8 (i32.const 2200) (local.get $root))
                 (if (call $register_shared_queue (i32.const 2200) (i32.const 1) (call $queue (local.get $root)))
                   (then unreachable))
                 (i32.const 1))
               (func (export "proxy_on_queue_ready") (param $root i32) (param $ready i32)
                 (if (i32.ne (local.get $ready) (i32.load (call $queue (local.get $root)))) (then unreachable))
                 (drop (call $get_property {plugin_name} (i32.const 2000) (i32.const 2004)))
                 (call $trace (i32.load8_u (i32.load (i32.const 2000)))))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (if (i32.eqz (global.get $put)) (then
                   (drop (call $enqueue_shared_queue (i32.load (call $queue (i32.const 1))) {x}))
                   (drop (call $enqueue_shared_queue (i32.load (call $queue (i32.const 2))) {x}))))
                 (global.set $put (i32.const 1))
                 (call $show_trace) (i32.const 0))"#,
        );
        let plugins = plugins(&two(&wasm, |_, _| ()));
        until(async || {
            let head = go_on(open(&plugins).request_headers(get("/"), true).await);
            // First and second were told, once each.
            (values(&head.headers, "t") == ["fs"; 2]).then_some(())
        })
        .await;
    });
}

#[test]
fn each_root_context_ends_for_itself() {
    on_a_worker(async {
        // Of root context 1: `a` at done, `A` at log, `1` at delete; of 2, which waits for a tick that ends it: `b`, `B`,
        // `2`, and `!` when `proxy_done` succeeds.
        let wasm = guest(
            r#"(func $note (param $letter i32)
                 (call $trace (local.get $letter))
                 (drop (call $set_shared_data {ends} (i32.const 3000) (i32.load (i32.const 2900)) (i32.const 0))))
               (func (export "proxy_on_configure") (param i32 i32) (result i32)
                 (drop (call $set_tick_period_milliseconds (i32.const 10))) (i32.const 1))
               (func (export "proxy_on_tick") (param i32) (if (i32.eqz (call $done)) (then (call $note (i32.const 33)))))
               (func (export "proxy_on_done") (param $root i32) (result i32)
                 (call $note (i32.add (i32.const 96) (local.get $root)))
                 (i32.eq (local.get $root) (i32.const 1)))
               (func (export "proxy_on_log") (param $root i32) (call $note (i32.add (i32.const 64) (local.get $root))))
               (func (export "proxy_on_delete") (param $root i32) (call $note (i32.add (i32.const 48) (local.get $root))))"#,
        );
        let mut reads = config(&guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (drop (call $get_shared_data {ends} (i32.const 2000) (i32.const 2004) (i32.const 2100))) (call $show)
                 (i32.const 0))"#,
        ));
        reads.vm_id = "shared".to_owned();
        let process = PluginProcess::new();
        let reads = start(&[reads], no_clusters(), &process).unwrap();
        let plugins = start(&two(&wasm, |_, _| ()), no_clusters(), &process).unwrap();
        a_moment().await;
        plugins.stop(std::time::Duration::from_secs(5)).await;
        drop(plugins);
        let head = go_on(open(&reads).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "v"), ["abA1!B2"]);
    });
}

#[test]
fn who_refuses_its_configuration_is_named() {
    let wasm = guest(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.eq (local.get 0) (i32.const 1)))"#,
    );
    on_a_worker(async move {
        let failed = start(&two(&wasm, |_, _| ()), no_clusters(), &PluginProcess::new());
        let Err(error) = failed else { panic!("it started") };
        assert_eq!(error.plugin(), "second");
    });
}
