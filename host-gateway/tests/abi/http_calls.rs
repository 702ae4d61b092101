//! HTTP calls: sent, answered, failed, and what happens when nobody waits any more.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use postern_gateway::plugin::{ByteSize, Compat, PluginProcess, Plugins};

use crate::harness::*;

/// `POST /check` with a body and a field to the cluster `auth`, the pairs at 500.
pub const CALL: &str = r#"
  (func $call (param $timeout i32) (result i32)
    (memory.copy (i32.const 500) {\04\00\00\00\07\00\00\00\04\00\00\00\05\00\00\00\06\00\00\00\0a\00\00\00\06\00\00\00\03\00\00\00\01\00\00\00:method\00POST\00:path\00/check\00:authority\00auth:1\00x-a\001\00})
    (call $http_call {auth} (i32.const 500) (i32.const 86) {hello} {} (local.get $timeout) (i32.const 1500)))
"#;

/// Pauses each request and calls; what it does with the answer is up to the test.
fn calls(timeout: u32, on_answer: &str) -> Vec<u8> {
    guest(&format!(
        r#"{CALL}
           (global $stream (mut i32) (i32.const 0))
           (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
             (call $show_trace)
             (global.set $stream (local.get $id))
             (call $report (call $call (i32.const {timeout})))
             (i32.const 1))
           (func (export "proxy_on_http_call_response")
             (param $root i32) (param $call i32) (param $headers i32) (param $body i32) (param $trailers i32)
             {on_answer})"#
    ))
}

async fn with_cluster(wasm: &[u8], answer: impl Fn(&str) -> Option<String> + 'static) -> Rc<Plugins> {
    start(&[config(wasm)], cluster("auth", answer).await, &PluginProcess::new()).unwrap()
}

const RESUME: &str =
    "(drop (call $set_effective_context (global.get $stream))) (drop (call $continue_stream (i32.const 0)))";

#[test]
fn an_answer_resumes_the_request_it_was_asked_for() {
    on_a_worker(async {
        let wasm = calls(
            1000,
            &format!(
                r#"(drop (call $get_header_map_pairs (i32.const 6) (i32.const 2000) (i32.const 2004)))
                   (drop (call $set_effective_context (global.get $stream)))
                   (call $show_number (local.get $headers))
                   (call $show_number (local.get $body))
                   (drop (call $get_header_map_value (i32.const 6) {{:status}} (i32.const 2000) (i32.const 2004))) (call $show)
                   (drop (call $get_header_map_value (i32.const 6) {{X-From}} (i32.const 2000) (i32.const 2004))) (call $show)
                   (drop (call $get_buffer_bytes (i32.const 4) (i32.const 0) (i32.const 99) (i32.const 2000) (i32.const 2004))) (call $show)
                   (call $report (call $get_status (i32.const 2000) (i32.const 2004) (i32.const 2008)))
                   {RESUME}"#
            ),
        );
        let asked = Rc::new(RefCell::new(String::new()));
        let kept = Rc::clone(&asked);
        let plugins = with_cluster(&wasm, move |request| {
            kept.borrow_mut().push_str(request);
            ok("allowed")
        })
        .await;
        let head = go_on(open(&plugins).request_headers(get("/"), true).await);
        let asked = asked.borrow().to_ascii_lowercase();
        assert!(asked.starts_with("post /check http/1.1\r\n"), "{asked}");
        assert!(
            asked.contains("host: auth:1\r\n") && asked.contains("x-a: 1\r\n"),
            "{asked}"
        );
        assert!(asked.ends_with("\r\n\r\nhello"), "{asked}");
        // :status, x-from, content-length
        assert_eq!(values(&head.headers, "n"), ["00000003", "00000007"]);
        assert_eq!(values(&head.headers, "v"), ["200", "cluster", "allowed"]);
        assert_eq!(values(&head.headers, "r"), ["00", "00"]);
    });
}

