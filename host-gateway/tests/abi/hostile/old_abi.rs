//! What only ABI 0.1.0 has.

use super::*;

const FUNCTIONS: [(&str, &str); 4] = [
    ("get_configuration", "ii"),
    ("continue_request", ""),
    ("continue_response", ""),
    ("clear_route_cache", ""),
];

fn imports() -> String {
    FUNCTIONS
        .iter()
        .map(|(name, params)| {
            let params = params.replace('i', " i32");
            format!(r#"(import "env" "proxy_{name}" (func ${name} (param{params}) (result i32)))"#)
        })
        .collect()
}

#[test]
fn no_argument_ends_the_vm_of_a_guest_of_abi_0_1_0() {
    on_a_worker(async {
        // What it shares with the others, too: some of it is answered otherwise.
        let shared = IMPORTS.iter().filter(|(name, _)| *name != "close_stream").copied();
        let wasm = bare(&format!(
            r#"{} {} {}
               (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $storm) (i32.const 1))
               (func (export "proxy_on_request_headers") (param i32 i32) (result i32) (call $storm) (i32.const 0))
               (func (export "proxy_on_response_headers") (param i32 i32) (result i32) (call $storm) (i32.const 0))
               (func (export "proxy_on_log") (param i32) (call $storm))"#,
            imports(),
            MEMORY.replace("0_2_1", "0_1_0"),
            storm_of(FUNCTIONS.into_iter().chain(shared), ABI_STATUSES)
        ));
        let (plugins, process) = started(patient(&wasm), no_clusters());
        let mut stream = open(&plugins);
        go_on(stream.request_headers(get("/"), true).await);
        go_on(stream.response_headers(answered(200), true).await);
        drop(stream);
        has_not_failed(&process);
    });
}

/// Each call with its status, the same from a request's head and from the root context.
const STATUSES: &[(&str, u32)] = &[
    ("get_configuration (i32.const 2000) (i32.const 2004)", 0),
    ("get_configuration (i32.const 2001) (i32.const 2001)", 0),
    ("get_configuration (i32.const -4) (i32.const 2004)", 6),
    ("get_configuration (i32.const 2000) (i32.const -1)", 6),
    ("continue_request", 0),
    ("continue_response", 0),
    ("clear_route_cache", 0),
    // A field that is not there is empty in this ABI; one whose name is not there is not.
    (
        "get_header_map_value (i32.const 0) {x-missing} (i32.const 2000) (i32.const 2004)",
        0,
    ),
    (
        "get_header_map_value (i32.const 0) {x-missing} (i32.const -4) (i32.const 2004)",
        6,
    ),
    (
        "get_header_map_value (i32.const 0) (i32.const -4) (i32.const 8) (i32.const 2000) (i32.const 2004)",
        6,
    ),
    (
        "get_header_map_value (i32.const 99) {x-missing} (i32.const 2000) (i32.const 2004)",
        2,
    ),
];

#[test]
fn each_function_of_abi_0_1_0_has_its_status() {
    on_a_worker(async {
        let wasm = guest_of_abi_with(
            "0_1_0",
            &imports(),
            &format!(
                r#"(func $all {})
                   (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $all) (i32.const 1))
                   (func (export "proxy_on_request_headers") (param i32 i32) (result i32)
                     (call $all) (call $show_trace) (i32.const 0))"#,
                noted(STATUSES.iter().map(|(call, _)| *call))
            ),
        );
        let mut config = config(&wasm);
        config.configuration = Some("configured".into());
        let statuses = statuses(&trace(&plugins(&[config])).await);
        assert_eq!(statuses.len(), 2 * STATUSES.len());
        for (place, (call, expected)) in STATUSES.iter().enumerate() {
            let seen = [statuses[place], statuses[STATUSES.len() + place]];
            assert_eq!(seen, [*expected; 2], "{call}");
        }
    });
}
