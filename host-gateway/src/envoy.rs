//! `postern-gateway envoy`: the Envoy v3 bootstrap that does the same as a `gateway.yaml`.
//!
//! Both hosts run the same plugins with the same configuration, byte for byte. Where they could differ in what a plugin
//! sees, the bootstrap says what the gateway does.

use std::path::Path;

use serde_json::{Value, json};

use crate::config::{
    Admin, Cluster, Config, Cors, Duration, Endpoint, EndpointAddress, Listener, LoadBalancing, Metadata, Origin,
    Route, Tcp, TrafficDirection, Upgrade,
};
use crate::plugin::{Compat, FailurePolicy, Isolation, Limits, PluginConfig, PropertyEncoding};
use crate::proxy::{RESPELLED, WELL_FORMED, ambiguous, may_be_respelled};

/// The bootstrap as JSON. The plugins' files are named by absolute paths.
pub fn bootstrap(config: &Config, folder: &Path) -> Result<Value, String> {
    let mut listeners = Vec::new();
    for (number, entry) in config.listeners.value.iter().enumerate() {
        listeners.push(match &entry.tcp {
            None => {
                let filters = filters(entry, config, folder)?;
                listener(number, entry, &[http_connections(number, entry, config, &filters)])
            }
            Some(tcp) => listener(number, entry, &tcp_connections(number, entry, tcp, config, folder)?),
        });
    }
    let trailers = config.listeners.value.iter().any(has_trailers);
    let mut bootstrap = json!({
        "static_resources": {
            "listeners": listeners,
            "clusters": config.clusters.iter().map(|(name, entry)| cluster(name, entry, trailers)).collect::<Vec<_>>(),
        },
    });
    if let Some(entry) = &config.admin {
        bootstrap["admin"] = admin(entry);
    }
    let mut services = Vec::new();
    for plugin in config.plugins.iter().filter(|plugin| plugin.value.service) {
        services.push(wasm_service(&plugin.value, folder)?);
    }
    if !services.is_empty() {
        bootstrap["bootstrap_extensions"] = services.into();
    }
    Ok(bootstrap)
}

/// Envoy lets those of both directions through or none.
fn has_trailers(listener: &Listener) -> bool {
    listener.request_trailers || listener.response_trailers
}

/// What the bootstrap cannot say, a sentence each.
pub fn notes(config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(workers) = &config.workers {
        notes.push(format!(
            "run Envoy with `--concurrency {}` to have as many workers",
            workers.value
        ));
    }
    for plugin in config.plugins.iter().map(|plugin| &plugin.value) {
        let mut lost = Vec::new();
        if plugin.compat == Compat::Nginx || plugin.properties == PropertyEncoding::Text {
            lost.push("`properties: text` (its properties are binary)");
        }
        if plugin.isolation == Isolation::Request {
            lost.push("`isolation: request` (all requests of a worker share a VM)");
        }
        if plugin.limits != Limits::default() {
            lost.push("`limits`");
        }
        if !lost.is_empty() {
            notes.push(format!("plugin `{}`: Envoy has no {}", plugin.name, lost.join(", no ")));
        }
    }
    notes
}

fn admin(admin: &Admin) -> Value {
    json!({ "address": socket_address(&admin.address.value.0.ip().to_string(), admin.address.value.0.port()) })
}

/// The filters of a listener. A configuration that a plugin has on one route only is a filter of its own, which only that
/// route enables: Envoy's filter takes no configuration from routes.
fn filters(listener: &Listener, config: &Config, folder: &Path) -> Result<Vec<Value>, String> {
    // Before the plugins: they are not asked about a preflight, and their answers pass it on the way back.
    let mut filters: Vec<Value> = config.cors.iter().map(|_| cors_filter()).collect();
    let all = || config.plugins.iter().map(|plugin| &plugin.value);
    let plugins: Vec<&PluginConfig> = match &listener.plugins {
        Some(names) => names
            .value
            .iter()
            .filter_map(|name| all().find(|plugin| plugin.name == *name))
            .collect(),
        None => all().filter(|plugin| !config.is_for_tcp(&plugin.name)).collect(),
    };
    for plugin in plugins.into_iter().filter(|plugin| !plugin.service) {
        let mut filter = wasm_filter(HTTP, plugin, folder, plugin.configuration.as_ref())?;
        if plugin.disabled && listener.plugins.is_none() {
            filter["disabled"] = json!(true);
        }
        filters.push(filter);
        for route in &config.routes {
            let Some(configuration) = own_configuration(route, &plugin.name) else {
                continue;
            };
            let mut filter = wasm_filter(HTTP, plugin, folder, Some(configuration))?;
            filter["name"] = json!(own_filter_name(route, &plugin.name));
            filter["disabled"] = json!(true);
            filters.push(filter);
        }
    }
    filters.push(router());
    Ok(filters)
}

