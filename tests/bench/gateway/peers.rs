//! The subjects: each with a configuration that asks the same of it, and how it is started.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use jsonwebtoken::Algorithm;
use postern_e2e::processes::on_core;
use serde_json::{Value, json};

use crate::{
    Bench, Comparison, feed,
    tokens::{self, AUDIENCE, ISSUER, Kind},
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

/// The plugins of a chain that has many.
const MANY_PLUGINS: usize = 10;

/// The rules of a plugin that has many: the request is still decided by one of [`RULES`].
const MANY_RULES: usize = 100_000;

/// The revoked tokens of a feed that has many.
const MANY_REVOCATIONS: usize = 1_000_000;

/// Writes the configurations and lists everything that is measured.
pub fn subjects(bench: &Bench) -> Result<Vec<Subject>> {
    let mut subjects = vec![
        gateway_subject(bench, "host-gateway", None)?,
        envoy_subject(
            bench,
            "Envoy",
            Kind::warm(Algorithm::RS256),
            &envoy(bench, &[]).to_string(),
            false,
        )?,
    ];
    if bench.options.comparison == Comparison::Plugins {
        for count in [1, MANY_PLUGINS] {
            subjects.extend(trivial(bench, count)?);
        }
        return Ok(subjects);
    }
    let mut filtered = |name: &str, kind: Kind, plugin: &Value| -> Result<()> {
        subjects.extend(with_filter(bench, name, kind, plugin)?);
        Ok(())
    };
    let few = plugin(0);
    let algorithms: &[Algorithm] = match bench.options.comparison {
        Comparison::Gateway => &[Algorithm::HS256, Algorithm::RS256],
        Comparison::Filter | Comparison::Plugins => {
            &[Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
        }
    };
    for algorithm in algorithms {
        filtered(&format!("filter {algorithm:?}"), Kind::warm(*algorithm), &few)?;
    }
    if bench.options.comparison == Comparison::Filter {
        for algorithm in [Algorithm::RS256, Algorithm::ES256] {
            filtered(&format!("filter {algorithm:?} cold"), Kind::cold(algorithm), &few)?;
        }
        let name = format!("filter RS256, {MANY_RULES} rules");
        filtered(&name, Kind::warm(Algorithm::RS256), &plugin(MANY_RULES))?;
        let name = format!("filter RS256, {MANY_REVOCATIONS} revocations");
        filtered(&name, Kind::warm(Algorithm::RS256), &following_a_feed())?;
    }
    for algorithm in algorithms {
        let name = format!("Envoy jwt_authn (cache) + RBAC {algorithm:?}");
        let bootstrap = envoy(bench, &[jwt_authn(true), rbac()]).to_string();
        subjects.push(envoy_subject(bench, &name, Kind::warm(*algorithm), &bootstrap, true)?);
    }
    if bench.options.comparison == Comparison::Filter {
        for algorithm in [Algorithm::RS256, Algorithm::ES256] {
            let name = format!("Envoy jwt_authn + RBAC {algorithm:?} cold");
            let bootstrap = envoy(bench, &[jwt_authn(false), rbac()]).to_string();
            subjects.push(envoy_subject(bench, &name, Kind::cold(algorithm), &bootstrap, true)?);
        }
        let [_, in_envoy] = trivial(bench, 1)?;
        subjects.push(in_envoy);
    }
    Ok(subjects)
}

/// The filter in our gateway, and in Envoy with the bootstrap that our gateway prints.
fn with_filter(bench: &Bench, name: &str, kind: Kind, plugin: &Value) -> Result<[Subject; 2]> {
    let ours = format!("host-gateway + {name}");
    let in_gateway = gateway_subject(bench, &ours, Some((&bench.tools.filter, plugin)))?;
    let bootstrap = printed_bootstrap(bench, in_gateway.command.last().map_or("", String::as_str))?;
    let in_envoy = envoy_subject(bench, &format!("Envoy + {name}"), kind, &bootstrap, true)?;
    Ok([
        Subject {
            tokens: kind,
            ..in_gateway
        },
        in_envoy,
    ])
}

/// So many filters that do next to nothing, in our gateway and in Envoy: what any filter costs there.
fn trivial(bench: &Bench, count: usize) -> Result<[Subject; 2]> {
    let name = match count {
        1 => "trivial filter".to_owned(),
        count => format!("{count} trivial filters"),
    };
    let mut configuration: Value = serde_json::from_str(&gateway(bench, None)?)?;
    let plugins = (0..count).map(|number| json!({ "name": format!("trivial-{number}"), "wasm": bench.tools.trivial }));
    configuration["plugins"] = plugins.collect();
    let file = bench.write(&format!("{}.yaml", file_name(&name)), &configuration.to_string())?;
    let bootstrap = printed_bootstrap(bench, &file)?;
    let warm = Kind::warm(Algorithm::RS256);
    let in_envoy = envoy_subject(bench, &format!("Envoy + {name}"), warm, &bootstrap, false)?;
    let path = bench.tools.gateway.display().to_string();
    let in_gateway = Subject {
        name: format!("host-gateway + {name}"),
        tokens: warm,
        guards: false,
        command: vec![path, "run".into(), "--config".into(), file],
    };
    Ok([in_gateway, in_envoy])
}

fn gateway_subject(bench: &Bench, name: &str, plugin: Option<(&Path, &Value)>) -> Result<Subject> {
    let file = bench.write(&format!("{}.yaml", file_name(name)), &gateway(bench, plugin)?)?;
    let path = bench.tools.gateway.display().to_string();
    Ok(Subject {
        name: name.to_owned(),
        tokens: Kind::warm(Algorithm::RS256),
        guards: plugin.is_some(),
        command: vec![path, "run".into(), "--config".into(), file],
    })
}

fn envoy_subject(bench: &Bench, name: &str, tokens: Kind, bootstrap: &str, guards: bool) -> Result<Subject> {
    let file = bench.write(&format!("{}.json", file_name(name)), bootstrap)?;
    let flags = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
    let mut command = vec![bench.tools.envoy.display().to_string(), "-c".into(), file];
    command.extend(flags.map(str::to_owned));
    Ok(Subject {
        name: name.to_owned(),
        tokens,
        guards,
        command,
    })
}

fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    name.chars().map(plain).collect()
}

impl Bench {
    /// Writes a file into the folder of the run; returns its path.
    pub fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path.display().to_string())
    }
}