/// Traces `0` for a failed call, `1` for an answered one, and the status of the call's end.
const TRACE_END: &str = "(call $trace (i32.add (i32.const 48) (i32.gt_u (local.get $headers) (i32.const 0))))
    (drop (call $get_status (i32.const 1600) (i32.const 2000) (i32.const 2004)))
    (call $trace (i32.add (i32.const 97) (i32.load (i32.const 1600))))";

#[test]
fn a_failed_call_is_told_once() {
    on_a_worker(async {
        let half = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
        for (timeout, answer, began) in [
            (30, None, false),
            (1000, Some("not HTTP\r\n\r\n".to_owned()), false),
            (1000, Some(half.to_owned()), true),
        ] {
            for compat in [Compat::Envoy, Compat::Spec] {
                let mut config = config(&calls(timeout, &format!("{TRACE_END} {RESUME}")));
                config.compat = compat;
                let given = answer.clone();
                let clusters = cluster("auth", move |_| given.clone()).await;
                let plugins = start(&[config], clusters, &PluginProcess::new()).unwrap();
                go_on(open(&plugins).request_headers(get("/"), true).await);
                tokio::time::sleep(Duration::from_millis(60)).await;
                // Envoy answers in the place of an upstream that says nothing. 11: broken connection
                let expected = if compat == Compat::Envoy && !began { "1a" } else { "0l" };
                let head = go_on(open(&plugins).request_headers(get("/"), true).await);
                assert_eq!(values(&head.headers, "t"), [expected], "{answer:?} {compat:?}");
            }
        }
    });
}

/// What a guest reads of a call that nobody answers: `:status` or another name, and the body.
async fn unanswered(compat: Compat, name: &str) -> Vec<String> {
    let wasm = calls(
        30,
        &format!(
            r#"(drop (call $set_effective_context (global.get $stream)))
               (if (i32.eqz (call $get_header_map_value (i32.const 6) {{{name}}} (i32.const 2000) (i32.const 2004)))
                 (then (call $show)))
               (if (i32.eqz (call $get_buffer_bytes (i32.const 4) (i32.const 0) (i32.const 99) (i32.const 2000) (i32.const 2004)))
                 (then (call $show)))
               {RESUME}"#
        ),
    );
    let mut config = config(&wasm);
    config.compat = compat;
    let plugins = start(&[config], cluster("auth", |_| None).await, &PluginProcess::new()).unwrap();
    let head = go_on(open(&plugins).request_headers(get("/"), true).await);
    values(&head.headers, "v")
}

#[test]
fn how_a_call_failed_is_shown_as_the_host_shows_it_that_the_plugin_was_written_for() {
    on_a_worker(async {
        let late = ["504", "upstream request timeout"];
        assert_eq!(unanswered(Compat::Envoy, ":status").await, late);
        assert_eq!(unanswered(Compat::Envoy, ":dispatch_status").await, late[1..]);
        assert_eq!(unanswered(Compat::Spec, ":status").await, [""; 0]);
        assert_eq!(unanswered(Compat::Nginx, ":status").await, [""; 0]);
        assert_eq!(unanswered(Compat::Nginx, ":dispatch_status").await, ["timeout"]);
    });
}

#[test]
fn a_call_that_cannot_be_sent_is_refused_at_once() {
    on_a_worker(async {
        let plugins = plugin(&calls(100, "unreachable"));
        // The cluster is unknown here; the stream stays paused, so what was reported is not seen: a trap would be.
        let mut stream = open(&plugins);
        let paused = tokio::time::timeout(Duration::from_millis(30), stream.request_headers(get("/"), true)).await;
        assert!(paused.is_err());

        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $report (call $http_call {nowhere} {\01\00\00\00\05\00\00\00\01\00\00\00:path\00/\00} {} {} (i32.const 1) (i32.const 1500)))
                 (call $report (call $http_call {auth} {\01\00\00\00\05\00\00\00\01\00\00\00:path\00/\00} {} {} (i32.const 1) (i32.const 1500)))
                 (call $report (call $http_call {auth} {} {} {} (i32.const 1) (i32.const 1500)))
                 (call $report (call $http_call {auth} {} {} {} (i32.const 1) (i32.const -1)))
                 (i32.const 0))"#,
        );
        let plugins = with_cluster(&wasm, |_| panic!("nothing is sent")).await;
        let head = go_on(open(&plugins).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "r"), ["02", "02", "02", "06"]);
        a_moment().await;
    });
}