fn own_configuration<'a>(route: &'a Route, plugin: &str) -> Option<&'a Value> {
    let own = route.plugin(plugin)?;
    own.configuration.as_ref().filter(|_| !own.disabled)
}

fn own_filter_name(route: &Route, plugin: &str) -> String {
    format!("wasm.{plugin}.{}", route.prefix.value)
}

/// What a route says about plugins.
fn route_filters(route: &Route) -> serde_json::Map<String, Value> {
    let mut filters = serde_json::Map::new();
    for (name, own) in route.plugins.iter().flat_map(|plugins| &plugins.value) {
        let switch = |on: bool| match on {
            true => json!({ "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {} }),
            false => json!({ "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true }),
        };
        let replaced = own_configuration(route, name).is_some();
        filters.insert(format!("wasm.{name}"), switch(!own.disabled && !replaced));
        if replaced {
            filters.insert(own_filter_name(route, name), switch(true));
        }
    }
    filters
}

fn listener(number: usize, listener: &Listener, filters: &[Value]) -> Value {
    let address = listener.address.value.0;
    let mut entry = json!({
        "name": format!("listener-{number}"),
        "address": socket_address(&address.ip().to_string(), address.port()),
        "filter_chains": [ { "filters": filters } ],
    });
    if let Some(metadata) = metadata(&listener.metadata) {
        entry["metadata"] = metadata;
    }
    if let Some(direction) = listener.traffic_direction {
        entry["traffic_direction"] = match direction {
            TrafficDirection::Inbound => json!("INBOUND"),
            TrafficDirection::Outbound => json!("OUTBOUND"),
        };
    }
    entry
}

fn http_connections(number: usize, listener: &Listener, config: &Config, filters: &[Value]) -> Value {
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": connection_manager(number, listener, config, filters),
    })
}

/// The plugins, and behind them the proxy.
fn tcp_connections(
    number: usize,
    listener: &Listener,
    tcp: &Tcp,
    config: &Config,
    folder: &Path,
) -> Result<Vec<Value>, String> {
    let mut filters = Vec::new();
    for named in listener.plugins.iter().flat_map(|names| &names.value) {
        let plugins = config.plugins.iter().map(|plugin| &plugin.value);
        for plugin in plugins.filter(|plugin| plugin.name == *named) {
            filters.push(wasm_filter(NETWORK, plugin, folder, plugin.configuration.as_ref())?);
        }
    }
    filters.push(json!({
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": format!("listener_{number}"),
            "cluster": tcp.cluster.value,
            "idle_timeout": seconds(tcp.idle_timeout),
        },
    }));
    Ok(filters)
}

fn connection_manager(number: usize, listener: &Listener, config: &Config, filters: &[Value]) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": format!("listener_{number}"),
        "codec_type": "HTTP1",
        "http_protocol_options": { "accept_http_10": true, "enable_trailers": has_trailers(listener) },
        // X-Forwarded-For is extended by the client's address, X-Forwarded-Proto is set.
        "use_remote_address": true,
        "generate_request_id": false,
        "server_header_transformation": "PASS_THROUGH",
        // On purpose: the plugin must see the path as it came, as in the gateway. The filter refuses every path that two
        // parsers could read differently (`//`, dot segments, encoded slashes), so that both hosts answer it alike, with
        // 400, and what was checked goes upstream unchanged. Were Envoy to mend such a path first, one host would serve
        // the request that the other refuses.
        "normalize_path": false,
        "merge_slashes": false,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "http_filters": filters,
        "route_config": route_config(config),
    })
}

