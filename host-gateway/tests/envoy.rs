//! The printed bootstrap: the real Envoy must accept it, and what it hands to plugins must be what the gateway hands them.

#![expect(clippy::unwrap_used, reason = "a test: what cannot be set up or read is its failure")]

#[cfg(test)]
mod harness;

use std::process::Command;

use harness::{folder, run};
use serde_json::Value;

const CONFIG: &str = r#"
workers: 1
listeners: [ { address: "127.0.0.1:18081" }, { address: "127.0.0.1:18082", tcp: { cluster: demo }, plugins: [bytes] } ]
routes:
  - { prefix: /service/, cluster: demo, strip_prefix: /service, timeout: 3s, retries: 2 }
  - { prefix: /whole, cluster: demo, strip_prefix: /whole }
  - { prefix: /deep/er, cluster: named, strip_prefix: /deep, timeout: 0 }
  - { prefix: /demo, cluster: demo, retries: 0, metadata: { filter_metadata: { guest: { word: alpha } } } }
clusters:
  demo: { endpoints: ["127.0.0.1:18088", "[::1]:18088"], health_check: { path: /health/ready }, load_balancing: round_robin }
  named: { endpoints: ["localhost:18089"], metadata: { filter_metadata: { guest: { place: [here, 1] } } } }
plugins:
  - name: auth
    wasm: filter.wasm
    root_id: root
    configuration: { b: [1, 2.5, "ü"], a: { nested: true } }
  - { name: bytes, wasm: filter.wasm, environment: { A: "1" } }
  - { name: open, wasm: filter.wasm, failure: open, configuration: "plain text", vm_id: shared }
cors: { origins: ["https://app.example.com", "http://[::1]:*"], headers: [Authorization, x-a], max_age: 1h }
admin: { address: "127.0.0.1:19901" }
"#;

/// The smallest module: Envoy reads the file only when it starts a VM.
const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

fn bootstrap(config: &str) -> (std::path::PathBuf, Value) {
    let folder = folder();
    std::fs::write(folder.join("gateway.yaml"), config).unwrap();
    std::fs::write(folder.join("filter.wasm"), EMPTY_MODULE).unwrap();
    let finished = run(&["envoy", "--config", "gateway.yaml"], &folder);
    assert!(finished.status.success(), "{}", finished.stderr);
    assert_eq!(
        finished.stderr,
        "note: run Envoy with `--concurrency 1` to have as many workers\n"
    );
    (folder, serde_json::from_str(&finished.stdout).unwrap())
}

fn connection_manager(bootstrap: &Value) -> &Value {
    &bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
}

#[test]
fn plugins_get_the_same_bytes() {
    let (folder, bootstrap) = bootstrap(CONFIG);
    let filters = &connection_manager(&bootstrap)["http_filters"];
    let auth = &filters[1]["typed_config"]["config"];
    assert_eq!(
        auth["configuration"]["value"],
        r#"{"b":[1,2.5,"ü"],"a":{"nested":true}}"#
    );
    assert_eq!(auth["root_id"], "root");
    assert_eq!(auth["failure_policy"], "FAIL_RELOAD");
    let file = auth["vm_config"]["code"]["local"]["filename"].as_str().unwrap();
    assert_eq!(
        std::fs::canonicalize(file).unwrap(),
        std::fs::canonicalize(folder.join("filter.wasm")).unwrap()
    );
    assert!(file.starts_with('/'));
    let open = &filters[2]["typed_config"]["config"];
    assert_eq!(open["configuration"]["value"], "plain text");
    assert_eq!(open["vm_config"]["vm_id"], "shared");
    assert_eq!(open["failure_policy"], "FAIL_OPEN");
    assert_eq!(filters[3]["name"], "envoy.filters.http.router");
}

#[test]
fn what_envoy_has_in_another_way_or_not_is_said() {
    let folder = folder();
    let config = CONFIG.replace(
        "failure: open,",
        "failure: open, compat: spec, properties: text, isolation: request, limits: { contexts: 7 },",
    );
    std::fs::write(folder.join("gateway.yaml"), config).unwrap();
    std::fs::write(folder.join("filter.wasm"), EMPTY_MODULE).unwrap();
    let finished = run(&["envoy", "--config", "gateway.yaml"], &folder);
    assert_eq!(
        finished.stderr,
        "note: run Envoy with `--concurrency 1` to have as many workers\n\
         note: plugin `open`: Envoy has no `properties: text` (its properties are binary), no `isolation: request` (all \
         requests of a worker share a VM), no `limits`\n"
    );
    let bootstrap: Value = serde_json::from_str(&finished.stdout).unwrap();
    let filters = &connection_manager(&bootstrap)["http_filters"];
    let allowed = |filter: usize| &filters[filter]["typed_config"]["config"]["allow_on_headers_stop_iteration"];
    assert_eq!((allowed(1), allowed(2)), (&Value::Null, &Value::Bool(true)));
}

