//! The subjects: each with a configuration that asks the same of it, and how it is started.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use postern_e2e::processes::on_core;
use serde_json::{Value, json};

use crate::{
    Bench,
    tokens::{AUDIENCE, ISSUER, Kind},
};

/// Who may go where: a path below the prefix needs the role.
const RULES: [(&str, &str); 4] = [
    ("/admin/", "admin"),
    ("/internal/", "ops"),
    ("/reports/", "viewer"),
    ("/api/", "user"),
];

/// One proxy in one configuration under one kind of tokens.
pub struct Subject {
    pub name: String,
    pub tokens: Kind,
    /// Whether it looks at tokens at all.
    pub guards: bool,
    command: Vec<String>,
}

impl Subject {
    /// How to start it: alone on core 0.
    pub fn command(&self) -> Command {
        let mut command = on_core(0, Path::new(&self.command[0]));
        command.args(&self.command[1..]);
        command
    }
}

/// Writes the configurations and lists everything that is measured.
pub fn subjects(bench: &Bench) -> Result<Vec<Subject>> {
    let plugin = plugin(&bench.tokens.jwks);
    let plain = bench.write("gateway-plain.yaml", &gateway(bench, None))?;
    let filtered = bench.write(
        "gateway-filter.yaml",
        &gateway(bench, Some((&bench.tools.filter, &plugin))),
    )?;
    let envoy_plain = bench.write("envoy-plain.json", &envoy(bench, &[]).to_string())?;
    let envoy_jwt = bench.write(
        "envoy-jwt.json",
        &envoy(bench, &[jwt_authn(&bench.tokens.jwks), rbac()]).to_string(),
    )?;
    let envoy_filter = bench.write("envoy-filter.json", &printed_bootstrap(bench, &filtered)?)?;

    let gateway_path = bench.tools.gateway.display().to_string();
    let gateway = |file: &str| vec![gateway_path.clone(), "run".into(), "--config".into(), file.into()];
    let envoy_path = bench.tools.envoy.display().to_string();
    let envoy = |file: &str| {
        let flags = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
        let mut command = vec![envoy_path.clone(), "-c".into(), file.into()];
        command.extend(flags.map(str::to_owned));
        command
    };

    let mut subjects = Vec::new();
    let mut add = |name: &str, tokens, guards, command| {
        subjects.push(Subject {
            name: name.to_owned(),
            tokens,
            guards,
            command,
        });
    };
    add("host-gateway", Kind::Rs256, false, gateway(&plain));
    add("Envoy", Kind::Rs256, false, envoy(&envoy_plain));
    for kind in [Kind::Hs256, Kind::Rs256] {
        let algorithm = kind.name();
        add(
            &format!("host-gateway + filter {algorithm}"),
            kind,
            true,
            gateway(&filtered),
        );
        add(&format!("Envoy + filter {algorithm}"), kind, true, envoy(&envoy_filter));
        add(
            &format!("Envoy jwt_authn (cache) + RBAC {algorithm}"),
            kind,
            true,
            envoy(&envoy_jwt),
        );
    }
    Ok(subjects)
}

impl Bench {
    /// Writes a file into the folder of the run; returns its path.
    pub fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path.display().to_string())
    }
}

/// What the filter is told: keys and rules, no server.
fn plugin(jwks: &Value) -> Value {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|(prefix, role)| json!({ "path": format!("{prefix}**"), "any_authority": [role] }))
        .collect();
    json!({
        "issuers": [ { "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": { "inline": jwks },
                       "claims": { "user_name": "name", "authorities": ["roles"] } } ],
        "rules": rules,
    })
}

