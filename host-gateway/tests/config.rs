//! Every mistake in gateway.yaml is one line that names file, line, column and key.

#[cfg(test)]
mod harness;

use harness::{folder, run};

const GOOD: &str = r#"listeners: [ { address: "127.0.0.1:0" } ]
routes:
  - { prefix: /a/, cluster: one, strip_prefix: /a, timeout: 2s, retries: 0 }
clusters:
  one: { endpoints: ["127.0.0.1:9000"], load_balancing: random, connect_timeout: 500ms }
"#;

/// What to change in the good file, and what the gateway says then.
const MISTAKES: [(&str, &str, &str); 49] = [
    (
        "[\"127.0.0.1:9000\"]",
        "[{ adress: \"a:1\" }]",
        "gateway.yaml:5:24: unknown field `adress`, expected one of address, metadata",
    ),
    (
        "[\"127.0.0.1:9000\"]",
        "5",
        "gateway.yaml:5:21: endpoints: expected a list, as in `[ a, b ]`",
    ),
    (
        "prefix: /a/,",
        "prefix: [ a ],",
        "gateway.yaml:3:15: prefix: expected a single value, not a list or keys",
    ),
    (
        "connect_timeout: 500ms",
        "max_connections: 0",
        "gateway.yaml:5:21: clusters.one.max_connections: is 0: every request would wait in vain; give at least 1",
    ),
    (
        "connect_timeout: 500ms",
        "health_check: { path: /up, interval: 0s }",
        "gateway.yaml:5:87: clusters.one.health_check.interval: is too short: give at least 10ms",
    ),
    (
        "connect_timeout: 500ms",
        "health_check: { path: /up, timeout: 9ms }",
        "gateway.yaml:5:87: clusters.one.health_check.timeout: is too short: give at least 10ms",
    ),
    (
        "retries: 0",
        "plugins: { a: { disabled: \"yes\" } }",
        "gateway.yaml:3:91: disabled: `yes` is a text: write true or false, without quotes",
    ),
    (
        "retries: 0",
        "plugins: { a: { disabled: \"true\" } }",
        "gateway.yaml:3:91: disabled: `true` is a text: write true or false, without quotes",
    ),
    (
        "routes:",
        "plugins:\n  - { name: a, wasm: a.wasm, disabled: yes }\nroutes:",
        "gateway.yaml:3:40: disabled: `yes` is a text: write true or false, without quotes",
    ),
    (
        "routes:",
        "plugins:\n  - { name: a, wasm: a.wasm, service: 1 }\nroutes:",
        "gateway.yaml:3:39: service: `1` is a number: write true or false",
    ),
    (
        "routes:",
        "plugins:\n  - { name: a, wasm: a.wasm, service: -1 }\nroutes:",
        "gateway.yaml:3:39: service: `-1` is a number: write true or false",
    ),
    (
        "routes:",
        "plugins:\n  - { name: a, wasm: a.wasm, service: 1.5 }\nroutes:",
        "gateway.yaml:3:39: service: `1.5` is a number: write true or false",
    ),
    (
        "routes:",
        "plugins:\n  - { name: a, wasm: a.wasm, service: ~ }\nroutes:",
        "gateway.yaml:3:39: service: there is nothing: write true or false",
    ),
    (
        "routes:",
        "plugins:\n  - { name: a, wasm: a.wasm, service: [ a ] }\nroutes:",
        "gateway.yaml:3:39: service: there is a list: write true or false",
    ),
    (
        "routes:",
        "plugins:\n  - { name: a, wasm: a.wasm, service: { a: b } }\nroutes:",
        "gateway.yaml:3:39: service: there are keys: write true or false",
    ),
    (
        "\"127.0.0.1:0\" }",
        "\"127.0.0.1:0\", request_trailers: \"on\" }",
        "gateway.yaml:1:58: request_trailers: `on` is a text: write true or false, without quotes",
    ),
    (
        "routes:",
        "cors: { origins: [ \"https://a\" ], allow_credentials: \"no\" }\nroutes:",
        "gateway.yaml:2:54: allow_credentials: `no` is a text: write true or false, without quotes",
    ),
    (
        "retries: 0",
        "retries: 0, retries: 0",
        "gateway.yaml:3:77: the key `retries` is there twice; remove one",
    ),
    (
        "routes:",
        "---\nroutes:",
        "gateway.yaml:3:1: a second document begins here: leave one, without `---`",
    ),
    (
        "\"127.0.0.1:0\" }",
        "\"127.0.0.1:0\", tcp: { cluster: two } }",
        "gateway.yaml:1:56: listeners[0].tcp.cluster: there is no cluster `two`; there are `one`",
    ),
    (
        "listeners:",
        "listener:",
        "gateway.yaml:1:1: unknown field `listener`, expected one of workers, listeners, routes, clusters, plugins, code_cache, cors, admin, access_log, drain_timeout",
    ),
    (
        "retries: 0",
        "retrys: 0",
        "gateway.yaml:3:65: unknown field `retrys`, expected one of prefix, cluster, strip_prefix, timeout, retries, upgrades, idle_timeout, metadata, plugins",
    ),
    (
        "retries: 0",
        "retries: -1",
        "gateway.yaml:3:74: retries: is no whole number from 0",
    ),
    (
        "timeout: 2s",
        "timeout: 2",
        "gateway.yaml:3:61: timeout: `2` is no duration: write 250ms, 15s, 5m or 1h",
    ),
    (
        "cluster: one",
        "cluster: two",
        "gateway.yaml:3:29: routes[0].cluster: there is no cluster `two`; there are `one`",
    ),
    (
        "prefix: /a/,",
        "prefix: a,",
        "gateway.yaml:3:15: routes[0].prefix: `a` is no path: write one that begins with `/`, without query",
    ),
    (
        "prefix: /a/,",
        "prefix: /a?b,",
        "gateway.yaml:3:15: routes[0].prefix: `/a?b` is no path: write one that begins with `/`, without query",
    ),
    (
        "strip_prefix: /a,",
        "strip_prefix: /b,",
        "gateway.yaml:3:48: routes[0].strip_prefix: `/b` is not a leading part, up to a `/`, of the prefix `/a/`",
    ),
    (
        "prefix: /a/,",
        "prefix: /ab/,",
        "gateway.yaml:3:49: routes[0].strip_prefix: `/a` is not a leading part, up to a `/`, of the prefix `/ab/`",
    ),
    (
        "clusters:",
        "  - { prefix: /a/, cluster: one }\nclusters:",
        "gateway.yaml:4:15: routes[1].prefix: `/a/` stands already in line 3",
    ),
    (
        "[\"127.0.0.1:9000\"]",
        "[\"127.0.0.1:9000\", a:1, { address: \"127.0.0.1:9000\" }]",
        "gateway.yaml:5:45: clusters.one.endpoints[2]: `127.0.0.1:9000` is endpoints[0] already: remove one",
    ),
    (
        "[\"127.0.0.1:9000\"]",
        "[]",
        "gateway.yaml:5:21: clusters.one.endpoints: is empty: give at least one `host:port`",
    ),
    (
        "127.0.0.1:9000",
        "127.0.0.1",
        "gateway.yaml:5:22: endpoints: `127.0.0.1` is no endpoint: write host:port, such as 127.0.0.1:8088 or orders:8080",
    ),
    (
        "127.0.0.1:9000",
        "http://a:1",
        "gateway.yaml:5:22: endpoints: `http://a:1` is no endpoint: write host:port, such as 127.0.0.1:8088 or orders:8080",
    ),
    (
        "127.0.0.1:0",
        "localhost:1",
        "gateway.yaml:1:25: address: `localhost:1` is no address to listen on: write ip:port, such as 127.0.0.1:8081 or [::1]:8081",
    ),
    (
        "[ { address: \"127.0.0.1:0\" } ]",
        "[]",
        "gateway.yaml:1:12: listeners: is empty: give at least one `address`",
    ),
    (
        "address: \"127.0.0.1:0\"",
        "address: \"127.0.0.1:0\", tls: { certificate: a, key: b }",
        "gateway.yaml:1:40: unknown field `tls`, expected one of address, plugins, request_trailers, response_trailers, traffic_direction, metadata, tcp",
    ),
    (
        "listeners:",
        "workers: 0\nlisteners:",
        "gateway.yaml:1:10: workers: must be 1 to 1024; leave it out for one per core",
    ),
    (
        "random",
        "fastest",
        "gateway.yaml:5:57: load_balancing: unknown variant `fastest`, expected one of least_request, round_robin, random",
    ),
    (
        "clusters:",
        "plugins: [ { name: auth, wasm: filter.wasm } ]\nclusters:",
        "gateway.yaml:4:12: plugins[0].wasm: there is no file ./filter.wasm",
    ),
    (
        "load_balancing",
        "health_check: { path: health }, load_balancing",
        "gateway.yaml:5:63: clusters.one.health_check.path: `health` is no path: write one that begins with `/`, without query",
    ),
    (
        "{ endpoints: [\"127.0.0.1:9000\"], load_balancing: random, connect_timeout: 500ms }",
        "\n    endpoints:\n      - a:1\n      - b",
        "gateway.yaml:8:9: endpoints: `b` is no endpoint: write host:port, such as 127.0.0.1:8088 or orders:8080",
    ),
    (
        "clusters:",
        "cors: { origins: [] }\nclusters:",
        "gateway.yaml:4:18: cors.origins: is empty: give at least one, or leave `cors` out",
    ),
    (
        "clusters:",
        "cors: { max_age: 1h }\nclusters:",
        "gateway.yaml:4:9: missing field `origins`",
    ),
    (
        "clusters:",
        "cors: { origins: [\"https://a\", \"*\"] }\nclusters:",
        "gateway.yaml:4:32: origins: `*` is no origin: it would let every page call; write https://app.example.com, or http://localhost:* where the port may be any",
    ),
    (
        "clusters:",
        "cors:\n  origins:\n    - https://a/\nclusters:",
        "gateway.yaml:6:7: origins: `https://a/` is no origin: the host is not written as browsers write it, without path and in small letters; write https://app.example.com, or http://localhost:* where the port may be any",
    ),
    (
        "clusters:",
        "cors: { origins: [\"null\"] }\nclusters:",
        "gateway.yaml:4:19: origins: `null` is no origin: it would let every page call; write https://app.example.com, or http://localhost:* where the port may be any",
    ),
    (
        "clusters:",
        "cors: { origins: [\"https://a\"], methods: [GET, post] }\nclusters:",
        "gateway.yaml:4:48: methods: `post` is no method: write it in capital letters, such as GET",
    ),
    (
        "clusters:",
        "cors: { origins: [\"https://a\"], headers: [\"*\"] }\nclusters:",
        "gateway.yaml:4:43: headers: `*` is no name of a header field: write one such as authorization",
    ),
];

