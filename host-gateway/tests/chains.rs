//! Several plugins in order, chosen by listener and route, each with its configuration.

#![expect(clippy::expect_used, reason = "a test: what cannot be set up is its failure")]

#[cfg(test)]
mod harness;

use std::net::SocketAddr;
use std::path::PathBuf;

use harness::{Client, Envoy, Gateway, Message, Upstream};

/// Adds its configuration, a letter, to the field `x-chain` of requests and responses; refuses an empty one. Keeps the
/// letter of every root context, because a host may have several in one VM.
const SIGNS: &str = r#"(module
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "x-chain")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 8192))
  (func (export "proxy_on_configure") (param $root i32) (param $size i32) (result i32)
    (if (i32.eqz (local.get $size)) (then (return (i32.const 0))))
    (drop (call $get_buffer (i32.const 7) (i32.const 0) (i32.const 100) (i32.const 8) (i32.const 12)))
    (i32.store8 (i32.add (i32.const 256) (local.get $root)) (i32.load8_u (i32.load (i32.const 8))))
    (i32.const 1))
  (func $place (param $id i32) (result i32)
    (i32.add (i32.const 4096) (i32.and (local.get $id) (i32.const 1023))))
  (func (export "proxy_on_context_create") (param $id i32) (param $root i32)
    (if (local.get $root) (then
      (i32.store8 (call $place (local.get $id)) (i32.load8_u (i32.add (i32.const 256) (local.get $root)))))))
  (func $sign (param $id i32) (param $map i32) (result i32)
    (drop (call $add (local.get $map) (i32.const 16) (i32.const 7) (call $place (local.get $id)) (i32.const 1)))
    (i32.const 0))
  (func (export "proxy_on_new_connection") (param i32) (result i32) (i32.const 0))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (call $sign (local.get 0) (i32.const 0)))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (call $sign (local.get 0) (i32.const 2))))"#;

fn wasm() -> PathBuf {
    let file = harness::folder().join("signs.wasm");
    std::fs::write(&file, wat::parse_str(SIGNS).expect("the guest is no WAT")).expect("cannot write the guest");
    file
}

/// Two listeners, the second with plugins of its own.
fn listeners(ports: [u16; 2]) -> String {
    let [first, second] = ports;
    format!("{{ address: \"127.0.0.1:{first}\" }}, {{ address: \"127.0.0.1:{second}\", plugins: [ third, first ] }}")
}

fn routes_and_plugins(upstream: &Upstream) -> String {
    let wasm = wasm();
    let wasm = wasm.display();
    format!(
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
    )
}

/// Listener, path, and who signed the request and the response, in this order.
const EXPECTED: [(usize, &str, &str, &str); 8] = [
    (0, "/", "ab", "ba"),
    (0, "/without/x", "b", "b"),
    (0, "/other", "adc", "cda"),
    (0, "/none", "", ""),
    (1, "/", "ca", "ac"),
    (1, "/without/x", "c", "c"),
    (1, "/other", "ca", "ac"),
    (1, "/none", "c", "c"),
];