fn route_config(config: &Config) -> Value {
    let mut host = json!({ "name": "all", "domains": ["*"], "routes": routes(config) });
    let mut entry = json!({
        "name": "routes",
        // Envoy adds it when it extends X-Forwarded-For; the gateway knows no such field.
        "request_headers_to_remove": ["x-envoy-external-address"],
    });
    if let Some(cors) = &config.cors {
        host["typed_per_filter_config"] = json!({ CORS: cors_policy(cors) });
        host["response_headers_to_add"] = json!([ {
            "header": { "key": "vary", "value": "Origin" },
            "append_action": "APPEND_IF_EXISTS_OR_ADD",
        } ]);
        if !cors.allow_credentials {
            // What an upstream says to everybody is taken off before Envoy's filter adds the origin.
            host["response_headers_to_remove"] = json!(["access-control-allow-credentials"]);
        }
        if let Some(routes) = host["routes"].as_array_mut()
            && config.routes.iter().all(|route| route.prefix.value != "/")
        {
            // Envoy's filter does nothing where there is no route, and a page could not read the refusal there. So there
            // is one, to a cluster that is not there, which is answered as if there were no route.
            routes.push(json!({
                "name": "none",
                "match": { "prefix": "/" },
                "route": { "cluster": "(no route)", "cluster_not_found_response_code": "NOT_FOUND" },
            }));
            entry["validate_clusters"] = json!(false);
        }
    }
    entry["virtual_hosts"] = json!([host]);
    entry
}

const CORS: &str = "envoy.filters.http.cors";

fn cors_filter() -> Value {
    json!({
        "name": CORS,
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors" },
    })
}

fn cors_policy(cors: &Cors) -> Value {
    // To Envoy `*` is whatever a page asks for, as here an absent list.
    let list = |names: Option<Vec<&str>>| names.map_or("*".to_owned(), |names| names.join(","));
    let methods = cors.methods.as_ref();
    let headers = cors.headers.as_ref();
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": cors.origins.value.iter().map(origin).collect::<Vec<_>>(),
        "allow_methods": list(methods.map(|methods| methods.iter().map(|method| method.0.as_str()).collect())),
        "allow_headers": list(headers.map(|headers| headers.iter().map(|name| name.0.as_str()).collect())),
        "expose_headers": list(Some(cors.expose_headers.iter().map(|name| name.0.as_str()).collect())),
        "max_age": cors.max_age.get().as_secs().to_string(),
        "allow_credentials": cors.allow_credentials,
    })
}

fn origin(origin: &Origin) -> Value {
    if !origin.any_port() {
        return json!({ "exact": origin.base() });
    }
    let mut regex = String::new();
    for character in origin.base().chars() {
        if matches!(character, '.' | '+' | '[' | ']') {
            regex.push('\\');
        }
        regex.push(character);
    }
    regex.push_str("(:[1-9][0-9]{0,4})?");
    json!({ "safe_regex": { "regex": regex } })
}

/// Envoy takes the first match, the gateway the longest prefix.
fn routes(config: &Config) -> Vec<Value> {
    let mut routes: Vec<&Route> = config.routes.iter().collect();
    routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.value.len()));
    ambiguous_entries(config)
        .into_iter()
        .chain(routes.into_iter().flat_map(route_entries))
        .collect()
}

/// Before all others where routes choose plugins: a path that the upstream may read as another one must not choose them.
/// Envoy asks the plugins that are on everywhere first.
fn ambiguous_entries(config: &Config) -> Vec<Value> {
    if !config.has_route_plugins() {
        return Vec::new();
    }
    let respelled = config.routes.iter().any(|route| may_be_respelled(&route.prefix.value));
    let well_formed =
        json!({ "name": ":path", "string_match": { "safe_regex": { "regex": WELL_FORMED } }, "invert_match": true });
    let mut matches = vec![json!({ "prefix": "/", "headers": [well_formed] })];
    matches.extend(
        ambiguous()
            .iter()
            .map(|regex| json!({ "safe_regex": { "regex": regex } })),
    );
    if respelled {
        matches.push(json!({ "safe_regex": { "regex": RESPELLED } }));
    }
    let refusal = |matching| {
        json!({
            "name": "ambiguous",
            "match": matching,
            "direct_response": { "status": 400, "body": { "inline_string": "Bad Request" } },
        })
    };
    matches.into_iter().map(refusal).collect()
}