#[test]
fn a_good_file_is_good() {
    let folder = folder();
    std::fs::write(folder.join("gateway.yaml"), GOOD).unwrap();
    let finished = run(&["check", "--config", "gateway.yaml"], &folder);
    assert_eq!(
        (finished.status.code(), finished.stdout.as_str()),
        (Some(0), "gateway.yaml is good\n"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_mistake_is_one_line() {
    let folder = folder();
    let mut wrong = String::new();
    for (from, to, expected) in MISTAKES {
        assert!(GOOD.contains(from), "{from}");
        std::fs::write(folder.join("gateway.yaml"), GOOD.replacen(from, to, 1)).unwrap();
        for command in ["check", "run", "envoy"] {
            let finished = run(&[command, "--config", "gateway.yaml"], &folder);
            if finished.status.code() != Some(1) || finished.stderr != format!("error: {expected}\n") {
                wrong.push_str(&format!(
                    "{command}, {to}:\n  expected error: {expected}\n  said     {}",
                    finished.stderr
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Keys of a listener, of a route and of a plugin that make no sense, or the level of the log; and what is said.
#[test]
fn what_makes_no_sense_is_one_line() {
    let folder = folder();
    std::fs::create_dir(folder.join("folder")).unwrap();
    std::fs::write(folder.join("empty.wasm"), "").unwrap();
    std::fs::write(folder.join("a.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let said = |text: String| {
        std::fs::write(folder.join("gateway.yaml"), text).unwrap();
        let finished = run(&["check", "--config", "gateway.yaml"], &folder);
        assert_eq!(finished.status.code(), Some(1), "{}", finished.stdout);
        finished.stderr
    };
    for (plugin, expected) in [
        (
            "name: a, wasm: folder",
            "wasm: ./folder is a folder: name the `.wasm` file in it",
        ),
        ("name: a, wasm: /dev/null", "wasm: /dev/null is no regular file"),
        ("name: a, wasm: empty.wasm", "wasm: ./empty.wasm is empty"),
        (
            "name: \"\", wasm: a.wasm",
            "name: must be a name of one line: it stands in logs and metrics",
        ),
        (
            "name: \"a\\nb\", wasm: a.wasm",
            "name: must be a name of one line: it stands in logs and metrics",
        ),
        (
            "name: a, wasm: a.wasm, limits: { memory: 64 }",
            "limits.memory: is 64 bytes, and no plugin starts in less than 64KiB: write for example 64MiB",
        ),
        (
            "name: a, wasm: a.wasm, limits: { memory: 100000GiB }",
            "limits.memory: `102400000MiB` is more than 4GiB, all that a plugin can address",
        ),
        (
            "name: a, wasm: a.wasm, limits: { memory: 1MiB, recycle: 2MiB }",
            "limits.recycle: `2MiB` is more than limits.memory (`1MiB`): it is never reached",
        ),
        (
            "name: a, wasm: a.wasm, limits: { contexts: 0 }",
            "limits.contexts: is 0: no request could pass the plugin; leave it out for 100000",
        ),
        (
            "name: a, wasm: a.wasm, reload_backoff: 5s",
            "reload_backoff: is only for `failure: reload`: add that, or leave it out",
        ),
        (
            "name: a, wasm: a.wasm, environment: { \"A=B\": c }",
            "environment: `A=B` cannot be the name of a variable, or its value cannot be one",
        ),
    ] {
        assert_eq!(
            said(format!("{GOOD}plugins: [ {{ {plugin} }} ]\n")),
            format!("error: gateway.yaml:6:12: plugins[0].{expected}\n")
        );
    }
    let twice = GOOD
        .replacen("127.0.0.1:0", "127.0.0.1:4711\" }, { address: \"[::1]:4711", 1)
        .replacen("clusters:", "admin: { address: \"127.0.0.1:4711\" }\nclusters:", 1);
    assert_eq!(
        said(twice),
        "error: gateway.yaml:4:19: admin.address: `127.0.0.1:4711` is that of `listeners[0].address` already: give each its own port\n"
    );
    let often = said(GOOD.replacen("retries: 0", "retries: 1000000", 1));
    assert!(often.contains(": routes[0].retries: is more than 100: "), "{often}");
    let finished = run(
        &["--log-level", "nonsense", "check", "--config", "gateway.yaml"],
        &folder,
    );
    let expected = "error: --log-level nonsense: `nonsense` is no level: write error, warn, info, debug or trace, or a \
                    filter such as `info,postern_gateway=debug`\n";
    assert_eq!((finished.status.code(), finished.stderr.as_str()), (Some(1), expected));
}

/// A plugin that calls a cluster, complains twice, and does not take its configuration.
const REFUSING: &str = r#"(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_http_call"
    (func $http_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "first\nruls: unknown\n fieldone")
  (data (i32.const 64)
    "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (if (call $http_call (i32.const 42) (i32.const 3) (i32.const 64) (i32.const 61)
          (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 512))
      (then unreachable))
    (drop (call $log (i32.const 4) (i32.const 16) (i32.const 5)))
    (drop (call $log (i32.const 4) (i32.const 22) (i32.const 20)))
    (i32.const 0)))"#;

#[test]
fn what_a_plugin_refuses_is_one_line_with_its_reason() {
    let folder = folder();
    std::fs::write(folder.join("refusing.wasm"), wat::parse_str(REFUSING).unwrap()).unwrap();
    // Nobody answers to that name, and `check` does not ask.
    let config = GOOD.replace("127.0.0.1:9000", "127.0.0.1:1");
    let config =
        format!("{config}plugins:\n  - {{ name: picky, wasm: refusing.wasm, configuration: {{ ruls: [] }} }}\n");
    std::fs::write(folder.join("gateway.yaml"), config).unwrap();
    for command in ["check", "run"] {
        let finished = run(&[command, "--config", "gateway.yaml"], &folder);
        assert_eq!(finished.status.code(), Some(1), "{command}");
        // What the other workers' plugins log may come after it.
        let errors: Vec<_> = finished
            .stderr
            .lines()
            .filter(|line| line.starts_with("error:"))
            .collect();
        assert_eq!(
            errors,
            [
                "error: gateway.yaml:7:58: plugins[0].configuration: plugin \"picky\" refused the configuration: ruls: unknown field"
            ],
            "{command}"
        );
        assert_eq!(
            finished.stderr.matches("unknown field").count(),
            1,
            "{}",
            finished.stderr
        );
    }
}

/// Takes its configuration, and traps when a context for a stream is made, as a plugin of an SDK does that has none.
fn only_with_a_root_context(callback: &str) -> String {
    format!(
        r#"(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "there is no context")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_context_create") (param i32 i32)
    (if (local.get 1) (then (drop (call $log (i32.const 4) (i32.const 16) (i32.const 19))) unreachable)))
  (func (export "proxy_on_tick") (param i32))
  {callback})"#
    )
}

#[test]
fn a_plugin_that_would_fail_in_each_request_is_one_line() {
    let folder = folder();
    let request = r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))"#;
    let connection = r#"(func (export "proxy_on_new_connection") (param i32) (result i32) (i32.const 0))"#;
    for (name, callback) in [("request", request), ("connection", connection), ("root", "")] {
        let wasm = wat::parse_str(only_with_a_root_context(callback)).unwrap();
        std::fs::write(folder.join(format!("{name}.wasm")), wasm).unwrap();
    }
    let configure = |keys: &str, tcp: &str| {
        let config =
            format!("{GOOD}plugins: [ {{ name: p, {keys} }} ]\n").replacen("0\" }", &format!("0\"{tcp} }}"), 1);
        std::fs::write(folder.join("gateway.yaml"), config).unwrap();
    };
    let cause =
        "proxy_on_context_create failed: wasm trap: wasm `unreachable` instruction executed: there is no context";
    let advice =
        "write `service: true` if it only has a root context, else name the file that its build is meant to give";
    for (keys, tcp, stream) in [
        ("wasm: request.wasm", "", "request"),
        // Neither is a VM for each request, nor are requests without a plugin, what somebody wants who names one.
        ("wasm: request.wasm, isolation: request", "", "request"),
        ("wasm: request.wasm, failure: open", "", "request"),
        (
            "wasm: connection.wasm",
            ", plugins: [ p ], tcp: { cluster: one }",
            "connection",
        ),
    ] {
        configure(keys, tcp);
        for command in ["check", "run"] {
            let finished = run(&[command, "--config", "gateway.yaml"], &folder);
            let expected = format!(
                "error: gateway.yaml:6:12: plugins[0].wasm: plugin \"p\" would fail in each {stream}: ./{stream}.wasm: \
                 {cause}; {advice}\n"
            );
            assert_eq!(
                (finished.status.code(), finished.stderr),
                (Some(1), expected),
                "{command}, {keys}"
            );
        }
    }
    // It makes no streams.
    for keys in [
        "wasm: request.wasm, service: true",
        "wasm: root.wasm",
        "wasm: request.wasm, disabled: true",
    ] {
        configure(keys, "");
        let finished = run(&["check", "--config", "gateway.yaml"], &folder);
        assert!(finished.status.success(), "{keys}: {}", finished.stderr);
    }
}

/// As in service: what a later plugin makes at its start is there for the streams of those before it.
#[test]
fn a_plugin_may_need_what_a_later_one_makes_at_its_start() {
    let folder = folder();
    let guest = |import: &str, callbacks: &str| {
        format!(
            r#"(module (import "env" {import}) (memory (export "memory") 1) (data (i32.const 16) "later" "jobs")
                (func (export "proxy_abi_version_0_2_1"))
                (func (export "malloc") (param i32) (result i32) (i32.const 1024))
                (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
                {callbacks})"#
        )
    };
    let first = guest(
        r#""proxy_resolve_shared_queue" (func $resolve (param i32 i32 i32 i32 i32) (result i32))"#,
        r#"(func (export "proxy_on_context_create") (param i32 i32)
            (if (local.get 1) (then
                (if (call $resolve (i32.const 16) (i32.const 5) (i32.const 21) (i32.const 4) (i32.const 0))
                    (then unreachable)))))"#,
    );
    let later = guest(
        r#""proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32))"#,
        r#"(func (export "proxy_on_vm_start") (param i32 i32) (result i32)
            (i32.eqz (call $register (i32.const 21) (i32.const 4) (i32.const 0))))"#,
    );
    for (name, text) in [("first", first), ("later", later)] {
        std::fs::write(folder.join(format!("{name}.wasm")), wat::parse_str(text).unwrap()).unwrap();
    }
    let plugins = "plugins: [ { name: first, wasm: first.wasm }, { name: later, wasm: later.wasm, vm_id: later } ]";
    std::fs::write(folder.join("gateway.yaml"), format!("{GOOD}{plugins}\n")).unwrap();
    let finished = run(&["check", "--config", "gateway.yaml"], &folder);
    assert!(finished.status.success(), "{}", finished.stderr);
}

#[test]
fn a_service_that_has_nothing_to_do_is_a_warning() {
    let folder = folder();
    let wasm = r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 0))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))"#;
    std::fs::write(folder.join("http.wasm"), wat::parse_str(wasm).unwrap()).unwrap();
    let config = format!("{GOOD}plugins: [ {{ name: idle, wasm: http.wasm, service: true }} ]\n");
    std::fs::write(folder.join("gateway.yaml"), config).unwrap();
    let finished = run(&["check", "--config", "gateway.yaml"], &folder);
    assert!(finished.status.success(), "{}", finished.stderr);
    let expected = "the plugin only has callbacks for requests, and sees none with `service: true`: it does nothing";
    assert!(finished.stderr.contains(expected), "{}", finished.stderr);
}

