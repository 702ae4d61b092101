//! What people who write plugins use: `plugin inspect`, `plugin test` and `--trace-plugin`.

#![expect(clippy::expect_used, reason = "a test: what cannot be set up is its failure")]

#[cfg(test)]
mod harness;

use std::path::PathBuf;

use harness::{Finished, Gateway, Upstream, run};

/// Refuses requests for `/no` with 403, asks the cluster `auth` about those for `/ask`, appends `!` to response bodies, and
/// names itself in `x-by` with its configuration. Imports one function that no host has.
const GUEST: &str = r#"(module
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_buffer_bytes" (func $set_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_http_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $act_on (param i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
  (import "env" "not_there" (func $not_there (param i64)))
  (memory (export "memory") 2 8)
  (global $waits (mut i32) (i32.const 0))
  (data (i32.const 16) "x-by:pathauthorizationauthno!")
  (data (i32.const 64) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 4096))
  (func (export "_initialize"))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
    (drop (call $get (i32.const 0) (i32.const 25) (i32.const 13) (i32.const 8) (i32.const 12)))
    (drop (call $get_buffer (i32.const 7) (i32.const 0) (i32.const 100) (i32.const 8) (i32.const 12)))
    (drop (call $add (i32.const 0) (i32.const 16) (i32.const 4) (i32.load (i32.const 8)) (i32.load (i32.const 12))))
    (drop (call $get (i32.const 0) (i32.const 20) (i32.const 5) (i32.const 8) (i32.const 12)))
    (if (i32.eq (i32.load8_u (i32.const 4097)) (i32.const 110)) (then
      (drop (call $respond (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 42) (i32.const 2)
        (i32.const 0) (i32.const 0) (i32.const -1)))
      (return (i32.const 1))))
    (if (i32.eq (i32.load8_u (i32.const 4097)) (i32.const 97)) (then
      (global.set $waits (local.get $id))
      (drop (call $call (i32.const 38) (i32.const 4) (i32.const 64) (i32.const 61) (i32.const 0) (i32.const 0)
        (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 8)))
      (return (i32.const 1))))
    (i32.const 0))
  (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
    (drop (call $act_on (global.get $waits)))
    (if (local.get 2)
      (then (drop (call $continue (i32.const 0))))
      (else (drop (call $respond (i32.const 503) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
        (i32.const 0) (i32.const 0) (i32.const -1))))))
  (func (export "proxy_on_response_body") (param i32 i32) (param $end i32) (result i32)
    (if (local.get $end) (then
      (drop (call $set_buffer (i32.const 1) (i32.const -1) (i32.const 0) (i32.const 44) (i32.const 1)))))
    (i32.const 0)))"#;

/// A folder with the guest, and a file beside it.
fn folder_with(name: &str, text: &str) -> PathBuf {
    let folder = harness::folder();
    let wasm = wat::parse_str(GUEST).expect("the guest is no WAT");
    std::fs::write(folder.join("guest.wasm"), wasm).expect("cannot write the guest");
    std::fs::write(folder.join(name), text).expect("cannot write the file");
    folder
}

fn test(cases: &str) -> Finished {
    let folder = folder_with("cases.yaml", cases);
    run(&["plugin", "test", "guest.wasm", "--requests", "cases.yaml"], &folder)
}

/// Of what went to standard error; before it may stand what the plugin says.
fn last_line(finished: &Finished) -> &str {
    finished.stderr.lines().last().unwrap_or_default()
}

#[test]
fn inspect_shows_what_a_plugin_is() {
    let folder = folder_with("text.wasm", "no wasm");
    let finished = run(&["plugin", "inspect", "guest.wasm"], &folder);
    assert!(finished.status.success(), "{}", finished.stderr);
    for expected in [
        "ABI           0.2.1\n",
        "memory        128 KiB at the start, at most 512 KiB\n",
        "allocator     malloc\n",
        "starts with   _initialize\n",
        "callbacks     proxy_on_context_create\n              proxy_on_request_headers\n",
        "  env.proxy_http_call                                          known\n",
        "  env.not_there                                                unknown: a stub stands for it",
    ] {
        assert!(
            finished.stdout.contains(expected),
            "{expected:?} is not in\n{}",
            finished.stdout
        );
    }
    for (file, said) in [
        ("text.wasm", "error: text.wasm: it is not a WebAssembly module"),
        ("missing.wasm", "error: cannot read missing.wasm"),
    ] {
        let finished = run(&["plugin", "inspect", file], &folder);
        assert_eq!(finished.status.code(), Some(1));
        assert!(finished.stderr.starts_with(said), "{}", finished.stderr);
        assert_eq!(finished.stderr.lines().count(), 1);
    }
}