#[track_caller]
fn pass_as_expected(upstream: &Upstream, addresses: &[SocketAddr]) {
    let chain = |message: &Message| {
        let fields = message.fields.iter().filter(|(name, _)| name == "x-chain");
        let signed = fields.map(|(_, value)| value.as_str()).collect::<Vec<_>>().concat();
        // Both hosts may join fields of one name.
        signed.replace([',', ' '], "")
    };
    for (listener, path, request, response) in EXPECTED {
        let answer = Client::connect(addresses[listener]).get(path);
        assert_eq!(answer.status(), 200);
        let signed = (chain(&upstream.last()), chain(&answer));
        assert_eq!(
            signed,
            (request.to_owned(), response.to_owned()),
            "listener {listener}, {path}"
        );
    }
    let seen = upstream.received().len();
    for path in [
        "/none/../other",
        "/none/..;/other",
        "/none/%2E%2e/other",
        "/none%2f..%2fother",
        "/none\\..\\other",
        "/none//other",
        "/%6fther",
        "/none/.",
        "/none/..%3b/other",
        "/none/..%00/other",
        "/none/..%09/other",
        "/none/..%20/other",
        "/none/..%c2%a0/other",
        "/none/%E2%80%8B../other",
        "/none/..%e3%80%80",
        "/none/..%EF%BB%BF/other",
        "/none/%20other",
        "/none/..%ef%b8%8f/other",
        "/none/..%EF%B8%80",
        "/none/..%f3%a0%84%80/other",
        "/none/..%F3%A0%87%AF/other",
        "/none/%EF%B8%8F../other",
        "/none/..%c2%a0%ef%b8%8f/other",
        "/none/..%e1%a0%8b/other",
        "/none/oth%c2%ader",
        "/none/%C3%A9o%e2%80%8dther",
        "/none/%5b%E2%80%8b%C3%A9",
        "/none/a%EF%B8%8Fb",
        "/o%ef%b8%8fther",
        "/%e2%80%8dother",
        "/none/%C3%A9%e2%80%8d/a",
        "/none/%C3%A9%E2%A0%80",
        "/none/a%ef%bf%bbb",
        "/none/a%F0%9D%85%B3b",
        "/none/%252e%252e%252fother",
        "/none/%c0%ae%c0%ae/other",
        "/none/%ed%a0%80/other",
        "/none/%ef%bc%8e%ef%bc%8e/other",
        "/none/%E2%80%A5/other",
        "/none/%ef%b8%b0/other",
        "/none%cd%be/other",
        "/none%f0%9f%84%80/other",
        "/none%ef%b9%aa/other",
        "/none/..%c2%85/other",
        "/none/%",
        "/none/%zz",
        "/none/a./other",
    ] {
        assert_eq!(Client::connect(addresses[0]).get(path).status(), 400, "{path}");
    }
    assert_eq!(upstream.received().len(), seen, "nothing of it went upstream");
    for path in [
        "/none?x=/../%2f//;%zz",
        "/none/a%20b/..c",
        "/none/%D9%85%E2%80%8C%D9%85/a%C2%A0b",
        "/none/%c3%a4%40%F0%9f%98%80:~!",
        "/none/%E2%9D%A4%EF%B8%8F",
        "/none/%e2%9d%a4%ef%b8%8f%e2%80%8d%f0%9f%94%a5/a",
        "/none/%F0%9F%8F%B4%F3%A0%81%A7%F3%A0%81%BF/a%c3%a9",
    ] {
        assert_eq!(Client::connect(addresses[0]).get(path).status(), 200, "{path}");
    }
}

#[test]
fn listeners_and_routes_choose_plugins_and_responses_pass_them_in_reverse() {
    let upstream = Upstream::named("ok");
    let gateway = Gateway::start_on(1, &listeners([0, 0]), &routes_and_plugins(&upstream));
    pass_as_expected(&upstream, &gateway.addresses);
    let count = |plugin: &str| {
        let name = "postern_plugin_callback_seconds_count";
        gateway.metric(&format!(
            "{name}{{plugin=\"{plugin}\",callback=\"proxy_on_request_headers\"}}"
        ))
    };
    assert_eq!([count("first"), count("second"), count("third")], [4, 3, 5]);
}

#[test]
fn envoy_does_the_same_with_the_printed_bootstrap() {
    let upstream = Upstream::named("ok");
    let envoy = Envoy::start(|ports| {
        let rest = routes_and_plugins(&upstream);
        format!("listeners: [ {} ]\n{rest}\n", listeners(ports))
    });
    if let Some(envoy) = envoy {
        pass_as_expected(&upstream, &envoy.addresses);
    }
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
            "gateway.yaml:4:53: routes[0].plugins.a.configuration: plugin \"a\" refused the configuration",
        ),
        (
            "listeners:\n  - address: \"127.0.0.1:0\"\n  - { address: \"127.0.0.1:0\", tcp: { cluster: up }, plugins: [a] }".to_owned(),
            "gateway.yaml:5:62: listeners[1].plugins: `a` looks at requests too, but those to listeners[0] would not pass it: \
             name the plugins of listeners[0], or write `disabled: true` at `a` if it is for TCP only",
        ),
    ] {
        let said = refused(&rest);
        assert!(said.contains(expected), "{said} does not contain {expected}");
    }
}