#[test]
fn a_hundred_thousand_rules_are_a_configuration() {
    let folder = folder();
    std::fs::write(folder.join("refusing.wasm"), wat::parse_str(REFUSING).unwrap()).unwrap();
    let rules: String = (0..100_000)
        .map(|rule| format!("        - {{ path: /api/{rule} }}\n"))
        .collect();
    let plugin = "  - name: picky\n    wasm: refusing.wasm\n    configuration:\n      rules:\n";
    std::fs::write(folder.join("gateway.yaml"), format!("{GOOD}plugins:\n{plugin}{rules}")).unwrap();
    let finished = run(&["check", "--config", "gateway.yaml"], &folder);
    // It came as far as the plugin, which names a key that is not there.
    let expected =
        "error: gateway.yaml:9:5: plugins[0].configuration: plugin \"picky\" refused the configuration: ruls: ";
    assert!(finished.stderr.contains(expected), "{}", finished.stderr);
}

#[test]
fn a_file_that_is_no_plugin_is_one_line() {
    let folder = folder();
    std::fs::write(folder.join("no.wasm"), "#!/bin/sh").unwrap();
    let config = format!("{GOOD}plugins: [ {{ name: no, wasm: no.wasm }} ]\n");
    std::fs::write(folder.join("gateway.yaml"), config).unwrap();
    for command in ["check", "run"] {
        let finished = run(&[command, "--config", "gateway.yaml"], &folder);
        assert_eq!(finished.status.code(), Some(1), "{command}");
        let expected =
            "error: gateway.yaml:6:12: plugins[0].wasm: plugin \"no\": ./no.wasm: it is not a WebAssembly module";
        assert!(finished.stderr.starts_with(expected), "{}", finished.stderr);
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    }
}

