//! Several plugins in order, chosen by listener and route, each with its configuration.

#![expect(clippy::expect_used, reason = "a test: what cannot be set up is its failure")]

#[cfg(test)]
mod harness;

use harness::{Gateway, Upstream};

/// Adds its configuration to the field `x-chain` of requests and responses. Traps when its configuration is empty.
const SIGNS: &str = r#"(module
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "x-chain")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $get_buffer (i32.const 7) (i32.const 0) (i32.const 100) (i32.const 8) (i32.const 12)))
    (i32.ne (local.get 1) (i32.const 0)))
  (func $sign (param $map i32) (result i32)
    (drop (call $add (local.get $map) (i32.const 16) (i32.const 7) (i32.load (i32.const 8)) (i32.load (i32.const 12))))
    (i32.const 0))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $sign (i32.const 0)))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $sign (i32.const 2))))"#;

fn wasm() -> std::path::PathBuf {
    let file = harness::folder().join("signs.wasm");
    std::fs::write(&file, wat::parse_str(SIGNS).expect("the guest is no WAT")).expect("cannot write the guest");
    file
}

/// Two listeners, the second with plugins of its own.
fn gateway(upstream: &Upstream) -> Gateway {
    let wasm = wasm();
    let wasm = wasm.display();
    Gateway::start_on(
        1,
        "{ address: \"127.0.0.1:0\" }, { address: \"127.0.0.1:0\", plugins: [ third, first ] }",
        &format!(
            r#"
clusters: {{ up: {{ endpoints: ["{}"] }} }}
plugins:
  - {{ name: first, wasm: "{wasm}", configuration: a }}
  - {{ name: second, wasm: "{wasm}", configuration: b }}
  - {{ name: third, wasm: "{wasm}", configuration: c, disabled: true }}
routes:
  - {{ prefix: /, cluster: up }}
  - {{ prefix: /without, cluster: up, plugins: {{ first: {{ disabled: true }} }} }}
  - {{ prefix: /other, cluster: up, plugins: {{ second: {{ configuration: d }}, third: {{}} }} }}
  - {{ prefix: /none, cluster: up, plugins: {{ first: {{ disabled: true }}, second: {{ disabled: true }} }} }}"#,
            upstream.address
        ),
    )
}

#[test]
fn listeners_and_routes_choose_plugins_and_responses_pass_them_in_reverse() {
    let upstream = Upstream::named("ok");
    let gateway = gateway(&upstream);
    let chain = |message: &harness::Message| {
        let values = message
            .fields
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("x-chain"));
        values.map(|(_, value)| value.as_str()).collect::<Vec<_>>().concat()
    };
    for (listener, path, request, response) in [
        (0, "/", "ab", "ba"),
        (0, "/without/x", "b", "b"),
        (0, "/other", "adc", "cda"),
        (0, "/none", "", ""),
        (1, "/", "ca", "ac"),
        (1, "/without/x", "c", "c"),
        (1, "/other", "ca", "ac"),
        (1, "/none", "c", "c"),
    ] {
        let answer = harness::Client::connect(gateway.addresses[listener]).get(path);
        assert_eq!(answer.status(), 200);
        assert_eq!(
            (chain(&upstream.last()), chain(&answer)),
            (request.to_owned(), response.to_owned()),
            "{path}"
        );
    }
    let count = |plugin: &str| {
        let name = "postern_plugin_callback_seconds_count";
        gateway.metric(&format!(
            "{name}{{plugin=\"{plugin}\",callback=\"proxy_on_request_headers\"}}"
        ))
    };
    assert_eq!([count("first"), count("second"), count("third")], [4, 3, 5]);
}

/// The error of `check` for a configuration with one plugin.
fn refused(rest: &str) -> String {
    let folder = harness::folder();
    let config = folder.join("gateway.yaml");
    let text = format!(
        "clusters: {{ up: {{ endpoints: [\"127.0.0.1:1\"] }} }}\nplugins: [ {{ name: a, wasm: \"{}\", configuration: x }} ]\n{rest}\n",
        wasm().display()
    );
    std::fs::write(&config, text).expect("cannot write the configuration");
    let finished = harness::run(&["check", "--config", "gateway.yaml"], &folder);
    assert_eq!(finished.status.code(), Some(1));
    finished.stderr
}

#[test]
fn errors_name_the_place() {
    let listener = "listeners: [ { address: \"127.0.0.1:0\" } ]";
    for (rest, expected) in [
        (
            "listeners: [ { address: \"127.0.0.1:0\", plugins: [b] } ]".to_owned(),
            "gateway.yaml:3:49: listeners[0].plugins: there is no plugin `b`",
        ),
        (
            "listeners: [ { address: \"127.0.0.1:0\", plugins: [a, a] } ]".to_owned(),
            "listeners[0].plugins: `a` stands here twice",
        ),
        (
            format!("{listener}\nroutes: [ {{ prefix: /, cluster: up, plugins: {{ b: {{}} }} }} ]"),
            "gateway.yaml:4:46: routes[0].plugins: there is no plugin `b`",
        ),
        (
            format!(
                "{listener}\nroutes: [ {{ prefix: /, cluster: up, plugins: {{ a: {{ configuration: \"\" }} }} }} ]"
            ),
            "gateway.yaml:4:46: routes[0].plugins.a.configuration: plugin \"a\" refused the configuration",
        ),
    ] {
        let said = refused(&rest);
        assert!(said.contains(expected), "{said} does not contain {expected}");
    }
}