/// What the filter is told: keys and rules, no server. `more`: so many rules that are not asked for.
fn plugin(more: usize) -> Value {
    let mut rules: Vec<Value> = RULES
        .iter()
        .map(|(prefix, role)| json!({ "path": format!("{prefix}**"), "any_authority": [role] }))
        .collect();
    rules.extend((0..more).map(|number| {
        json!({ "path": format!("/api/v{}/service-{}/{{id}}/**", number % 10, number), "any_authority": ["ops"] })
    }));
    json!({ "issuers": [issuer()], "rules": rules })
}

/// The same, but the issuer comes with a feed, and its revocations with it.
fn following_a_feed() -> Value {
    let mut plugin = plugin(0);
    plugin["issuers"] = json!([]);
    plugin["auth_server"] = json!({ "cluster": "feed", "authority": "feed" });
    // The first request waits until all of it is there.
    plugin["hold"] = "60s".into();
    plugin
}

fn issuer() -> Value {
    json!({ "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": { "inline": tokens::jwks() },
            "claims": { "user_name": "name", "authorities": ["roles"] } })
}

/// `gateway.yaml`; JSON is YAML too.
fn gateway(bench: &Bench, plugin: Option<(&Path, &Value)>) -> Result<String> {
    let plugins: Vec<Value> = plugin
        .iter()
        .map(|(wasm, configuration)| json!({ "name": "auth", "wasm": wasm, "configuration": configuration }))
        .collect();
    let mut clusters = json!({ "up": { "endpoints": [ format!("127.0.0.1:{}", bench.upstream_port) ] } });
    if plugin.is_some_and(|(_, configuration)| configuration["auth_server"].is_object()) {
        let port = feed::serve(&issuer(), MANY_REVOCATIONS)?;
        clusters["feed"] = json!({ "endpoints": [ format!("127.0.0.1:{port}") ] });
    }
    let configuration = json!({
        "workers": 1,
        "listeners": [ { "address": format!("127.0.0.1:{}", bench.proxy_port) } ],
        "routes": [ { "prefix": "/", "cluster": "up" } ],
        "clusters": clusters,
        "plugins": plugins,
    });
    Ok(configuration.to_string())
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

/// `jwt_authn` at its best: keys in place, and verified tokens cached or not.
fn jwt_authn(cache: bool) -> Value {
    let mut filter = json!({ "name": "envoy.filters.http.jwt_authn", "typed_config": {
        "@type": typed("filters.http.jwt_authn.v3.JwtAuthentication"),
        "providers": { "p": {
            "issuer": ISSUER, "audiences": [AUDIENCE], "local_jwks": { "inline_string": tokens::jwks().to_string() },
            "forward": true, "payload_in_metadata": "jwt" } },
        "rules": [ { "match": { "prefix": "/" }, "requires": { "provider_name": "p" } } ] } });
    if cache {
        filter["typed_config"]["providers"]["p"]["jwt_cache_config"] =
            json!({ "jwt_cache_size": 4000, "jwt_max_token_size": 4096 });
    }
    filter
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
