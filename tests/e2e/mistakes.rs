//! Mistakes in the configuration of the filter: `postern-gateway check` finds them, and says where; Envoy can find some only
//! later.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use postern_e2e::{
    client::Request,
    host::{Host, filter_plugin, kinds},
    ports,
    servers::{Servers, folder, workspace},
};
use serde_json::{Value, json};
use xtask::stack::{HostKind, HostPorts, Stack};

/// What `check` says of a `gateway.yaml` whose filter is configured so.
fn check(configuration: &Value) -> (bool, String) {
    check_with(&workspace().filter(), configuration)
}

/// The same with another file for the filter.
fn check_with(wasm: &Path, configuration: &Value) -> (bool, String) {
    let (workspace, folder) = (workspace(), folder("mistakes"));
    let file = folder.join("gateway.yaml");
    let text = json!({
        "listeners": [ { "address": "127.0.0.1:0" } ],
        "routes": [ { "prefix": "/", "cluster": "up" } ],
        "clusters": { "up": { "endpoints": [ "127.0.0.1:9" ] } },
        "plugins": [ { "name": "auth", "wasm": wasm, "configuration": configuration } ],
    });
    fs::write(&file, text.to_string()).expect("a folder of its own");
    let mut command = Command::new(workspace.program("postern-gateway"));
    let ran = command
        .arg("check")
        .arg("--config")
        .arg(&file)
        .output()
        .expect("it runs");
    (ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned())
}

/// What cargo builds goes through the SDK in every callback; a person might load it.
#[test]
fn a_filter_that_is_not_finished_says_what_to_do() {
    let (good, said) = check_with(&workspace().half_built_filter(), &json!({ "public": [ "/**" ] }));
    let last = said.lines().last().unwrap_or_default();
    assert!(!good, "it is taken");
    assert!(last.contains("plugin \"auth\" refused the configuration"), "{said}");
    assert!(last.contains("`cargo xtask filter` makes the filter of it"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_cluster_that_does_not_exist_is_found_before_anybody_waits_for_it() {
    let server = |cluster: &str| json!({ "cluster": cluster, "authority": "auth-server" });
    for (configuration, key) in [
        (json!({ "auth_server": server("upp") }), "auth_server.cluster"),
        (
            json!({ "auth_server": server("up"), "login_service": server("upp") }),
            "login_service.cluster",
        ),
        (
            json!({ "issuers": [ { "issuer": "https://id", "jwks": { "cluster": "upp", "uri": "https://id/keys" } } ] }),
            "issuers[0].jwks.cluster",
        ),
        (
            json!({ "issuers": [ { "introspection": { "cluster": "upp", "uri": "https://id/introspect" } } ] }),
            "issuers[0].introspection.cluster",
        ),
    ] {
        let (good, said) = check(&configuration);
        assert!(!good, "{configuration} is taken");
        let line = format!("plugin configuration: {key}: the host has no cluster `upp`");
        assert!(said.contains(&line), "no {line} in {said}");
    }
    let (good, said) = check(&json!({ "auth_server": server("up"), "login_service": server("up") }));
    assert!(good, "{said}");
}

#[test]
fn a_header_that_means_something_else_cannot_say_who_calls() {
    for name in [":path", "host", "x a", "content-length", ""] {
        let (good, said) = check(&json!({ "forward": { "user_id": name } }));
        assert!(!good, "{name} is taken");
        let line = format!("plugin configuration: forward.user_id: `{name}`");
        assert!(said.contains(&line), "no {line} in {said}");
    }
}

/// Nobody means it: a template that did not fill in anything, or a key that was forgotten.
#[test]
fn an_empty_configuration_is_refused_by_both_hosts() {
    const LINE: &str = "plugin configuration: it is empty; write `{}` if every request is to be refused";
    for empty in [json!(""), json!(" \n"), Value::Null] {
        let (good, said) = check(&empty);
        assert!(!good && said.contains(LINE), "{empty}: {said}");
    }
    let (good, said) = check(&json!({}));
    assert!(good, "{said}");

    if !kinds().contains(&HostKind::Envoy) {
        return;
    }
    let stack = Stack {
        folder: folder("empty"),
        ..Servers::shared().stack.clone()
    };
    for empty in [json!({ "value": "" }), Value::Null] {
        let ports = HostPorts {
            gateway: ports::free(),
            admin: ports::free(),
        };
        let name = format!("envoy-{}", ports.gateway);
        let bootstrap = stack
            .envoy_bootstrap(&name, ports, &filter_plugin(&stack, &[]))
            .expect("it is printed");
        let mut bootstrap: Value = serde_json::from_str(&bootstrap).expect("a bootstrap is JSON");
        assert!(empty_configurations(&mut bootstrap, &empty) > 0);
        // Envoy may start or not: nobody passes.
        let started = stack.start_envoy_on(&name, ports.admin, &bootstrap.to_string());
        if started.is_ok() {
            let status = Request::get("/login/oauth/token").send(ports.gateway).status;
            assert!(status >= 500, "{status}");
        }
        let log = fs::read_to_string(stack.log(&name)).unwrap_or_default();
        assert!(log.contains(LINE), "{empty}: {log}");
    }
}

/// Takes the configurations of plugins away, or what stands in them. How many there are.
fn empty_configurations(value: &mut Value, empty: &Value) -> usize {
    match value {
        Value::Array(values) => values.iter_mut().map(|value| empty_configurations(value, empty)).sum(),
        Value::Object(members) if members.contains_key("vm_config") => {
            match (empty.get("value"), members.get_mut("configuration")) {
                (Some(value), Some(configuration)) => configuration["value"] = value.clone(),
                _ => {
                    members.remove("configuration");
                }
            }
            1
        }
        Value::Object(members) => members
            .values_mut()
            .map(|value| empty_configurations(value, empty))
            .sum(),
        _ => 0,
    }
}

/// Replaces text wherever it stands in a document.
fn replace(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) => *text = text.replace(from, to),
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, from, to)),
        Value::Object(members) => members.values_mut().for_each(|value| replace(value, from, to)),
        _ => {}
    }
}

/// Clusters of Envoy may still come, so it starts; what does not change is told less and less often.
#[test]
fn a_cluster_that_envoy_does_not_have_is_told_now_and_then() {
    if !kinds().contains(&HostKind::Envoy) {
        return;
    }
    let stack = Stack {
        folder: folder("no-cluster"),
        ..Servers::shared().stack.clone()
    };
    let plugin = filter_plugin(&stack, &[("hold", json!("100ms"))]);
    let host = Host::start_envoy(&stack, &plugin, |bootstrap| {
        let server = r#""cluster":"login-service""#;
        assert!(bootstrap.to_string().contains(&server.replace('"', "\\\"")));
        replace(bootstrap, server, r#""cluster":"login-servise""#);
    });
    let call = Request::get("/demo/test").bearer("a.b.c");
    assert_eq!(call.send(host.port).status, 503);
    let told = |times: usize| format!("a call to cluster login-servise could not be made ({times} in a row)");
    let log = || fs::read_to_string(&host.log).unwrap_or_default();
    for _ in 0..600 {
        if log().contains(&told(8)) {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let log = log();
    for times in 1..=8 {
        assert_eq!(log.contains(&told(times)), times.is_power_of_two(), "{times}: {log}");
    }
}