#[test]
fn what_a_cluster_does_not_take_is_refused_at_once() {
    on_a_worker(async {
        // One connection is opened and never answered on, one call waits for it; by gRPC nobody waits.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let clusters = cluster_with(
            "auth",
            &format!(
                "{{ endpoints: [ \"{}\" ], max_connections: 1, max_pending: 1 }}",
                silent.local_addr().unwrap()
            ),
        );
        let wasm = guest(&format!(
            r#"{CALL}
               (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $report (call $call (i32.const 60000)))
                 (call $report (call $call (i32.const 60000)))
                 (call $report (call $call (i32.const 60000)))
                 (call $report (call $grpc_call {{auth}} {{Service}} {{Method}} {{}} {{}} (i32.const 0) (i32.const 1500)))
                 (i32.const 0))"#
        ));
        let process = PluginProcess::new();
        let plugins = start(&[config(&wasm)], clusters, &process).unwrap();
        let head = go_on(open(&plugins).request_headers(get("/"), true).await);
        assert_eq!(
            values(&head.headers, "r"),
            ["00", "00", "10", "10"],
            "none of them is sent yet"
        );
        a_moment().await;
        let head = go_on(open(&plugins).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "r"), ["10"; 4], "one is under way, one waits");
        let refused = "postern_plugin_calls_refused_total{plugin=\"guest\"} 6";
        assert!(metrics(&process).contains(refused), "{}", metrics(&process));
    });
}

#[test]
fn an_answer_is_delivered_after_the_client_has_gone() {
    on_a_worker(async {
        let wasm = calls(
            1000,
            &format!(
                "{TRACE_END} (call $trace (i32.add (i32.const 97) (call $set_effective_context (global.get $stream)))) {RESUME}"
            ),
        );
        let plugins = with_cluster(&wasm, |_| ok("")).await;
        let mut stream = open(&plugins);
        tokio::select! {
            biased;
            verdict = stream.request_headers(get("/"), true) => panic!("not paused: {verdict:?}"),
            () = std::future::ready(()) => {}
        }
        drop(stream);
        tokio::time::sleep(Duration::from_millis(50)).await;
        // Answered, and the context is unknown by then: BAD_ARGUMENT.
        let head = go_on(open(&plugins).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "t"), ["1ac"]);
    });
}

#[test]
fn an_answer_may_refuse_the_request() {
    on_a_worker(async {
        let wasm = calls(
            1000,
            "(drop (call $set_effective_context (global.get $stream)))
             (drop (call $send_local_response (i32.const 403) {} {no} {} (i32.const -1)))
             (drop (call $continue_stream (i32.const 0)))",
        );
        let plugins = with_cluster(&wasm, |_| ok("")).await;
        let refused = response(open(&plugins).request_headers(get("/"), true).await);
        assert_eq!((refused.status.as_u16(), &refused.body[..]), (403, &b"no"[..]));
    });
}

#[test]
fn calls_of_one_vm_have_ids_of_their_own() {
    on_a_worker(async {
        let wasm = calls(
            1000,
            &format!("(call $trace (i32.add (i32.const 96) (local.get $call))) {RESUME}"),
        );
        let plugins = with_cluster(&wasm, |_| ok("")).await;
        for _ in 0..3 {
            go_on(open(&plugins).request_headers(get("/"), true).await);
        }
        let head = go_on(open(&plugins).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "t"), ["abc"]);
    });
}