#[test]
fn trailers_pass_where_the_gateway_lets_them_through() {
    let options = |config: &str| {
        let (_, bootstrap) = bootstrap(config);
        let cluster = &bootstrap["static_resources"]["clusters"][0]["typed_extension_protocol_options"];
        let upstream = &cluster["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]["explicit_http_config"];
        [
            &connection_manager(&bootstrap)["http_protocol_options"]["enable_trailers"],
            &upstream["http_protocol_options"]["enable_trailers"],
        ]
        .map(Value::as_bool)
    };
    assert_eq!(options(CONFIG), [Some(false); 2]);
    for key in ["request_trailers", "response_trailers"] {
        let on = CONFIG.replacen(":18081\"", &format!(":18081\", {key}: true"), 1);
        assert_eq!(options(&on), [Some(true); 2], "{key}");
    }
}

#[test]
fn routes_allow_the_same_upgrades() {
    let upgrades = |config: &str| {
        let (_, bootstrap) = bootstrap(config);
        let host = &connection_manager(&bootstrap)["route_config"]["virtual_hosts"][0];
        let routes = host["routes"].as_array().unwrap().clone();
        let allowing = routes
            .iter()
            .filter(|route| route["route"]["upgrade_configs"].is_array());
        let allowing: Vec<Value> = allowing
            .map(|route| route["route"]["upgrade_configs"].clone())
            .collect();
        allowing
    };
    assert!(upgrades(CONFIG).is_empty());
    let on = CONFIG.replacen("/demo, cluster", "/demo, upgrades: [websocket], cluster", 1);
    assert_eq!(upgrades(&on), [serde_json::json!([{ "upgrade_type": "websocket" }])]);
}

#[test]
fn cors_is_left_to_envoys_own_filter() {
    let (_, with) = bootstrap(CONFIG);
    let manager = connection_manager(&with);
    assert_eq!(manager["http_filters"][0]["name"], "envoy.filters.http.cors");
    let host = &manager["route_config"]["virtual_hosts"][0];
    let mut policy = host["typed_per_filter_config"]["envoy.filters.http.cors"].clone();
    policy.as_object_mut().unwrap().remove("@type");
    let expected = serde_json::json!({
        "allow_origin_string_match": [
            { "exact": "https://app.example.com" },
            { "safe_regex": { "regex": r"http://\[::1\](:[1-9][0-9]{0,4})?" } },
        ],
        "allow_methods": "*",
        "allow_headers": "authorization,x-a",
        "expose_headers": "www-authenticate",
        "max_age": "3600",
        "allow_credentials": false,
    });
    assert_eq!(policy, expected);

    let (before, rest) = CONFIG.split_once("cors:").unwrap();
    let (_, without) = bootstrap(&format!("{before}{}", &rest[rest.find("admin:").unwrap()..]));
    let printed = without.to_string();
    for word in ["cors", "vary", "access-control", "(no route)"] {
        assert!(!printed.contains(word), "{word}");
    }
}

#[test]
fn routes_stand_in_the_order_in_which_the_gateway_tries_them() {
    let (_, bootstrap) = bootstrap(CONFIG);
    let routes = connection_manager(&bootstrap)["route_config"]["virtual_hosts"][0]["routes"]
        .as_array()
        .unwrap();
    let shown: Vec<(Value, Value)> = routes
        .iter()
        .map(|route| (route["match"].clone(), route["route"]["prefix_rewrite"].clone()))
        .collect();
    let expected = serde_json::json!([
        [{ "prefix": "/service/" }, "/"],
        [{ "path_separated_prefix": "/deep/er" }, "/er"],
        [{ "path": "/whole" }, "/"],
        [{ "prefix": "/whole/" }, "/"],
        [{ "path_separated_prefix": "/demo" }, null],
        // Last, for what no route of the gateway names.
        [{ "prefix": "/" }, null],
    ]);
    assert_eq!(serde_json::to_value(shown).unwrap(), expected);
    assert_eq!(routes[4]["metadata"]["filter_metadata"]["guest"]["word"], "alpha");
    assert_eq!(routes[0].get("metadata"), None);
    let cluster = &bootstrap["static_resources"]["clusters"][1];
    assert_eq!(cluster["metadata"]["filter_metadata"]["guest"]["place"][0], "here");
    assert_eq!(routes[0]["route"]["timeout"], "3s");
    assert_eq!(routes[1]["route"]["timeout"], "0s");
    assert_eq!(routes[0]["route"]["retry_policy"]["num_retries"], 2);
}

#[test]
fn a_tcp_listener_has_its_plugins_and_nobody_elses() {
    let (_, bootstrap) = bootstrap(CONFIG);
    let filters = bootstrap["static_resources"]["listeners"][1]["filter_chains"][0]["filters"]
        .as_array()
        .unwrap();
    assert_eq!(filters.len(), 2);
    let wasm = &filters[0]["typed_config"];
    assert_eq!(
        wasm["@type"],
        "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm"
    );
    assert_eq!(wasm["config"]["name"], "bytes");
    assert_eq!(
        wasm["config"]["vm_config"]["environment_variables"]["key_values"]["A"],
        "1"
    );
    assert_eq!(filters[1]["typed_config"]["cluster"], "demo");
    let http = connection_manager(&bootstrap)["http_filters"].as_array().unwrap();
    assert!(http.iter().all(|filter| filter["name"] != "wasm.bytes"));
}

#[test]
fn the_real_envoy_accepts_it() {
    let Some(envoy) = std::env::var_os("ENVOY_BIN").filter(|envoy| !envoy.is_empty()) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no Envoy: set ENVOY_BIN");
        println!("skipped: no Envoy (set ENVOY_BIN)");
        return;
    };
    // Envoy compiles plugins when it validates; their part is tested with a real filter elsewhere.
    let without_plugins: String = {
        let (before, rest) = CONFIG.split_once("\nplugins:").unwrap();
        let (_, after) = rest.split_once("cors:").unwrap();
        format!("{before}\ncors:{after}").replace(", plugins: [bytes]", "")
    };
    let (folder, bootstrap) = bootstrap(&without_plugins);
    let file = folder.join("envoy.json");
    std::fs::write(&file, bootstrap.to_string()).unwrap();
    let validated = Command::new(envoy)
        .args(["--mode", "validate", "-c"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        validated.status.success(),
        "{}",
        String::from_utf8_lossy(&validated.stderr)
    );
}