/// `gateway.yaml`; JSON is YAML too.
fn gateway(bench: &Bench, plugin: Option<(&Path, &Value)>) -> String {
    let plugins: Vec<Value> = plugin
        .iter()
        .map(|(wasm, configuration)| json!({ "name": "auth", "wasm": wasm, "configuration": configuration }))
        .collect();
    json!({
        "workers": 1,
        "listeners": [ { "address": format!("127.0.0.1:{}", bench.proxy_port) } ],
        "routes": [ { "prefix": "/", "cluster": "up" } ],
        "clusters": { "up": { "endpoints": [ format!("127.0.0.1:{}", bench.upstream_port) ] } },
        "plugins": plugins,
    })
    .to_string()
}

/// The bootstrap that our own gateway prints: what somebody runs who moves to Envoy with the same file.
fn printed_bootstrap(bench: &Bench, gateway_yaml: &str) -> Result<String> {
    let output = Command::new(&bench.tools.gateway)
        .args(["envoy", "--config", gateway_yaml])
        .output()
        .context("cannot run postern-gateway")?;
    if !output.status.success() {
        bail!(
            "`postern-gateway envoy` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).context("the bootstrap is not UTF-8")
}

/// Envoy with these HTTP filters, and nothing else that would cost.
fn envoy(bench: &Bench, filters: &[Value]) -> Value {
    let router = json!({ "name": "envoy.filters.http.router",
        "typed_config": { "@type": typed("filters.http.router.v3.Router") } });
    let http_filters = [filters, &[router]].concat();
    let connection_manager = json!({
        "@type": typed("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "h", "codec_type": "HTTP1", "generate_request_id": false,
        "route_config": { "virtual_hosts": [ { "name": "v", "domains": ["*"],
            "routes": [ { "match": { "prefix": "/" }, "route": { "cluster": "up", "timeout": "0s" } } ] } ] },
        "http_filters": http_filters,
    });
    json!({ "static_resources": {
        "listeners": [ { "name": "l", "address": address(bench.proxy_port),
            "filter_chains": [ { "filters": [ { "name": "hcm", "typed_config": connection_manager } ] } ] } ],
        "clusters": [ { "name": "up", "type": "STATIC", "connect_timeout": "2s",
            "load_assignment": { "cluster_name": "up",
                "endpoints": [ { "lb_endpoints": [ { "endpoint": { "address": address(bench.upstream_port) } } ] } ] },
            "circuit_breakers": { "thresholds": [
                { "max_connections": 10000, "max_pending_requests": 10000, "max_requests": 10000 } ] } } ],
    } })
}

/// `jwt_authn` at its best: keys in place, verified tokens cached.
fn jwt_authn(jwks: &Value) -> Value {
    json!({ "name": "envoy.filters.http.jwt_authn", "typed_config": {
        "@type": typed("filters.http.jwt_authn.v3.JwtAuthentication"),
        "providers": { "p": {
            "issuer": ISSUER, "audiences": [AUDIENCE], "local_jwks": { "inline_string": jwks.to_string() },
            "forward": true, "payload_in_metadata": "jwt",
            "jwt_cache_config": { "jwt_cache_size": 4000, "jwt_max_token_size": 4096 } } },
        "rules": [ { "match": { "prefix": "/" }, "requires": { "provider_name": "p" } } ] } })
}

/// RBAC on the roles that `jwt_authn` left in the metadata.
fn rbac() -> Value {
    let policies: serde_json::Map<String, Value> = RULES
        .iter()
        .map(|(prefix, role)| {
            let matcher = json!({ "filter": "envoy.filters.http.jwt_authn", "path": [ { "key": "jwt" }, { "key": "roles" } ],
                "value": { "list_match": { "one_of": { "string_match": { "exact": role } } } } });
            let policy = json!({
                "permissions": [ { "url_path": { "path": { "prefix": prefix } } } ],
                "principals": [ { "sourced_metadata": { "metadata_matcher": matcher, "metadata_source": "DYNAMIC" } } ] });
            ((*role).to_owned(), policy)
        })
        .collect();
    json!({ "name": "envoy.filters.http.rbac", "typed_config": {
        "@type": typed("filters.http.rbac.v3.RBAC"), "rules": { "action": "ALLOW", "policies": policies } } })
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

fn typed(extension: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.{extension}")
}