#[test]
fn described_requests_are_run_without_a_network() {
    let finished = test(
        r#"
plugin: { configuration: me }
cases:
  - name: goes on
    request: { path: /x, method: POST, headers: { accept: text/plain }, body: [hel, lo] }
    upstream: { status: 201, body: fine, headers: { x-from: up } }
    expect:
      status: 201
      headers: { x-from: up, x-by: null }
      body: fine!
      upstream: { method: POST, path: /x, headers: { x-by: me }, body: hello }
      calls: 0
  - name: is refused
    request: { path: /no }
    expect: { status: 403, body: no!, upstream: null }
  - name: waits for an answer
    request: { path: /ask }
    calls: [ { cluster: auth, path: /, status: 204 } ]
    expect: { status: 200, upstream: {}, calls: 1 }
  - name: waits in vain
    request: { path: /ask }
    calls: [ { cluster: auth, failed: broken } ]
    expect: { status: 503, upstream: null }
  # This one only looks whether there are headers.
  - name: takes for an answer what the host says in the place of an upstream
    request: { path: /ask }
    calls: [ { cluster: auth, failed: unreachable } ]
    expect: { status: 200, upstream: {} }
"#,
    );
    assert_eq!(
        finished.stdout.lines().last(),
        Some("5 cases, all as expected"),
        "{}{}",
        finished.stdout,
        finished.stderr
    );
    assert!(finished.status.success());
    assert!(finished.stdout.starts_with("ok   goes on\n"));
}

#[test]
fn what_is_not_as_expected_is_said() {
    let finished = test(
        r#"
clusters: [ auth ]
cases:
  - name: wrong in every way
    request: { path: /no }
    expect: { status: 200, headers: { content-type: text/html }, body: yes, upstream: { path: /no }, calls: 2 }
  - name: nobody answers
    request: { path: /ask }
    expect: { status: 200 }
"#,
    );
    assert_eq!(finished.status.code(), Some(1));
    assert_eq!(
        finished.stdout,
        "FAIL wrong in every way\n     \
              status: expected 200, got 403\n     \
              headers.content-type: expected \"text/html\", got \"text/plain\"\n     \
              body: expected \"yes\", got \"no!\"\n     \
              upstream: the request did not get there\n     \
              calls: expected 2, got 0\n\
         FAIL nobody answers\n     \
              an HTTP call that no entry of `calls` answers: GET / to auth\n"
    );
    assert_eq!(last_line(&finished), "error: 2 of 2 cases did not end as expected");
}