#[test]
fn more_vms_than_there_may_be_are_one_line() {
    let folder = folder();
    std::fs::write(folder.join("refusing.wasm"), wat::parse_str(REFUSING).unwrap()).unwrap();
    let plugins: String = (0..8)
        .map(|number| format!("  - {{ name: p{number}, wasm: refusing.wasm }}\n"))
        .collect();
    let config = format!("{GOOD}workers: 1024\nplugins:\n{plugins}");
    std::fs::write(folder.join("gateway.yaml"), config).unwrap();
    for command in ["check", "run"] {
        let finished = run(&[command, "--config", "gateway.yaml"], &folder);
        let expected = "error: gateway.yaml:6:10: workers: workers and plugins may need 16384 VMs together, and 16000 is the most: take fewer\n";
        assert_eq!((finished.status.code(), finished.stderr.as_str()), (Some(1), expected));
    }
}

#[test]
fn a_missing_file_is_one_line() {
    let finished = run(&["run", "--config", "none.yaml"], &folder());
    assert_eq!(finished.status.code(), Some(1));
    assert_eq!(
        finished.stderr,
        "error: none.yaml: cannot be read: No such file or directory (os error 2)\n"
    );
}

#[test]
fn who_stops_reading_early_sees_no_error() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_postern-gateway"))
        .arg("schema")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}

