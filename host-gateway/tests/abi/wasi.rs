//! The part of WASI that language runtimes need.

use crate::harness::*;

/// Calls functions of one module and reports what they return.
async fn errnos(module: &str, imports: &[(&str, &str)], calls: &[&str]) -> Vec<String> {
    let imports: String = imports
        .iter()
        .map(|(name, params)| format!(r#"(import "{module}" "{name}" (func ${name} (param {params}) (result i32)))"#))
        .collect();
    let calls: String = calls
        .iter()
        .map(|call| format!("(call $report (call ${call}))"))
        .collect();
    let wasm = guest_with(
        &imports,
        &format!(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {calls} (i32.const 0))"#
        ),
    );
    values(&first_head(&wasm).await.headers, "r")
}

#[test]
fn functions_answer_under_both_names() {
    on_a_worker(async {
        for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
            let answers = errnos(
                module,
                &[
                    ("fd_write", "i32 i32 i32 i32"),
                    ("fd_close", "i32"),
                    ("fd_fdstat_get", "i32 i32"),
                    ("fd_prestat_get", "i32 i32"),
                    ("fd_seek", "i32 i64 i32 i32"),
                    ("clock_time_get", "i32 i64 i32"),
                    ("random_get", "i32 i32"),
                    ("environ_sizes_get", "i32 i32"),
                    ("environ_get", "i32 i32"),
                    ("args_sizes_get", "i32 i32"),
                    ("args_get", "i32 i32"),
                    ("poll_oneoff", "i32 i32 i32 i32"),
                    ("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32"),
                ],
                &[
                    "fd_write (i32.const 1) (i32.const 2000) (i32.const 0) (i32.const 2008)",
                    "fd_write (i32.const 3) (i32.const 2000) (i32.const 0) (i32.const 2008)",
                    "fd_close (i32.const 3)",
                    "fd_fdstat_get (i32.const 1) (i32.const 2000)",
                    "fd_prestat_get (i32.const 3) (i32.const 2000)",
                    "fd_seek (i32.const 1) (i64.const 0) (i32.const 0) (i32.const 2000)",
                    "clock_time_get (i32.const 0) (i64.const 1) (i32.const 2000)",
                    "clock_time_get (i32.const 1) (i64.const 1) (i32.const 2000)",
                    "clock_time_get (i32.const 2) (i64.const 1) (i32.const 2000)",
                    "random_get (i32.const 2000) (i32.const 16)",
                    "random_get (i32.const 2000) (i32.const 65537)",
                    "environ_sizes_get (i32.const 2000) (i32.const 2004)",
                    "environ_get (i32.const 2000) (i32.const 2004)",
                    "args_sizes_get (i32.const 2000) (i32.const 2004)",
                    "args_get (i32.const 2000) (i32.const 2004)",
                    "poll_oneoff (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 2000)",
                    "path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0)",
                ],
            )
            .await;
            assert_eq!(
                answers,
                [
                    "00", "08", "08", "00", "08", "08", "00", "00", "58", "00", "28", "00", "00", "00", "00", "00",
                    "52"
                ]
            );
        }
    });
}

#[test]
fn addresses_outside_of_memory_are_told() {
    on_a_worker(async {
        let answers = errnos(
            "wasi_snapshot_preview1",
            &[
                ("clock_time_get", "i32 i64 i32"),
                ("random_get", "i32 i32"),
                ("fd_write", "i32 i32 i32 i32"),
            ],
            &[
                "clock_time_get (i32.const 0) (i64.const 1) (i32.const -1)",
                "random_get (i32.const -1) (i32.const 1)",
                "fd_write (i32.const 1) (i32.const -1) (i32.const 1) (i32.const 2000)",
            ],
        )
        .await;
        // FAULT
        assert_eq!(answers, ["21"; 3]);
    });
}

#[test]
fn the_environment_is_that_of_the_configuration() {
    on_a_worker(async {
        let wasm = guest_with(
            r#"(import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
               (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))"#,
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $report (call $sizes (i32.const 2100) (i32.const 2004)))
                 (call $report (i32.load (i32.const 2100)))
                 (call $report (call $get (i32.const 2200) (i32.const 2300)))
                 ;; The second variable.
                 (i32.store (i32.const 2000) (i32.load (i32.const 2204)))
                 (i32.store (i32.const 2004) (i32.sub (i32.load (i32.const 2004))
                   (i32.add (i32.sub (i32.load (i32.const 2204)) (i32.load (i32.const 2200))) (i32.const 1))))
                 (call $show)
                 (i32.const 0))"#,
        );
        let mut config = config(&wasm);
        config.environment = [("A", "1"), ("NAME", "value")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let head = go_on(open(&plugins(&[config])).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "r"), ["00", "02", "00"]);
        assert_eq!(values(&head.headers, "v"), ["NAME=value"]);
    });
}