#[test]
fn a_mistake_in_the_cases_names_its_place() {
    for (cases, said) in [
        ("cases:\n  - nam: x\n", "error: cases.yaml:2:5: "),
        (
            "cases:\n  - request: { path: /x }\n",
            "error: cases.yaml:2:5: cases: missing field `name`",
        ),
        (
            "plugin: { memory: 1 }\ncases: []\n",
            "error: cases.yaml:1:9: plugin: unknown field `memory`",
        ),
        (
            "cases: [ { name: x, request: { path: \"no path\" } } ]",
            "error: cases.yaml:1:10: cases[0].request.path: must begin with `/` (case `x`)",
        ),
        (
            "cases: [ { name: x, request: { path: \"/no path\" } } ]",
            "error: cases.yaml:1:10: cases[0].request.path: has characters that must be escaped, such as `%20` for a space",
        ),
        (
            "cases: []",
            "error: cases.yaml:1:8: cases: is empty: describe at least one request",
        ),
        (
            "cases: [ { name: x, upstream: { status: 101 } } ]",
            "error: cases.yaml:1:10: cases[0].upstream.status: 101 is not the status of an answer: write one from 200 to 999",
        ),
        (
            "cases: [ { name: x, calls: [ { cluster: a, failed: reset, status: 200 } ] } ]",
            "error: cases.yaml:1:10: cases[0].calls[0].failed: a call that fails has no `status`, `headers` or `body`",
        ),
        (
            "cases: [ { name: x, expect: { no_answer: closed, status: 503 } } ]",
            "error: cases.yaml:1:10: cases[0].expect.no_answer: where there is no answer there is no `status`",
        ),
        (
            "cases: [ { name: x, expect: { headers: { x-a: { b: c } } } } ]",
            "error: cases.yaml:1:10: cases[0].expect.headers.x-a: must be a text, or a list of texts, or null for a field that is not there",
        ),
        (
            "cases: [ { name: x, request: { headers: { x-a: null } } } ]",
            "error: cases.yaml:1:10: cases[0].request.headers.x-a: must be a text, or a list of texts",
        ),
        (
            "cases: [ { name: x, request: { body: 1 } } ]",
            "error: cases.yaml:1:38: body: must be a text, or a list of texts, its parts: write numbers in quotes",
        ),
        (
            "cases: [ { name: x, expect: { calls: -1 } } ]",
            "error: cases.yaml:1:38: calls: is no whole number from 0",
        ),
        (
            "plugin: { limits: { contexts: 0 } }\ncases: [ { name: x } ]",
            "error: cases.yaml:1:9: plugin.limits.contexts: is 0: no request could pass the plugin",
        ),
        (
            "cases:\n  - name: x\n  - name: y\n  - name: x\n",
            "error: cases.yaml:4:5: cases[2].name: `x` is the name of the case in line 2: give each its own",
        ),
        (
            "plugin: { wasm: other.wasm }\ncases: [ { name: x } ]",
            "error: cases.yaml:1:9: plugin.wasm: the plugin's file is named on the command line: leave this out",
        ),
        (
            "plugin: { service: true }\ncases: [ { name: x } ]",
            "error: cases.yaml:1:9: plugin.service: such a plugin sees no requests",
        ),
        (
            "plugin: { disabled: true }\ncases: [ { name: x } ]",
            "error: cases.yaml:1:9: plugin.disabled: no request would pass the plugin",
        ),
        (
            "cases: [ { name: x, request: { method: POST, headers: { Content-Length: 7 }, body: [ab, cd] } } ]",
            "error: cases.yaml:1:10: cases[0].request.headers.Content-Length: is `7`, and the body has 4 bytes: write 4, or leave it out",
        ),
        (
            "cases: [ { name: x, request: { headers: { content-length: 2 }, body: ab, trailers: { x-a: b } } } ]",
            "error: cases.yaml:1:10: cases[0].request.headers.content-length: a body with trailers is chunked",
        ),
        (
            "cases: [ { name: x, upstream: { headers: { content-length: many }, body: ab } } ]",
            "error: cases.yaml:1:10: cases[0].upstream.headers.content-length: is `many`, and the body has 2 bytes",
        ),
        (
            "cases: [ { name: x, expect: { no_answer: closed, broken: true } } ]",
            "error: cases.yaml:1:10: cases[0].expect.broken: where there is no answer none breaks off",
        ),
    ] {
        let finished = test(cases);
        assert_eq!(finished.status.code(), Some(1));
        assert!(last_line(&finished).starts_with(said), "{}", finished.stderr);
    }
}

#[test]
fn a_plugin_that_would_fail_in_each_request_is_one_line() {
    let folder = folder_with("cases.yaml", "cases: [ { name: a }, { name: b } ]");
    let wat = r#"(module
      (memory (export "memory") 1)
      (func (export "proxy_abi_version_0_2_1"))
      (func (export "malloc") (param i32) (result i32) (i32.const 1024))
      (func (export "proxy_on_context_create") (param i32 i32) (if (local.get 1) (then unreachable)))
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))"#;
    std::fs::write(
        folder.join("guest.wasm"),
        wat::parse_str(wat).expect("the guest is no WAT"),
    )
    .expect("cannot write the guest");
    let finished = run(&["plugin", "test", "guest.wasm", "--requests", "cases.yaml"], &folder);
    let expected = "error: plugin \"guest\" would fail in each request: guest.wasm: proxy_on_context_create failed: ";
    assert_eq!(finished.status.code(), Some(1));
    assert!(finished.stderr.starts_with(expected), "{}", finished.stderr);
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
}

#[test]
fn a_missing_file_of_requests_is_said() {
    let folder = folder_with("unused", "");
    let finished = run(&["plugin", "test", "guest.wasm", "--requests", "none.yaml"], &folder);
    let expected = "error: none.yaml: cannot be read: No such file or directory (os error 2)\n";
    assert_eq!((finished.status.code(), finished.stderr.as_str()), (Some(1), expected));
}

