//! While the answer to a call is told: what belongs to it is there and cannot be changed, and nothing else is there.

use http::HeaderMap;

use super::*;
use crate::grpc_calls::{fields, framed, server};
use crate::http_calls::CALL;

#[test]
fn no_argument_ends_the_vm_while_the_answer_of_an_http_call_is_told() {
    on_a_worker(async {
        let wasm = bare(&format!(
            r#"{MEMORY} {CALL} {}
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (drop (call $call (i32.const 60000))) (i32.const 0))
               (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) (call $storm))"#,
            storm()
        ));
        let (plugins, process) = started(patient(&wasm), cluster("auth", |_| ok("answer")).await);
        go_on(open(&plugins).request_headers(get("/"), true).await);
        returned(&process, "proxy_on_http_call_response").await;
        has_not_failed(&process);
    });
}

/// Each call with its status while an answer with the body `answer` and no trailers is told.
const OF_AN_ANSWER: &[(&str, u32)] = &[
    // The body: what lies outside is left out.
    (
        "get_buffer_bytes (i32.const 4) (i32.const 0) (i32.const -1) (i32.const 2000) (i32.const 2004)",
        0,
    ),
    (
        "get_buffer_bytes (i32.const 4) (i32.const -1) (i32.const -1) (i32.const 2000) (i32.const 2004)",
        0,
    ),
    (
        "get_buffer_bytes (i32.const 4) (i32.const 0x7fffffff) (i32.const 1) (i32.const 2000) (i32.const 2004)",
        0,
    ),
    (
        "get_buffer_bytes (i32.const 4) (i32.const 1) (i32.const 0) (i32.const 2001) (i32.const 2003)",
        0,
    ),
    (
        "get_buffer_bytes (i32.const 4) (i32.const 0) (i32.const 1) (i32.const -4) (i32.const 2004)",
        6,
    ),
    (
        "get_buffer_bytes (i32.const 4) (i32.const 0) (i32.const 1) (i32.const 2000) (i32.const -1)",
        6,
    ),
    ("get_buffer_status (i32.const 4) (i32.const 2000) (i32.const 2004)", 0),
    ("get_buffer_status (i32.const 4) (i32.const -2) (i32.const 2004)", 6),
    ("set_buffer_bytes (i32.const 4) (i32.const 0) (i32.const -1) {a}", 2),
    (
        "set_buffer_bytes (i32.const 4) (i32.const -1) (i32.const 0) (i32.const -4) (i32.const 8)",
        2,
    ),
    // Bodies, data and messages of something else.
    (
        "get_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 2000) (i32.const 2004)",
        1,
    ),
    (
        "get_buffer_bytes (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 2000) (i32.const 2004)",
        1,
    ),
    (
        "get_buffer_bytes (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 2000) (i32.const 2004)",
        1,
    ),
    (
        "get_buffer_bytes (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 2000) (i32.const 2004)",
        1,
    ),
    (
        "get_buffer_bytes (i32.const 5) (i32.const 0) (i32.const 1) (i32.const 2000) (i32.const 2004)",
        1,
    ),
    (
        "get_buffer_bytes (i32.const 8) (i32.const 0) (i32.const 1) (i32.const 2000) (i32.const 2004)",
        1,
    ),
    (
        "get_buffer_bytes (i32.const 9) (i32.const 0) (i32.const 1) (i32.const 2000) (i32.const 2004)",
        2,
    ),
    // The fields.
    (
        "get_header_map_value (i32.const 6) {:status} (i32.const 2000) (i32.const 2004)",
        0,
    ),
    (
        "get_header_map_value (i32.const 6) {:status} (i32.const 2001) (i32.const 2003)",
        0,
    ),
    (
        "get_header_map_value (i32.const 6) {:status} (i32.const -4) (i32.const 2004)",
        6,
    ),
    (
        "get_header_map_value (i32.const 6) (i32.const -4) (i32.const 8) (i32.const 2000) (i32.const 2004)",
        6,
    ),
    (
        "get_header_map_value (i32.const 6) (i32.const 0) (i32.const -1) (i32.const 2000) (i32.const 2004)",
        6,
    ),
    (
        "get_header_map_value (i32.const 6) {:path} (i32.const 2000) (i32.const 2004)",
        1,
    ),
    (
        "get_header_map_value (i32.const 6) {\\00\\ff} (i32.const 2000) (i32.const 2004)",
        1,
    ),
    (
        "get_header_map_value (i32.const 6) {} (i32.const 2000) (i32.const 2004)",
        1,
    ),
    (
        "get_header_map_pairs (i32.const 6) (i32.const 2000) (i32.const 2004)",
        0,
    ),
    ("get_header_map_pairs (i32.const 6) (i32.const 2000) (i32.const -4)", 6),
    ("get_header_map_size (i32.const 6) (i32.const 2001)", 0),
    ("get_header_map_size (i32.const 6) (i32.const -1)", 6),
    ("add_header_map_value (i32.const 6) {x-a} {b}", 2),
    ("replace_header_map_value (i32.const 6) {:status} {500}", 2),
    ("remove_header_map_value (i32.const 6) {:status}", 2),
    ("set_header_map_pairs (i32.const 6) {}", 2),
    ("set_header_map_pairs (i32.const 6) (i32.const -4) (i32.const 8)", 6),
    // Trailers that there are not, and fields of something else.
    (
        "get_header_map_value (i32.const 7) {x-a} (i32.const 2000) (i32.const 2004)",
        1,
    ),
    (
        "get_header_map_pairs (i32.const 7) (i32.const 2000) (i32.const 2004)",
        0,
    ),
    ("add_header_map_value (i32.const 7) {x-a} {b}", 2),
    (
        "get_header_map_value (i32.const 0) {:path} (i32.const 2000) (i32.const 2004)",
        1,
    ),
    (
        "get_header_map_value (i32.const 2) {:status} (i32.const 2000) (i32.const 2004)",
        1,
    ),
    (
        "get_header_map_value (i32.const 4) {x-a} (i32.const 2000) (i32.const 2004)",
        1,
    ),
    (
        "get_header_map_value (i32.const 5) {grpc-status} (i32.const 2000) (i32.const 2004)",
        1,
    ),
    (
        "get_header_map_value (i32.const 8) {:status} (i32.const 2000) (i32.const 2004)",
        2,
    ),
    ("add_header_map_value (i32.const 0) {x-a} {b}", 2),
    // How it ended.
    ("get_status (i32.const 2000) (i32.const 2004) (i32.const 2008)", 0),
    ("get_status (i32.const 2001) (i32.const 2001) (i32.const 2001)", 0),
    ("get_status (i32.const -4) (i32.const 2004) (i32.const 2008)", 6),
    ("get_status (i32.const 2000) (i32.const -4) (i32.const 2008)", 6),
    ("get_status (i32.const 2000) (i32.const 2004) (i32.const -4)", 6),
    // A call of each kind, with something of it outside of memory.
    (
        "http_call {auth} (i32.const -4) (i32.const 8) {} {} (i32.const 1) (i32.const 2000)",
        6,
    ),
    (
        "http_call {auth} {} (i32.const -4) (i32.const 8) {} (i32.const 1) (i32.const 2000)",
        6,
    ),
    (
        "http_call {auth} {} {} (i32.const -4) (i32.const 8) (i32.const 1) (i32.const 2000)",
        6,
    ),
    (
        "http_call (i32.const -4) (i32.const 8) {} {} {} (i32.const 1) (i32.const 2000)",
        6,
    ),
    ("http_call {auth} {} {} {} (i32.const -1) (i32.const -4)", 6),
    ("http_call {auth} {} {} {} (i32.const -1) (i32.const 2000)", 2),
    ("http_call {\\ff\\00} {} {} {} (i32.const 1) (i32.const 2000)", 2),
    // Fields that say they are more than they are.
    (
        "http_call {auth} {\\ff\\ff\\ff\\ff} {} {} (i32.const 1) (i32.const 2000)",
        2,
    ),
    (
        "http_call {auth} {\\01\\00\\00\\00\\ff\\ff\\ff\\ff\\01\\00\\00\\00a\\00b\\00} {} {} (i32.const 1) (i32.const 2000)",
        2,
    ),
];

