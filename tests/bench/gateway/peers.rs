//! The subjects: each with a configuration that asks the same of it, and how it is started.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use jsonwebtoken::Algorithm;
use postern_e2e::{ports, processes::on_core};
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
    /// Where it listens; all of them run at once.
    pub port: u16,
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
        gateway_subject(bench, "host-gateway", Kind::warm(Algorithm::RS256), &[])?,
        envoy_alone(bench, "Envoy", Kind::warm(Algorithm::RS256), &[])?,
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
        let filters = [jwt_authn(true), rbac()];
        subjects.push(envoy_alone(bench, &name, Kind::warm(*algorithm), &filters)?);
    }
    if bench.options.comparison == Comparison::Filter {
        for algorithm in [Algorithm::RS256, Algorithm::ES256] {
            let name = format!("Envoy jwt_authn + RBAC {algorithm:?} cold");
            let filters = [jwt_authn(false), rbac()];
            subjects.push(envoy_alone(bench, &name, Kind::cold(algorithm), &filters)?);
        }
        let plain = json!({ "name": "auth", "wasm": bench.tools.filter, "configuration": without_identity() });
        for (name, plugin) in [
            ("filter RS256, no identity headers", plain),
            ("empty filter", json!({ "name": "empty", "wasm": empty(bench)? })),
        ] {
            let [_, in_envoy] = in_both(bench, name, Kind::warm(Algorithm::RS256), &[plugin])?;
            subjects.push(in_envoy);
        }
        let [_, in_envoy] = trivial(bench, 1)?;
        subjects.push(in_envoy);
        let name = "Envoy jwt_authn (cache) + RBAC RS256, identity headers";
        let filters = [telling_the_upstream(jwt_authn(true)), rbac()];
        subjects.push(envoy_alone(bench, name, Kind::warm(Algorithm::RS256), &filters)?);
    }
    Ok(subjects)
}

/// The filter in our gateway, and in Envoy as our gateway says.
fn with_filter(bench: &Bench, name: &str, kind: Kind, configuration: &Value) -> Result<[Subject; 2]> {
    let plugin = json!({ "name": "auth", "wasm": bench.tools.filter, "configuration": configuration });
    in_both(bench, name, kind, &[plugin])
}

/// So many filters that do next to nothing, in our gateway and in Envoy: what any filter costs there.
fn trivial(bench: &Bench, count: usize) -> Result<[Subject; 2]> {
    let name = match count {
        1 => "trivial filter".to_owned(),
        count => format!("{count} trivial filters"),
    };
    let plugins: Vec<Value> = (0..count)
        .map(|number| json!({ "name": format!("trivial-{number}"), "wasm": bench.tools.trivial }))
        .collect();
    in_both(bench, &name, Kind::warm(Algorithm::RS256), &plugins)
}

fn in_both(bench: &Bench, name: &str, kind: Kind, plugins: &[Value]) -> Result<[Subject; 2]> {
    let in_gateway = gateway_subject(bench, &format!("host-gateway + {name}"), kind, plugins)?;
    let (name, port) = (format!("Envoy + {name}"), ports::free());
    let file = bench.write(&format!("{}.yaml", file_name(&name)), &gateway(bench, plugins, port)?)?;
    let printed = printed_bootstrap(bench, &file)?;
    let in_envoy = Subject {
        guards: in_gateway.guards,
        ..envoy_subject(bench, &name, kind, &with_filters_of(bench, &printed, port)?, port)?
    };
    Ok([in_gateway, in_envoy])
}

fn gateway_subject(bench: &Bench, name: &str, tokens: Kind, plugins: &[Value]) -> Result<Subject> {
    let port = ports::free();
    let file = bench.write(&format!("{}.yaml", file_name(name)), &gateway(bench, plugins, port)?)?;
    let path = bench.tools.gateway.display().to_string();
    Ok(Subject {
        name: name.to_owned(),
        tokens,
        guards: plugins.iter().any(|plugin| plugin["configuration"].is_object()),
        port,
        command: vec![path, "run".into(), "--config".into(), file],
    })
}

/// Envoy with filters of its own, or none.
fn envoy_alone(bench: &Bench, name: &str, tokens: Kind, filters: &[Value]) -> Result<Subject> {
    let port = ports::free();
    Ok(Subject {
        guards: !filters.is_empty(),
        ..envoy_subject(bench, name, tokens, &envoy(bench, filters, &[], port), port)?
    })
}

fn envoy_subject(bench: &Bench, name: &str, tokens: Kind, bootstrap: &Value, port: u16) -> Result<Subject> {
    let file = bench.write(&format!("{}.json", file_name(name)), &bootstrap.to_string())?;
    let flags = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
    let mut command = vec![bench.tools.envoy.display().to_string(), "-c".into(), file];
    command.extend(flags.map(str::to_owned));
    Ok(Subject {
        name: name.to_owned(),
        tokens,
        guards: true,
        port,
        command,
    })
}