/// Traps for `/trap`, closes the stream of `/close`. For other requests pauses at the head, and goes on when its body callback has seen the body, to whose
/// last bytes it adds a trailer; to those of the response too.
const PATIENT: &str = r#"(module
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 16) ":pathx-sum7")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_request_headers") (param $id i32) (param i32) (param $end i32) (result i32)
    (drop (call $get (i32.const 0) (i32.const 16) (i32.const 5) (i32.const 8) (i32.const 12)))
    (if (i32.eq (i32.load8_u (i32.const 4097)) (i32.const 116)) (then unreachable))
    (if (i32.eq (i32.load8_u (i32.const 4097)) (i32.const 99)) (then (drop (call $close (i32.const 0)))))
    (i32.eqz (local.get $end)))
  (func $body (param $map i32) (param $end i32) (result i32)
    (if (local.get $end) (then
      (drop (call $add (local.get $map) (i32.const 21) (i32.const 5) (i32.const 26) (i32.const 1)))))
    (i32.eqz (local.get $end)))
  (func (export "proxy_on_request_body") (param i32 i32) (param $end i32) (result i32)
    (call $body (i32.const 1) (local.get $end)))
  (func (export "proxy_on_response_body") (param i32 i32) (param $end i32) (result i32)
    (call $body (i32.const 3) (local.get $end))))"#;

fn test_patient(cases: &str) -> Finished {
    let folder = folder_with("cases.yaml", cases);
    let wasm = wat::parse_str(PATIENT).expect("the guest is no WAT");
    std::fs::write(folder.join("guest.wasm"), wasm).expect("cannot write the guest");
    run(&["plugin", "test", "guest.wasm", "--requests", "cases.yaml"], &folder)
}

#[test]
fn a_described_exchange_is_driven_as_the_gateway_does() {
    let finished = test_patient(
        r#"
plugin: { compat: spec }
cases:
  - name: sees the body while it pauses at the head
    request: { path: /, method: POST, body: [one, two] }
    upstream: { body: [hel, lo] }
    timeout: 1s
    expect:
      status: 200
      body: hello
      trailers: { x-sum: 7 }
      upstream: { body: onetwo, trailers: { x-sum: 7 } }
  - name: is expected to fail
    request: { path: /trap }
    expect: { status: 503, failed: true }
"#,
    );
    assert!(finished.status.success(), "{}{}", finished.stdout, finished.stderr);
}

#[test]
fn that_there_is_no_answer_may_be_expected() {
    let finished = test_patient(
        r#"
cases:
  - { name: is closed, request: { path: /close }, expect: { no_answer: closed, upstream: null } }
  # Without `compat: spec` the body waits until the plugin lets the head go.
  - { name: waits, request: { path: /, body: one }, timeout: 100ms, expect: { no_answer: paused, upstream: null } }
"#,
    );
    assert!(finished.status.success(), "{}{}", finished.stdout, finished.stderr);
    let finished = test_patient(
        r#"
cases:
  - { name: is closed, request: { path: /close }, expect: { status: 503 } }
  - { name: waits, request: { path: /, body: one }, timeout: 100ms, expect: { no_answer: closed } }
  - { name: goes on, request: { path: / }, expect: { no_answer: paused } }
"#,
    );
    assert_eq!(
        finished.stdout,
        "FAIL is closed\n     the plugin closed the stream; expect `no_answer: closed` if it should\n\
         FAIL waits\n     the plugin kept the exchange waiting until the case's timeout; expect `no_answer: paused` if \
         it should\n\
         FAIL goes on\n     no_answer: there was one, with status 200\n"
    );
}

/// The gateway sends the head on before it reads the body.
#[test]
fn who_ends_an_exchange_at_the_body_of_a_response_breaks_it_off() {
    let wat = r#"(module
      (memory (export "memory") 1)
      (func (export "proxy_abi_version_0_2_1"))
      (func (export "malloc") (param i32) (result i32) (i32.const 1024))
      (func (export "proxy_on_response_body") (param i32 i32) (param $end i32) (result i32)
        (if (local.get $end) (then unreachable))
        (i32.const 0)))"#;
    let test = |cases: &str| {
        let folder = folder_with("cases.yaml", cases);
        std::fs::write(
            folder.join("guest.wasm"),
            wat::parse_str(wat).expect("the guest is no WAT"),
        )
        .expect("cannot write the guest");
        run(&["plugin", "test", "guest.wasm", "--requests", "cases.yaml"], &folder)
    };
    let finished = test(
        r#"
cases:
  - name: fails
    upstream: { status: 201, body: [one, two] }
    expect: { status: 201, body: one, broken: true, failed: true }
  - { name: has nothing to fail at, upstream: { headers: { content-length: 0 } }, expect: { status: 200 } }
  - { name: is only the head, request: { method: HEAD }, upstream: { headers: { content-length: 7 } } }
"#,
    );
    assert!(finished.status.success(), "{}{}", finished.stdout, finished.stderr);
    let finished = test(
        r#"
cases:
  - { name: breaks, upstream: { body: one }, expect: { status: 503, failed: true } }
  - { name: is whole, expect: { broken: true } }
"#,
    );
    assert_eq!(
        finished.stdout,
        "FAIL breaks\n     status: expected 503, got 200\n     the answer broke off: the plugin failed or ended it when \
         its head had gone on; expect `broken: true` if it should\n\
         FAIL is whole\n     broken: the answer was expected to break off, and is whole\n"
    );
}