#[test]
fn of_the_answer_of_an_http_call_each_function_has_its_status() {
    on_a_worker(async {
        let wasm = guest(&format!(
            r#"{CALL}
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $show_trace) (drop (call $call (i32.const 60000))) (i32.const 0))
               (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) {})"#,
            noted(OF_AN_ANSWER.iter().map(|(call, _)| *call))
        ));
        let (plugins, process) = started(config(&wasm), cluster("auth", |_| ok("answer")).await);
        go_on(open(&plugins).request_headers(get("/"), true).await);
        returned(&process, "proxy_on_http_call_response").await;
        let statuses = statuses(&trace(&plugins).await);
        assert_eq!(statuses.len(), OF_AN_ANSWER.len());
        for ((call, expected), status) in OF_AN_ANSWER.iter().zip(statuses) {
            assert_eq!(status, *expected, "{call}");
        }
    });
}

/// A call of gRPC and two streams, to a server that answers each with one message. The storm ends the first of them, whose
/// id is a hostile value.
const ALL_OF_GRPC: &str = r#"
  (if (call $grpc_stream {grpc} {Service} {Method} {} (i32.const 2100)) (then unreachable))
  (if (call $grpc_call {grpc} {Service} {Method} {} {hello} (i32.const 60000) (i32.const 2104)) (then unreachable))
  (if (call $grpc_stream {grpc} {Service} {Method} {} (i32.const 2108)) (then unreachable))
  (if (call $grpc_send (i32.load (i32.const 2100)) {one} (i32.const 1)) (then unreachable))
  (if (call $grpc_send (i32.load (i32.const 2108)) {one} (i32.const 1)) (then unreachable))"#;

