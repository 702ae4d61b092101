//! Loading and starting: what is taken, and one sentence for what is not.

use postern_gateway::plugin::PluginProcess;

use crate::harness::*;

/// The error of a plugin that must not start.
fn refused(wasm: &[u8]) -> String {
    let mut error = String::new();
    on_a_worker(async {
        let Err(refused) = start(&[config(wasm)], no_clusters(), &PluginProcess::new()) else {
            panic!("it started")
        };
        error = refused.to_string();
    });
    assert!(
        !error.contains('\n') && error.starts_with("plugin \"guest\""),
        "{error}"
    );
    error
}

/// A module with no more than `exports` and the mark of an ABI.
fn marked(mark: &str, exports: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module (func (export "proxy_abi_version_{mark}")) {exports})"#
    ))
    .unwrap()
}

const MEMORY: &str = r#"(memory (export "memory") 1)"#;
const MALLOC: &str = r#"(func (export "malloc") (param i32) (result i32) (i32.const 0))"#;

#[test]
fn what_is_no_plugin_is_named() {
    for (wasm, reason) in [
        (b"#!/bin/sh".to_vec(), "is not a WebAssembly module"),
        (b"\0asm\x0d\0\x01\0".to_vec(), "is a WebAssembly component"),
        (b"\n(module)".to_vec(), "is WebAssembly as a text"),
        (wat::parse_str("(module)").unwrap(), "exports no proxy_abi_version_"),
        (marked("0_3_0", ""), "is built for proxy_abi_version_0_3_0"),
        (marked("0_2_1", ""), "exports no memory"),
        (marked("0_2_1", MEMORY), "neither proxy_on_memory_allocate nor malloc"),
        (
            marked("0_2_1", &format!(r#"{MEMORY}{MALLOC}(func (export "proxy_on_request_headers"))"#)),
            "proxy_on_request_headers does not have the type",
        ),
        (
            wat::parse_str(format!(
                r#"(module (import "env" "proxy_log" (func)) (func (export "proxy_abi_version_0_2_1")) {MEMORY}{MALLOC})"#
            ))
            .unwrap(),
            "imports do not fit",
        ),
        (guest(r#"(func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 0))"#), "refused to start"),
        (
            guest(r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 0))"#),
            "refused the configuration",
        ),
        (guest(r#"(func (export "_initialize") unreachable)"#), "_initialize failed"),
        (guest(r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) unreachable)"#), "proxy_on_configure failed"),
        (
            guest(r#"(func (export "_initialize") (drop (call $set_tick_period_milliseconds (i32.const 1))))"#),
            "before it was started",
        ),
    ] {
        let error = refused(&wasm);
        assert!(error.contains(reason), "{error} does not say: {reason}");
    }
}

#[test]
fn a_file_that_is_missing_is_named() {
    let mut config = config(&guest(""));
    config.wasm = "/nowhere/plugin.wasm".into();
    let Err(error) = load(&config) else { panic!("loaded") };
    assert!(
        error
            .to_string()
            .starts_with("plugin \"guest\": cannot read /nowhere/plugin.wasm: "),
        "{error}"
    );
}

#[test]
fn all_three_abis_start() {
    for abi in ["0_1_0", "0_2_0", "0_2_1"] {
        on_a_worker(async {
            plugin(&guest_of_abi(abi, ""));
        });
    }
}

#[test]
fn a_guest_is_initialized_then_created_started_and_configured() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "_initialize") (call $trace (i32.const 105)))
               (func (export "_start") (call $trace (i32.const 115)))
               (func (export "main") (param i32 i32) (result i32) (call $trace (i32.const 109)) (i32.const 0))
               (func (export "proxy_on_context_create") (param $id i32) (param $parent i32) (call $trace (i32.const 99)))
               (func (export "proxy_on_vm_start") (param $root i32) (param $size i32) (result i32)
                 (call $trace (i32.add (i32.const 48) (local.get $size))) (i32.const 1))
               (func (export "proxy_on_configure") (param $root i32) (param $size i32) (result i32)
                 (drop (call $get_buffer_bytes (i32.const 7) (i32.const 0) (i32.const 9) (i32.const 2000) (i32.const 2004)))
                 (call $trace (i32.load8_u (i32.load (i32.const 2000))))
                 (drop (call $get_buffer_bytes (i32.const 6) (i32.const 0) (i32.const 9) (i32.const 2000) (i32.const 2004)))
                 (call $trace (i32.load8_u (i32.load (i32.const 2000))))
                 (i32.const 1))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $show_trace) (i32.const 0))"#,
        );
        let mut config = config(&wasm);
        config.vm_configuration = Some("vm".into());
        config.configuration = Some(serde_json::json!({ "a": [1, 2] }));
        // _initialize, main, context, start with 2 bytes, {"a":[1,2]}, vm; then the context of the stream.
        assert_eq!(trace(&plugins(&[config])).await, "imc2{vc");
    });
}

#[test]
fn start_is_run_where_there_is_no_initialize() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "_start") (call $trace (i32.const 115)))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $show_trace) (i32.const 0))"#,
        );
        assert_eq!(trace(&plugin(&wasm)).await, "s");
    });
}
