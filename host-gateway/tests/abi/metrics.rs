//! Metrics that guests define.

use std::time::Duration;

use postern_gateway::plugin::{CallTime, PluginProcess, Plugins};

use crate::harness::*;

#[test]
fn all_vms_add_to_one_value() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (drop (call $define_metric (i32.const 0) {requests.seen} (i32.const 2000)))
                 (drop (call $increment_metric (i32.load (i32.const 2000)) (i64.const 2)))
                 (drop (call $get_metric (i32.load (i32.const 2000)) (i32.const 2008)))
                 (call $show_number (i32.load (i32.const 2008)))
                 (i32.const 0))"#,
        );
        let process = PluginProcess::new();
        let module = [load(&config(&wasm)).unwrap()];
        for expected in ["00000002", "00000004"] {
            let plugins = Plugins::start(&module, no_clusters(), process.clone()).unwrap();
            let head = go_on(open(&plugins).request_headers(get("/"), true).await);
            assert_eq!(values(&head.headers, "n"), [expected]);
        }
        let text = metrics(&process);
        assert!(
            text.contains("postern_guest_requests_seen{plugin=\"guest\",name=\"requests.seen\"} 4\n"),
            "{text}"
        );
    });
}

#[test]
fn each_kind_has_its_rules() {
    on_a_worker(async {
        let report = |call: &str| format!("(call $report (call ${call}))");
        // Ids: 4 the counter, 9 the gauge, 14 the histogram; 16 and 17 are a counter and a gauge that do not exist.
        let calls = [
            ("define_metric (i32.const 0) {c} (i32.const 2000)", "00"),
            ("define_metric (i32.const 1) {g} (i32.const 2000)", "00"),
            ("define_metric (i32.const 2) {h} (i32.const 2000)", "00"),
            ("define_metric (i32.const 3) {x} (i32.const 2000)", "02"),
            ("increment_metric (i32.const 4) (i64.const 0)", "02"),
            ("increment_metric (i32.const 4) (i64.const -1)", "02"),
            ("increment_metric (i32.const 9) (i64.const -3)", "00"),
            ("increment_metric (i32.const 14) (i64.const 1)", "02"),
            ("increment_metric (i32.const 16) (i64.const 1)", "02"),
            ("increment_metric (i32.const 17) (i64.const 1)", "01"),
            ("record_metric (i32.const 4) (i64.const 5)", "00"),
            ("record_metric (i32.const 4) (i64.const 5)", "00"),
            ("record_metric (i32.const 14) (i64.const 7)", "00"),
            ("record_metric (i32.const 17) (i64.const 7)", "01"),
            ("get_metric (i32.const 14) (i32.const 2000)", "02"),
            ("get_metric (i32.const 17) (i32.const 2000)", "01"),
            ("get_metric (i32.const 8) (i32.const 2000)", "01"),
        ];
        let body: String = calls.iter().map(|(call, _)| report(call)).collect();
        let wasm = guest(&format!(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {body} (i32.const 0))"#
        ));
        let process = PluginProcess::new();
        let plugins = start(&[config(&wasm)], no_clusters(), &process).unwrap();
        let head = go_on(open(&plugins).request_headers(get("/"), true).await);
        for ((call, expected), status) in calls.iter().zip(values(&head.headers, "r")) {
            assert_eq!(status, *expected, "{call}");
        }
        let text = metrics(&process);
        assert!(
            text.contains("postern_guest_c{plugin=\"guest\",name=\"c\"} 10\n"),
            "{text}"
        );
        assert!(
            text.contains("postern_guest_g{plugin=\"guest\",name=\"g\"} -3\n"),
            "{text}"
        );
        assert!(
            text.contains("postern_guest_h_count{plugin=\"guest\",name=\"h\"} 1\n"),
            "{text}"
        );
    });
}

#[test]
fn a_guest_may_define_its_metric_in_every_request() {
    on_a_worker(async {
        // The same one 20,000 times; the last id is as good as the first.
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (local $left i32) (local.set $left (i32.const 20000))
                 (loop $again
                   (if (call $define_metric (i32.const 0) {requests.seen} (i32.const 2000)) (then unreachable))
                   (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                   (br_if $again (local.get $left)))
                 (call $report (call $increment_metric (i32.load (i32.const 2000)) (i64.const 1)))
                 (i32.const 0))"#,
        );
        let mut config = config(&wasm);
        config.limits.call = CallTime(Duration::from_secs(10));
        let process = PluginProcess::new();
        let plugins = start(&[config], no_clusters(), &process).unwrap();
        let head = go_on(open(&plugins).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "r"), ["00"]);
        let text = metrics(&process);
        assert!(
            text.contains("postern_guest_requests_seen{plugin=\"guest\",name=\"requests.seen\"} 1\n"),
            "{text}"
        );
    });
}
