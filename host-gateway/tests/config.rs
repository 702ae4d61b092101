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
const MISTAKES: [(&str, &str, &str); 21] = [
    (
        "listeners:",
        "listener:",
        "gateway.yaml:1:1: unknown field `listener`, expected one of workers, listeners, routes, clusters, plugins, admin, access_log, drain_timeout",
    ),
    (
        "retries: 0",
        "retrys: 0",
        "gateway.yaml:3:65: unknown field `retrys`, expected one of prefix, cluster, strip_prefix, timeout, retries",
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
        "gateway.yaml:1:40: unknown field `tls`, expected one of address",
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

#[test]
fn a_missing_file_is_one_line() {
    let finished = run(&["run", "--config", "none.yaml"], &folder());
    assert_eq!(finished.status.code(), Some(1));
    assert_eq!(
        finished.stderr,
        "error: none.yaml: cannot read the configuration: No such file or directory (os error 2)\n"
    );
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