#[test]
fn trailers_go_both_ways() {
    on_a_worker(async {
        let call = CALL.replace(
            "{hello} {}",
            "{hello} {\\01\\00\\00\\00\\03\\00\\00\\00\\01\\00\\00\\00x-t\\007\\00}",
        );
        let wasm = guest(&format!(
            r#"{call}
               (global $stream (mut i32) (i32.const 0))
               (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
                 (global.set $stream (local.get $id))
                 (if (call $call (i32.const 1000)) (then unreachable))
                 (i32.const 1))
               (func (export "proxy_on_http_call_response")
                 (param $root i32) (param $call i32) (param $headers i32) (param $body i32) (param $trailers i32)
                 (drop (call $set_effective_context (global.get $stream)))
                 (call $show_number (local.get $body))
                 (call $show_number (local.get $trailers))
                 (drop (call $get_header_map_value (i32.const 7) {{x-sum}} (i32.const 2000) (i32.const 2004))) (call $show)
                 (drop (call $continue_stream (i32.const 0))))"#
        ));
        let asked = Rc::new(RefCell::new(String::new()));
        let kept = Rc::clone(&asked);
        let plugins = with_cluster(&wasm, move |request| {
            kept.replace(request.to_ascii_lowercase());
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
            Some(format!("{head}3\r\nabc\r\n0\r\nx-sum: 9\r\n\r\n"))
        })
        .await;
        let head = go_on(open(&plugins).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "n"), ["00000003", "00000001"]);
        assert_eq!(values(&head.headers, "v"), ["9"]);
        let asked = asked.take();
        assert!(asked.contains("trailer: x-t\r\n"), "{asked}");
        assert!(asked.ends_with("\r\nhello\r\n0\r\nx-t: 7\r\n\r\n"), "{asked}");
    });
}

/// Calls or messages of 30000 bytes at each request, where so many bytes may be under way.
async fn greedy(
    three: &str,
    most: u64,
    answer: impl Fn(&str) -> Option<String> + 'static,
) -> (Rc<Plugins>, Arc<PluginProcess>) {
    let wasm = guest(&format!(
        r#"{} (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {three} (i32.const 0))
           (func (export "proxy_on_http_call_response") (param i32 i32) (param $headers i32) (param i32 i32)
             (if (i32.eqz (local.get $headers)) (then (call $trace (i32.const 102)))))"#,
        CALL.replace("{hello}", "(i32.const 0) (i32.const 30000)")
    ));
    let mut config = config(&wasm);
    config.limits.call_bytes = ByteSize(most);
    let process = PluginProcess::new();
    let plugins = start(&[config], cluster("auth", answer).await, &process).unwrap();
    (plugins, process)
}

const THREE_CALLS: &str = "(call $show_trace) (call $report (call $call (i32.const 1000)))
    (call $report (call $call (i32.const 1000))) (call $report (call $call (i32.const 1000)))";

#[test]
fn calls_under_way_hold_so_many_bytes_together() {
    on_a_worker(async {
        let (plugins, process) = greedy(THREE_CALLS, 70_000, |_| ok("")).await;
        for _ in 0..2 {
            let head = go_on(open(&plugins).request_headers(get("/"), true).await);
            assert_eq!(values(&head.headers, "r"), ["00", "00", "10"]);
            // Once they are answered there is room again.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let refused = "postern_plugin_calls_refused_total{plugin=\"guest\"} 2";
        assert!(metrics(&process).contains(refused), "{}", metrics(&process));
    });
}

#[test]
fn an_answer_that_does_not_fit_any_more_is_a_failure() {
    on_a_worker(async {
        let one = "(call $show_trace) (call $report (call $call (i32.const 1000)))";
        let (plugins, _) = greedy(one, 35_000, |_| ok(&"a".repeat(40_000))).await;
        go_on(open(&plugins).request_headers(get("/"), true).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let head = go_on(open(&plugins).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "t"), ["f"]);
    });
}

#[test]
fn messages_of_grpc_streams_count_too() {
    on_a_worker(async {
        let send = "(call $report (call $grpc_send (i32.load (i32.const 1500)) (i32.const 0) (i32.const 30000) (i32.const 0)))";
        let three = format!(
            "(call $report (call $grpc_stream {{auth}} {{a.B}} {{C}} {{}} (i32.const 1500))) {send} {send} {send}"
        );
        let (plugins, _) = greedy(&three, 70_000, |_| None).await;
        let head = go_on(open(&plugins).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "r"), ["00", "00", "00", "10"]);
    });
}