async fn grpc_server() -> Rc<Clusters> {
    server(|_, _| {
        let end = fields(&[("grpc-status", "0"), ("x-last", "1")]);
        Some((200, fields(&[("x-begun", "1")]), framed("answer"), end))
    })
    .await
}

#[test]
fn no_argument_ends_the_vm_while_something_is_heard_by_grpc() {
    on_a_worker(async {
        let heard: String = [
            "receive_initial_metadata",
            "receive",
            "receive_trailing_metadata",
            "close",
        ]
        .iter()
        .map(|event| format!(r#"(func (export "proxy_on_grpc_{event}") (param i32 i32 i32) (call $storm))"#))
        .collect();
        let wasm = bare(&format!(
            r#"{MEMORY} {} {heard}
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {ALL_OF_GRPC} (i32.const 0))"#,
            storm()
        ));
        let (plugins, process) = started(patient(&wasm), grpc_server().await);
        go_on(open(&plugins).request_headers(get("/"), true).await);
        returned(&process, "proxy_on_grpc_close").await;
        has_not_failed(&process);
    });
}

/// Each call with its status in the four callbacks of a stream whose id is at 2100, in their order.
const OF_A_STREAM: &[(&str, [u32; 4])] = &[
    (
        "get_buffer_bytes (i32.const 5) (i32.const 0) (i32.const -1) (i32.const 2000) (i32.const 2004)",
        [1, 0, 1, 1],
    ),
    (
        "get_buffer_bytes (i32.const 5) (i32.const -1) (i32.const -1) (i32.const 2000) (i32.const 2004)",
        [1, 0, 1, 1],
    ),
    (
        "get_buffer_bytes (i32.const 5) (i32.const 0) (i32.const 1) (i32.const -4) (i32.const 2004)",
        [1, 6, 1, 1],
    ),
    (
        "get_buffer_status (i32.const 5) (i32.const 2000) (i32.const -4)",
        [1, 6, 1, 1],
    ),
    (
        "set_buffer_bytes (i32.const 5) (i32.const 0) (i32.const -1) {a}",
        [2; 4],
    ),
    (
        "get_buffer_bytes (i32.const 4) (i32.const 0) (i32.const 1) (i32.const 2000) (i32.const 2004)",
        [1; 4],
    ),
    (
        "get_header_map_value (i32.const 4) {x-begun} (i32.const 2000) (i32.const 2004)",
        [0, 1, 1, 1],
    ),
    (
        "get_header_map_value (i32.const 4) {x-begun} (i32.const -4) (i32.const 2004)",
        [6, 1, 1, 1],
    ),
    (
        "get_header_map_value (i32.const 4) (i32.const -4) (i32.const 8) (i32.const 2000) (i32.const 2004)",
        [6; 4],
    ),
    (
        "get_header_map_pairs (i32.const 4) (i32.const -4) (i32.const 2004)",
        [6; 4],
    ),
    (
        "get_header_map_value (i32.const 5) {x-last} (i32.const 2000) (i32.const 2004)",
        [1, 1, 0, 1],
    ),
    (
        "get_header_map_value (i32.const 5) {x-last} (i32.const 2000) (i32.const -4)",
        [1, 1, 6, 1],
    ),
    ("get_header_map_size (i32.const 5) (i32.const -1)", [6; 4]),
    (
        "get_header_map_value (i32.const 6) {:status} (i32.const 2000) (i32.const 2004)",
        [1; 4],
    ),
    ("add_header_map_value (i32.const 4) {x-a} {b}", [2; 4]),
    ("replace_header_map_value (i32.const 5) {grpc-status} {1}", [2; 4]),
    ("remove_header_map_value (i32.const 5) {grpc-status}", [2; 4]),
    ("set_header_map_pairs (i32.const 4) {}", [2; 4]),
    ("get_status (i32.const 2000) (i32.const 2004) (i32.const 2008)", [0; 4]),
    ("get_status (i32.const -4) (i32.const 2004) (i32.const 2008)", [6; 4]),
    ("get_status (i32.const 2000) (i32.const 2004) (i32.const -4)", [6; 4]),
    // After its end nothing is sent; after its close it is not known any more.
    ("grpc_send (i32.load (i32.const 2100)) {a} (i32.const 0)", [0, 0, 0, 1]),
    (
        "grpc_send (i32.load (i32.const 2100)) (i32.const -4) (i32.const 8) (i32.const 0)",
        [6; 4],
    ),
    (
        "grpc_send (i32.load (i32.const 2100)) (i32.const 0) (i32.const -1) (i32.const 1)",
        [6; 4],
    ),
    ("grpc_close (i32.load (i32.const 2100))", [0, 0, 0, 1]),
    // Ids that are none: an even one is of a call, which has one message.
    ("grpc_send (i32.const 0) {a} (i32.const 0)", [2; 4]),
    ("grpc_send (i32.const -2) {a} (i32.const 0)", [2; 4]),
    ("grpc_send (i32.const -1) {a} (i32.const 0)", [1; 4]),
    ("grpc_cancel (i32.const 0)", [1; 4]),
    ("grpc_cancel (i32.const -1)", [1; 4]),
    ("grpc_close (i32.const -2)", [1; 4]),
    // Calls and streams with something outside of memory, to nobody, or with fields that are none.
    ("grpc_call {grpc} {a} {b} {} {} (i32.const 1) (i32.const -4)", [6; 4]),
    (
        "grpc_call {grpc} (i32.const -4) (i32.const 8) {b} {} {} (i32.const 1) (i32.const 2200)",
        [6; 4],
    ),
    (
        "grpc_call {grpc} {a} (i32.const -4) (i32.const 8) {} {} (i32.const 1) (i32.const 2200)",
        [6; 4],
    ),
    (
        "grpc_call {grpc} {a} {b} (i32.const -4) (i32.const 8) {} (i32.const 1) (i32.const 2200)",
        [6; 4],
    ),
    (
        "grpc_call {grpc} {a} {b} {} (i32.const 0) (i32.const -1) (i32.const 1) (i32.const 2200)",
        [6; 4],
    ),
    ("grpc_call {none} {a} {b} {} {} (i32.const -1) (i32.const 2200)", [4; 4]),
    (
        "grpc_call {grpc} {a b} {\\00} {} {} (i32.const 1) (i32.const 2200)",
        [4; 4],
    ),
    (
        "grpc_call {grpc} {a} {b} {\\ff\\ff\\ff\\ff} {} (i32.const 1) (i32.const 2200)",
        [4; 4],
    ),
    ("grpc_stream {grpc} {a} {b} {} (i32.const -4)", [6; 4]),
    (
        "grpc_stream {grpc} {a} {b} (i32.const -4) (i32.const 8) (i32.const 2200)",
        [6; 4],
    ),
    (
        "grpc_stream (i32.const 0) (i32.const -1) {a} {b} {} (i32.const 2200)",
        [6; 4],
    ),
    // Envoy's message with a length that it does not have.
    (
        "grpc_stream {\\0a\\ff\\ff\\ff\\ff\\0f} {a} {b} {} (i32.const 2200)",
        [4; 4],
    ),
];

#[test]
fn of_what_is_heard_by_grpc_each_function_has_its_status() {
    on_a_worker(async {
        let heard: String = [
            "receive_initial_metadata",
            "receive",
            "receive_trailing_metadata",
            "close",
        ]
        .iter()
        .map(|event| format!(r#"(func (export "proxy_on_grpc_{event}") (param i32 i32 i32) (call $all))"#))
        .collect();
        let wasm = guest(&format!(
            r#"(global $asked (mut i32) (i32.const 0))
               (func $all {}) {heard}
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $show_trace)
                 (if (i32.eqz (global.get $asked)) (then
                   (global.set $asked (i32.const 1))
                   (if (call $grpc_stream {{grpc}} {{Service}} {{Method}} {{}} (i32.const 2100)) (then unreachable))
                   (if (call $grpc_send (i32.load (i32.const 2100)) {{one}} (i32.const 1)) (then unreachable))))
                 (i32.const 0))"#,
            noted(OF_A_STREAM.iter().map(|(call, _)| *call))
        ));
        let (plugins, process) = started(config(&wasm), grpc_server().await);
        go_on(open(&plugins).request_headers(get("/"), true).await);
        returned(&process, "proxy_on_grpc_close").await;
        let statuses = statuses(&trace(&plugins).await);
        assert_eq!(statuses.len(), 4 * OF_A_STREAM.len());
        for (place, (call, expected)) in OF_A_STREAM.iter().enumerate() {
            let seen = [0, 1, 2, 3].map(|callback| statuses[callback * OF_A_STREAM.len() + place]);
            assert_eq!(seen, *expected, "{call}");
        }
    });
}

/// The server's head has no body and no status of gRPC.
#[test]
fn an_answer_that_is_no_grpc_is_told_as_its_end() {
    on_a_worker(async {
        let clusters = server(|_, _| Some((404, HeaderMap::new(), Vec::new(), HeaderMap::new()))).await;
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $show_trace)
                 (drop (call $grpc_call {grpc} {Service} {Method} {} {} (i32.const 60000) (i32.const 2100)))
                 (i32.const 0))
               (func (export "proxy_on_grpc_close") (param i32 i32) (param $status i32)
                 (call $trace (i32.add (i32.const 97) (local.get $status))))"#,
        );
        let (plugins, process) = started(config(&wasm), clusters);
        go_on(open(&plugins).request_headers(get("/"), true).await);
        returned(&process, "proxy_on_grpc_close").await;
        // UNIMPLEMENTED
        assert_eq!(statuses(&trace(&plugins).await)[..1], [12]);
    });
}
