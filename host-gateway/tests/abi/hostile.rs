//! Every host function with arguments that no honest guest has, wherever a guest may call it: none of them ends the VM, and
//! each is answered with a status that the ABI has.

mod answers;
mod connections;
mod old_abi;
mod wasi;

use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use postern_gateway::cluster::Clusters;
use postern_gateway::plugin::{PluginConfig, PluginProcess, Plugins, Verdict};

use crate::harness::*;

/// Sizes, types and addresses: unknown, misaligned, across the end of memory (256 KiB), behind it, and near 4 GiB.
const HOSTILE: [i64; 10] = [
    0,
    3,
    99,
    0x1_0001,
    0x3_FFFD,
    0x4_0000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFC,
    0xFFFF_FFFF,
];
/// What the other arguments are meanwhile: one value for all of them, so that out-pointers overlap.
const OTHERS: [i64; 3] = [0, 1, 2001];

/// Statuses 5, 9 and 11 are not a host function's.
const ABI_STATUSES: &[u32] = &[0, 1, 2, 3, 4, 6, 7, 8, 10, 12];

/// `$storm` calls every function of the ABI with every hostile value at every place, and traps when the answer is no status.
fn storm() -> String {
    // What ends the exchange is apart.
    let functions = IMPORTS.iter().filter(|(name, _)| *name != "close_stream");
    storm_of(functions.copied(), ABI_STATUSES)
}

/// The same for these functions, whose answers are among `known`.
fn storm_of<'a>(functions: impl Iterator<Item = (&'a str, &'a str)>, known: &[u32]) -> String {
    let mut body = String::new();
    for (name, params) in functions {
        for place in 0..params.len().max(1) {
            for value in HOSTILE {
                for other in OTHERS {
                    let argument = |(at, kind): (usize, char)| {
                        let value = if at == place { value } else { other };
                        match kind {
                            'l' => format!("(i64.const {value})"),
                            // As WAT has it: without a sign.
                            _ => format!("(i32.const {value})"),
                        }
                    };
                    let arguments: String = params.chars().enumerate().map(argument).collect();
                    writeln!(body, "(call $judge (call ${name} {arguments}))").unwrap();
                }
            }
        }
    }
    let known: String = known
        .iter()
        .map(|status| format!("(br_if 0 (i32.eq (local.get $status) (i32.const {status})))"))
        .collect();
    format!("(func $judge (param $status i32) (block {known} unreachable))\n(func $storm {body})")
}

/// Memory of 256 KiB, and an allocator. What the host hands over is not used, so all of it may stand at one place; the
/// memory grows to hold it.
const MEMORY: &str = r#"
  (memory (export "memory") 4)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (drop (memory.grow (i32.sub
      (select (memory.size) (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 2))
        (i32.gt_u (memory.size) (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 2))))
      (memory.size))))
    (i32.const 65536))"#;

/// For thousands of calls in each callback, on a machine that may be busy.
fn patient(wasm: &[u8]) -> PluginConfig {
    let mut config = config(wasm);
    config.limits.call = serde_json::from_value(serde_json::json!("60s")).unwrap();
    config
}

fn started(config: PluginConfig, clusters: Rc<Clusters>) -> (Rc<Plugins>, Arc<PluginProcess>) {
    let process = PluginProcess::new();
    (start(&[config], clusters, &process).unwrap(), process)
}

#[track_caller]
fn has_not_failed(process: &PluginProcess) {
    let traps = "postern_plugin_traps_total{plugin=\"guest\"} 0";
    assert!(metrics(process).contains(traps), "{}", metrics(process));
}

/// Waits until a callback has returned.
async fn returned(process: &PluginProcess, callback: &str) {
    let counted = format!("postern_plugin_callback_seconds_count{{plugin=\"guest\",callback=\"{callback}\"}} ");
    until(async || metrics(process).contains(&counted).then_some(())).await;
}