/// Of everything that belongs to a subject.
pub fn file_name(name: &str) -> String {
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

/// The same, but the upstream is told nothing: like `jwt_authn`, which forwards the token and no more.
fn without_identity() -> Value {
    let mut plugin = plugin(0);
    let headers = ["user_id", "user_name", "client_id", "authorities", "scope"];
    plugin["forward"] = headers
        .map(|header| (header.to_owned(), Value::Null))
        .into_iter()
        .collect();
    plugin
}

/// The least that a host can run: it has one callback, which says yes.
fn empty(bench: &Bench) -> Result<String> {
    let module = wat::parse_str(include_str!("../../guests/empty.wat")).context("tests/guests/empty.wat")?;
    let path = bench.folder.join("empty.wasm");
    fs::write(&path, module).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.display().to_string())
}

fn issuer() -> Value {
    json!({ "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": { "inline": tokens::jwks() },
            "claims": { "user_name": "name", "authorities": ["roles"] } })
}

/// `gateway.yaml`; JSON is YAML too.
fn gateway(bench: &Bench, plugins: &[Value], port: u16) -> Result<String> {
    let mut clusters = json!({ "up": { "endpoints": [ format!("127.0.0.1:{}", bench.upstream_port) ] } });
    if plugins
        .iter()
        .any(|plugin| plugin["configuration"]["auth_server"].is_object())
    {
        let port = feed::serve(&issuer(), MANY_REVOCATIONS)?;
        clusters["feed"] = json!({ "endpoints": [ format!("127.0.0.1:{port}") ] });
    }
    let configuration = json!({
        "workers": 1,
        "listeners": [ { "address": format!("127.0.0.1:{port}") } ],
        "routes": [ { "prefix": "/", "cluster": "up" } ],
        "clusters": clusters,
        "plugins": plugins,
    });
    Ok(configuration.to_string())
}

/// The bootstrap that our own gateway prints: what somebody runs who moves to Envoy with the same file.
fn printed_bootstrap(bench: &Bench, gateway_yaml: &str) -> Result<Value> {
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
    serde_json::from_slice(&output.stdout).context("the bootstrap is not JSON")
}

/// The plugins of a printed bootstrap, and the servers that they ask, in an Envoy like that of all others: time limits,
/// retries and forwarded addresses are on for everybody or for nobody.
fn with_filters_of(bench: &Bench, printed: &Value, port: u16) -> Result<Value> {
    let filters = printed
        .pointer("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters")
        .and_then(Value::as_array);
    let clusters = printed.pointer("/static_resources/clusters").and_then(Value::as_array);
    let (filters, clusters) = filters.zip(clusters).context("the bootstrap has no plugins")?;
    let but = |list: &[Value], name: &str| -> Vec<Value> {
        list.iter().filter(|entry| entry["name"] != name).cloned().collect()
    };
    Ok(envoy(bench, &but(filters, ROUTER), &but(clusters, "up"), port))
}

const ROUTER: &str = "envoy.filters.http.router";

/// Envoy with these HTTP filters and these clusters beside the upstream, and nothing else that would cost.
fn envoy(bench: &Bench, filters: &[Value], clusters: &[Value], port: u16) -> Value {
    let router = json!({ "name": ROUTER,
        "typed_config": { "@type": typed("filters.http.router.v3.Router") } });
    let http_filters = [filters, &[router]].concat();
    let connection_manager = json!({
        "@type": typed("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "h", "codec_type": "HTTP1", "generate_request_id": false,
        "route_config": { "virtual_hosts": [ { "name": "v", "domains": ["*"],
            "routes": [ { "match": { "prefix": "/" }, "route": { "cluster": "up", "timeout": "0s" } } ] } ] },
        "http_filters": http_filters,
    });
    let upstream = json!({ "name": "up", "type": "STATIC", "connect_timeout": "2s",
        "load_assignment": { "cluster_name": "up",
            "endpoints": [ { "lb_endpoints": [ { "endpoint": { "address": address(bench.upstream_port) } } ] } ] },
        "circuit_breakers": { "thresholds": [
            { "max_connections": 10000, "max_pending_requests": 10000, "max_requests": 10000 } ] } });
    let clusters = [clusters, &[upstream]].concat();
    json!({ "static_resources": {
        "listeners": [ { "name": "l", "address": address(port),
            "filter_chains": [ { "filters": [ { "name": "hcm", "typed_config": connection_manager } ] } ] } ],
        "clusters": clusters,
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

/// As the filter tells the upstream who is calling.
fn telling_the_upstream(mut jwt_authn: Value) -> Value {
    let headers = [
        ("x-user-id", "sub"),
        ("x-user-name", "name"),
        ("x-authorities", "roles"),
    ];
    let headers = headers.map(|(header, claim)| json!({ "header_name": header, "claim_name": claim }));
    jwt_authn["typed_config"]["providers"]["p"]["claim_to_headers"] = json!(headers);
    jwt_authn
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
