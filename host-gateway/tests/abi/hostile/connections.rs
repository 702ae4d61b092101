//! In the callbacks of TCP connections.

use postern_gateway::plugin::{Closer, Connection, PluginConnection, Side};

use super::*;

/// Callback, and its parameters.
const CALLBACKS: [(&str, &str); 5] = [
    ("new_connection", "(param i32) (result i32)"),
    ("downstream_data", "(param i32 i32 i32) (result i32)"),
    ("upstream_data", "(param i32 i32 i32) (result i32)"),
    ("downstream_connection_close", "(param i32 i32)"),
    ("upstream_connection_close", "(param i32 i32)"),
];

/// All callbacks, each of which calls `$all`.
fn callbacks() -> String {
    let callback = |(name, kind): &(&str, &str)| {
        let result = if kind.ends_with("(result i32)") {
            "(i32.const 0)"
        } else {
            ""
        };
        format!(r#"(func (export "proxy_on_{name}") {kind} (call $all) {result})"#)
    };
    CALLBACKS.iter().map(callback).collect()
}

/// A connection that is in each callback once.
fn pass(plugins: &Rc<Plugins>) -> PluginConnection {
    let address = std::net::SocketAddr::from(([192, 0, 2, 1], 4711));
    let mut connection = plugins
        .connect(Rc::new(Connection {
            id: 7,
            source: address,
            destination: address,
            listener: Rc::default(),
        }))
        .unwrap();
    let client = connection.data(Side::Client, "hello".into(), false);
    assert!(client.is_ok(), "{client:?}");
    let upstream = connection.data(Side::Upstream, "world".into(), false);
    assert!(upstream.is_ok(), "{upstream:?}");
    connection.closed(Side::Client, Closer::Remote);
    connection.closed(Side::Upstream, Closer::Local);
    connection
}

#[test]
fn no_argument_ends_the_vm_in_a_callback_of_a_connection() {
    on_a_worker(async {
        let wasm = bare(&format!(
            "{MEMORY} {} (func $all (call $storm)) {}",
            storm(),
            callbacks()
        ));
        let (plugins, process) = started(patient(&wasm), no_clusters());
        drop(pass(&plugins));
        has_not_failed(&process);
    });
}

/// Each call with its status in the five callbacks.
const STATUSES: &[(&str, [u32; 5])] = &[
    // Each side's data is there while it passes.
    (
        "get_buffer_bytes (i32.const 2) (i32.const 0) (i32.const -1) (i32.const 2000) (i32.const 2004)",
        [1, 0, 1, 1, 1],
    ),
    (
        "get_buffer_bytes (i32.const 3) (i32.const 0) (i32.const -1) (i32.const 2000) (i32.const 2004)",
        [1, 1, 0, 1, 1],
    ),
    (
        "get_buffer_bytes (i32.const 2) (i32.const -1) (i32.const -1) (i32.const 2000) (i32.const 2004)",
        [1, 0, 1, 1, 1],
    ),
    (
        "get_buffer_bytes (i32.const 2) (i32.const 0) (i32.const 1) (i32.const -4) (i32.const 2004)",
        [1, 6, 1, 1, 1],
    ),
    (
        "get_buffer_status (i32.const 3) (i32.const 2000) (i32.const -4)",
        [1, 1, 6, 1, 1],
    ),
    // A connection has no bodies of requests, and no calls.
    (
        "get_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 2000) (i32.const 2004)",
        [1; 5],
    ),
    (
        "get_buffer_bytes (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 2000) (i32.const 2004)",
        [1; 5],
    ),
    (
        "get_buffer_bytes (i32.const 4) (i32.const 0) (i32.const 1) (i32.const 2000) (i32.const 2004)",
        [1; 5],
    ),
    (
        "get_buffer_bytes (i32.const -1) (i32.const 0) (i32.const 1) (i32.const 2000) (i32.const 2004)",
        [2; 5],
    ),
    ("set_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 0) {a}", [2; 5]),
    ("set_buffer_bytes (i32.const 1) (i32.const 0) (i32.const 0) {a}", [2; 5]),
    // Changes: within the data only from its beginning, as in Envoy.
    (
        "set_buffer_bytes (i32.const 2) (i32.const 0) (i32.const -1) (i32.const -4) (i32.const 8)",
        [6; 5],
    ),
    ("set_buffer_bytes (i32.const 2) (i32.const 1) (i32.const 1) {a}", [2; 5]),
    (
        "set_buffer_bytes (i32.const 2) (i32.const 0) (i32.const -1) {hello}",
        [2, 0, 2, 2, 2],
    ),
    (
        "set_buffer_bytes (i32.const 3) (i32.const 0x7fffffff) (i32.const -1) {!}",
        [2, 2, 0, 2, 2],
    ),
    // Nor has it fields.
    (
        "get_header_map_value (i32.const 0) {:path} (i32.const 2000) (i32.const 2004)",
        [1; 5],
    ),
    (
        "get_header_map_value (i32.const 0) (i32.const -4) (i32.const 8) (i32.const 2000) (i32.const 2004)",
        [6; 5],
    ),
    (
        "get_header_map_pairs (i32.const 2) (i32.const 2000) (i32.const 2004)",
        [0; 5],
    ),
    ("get_header_map_size (i32.const 1) (i32.const -4)", [6; 5]),
    ("add_header_map_value (i32.const 0) {x-a} {b}", [2; 5]),
    ("add_header_map_value (i32.const 2) {x-a} {b}", [2; 5]),
    ("replace_header_map_value (i32.const 3) {x-a} {b}", [2; 5]),
    ("remove_header_map_value (i32.const 1) {x-a}", [2; 5]),
    ("set_header_map_pairs (i32.const 0) {}", [2; 5]),
    // What goes on or ends: a request is no part of it.
    ("continue_stream (i32.const 0)", [12; 5]),
    ("continue_stream (i32.const 1)", [12; 5]),
    ("continue_stream (i32.const 2)", [0; 5]),
    ("continue_stream (i32.const 3)", [0; 5]),
    ("continue_stream (i32.const -1)", [2; 5]),
    ("close_stream (i32.const 0)", [12; 5]),
    ("close_stream (i32.const 4)", [2; 5]),
    ("close_stream (i32.const 0x80000000)", [2; 5]),
    ("send_local_response (i32.const 99) {} {} {} (i32.const -1)", [2; 5]),
    (
        "send_local_response (i32.const 200) (i32.const -4) (i32.const 8) {} {} (i32.const -1)",
        [6; 5],
    ),
    ("done", [1; 5]),
    // Properties and state.
    (
        "get_property {request\\00path} (i32.const 2000) (i32.const 2004)",
        [1; 5],
    ),
    (
        "get_property {source\\00address} (i32.const -4) (i32.const 2004)",
        [6; 5],
    ),
    (
        "get_property (i32.const 0) (i32.const -1) (i32.const 2000) (i32.const 2004)",
        [6; 5],
    ),
    ("set_property {a} (i32.const -4) (i32.const 8)", [6; 5]),
    ("get_status (i32.const 2000) (i32.const 2004) (i32.const 2008)", [0; 5]),
    ("set_effective_context (i32.const 0)", [2; 5]),
    ("set_effective_context (i32.const -1)", [2; 5]),
];

#[test]
fn in_callbacks_of_connections_each_function_has_its_status() {
    on_a_worker(async {
        let wasm = guest(&format!(
            r#"(func $all {}) {}
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $show_trace) (i32.const 0))"#,
            noted(STATUSES.iter().map(|(call, _)| *call)),
            callbacks()
        ));
        let (plugins, process) = started(config(&wasm), no_clusters());
        drop(pass(&plugins));
        has_not_failed(&process);
        let statuses = statuses(&trace(&plugins).await);
        assert_eq!(statuses.len(), CALLBACKS.len() * STATUSES.len());
        for (place, (call, expected)) in STATUSES.iter().enumerate() {
            let seen = [0, 1, 2, 3, 4].map(|callback| statuses[callback * STATUSES.len() + place]);
            assert_eq!(seen, *expected, "{call}");
        }
    });
}
