//! Shared queues: between plugins, and between workers.

use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use postern_gateway::plugin::{PluginConfig, PluginProcess, Plugins};

use crate::harness::*;

/// Registers the queue `jobs` and traces what arrives there. A request shows whether another value waits.
fn consumer() -> Vec<u8> {
    guest(
        r#"(global $queue (mut i32) (i32.const 0))
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
             (if (call $register_shared_queue {jobs} (i32.const 2100)) (then unreachable))
             (global.set $queue (i32.load (i32.const 2100)))
             (i32.const 1))
           (func (export "proxy_on_queue_ready") (param $root i32) (param $ready i32)
             (if (i32.ne (local.get $ready) (global.get $queue)) (then unreachable))
             (if (call $dequeue_shared_queue (local.get $ready) (i32.const 2000) (i32.const 2004)) (then unreachable))
             ;; What stands at 3000 grows.
             (memory.copy (i32.add (i32.const 3000) (i32.load (i32.const 2900)))
               (i32.load (i32.const 2000)) (i32.load (i32.const 2004)))
             (i32.store (i32.const 2900) (i32.add (i32.load (i32.const 2900)) (i32.load (i32.const 2004)))))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (call $report (call $dequeue_shared_queue (global.get $queue) (i32.const 2000) (i32.const 2004)))
             (call $show_trace) (i32.const 0))"#,
    )
}

fn consumer_config() -> PluginConfig {
    let mut config = config(&consumer());
    config.vm_id = "work".to_owned();
    config
}

/// Puts the path of each request into the queue `jobs` of the VM `work`.
fn producer() -> Vec<u8> {
    guest(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (call $report (call $resolve_shared_queue {work} {jobs} (i32.const 2100)))
             (drop (call $get_header_map_value (i32.const 0) {:path} (i32.const 2000) (i32.const 2004)))
             (call $report (call $enqueue_shared_queue (i32.load (i32.const 2100))
               (i32.load (i32.const 2000)) (i32.load (i32.const 2004))))
             (i32.const 0))"#,
    )
}

async fn put(plugins: &Rc<Plugins>, path: &str) -> Vec<String> {
    let head = go_on(open(plugins).request_headers(get(path), true).await);
    values(&head.headers, "r")
}

#[test]
fn values_reach_the_vm_that_registered_last_in_order() {
    on_a_worker(async {
        let process = PluginProcess::new();
        let produces = start(&[config(&producer())], no_clusters(), &process).unwrap();
        assert_eq!(put(&produces, "/early").await, ["01", "01"], "there is no queue yet");
        let first = start(&[consumer_config()], no_clusters(), &process).unwrap();
        let second = start(&[consumer_config()], no_clusters(), &process).unwrap();
        for path in ["/1", "/2"] {
            assert_eq!(put(&produces, path).await, ["00", "00"]);
        }
        a_moment().await;
        assert_eq!(trace(&first).await, "");
        let head = go_on(open(&second).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "t"), ["/1/2"]);
        assert_eq!(values(&head.headers, "r"), ["07"], "the queue is empty");
    });
}

#[test]
fn values_cross_from_worker_to_worker() {
    let process = PluginProcess::new();
    let (ready, is_ready) = mpsc::channel();
    let (sent, is_sent) = mpsc::channel();
    let consuming = {
        let process = std::sync::Arc::clone(&process);
        std::thread::spawn(move || {
            on_a_worker(async {
                let plugins = start(&[consumer_config()], no_clusters(), &process).unwrap();
                ready.send(()).unwrap();
                is_sent.recv().unwrap();
                let mut seen = String::new();
                while seen.is_empty() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    seen = trace(&plugins).await;
                }
                assert_eq!(seen, "/job");
            });
        })
    };
    is_ready.recv().unwrap();
    on_a_worker(async {
        let plugins = start(&[config(&producer())], no_clusters(), &process).unwrap();
        assert_eq!(put(&plugins, "/job").await, ["00", "00"]);
    });
    sent.send(()).unwrap();
    consuming.join().unwrap();
}

#[test]
fn each_function_has_its_statuses() {
    on_a_worker(async {
        let head = first_head(&guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $report (call $register_shared_queue {mine} (i32.const 2100)))
                 (call $report (call $register_shared_queue {mine} (i32.const 2104)))
                 (call $report (i32.ne (i32.load (i32.const 2100)) (i32.load (i32.const 2104))))
                 (call $report (call $resolve_shared_queue {} {mine} (i32.const 2108)))
                 (call $report (i32.ne (i32.load (i32.const 2100)) (i32.load (i32.const 2108))))
                 (call $report (call $resolve_shared_queue {} {other} (i32.const 2108)))
                 (call $report (call $enqueue_shared_queue (i32.const 99) {x}))
                 (call $report (call $dequeue_shared_queue (i32.const 99) (i32.const 2000) (i32.const 2004)))
                 (call $report (call $dequeue_shared_queue (i32.load (i32.const 2100)) (i32.const 2000) (i32.const 2004)))
                 (call $report (call $enqueue_shared_queue (i32.load (i32.const 2100)) {}))
                 (call $report (call $dequeue_shared_queue (i32.load (i32.const 2100)) (i32.const 2000) (i32.const 2004)))
                 (call $report (i32.load (i32.const 2004)))
                 (call $report (call $register_shared_queue {mine} (i32.const -2)))
                 (i32.const 0))"#,
        ))
        .await;
        let expected = [
            "00", "00", "00", "00", "00", "01", "01", "01", "07", "00", "00", "00", "06",
        ];
        assert_eq!(values(&head.headers, "r"), expected);
    });
}

#[test]
fn a_queue_that_fills_itself_leaves_time_for_requests() {
    on_a_worker(async {
        // Every value brings two more; a request shows how often the queue was ready.
        let wasm = guest(
            r#"(global $told (mut i32) (i32.const 0))
               (func $put (drop (call $enqueue_shared_queue (i32.load (i32.const 2100)) {x})))
               (func (export "proxy_on_configure") (param i32 i32) (result i32)
                 (if (call $register_shared_queue {endless} (i32.const 2100)) (then unreachable))
                 (call $put)
                 (i32.const 1))
               (func (export "proxy_on_queue_ready") (param i32 i32)
                 (global.set $told (i32.add (global.get $told) (i32.const 1)))
                 (call $put) (call $put))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $show_number (global.get $told)) (i32.const 0))"#,
        );
        let plugins = plugin(&wasm);
        let told = async || {
            let head = go_on(open(&plugins).request_headers(get("/"), true).await);
            u32::from_str_radix(&values(&head.headers, "n").concat(), 16).unwrap()
        };
        for _ in 0..5 {
            let before = told().await;
            tokio::task::yield_now().await;
            let between = told().await - before;
            assert!(between < 10, "{between} calls before the next request had its turn");
        }
        a_moment().await;
        assert!(told().await > 1, "it goes on");
    });
}