fn route_entries(route: &Route) -> Vec<Value> {
    let prefix = route.prefix.value.as_str();
    let strip = route
        .strip_prefix
        .as_ref()
        .map_or(0, |strip| strip.value.trim_end_matches('/').len());
    let rest = &prefix[strip..];
    if prefix.ends_with('/') {
        return vec![route_entry(
            json!({ "prefix": prefix }),
            (strip > 0).then_some(rest),
            route,
        )];
    }
    if strip == 0 || !rest.is_empty() {
        return vec![route_entry(
            json!({ "path_separated_prefix": prefix }),
            (strip > 0).then_some(rest),
            route,
        )];
    }
    // The whole prefix goes. An empty rewrite means none, and `/` would leave `//` in front of what follows: two entries.
    vec![
        route_entry(json!({ "path": prefix }), Some("/"), route),
        route_entry(json!({ "prefix": format!("{prefix}/") }), Some("/"), route),
    ]
}

fn route_entry(matching: Value, rewrite: Option<&str>, route: &Route) -> Value {
    let mut action = json!({ "cluster": route.cluster.value, "timeout": seconds(route.timeout) });
    if let Some(rewrite) = rewrite {
        action["prefix_rewrite"] = json!(rewrite);
    }
    if route.retries > 0 {
        action["retry_policy"] =
            json!({ "retry_on": "connect-failure,reset-before-request", "num_retries": route.retries });
    }
    if !route.upgrades.is_empty() {
        let upgrade = |upgrade: &Upgrade| match upgrade {
            Upgrade::Websocket => json!({ "upgrade_type": "websocket" }),
        };
        action["idle_timeout"] = json!(seconds(route.idle_timeout));
        action["upgrade_configs"] = route.upgrades.iter().map(upgrade).collect();
    }
    let mut entry = json!({ "name": route.prefix.value, "match": matching, "route": action });
    if let Some(metadata) = metadata(&route.metadata) {
        entry["metadata"] = metadata;
    }
    let filters = route_filters(route);
    if !filters.is_empty() {
        entry["typed_per_filter_config"] = Value::Object(filters);
    }
    entry
}

fn cluster(name: &str, cluster: &Cluster, trailers: bool) -> Value {
    let endpoints = &cluster.endpoints.value;
    let named = endpoints.iter().any(|endpoint| endpoint.value.address.ip().is_none());
    let mut entry = json!({
        "name": name,
        "type": if named { "STRICT_DNS" } else { "STATIC" },
        "connect_timeout": seconds(cluster.connect_timeout),
        "lb_policy": match cluster.load_balancing {
            LoadBalancing::LeastRequest => "LEAST_REQUEST",
            LoadBalancing::RoundRobin => "ROUND_ROBIN",
            LoadBalancing::Random => "RANDOM",
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [ { "lb_endpoints": endpoints.iter().map(|at| endpoint(&at.value)).collect::<Vec<_>>() } ],
        },
        // Envoy's own limits (1024 each) are lower than what a busy gateway needs, long polls of plugins included.
        "circuit_breakers": { "thresholds": [ {
            "max_connections": cluster.max_connections,
            "max_pending_requests": cluster.max_pending,
            "max_requests": 1_000_000,
            "max_retries": 1000,
        } ] },
        "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http_protocol_options": { "enable_trailers": trailers } },
            "common_http_protocol_options": { "idle_timeout": seconds(cluster.idle_timeout) },
        } },
    });
    if let Some(metadata) = metadata(&cluster.metadata) {
        entry["metadata"] = metadata;
    }
    if let Some(check) = &cluster.health_check {
        entry["health_checks"] = json!([ {
            "timeout": seconds(check.timeout),
            "interval": seconds(check.interval),
            "unhealthy_threshold": 1,
            "healthy_threshold": 1,
            "http_health_check": { "path": check.path.value, "expected_statuses": [ { "start": 200, "end": 300 } ] },
        } ]);
    }
    entry
}