#[test]
fn many_workers_have_a_vm_of_each_plugin() {
    let upstream = Upstream::named("ok");
    let gateway = Gateway::start_on(130, "{ address: \"127.0.0.1:0\" }", &routes_and_plugins(&upstream));
    assert_eq!(gateway.connect().get("/").status(), 200);
    assert_eq!(gateway.metric("postern_plugin_vm_starts_total{plugin=\"first\"}"), 130);
}

/// What `check` says about a plugin with such keys, beside a TCP listener that names it.
fn checked(keys: &str, listener: &str) -> (bool, String) {
    let folder = harness::folder();
    let text = format!(
        "listeners: [ {listener}, {{ address: \"127.0.0.1:0\", tcp: {{ cluster: up }}, plugins: [a] }} ]\n\
         clusters: {{ up: {{ endpoints: [\"127.0.0.1:1\"] }} }}\n\
         plugins: [ {{ name: a, wasm: \"{}\", configuration: x, {keys} }} ]\n",
        wasm().display()
    );
    std::fs::write(folder.join("gateway.yaml"), text).expect("cannot write the configuration");
    let finished = harness::run(&["check", "--config", "gateway.yaml"], &folder);
    (finished.status.success(), finished.stderr)
}

#[test]
fn a_tcp_listener_switches_no_plugin_off_unless_somebody_says_so() {
    let listener = "{ address: \"127.0.0.1:0\" }";
    assert!(!checked("", listener).0);
    assert!(
        !checked(
            "",
            "{ address: \"127.0.0.1:0\", plugins: [] }, { address: \"127.0.0.1:0\" }"
        )
        .0
    );
    for (keys, listener) in [
        ("disabled: true", listener),
        ("", "{ address: \"127.0.0.1:0\", plugins: [] }"),
        ("", "{ address: \"127.0.0.1:0\", plugins: [a] }"),
    ] {
        let (good, said) = checked(keys, listener);
        assert!(good, "{said}");
    }
}

#[test]
fn a_tcp_listener_names_no_plugin_that_sees_no_connections() {
    for (keys, why) in [
        (
            "disabled: true, capability_restriction_config: { allowed_capabilities: { proxy_on_request_headers: {} } }",
            "`a` has no callback for TCP connections that it may use, so it would let everything pass: take it off this listener",
        ),
        (
            "service: true",
            "`a` has `service: true`, so it sees no connections: take it off this listener",
        ),
    ] {
        let (good, said) = checked(keys, "{ address: \"127.0.0.1:0\", plugins: [] }");
        assert!(
            !good && said.contains(&format!("listeners[1].plugins: {why}\n")),
            "{said}"
        );
    }
}

#[test]
fn what_a_plugin_may_use_must_exist() {
    let allowed = |name: &str| {
        let keys = format!(
            "disabled: true, capability_restriction_config: {{ allowed_capabilities: {{ {name}: {{}}, proxy_on_new_connection: {{}}, proxy_on_configure: {{}}, proxy_get_buffer_bytes: {{}} }} }}"
        );
        checked(&keys, "{ address: \"127.0.0.1:0\" }")
    };
    for known in [
        "proxy_on_tick",
        "proxy_set_property",
        "fd_write",
        "proxy_on_memory_allocate",
    ] {
        let (good, said) = allowed(known);
        assert!(good, "{known}: {said}");
    }
    for unknown in ["proxy_on_request_header", "proxy_logs", "fd_writes"] {
        let expected = format!(
            "error: gateway.yaml:3:12: plugins[0].capability_restriction_config.allowed_capabilities: plugin \"a\": \
             `{unknown}` is neither a host function nor a callback\n"
        );
        assert_eq!(allowed(unknown), (false, expected));
    }
}
