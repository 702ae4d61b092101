//! Functions that answer that there is nothing, and functions nobody knows.

use crate::harness::*;

#[test]
fn what_is_not_offered_says_so() {
    on_a_worker(async {
        let zeros = |count| " (i32.const 0)".repeat(count);
        let calls = [
            (format!("grpc_call{}", zeros(12)), "04"),
            (format!("grpc_stream{}", zeros(9)), "04"),
            (format!("grpc_cancel{}", zeros(1)), "01"),
            (format!("grpc_close{}", zeros(1)), "01"),
            (format!("resolve_shared_queue{}", zeros(5)), "01"),
            (format!("enqueue_shared_queue{}", zeros(3)), "01"),
            (format!("dequeue_shared_queue{}", zeros(3)), "01"),
            (format!("call_foreign_function {{sign}} {}", zeros(4)), "01"),
            ("continue_stream (i32.const 3)".to_owned(), "12"),
            ("continue_stream (i32.const 4)".to_owned(), "02"),
            ("close_stream (i32.const 2)".to_owned(), "12"),
            ("log (i32.const 6) {x}".to_owned(), "02"),
            ("get_log_level (i32.const 2000)".to_owned(), "00"),
            ("get_current_time_nanoseconds (i32.const -1)".to_owned(), "06"),
        ];
        let body: String = calls
            .iter()
            .map(|(call, _)| format!("(call $report (call ${call}))"))
            .collect();
        let head = first_head(&guest(&format!(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {body} (i32.const 0))"#
        )))
        .await;
        for ((call, expected), status) in calls.iter().zip(values(&head.headers, "r")) {
            assert_eq!(status, *expected, "{call}");
        }
    });
}

#[test]
fn an_unknown_function_ends_the_vm_only_when_it_is_called() {
    on_a_worker(async {
        let wasm = guest_with(
            r#"(import "env" "proxy_from_the_future" (func $future (param i64 f32) (result f64)))
               (import "elsewhere" "thing" (func $thing))"#,
            r#"(func (export "proxy_on_request_headers") (param i32 i32) (param $end i32) (result i32)
                 (if (i32.eqz (local.get $end)) (then (drop (call $future (i64.const 1) (f32.const 1)))))
                 (i32.const 0))"#,
        );
        let plugins = plugin(&wasm);
        go_on(open(&plugins).request_headers(get("/"), true).await);
        fails(open(&plugins).request_headers(get("/"), false).await);
    });
}

#[test]
fn what_emscripten_imports_is_there() {
    on_a_worker(async {
        let wasm = guest_with(
            r#"(import "env" "emscripten_notify_memory_growth" (func $grown (param i32)))
               (import "env" "pthread_equal" (func $equal (param i32 i32) (result i32)))"#,
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $grown (i32.const 0))
                 (i32.eqz (call $equal (i32.const 3) (i32.const 3))))"#,
        );
        first_head(&wasm).await;
    });
}

#[test]
fn functions_of_abi_0_1_0_are_there() {
    on_a_worker(async {
        let imports = r#"
            (import "env" "proxy_get_configuration" (func $configuration (param i32 i32) (result i32)))
            (import "env" "proxy_continue_request" (func $continue_request (result i32)))
            (import "env" "proxy_continue_response" (func $continue_response (result i32)))
            (import "env" "proxy_clear_route_cache" (func $clear_route_cache (result i32)))"#;
        let wasm = guest_with(
            imports,
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $report (call $configuration (i32.const 2000) (i32.const 2004))) (call $show)
                 (call $report (call $continue_response)) (call $report (call $clear_route_cache))
                 (call $report (call $continue_request))
                 (i32.const 1))"#,
        );
        let mut config = config(&wasm);
        config.configuration = Some("text".into());
        let head = go_on(open(&plugins(&[config])).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "r"), ["00"; 4]);
        assert_eq!(values(&head.headers, "v"), ["text"]);
    });
}