fn metadata(metadata: &Metadata) -> Option<Value> {
    let given = !metadata.filter_metadata.is_empty();
    given.then(|| json!({ "filter_metadata": metadata.filter_metadata }))
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let EndpointAddress { host, port } = &endpoint.address;
    let mut entry = json!({ "endpoint": { "address": socket_address(host, *port) } });
    if let Some(metadata) = metadata(&endpoint.metadata) {
        entry["metadata"] = metadata;
    }
    entry
}

/// The two kinds of Envoy's Wasm filters.
const HTTP: &str = "http";
const NETWORK: &str = "network";

fn wasm_filter(
    kind: &str,
    plugin: &PluginConfig,
    folder: &Path,
    configuration: Option<&Value>,
) -> Result<Value, String> {
    Ok(json!({
        "name": format!("wasm.{}", plugin.name),
        "typed_config": {
            "@type": format!("type.googleapis.com/envoy.extensions.filters.{kind}.wasm.v3.Wasm"),
            "config": plugin_config(plugin, folder, configuration)?,
        },
    }))
}

/// A plugin without requests.
fn wasm_service(plugin: &PluginConfig, folder: &Path) -> Result<Value, String> {
    Ok(json!({
        "name": format!("wasm.{}", plugin.name),
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.wasm.v3.WasmService",
            "config": plugin_config(plugin, folder, plugin.configuration.as_ref())?,
        },
    }))
}

fn plugin_config(plugin: &PluginConfig, folder: &Path, configuration: Option<&Value>) -> Result<Value, String> {
    let file = std::path::absolute(folder.join(&plugin.wasm))
        .map_err(|error| format!("plugin `{}`: {}: {error}", plugin.name, plugin.wasm.display()))?;
    let mut vm = json!({
        "vm_id": plugin.vm_id,
        "runtime": "envoy.wasm.runtime.v8",
        "code": { "local": { "filename": file } },
    });
    if let Some(configuration) = &plugin.vm_configuration {
        vm["configuration"] = string_value(configuration);
    }
    if !plugin.environment.is_empty() {
        vm["environment_variables"] = json!({ "key_values": plugin.environment });
    }
    let mut config = json!({
        "name": plugin.name,
        "root_id": plugin.root_id,
        "vm_config": vm,
        "failure_policy": match plugin.failure {
            // Requests fail while a VM is broken, and a new VM takes over: what the gateway calls closed.
            FailurePolicy::Closed | FailurePolicy::Reload => "FAIL_RELOAD",
            FailurePolicy::Open => "FAIL_OPEN",
        },
    });
    if plugin.failure == FailurePolicy::Reload {
        config["reload_config"] =
            json!({ "backoff": { "base_interval": format!("{}s", plugin.reload_backoff.0.as_secs_f64()) } });
    }
    if plugin.compat == Compat::Spec {
        // As the specification has it: a plugin that pauses at a head sees the body.
        config["allow_on_headers_stop_iteration"] = json!(true);
    }
    let allowed = &plugin.capability_restriction_config.allowed_capabilities;
    if !allowed.is_empty() {
        let names = allowed.keys().map(|name| (name.clone(), json!({})));
        config["capability_restriction_config"] =
            json!({ "allowed_capabilities": names.collect::<serde_json::Map<_, _>>() });
    }
    if let Some(configuration) = configuration {
        config["configuration"] = string_value(configuration);
    }
    Ok(config)
}

/// A configuration as the plugin gets it: the bytes of a string, the compact JSON of anything else.
fn string_value(configuration: &Value) -> Value {
    let text = match configuration {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": text })
}

fn router() -> Value {
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            // The gateway adds no x-envoy-* fields of its own either.
            "suppress_envoy_headers": true,
        },
    })
}

fn socket_address(host: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": host, "port_value": port } })
}

/// A duration in protobuf's JSON form.
fn seconds(duration: Duration) -> String {
    format!("{}s", duration.get().as_secs_f64())
}