/// Notes what each of these calls is answered with, as a letter from `a`.
fn noted<'a>(calls: impl Iterator<Item = &'a str>) -> String {
    calls
        .map(|call| format!("(call $trace (i32.add (i32.const 97) (call ${call})))"))
        .collect()
}

/// The answers of a trace.
fn statuses(trace: &str) -> Vec<u32> {
    trace.bytes().map(|at| u32::from(at - b'a')).collect()
}

/// Runs `$storm` wherever it is let in; requests for `/no` are refused first, those for `/end` closed.
fn stormy() -> Vec<u8> {
    let root = r#"(func (export "proxy_on_vm_start") (param i32 i32) (result i32) (call $storm) (i32.const 1))
        (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $storm) (i32.const 1))
        (func (export "proxy_on_context_create") (param i32 i32) (call $storm))
        (global $ticks (mut i32) (i32.const 0))
        (func (export "proxy_on_tick") (param i32)
          (global.set $ticks (i32.add (global.get $ticks) (i32.const 1)))
          (drop (call $set_tick_period_milliseconds (i32.const 0)))
          (if (i32.lt_u (global.get $ticks) (i32.const 3)) (then (call $storm))))
        (func (export "proxy_on_queue_ready") (param i32 i32))
        (func (export "proxy_on_done") (param i32) (result i32) (call $storm) (i32.const 1))
        (func (export "proxy_on_log") (param i32) (call $storm))
        (func (export "proxy_on_delete") (param i32) (call $storm))"#;
    let mut streams = String::new();
    for callback in ["request_body", "response_headers", "response_body"] {
        write!(
            streams,
            r#"(func (export "proxy_on_{callback}") (param i32 i32 i32) (result i32) (call $storm) (i32.const 0))"#
        )
        .unwrap();
    }
    for callback in ["request_trailers", "response_trailers"] {
        write!(
            streams,
            r#"(func (export "proxy_on_{callback}") (param i32 i32) (result i32) (call $storm) (i32.const 0))"#
        )
        .unwrap();
    }
    bare(&format!(
        r#"{MEMORY} {} {root} {streams}
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (local $second i32)
             (if (i32.eqz (call $get_header_map_value (i32.const 0) {{:path}} (i32.const 2000) (i32.const 2004)))
               (then (local.set $second (i32.load8_u (i32.add (i32.load (i32.const 2000)) (i32.const 1))))))
             (if (i32.eq (local.get $second) (i32.const 110)) (then
               (drop (call $send_local_response (i32.const 403) {{}} {{}} {{}} (i32.const -1)))))
             (if (i32.eq (local.get $second) (i32.const 101)) (then
               (drop (call $close_stream (i32.const 0)))))
             (call $storm)
             (i32.const 0))"#,
        storm()
    ))
}

#[test]
fn no_argument_ends_the_vm_wherever_a_function_is_called() {
    on_a_worker(async {
        let (plugins, process) = started(patient(&stormy()), no_clusters());

        let mut stream = open(&plugins);
        go_on(stream.request_headers(get("/"), false).await);
        go_on(stream.request_body("body".into(), false).await);
        go_on(stream.request_trailers(http::HeaderMap::new()).await);
        go_on(stream.response_headers(answered(200), false).await);
        go_on(stream.response_body("body".into(), false).await);
        go_on(stream.response_trailers(http::HeaderMap::new()).await);
        drop(stream);

        let refused = response(open(&plugins).request_headers(get("/no"), true).await);
        assert_eq!(refused.status, 403);
        let closed = open(&plugins).request_headers(get("/end"), true).await;
        assert!(matches!(closed, Verdict::Fail), "{closed:?}");
        // Ticks that were asked for come.
        a_moment().await;
        has_not_failed(&process);
    });
}