#[test]
fn the_schema_knows_every_key() {
    let finished = run(&["schema"], &folder());
    let schema: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    for key in [
        "workers",
        "listeners",
        "routes",
        "clusters",
        "plugins",
        "admin",
        "access_log",
        "drain_timeout",
    ] {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
    assert_eq!(schema["additionalProperties"], false);
}

/// The keys of a schema and of all that it is made of, with those of a plugin's entry apart.
fn keys(schema: &serde_json::Value, of_plugins: bool, found: &mut Vec<(String, bool)>, all: &serde_json::Value) {
    if !schema.is_object() {
        return;
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        return keys(&all["$defs"][name], of_plugins || name == "PluginConfig", found, all);
    }
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        found.push((key.clone(), of_plugins));
        keys(inner, of_plugins, found, all);
    }
    for inner in [&schema["items"], &schema["additionalProperties"]] {
        keys(inner, of_plugins, found, all);
    }
    for inner in schema["anyOf"].as_array().into_iter().flatten() {
        keys(inner, of_plugins, found, all);
    }
}

#[test]
fn every_key_is_described() {
    let schema: serde_json::Value = serde_json::from_str(&run(&["schema"], &folder()).stdout).unwrap();
    let mut found = Vec::new();
    keys(&schema, false, &mut found, &schema);
    assert!(found.len() > 60, "{found:?}");
    let page = |name: &str| std::fs::read_to_string(format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let pages = [page("gateway.md"), page("plugins.md")];
    for (key, of_plugins) in found {
        // What has one key is described in a sentence.
        let described = pages[usize::from(of_plugins)].contains(&format!("`{key}`"));
        assert!(described, "`{key}` is not on its page");
    }
}