#[test]
fn the_schema_of_cases_knows_their_keys() {
    let finished = run(&["plugin", "schema"], &harness::folder());
    let schema: serde_json::Value = serde_json::from_str(&finished.stdout).expect("it is JSON");
    for (of, keys) in [
        (
            "Case",
            &["name", "request", "calls", "upstream", "timeout", "expect"][..],
        ),
        ("Call", &["cluster", "path", "failed", "status", "headers", "body"]),
        (
            "Expectation",
            &[
                "status",
                "headers",
                "body",
                "trailers",
                "upstream",
                "no_answer",
                "broken",
                "calls",
                "failed",
            ],
        ),
    ] {
        let known = schema["$defs"][of]["properties"].as_object().expect("an object");
        assert!(keys.iter().all(|key| known.contains_key(*key)), "{of}: {known:?}");
        assert_eq!(known.len(), keys.len(), "{of}");
    }
}

#[test]
fn a_trap_is_no_answer() {
    let finished = test_patient(
        r#"
cases:
  - { name: traps, request: { path: /trap }, expect: { status: 503 } }
  - { name: does not, request: { path: / }, expect: { failed: true } }
"#,
    );
    assert_eq!(
        finished.stdout,
        "FAIL traps\n     the plugin failed (why, stands in the log); expect `failed: true` if it should\n\
         FAIL does not\n     failed: the plugin was expected to fail, and did not\n"
    );
    assert_eq!(last_line(&finished), "error: 2 of 2 cases did not end as expected");
}

#[test]
fn a_trace_shows_every_call_and_no_secret() {
    let upstream = Upstream::named("ok");
    let folder = folder_with("unused", "");
    let config = format!(
        "workers: 1\nlisteners: [ {{ address: \"127.0.0.1:0\" }} ]\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
         routes: [ {{ prefix: /, cluster: up }} ]\nclusters: {{ up: {{ endpoints: [\"{}\"] }} }}\n\
         plugins: [ {{ name: guest, wasm: guest.wasm, configuration: me }} ]\n",
        upstream.address
    );
    std::fs::write(folder.join("gateway.yaml"), config).expect("cannot write the configuration");
    let wrong = run(&["run", "--config", "gateway.yaml", "--trace-plugin", "geust"], &folder);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        wrong
            .stderr
            .contains("--trace-plugin geust: gateway.yaml has no plugin of that name"),
        "{}",
        wrong.stderr
    );

    let gateway = Gateway::start_in(&folder, &["--trace-plugin", "guest"]);
    let secret =
        "GET /x?page=b&tok=s3cret&access_token=s3cret HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cret\r\n\r\n";
    assert_eq!(gateway.connect().send(secret).receive().status(), 200);
    let mut said = String::new();
    while !said.contains("<- proxy_on_response_body") {
        said.push_str(&gateway.says("plugin=\"guest\""));
        said.push('\n');
    }
    for expected in [
        "-> proxy_on_request_headers(2, ",
        "proxy_get_header_map_value(request_headers, \"authorization\"): ok, *** (13 bytes)",
        "proxy_get_buffer_bytes(plugin_configuration, 0, 100): ok, 2 bytes",
        "proxy_add_header_map_value(request_headers, \"x-by\", *** (2 bytes)): ok",
        "proxy_get_header_map_value(request_headers, \":path\"): ok, \"/x?page=b&tok=***&access_token=***\"",
        "<- proxy_on_request_headers: 0 (",
        "proxy_set_buffer_bytes(response_body, ",
    ] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
    assert!(!said.contains("s3cret"), "{said}");
}

/// `cargo test` builds the examples of the package beside the tests.
#[test]
fn another_program_hosts_a_plugin_without_the_gateway() {
    let folder = folder_with("unused", "");
    let tests = std::env::current_exe().expect("a test has a file");
    let example = tests
        .ancestors()
        .nth(2)
        .expect("deps is in a folder")
        .join("examples/embed");
    if !example.is_file() {
        // Only this file of tests was built.
        return;
    }
    let output = std::process::Command::new(example)
        .args(["guest.wasm", "me"])
        .current_dir(&folder)
        .output()
        .expect("cannot run the example");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("upstream: POST /hello?a=b"), "{said}");
    assert!(said.contains("\"x-by\": \"me\""), "{said}");
    assert!(said.contains("client body: b\"our answer!\""), "{said}");
}