/// Each call with the status that it is answered with, from a request's head and from the root context.
const STATUSES: &[(&str, u32, u32)] = &[
    // Addresses: -4 is four bytes before 4 GiB.
    ("log (i32.const 2) (i32.const -4) (i32.const 8)", 6, 6),
    ("log (i32.const 2) (i32.const 0) (i32.const -1)", 6, 6),
    ("get_log_level (i32.const -4)", 6, 6),
    ("get_current_time_nanoseconds (i32.const -4)", 6, 6),
    (
        "get_buffer_bytes (i32.const 7) (i32.const 0) (i32.const -1) (i32.const -4) (i32.const -4)",
        6,
        6,
    ),
    ("get_buffer_status (i32.const 7) (i32.const -4) (i32.const -4)", 6, 6),
    ("get_header_map_size (i32.const 0) (i32.const -4)", 6, 6),
    ("get_header_map_pairs (i32.const 0) (i32.const -4) (i32.const -4)", 6, 6),
    ("set_header_map_pairs (i32.const 0) (i32.const -4) (i32.const 8)", 6, 6),
    (
        "get_header_map_value (i32.const 0) (i32.const -4) (i32.const 8) (i32.const 0) (i32.const 4)",
        6,
        6,
    ),
    (
        "get_header_map_value (i32.const 0) {:path} (i32.const -4) (i32.const -4)",
        6,
        1,
    ),
    (
        "add_header_map_value (i32.const 0) (i32.const -4) (i32.const 8) (i32.const 0) (i32.const 0)",
        6,
        6,
    ),
    (
        "replace_header_map_value (i32.const 0) {x-a} (i32.const -4) (i32.const 8)",
        6,
        6,
    ),
    (
        "remove_header_map_value (i32.const 0) (i32.const -4) (i32.const 8)",
        6,
        6,
    ),
    (
        "send_local_response (i32.const 200) (i32.const -4) (i32.const 8) {} {} (i32.const -1)",
        6,
        6,
    ),
    ("http_call {none} {} {} {} (i32.const 1) (i32.const -4)", 6, 6),
    ("get_status (i32.const -4) (i32.const -4) (i32.const -4)", 6, 6),
    (
        "grpc_call (i32.const -4) (i32.const 8) {a} {b} {} {} (i32.const 1) (i32.const 2000)",
        6,
        6,
    ),
    (
        "grpc_stream (i32.const -4) (i32.const 8) {a} {b} {} (i32.const 2000)",
        6,
        6,
    ),
    (
        "get_property (i32.const -4) (i32.const 8) (i32.const 0) (i32.const 4)",
        6,
        6,
    ),
    ("set_property (i32.const -4) (i32.const 8) {}", 6, 6),
    (
        "get_shared_data (i32.const -4) (i32.const 8) (i32.const 0) (i32.const 4) (i32.const 8)",
        6,
        6,
    ),
    ("set_shared_data (i32.const -4) (i32.const 8) {} (i32.const 0)", 6, 6),
    ("register_shared_queue (i32.const -4) (i32.const 8) (i32.const 0)", 6, 6),
    (
        "resolve_shared_queue {} (i32.const -4) (i32.const 8) (i32.const 0)",
        6,
        6,
    ),
    (
        "define_metric (i32.const 0) (i32.const -4) (i32.const 8) (i32.const 0)",
        6,
        6,
    ),
    (
        "call_foreign_function (i32.const -4) (i32.const 8) {} (i32.const 0) (i32.const 4)",
        6,
        6,
    ),
    // Types, kinds and ids that there are not.
    ("log (i32.const 99) {}", 2, 2),
    (
        "get_buffer_bytes (i32.const 99) (i32.const 0) (i32.const 1) (i32.const 2000) (i32.const 2004)",
        2,
        2,
    ),
    (
        "get_buffer_status (i32.const 99) (i32.const 2000) (i32.const 2004)",
        2,
        2,
    ),
    ("set_buffer_bytes (i32.const 99) (i32.const 0) (i32.const 0) {}", 2, 2),
    ("get_header_map_size (i32.const 99) (i32.const 2000)", 2, 2),
    (
        "get_header_map_pairs (i32.const 99) (i32.const 2000) (i32.const 2004)",
        2,
        2,
    ),
    ("set_header_map_pairs (i32.const 99) {}", 2, 2),
    (
        "get_header_map_value (i32.const 99) {x-a} (i32.const 2000) (i32.const 2004)",
        2,
        2,
    ),
    ("add_header_map_value (i32.const 99) {x-a} {}", 2, 2),
    ("replace_header_map_value (i32.const 99) {x-a} {}", 2, 2),
    ("remove_header_map_value (i32.const 99) {x-a}", 2, 2),
    ("continue_stream (i32.const 99)", 2, 2),
    ("close_stream (i32.const 99)", 2, 2),
    ("send_local_response (i32.const 1000) {} {} {} (i32.const -1)", 2, 2),
    ("set_effective_context (i32.const 99999)", 2, 2),
    ("http_call {none} {} {} {} (i32.const 1) (i32.const 2000)", 2, 2),
    ("grpc_send (i32.const 99999) {} (i32.const 0)", 1, 1),
    ("grpc_cancel (i32.const 99999)", 1, 1),
    ("grpc_close (i32.const 99999)", 1, 1),
    (
        "get_shared_data {none} (i32.const 2000) (i32.const 2004) (i32.const 2008)",
        1,
        1,
    ),
    ("resolve_shared_queue {} {none} (i32.const 2000)", 1, 1),
    ("enqueue_shared_queue (i32.const 99999) {}", 1, 1),
    (
        "dequeue_shared_queue (i32.const 99999) (i32.const 2000) (i32.const 2004)",
        1,
        1,
    ),
    ("define_metric (i32.const 99) {m} (i32.const 2000)", 2, 2),
    ("get_metric (i32.const 99999) (i32.const 2000)", 1, 1),
    ("call_foreign_function {none} {} (i32.const 0) (i32.const 4)", 1, 1),
    // In the wrong phase, or without a stream.
    ("done", 1, 1),
    (
        "get_buffer_bytes (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 2000) (i32.const 2004)",
        1,
        1,
    ),
    ("set_buffer_bytes (i32.const 1) (i32.const 0) (i32.const 0) {a}", 2, 2),
    ("set_buffer_bytes (i32.const 7) (i32.const 0) (i32.const 0) {a}", 2, 2),
    ("add_header_map_value (i32.const 6) {x-a} {}", 2, 2),
    ("add_header_map_value (i32.const 0) {x-a} {}", 0, 2),
    ("get_property {request\\00path} (i32.const 2000) (i32.const 2004)", 0, 1),
    ("set_property {a} {b}", 0, 1),
    // Out-pointers that overlap and are not aligned.
    (
        "get_header_map_value (i32.const 0) {:path} (i32.const 2001) (i32.const 2002)",
        0,
        1,
    ),
    ("get_property {plugin_name} (i32.const 2003) (i32.const 2003)", 0, 0),
    (
        "get_shared_data {here} (i32.const 2001) (i32.const 2001) (i32.const 2001)",
        0,
        0,
    ),
    (
        "get_buffer_status (i32.const 7) (i32.const 2001) (i32.const 2003)",
        0,
        0,
    ),
    ("get_log_level (i32.const 2001)", 0, 0),
];

#[test]
fn each_is_answered_with_the_status_of_the_table() {
    on_a_worker(async {
        let calls = noted(STATUSES.iter().map(|(call, _, _)| *call));
        let wasm = guest(&format!(
            r#"(func $all (drop (call $set_shared_data {{here}} {{value}} (i32.const 0))) {calls})
               (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $all) (i32.const 1))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $all) (call $show_trace) (i32.const 0))"#
        ));
        let statuses = statuses(&trace(&plugin(&wasm)).await);
        let (of_root, of_stream) = statuses.split_at(STATUSES.len());
        assert_eq!(of_stream.len(), STATUSES.len());
        for (place, (call, stream, root)) in STATUSES.iter().enumerate() {
            assert_eq!((of_stream[place], of_root[place]), (*stream, *root), "{call}");
        }
    });
}
