//! What one key alone cannot tell: names that must exist, prefixes that must differ, files that must be there.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Config, ConfigError, Source};
use crate::plugin::check::unusable_file;
use crate::proxy::{is_respelled, is_unambiguous};
use crate::vm::engine::MOST_VMS;

/// Of one request; each goes to another endpoint where there is one.
const MOST_RETRIES: u32 = 100;

/// Of a health check, and between two of them.
const SHORTEST_CHECK: Duration = Duration::from_millis(10);

pub fn check(config: &Config, source: &Source) -> Result<(), ConfigError> {
    if let Some(workers) = &config.workers
        && !(1..=1024).contains(&workers.value)
    {
        return Err(source.error(workers, "workers", "must be 1 to 1024; leave it out for one per core"));
    }
    if config.listeners.value.is_empty() {
        return Err(source.error(&config.listeners, "listeners", "is empty: give at least one `address`"));
    }
    addresses(config, source)?;
    tcp(config, source)?;
    clusters(config, source)?;
    routes(config, source)?;
    if let Some(cors) = &config.cors
        && cors.origins.value.is_empty()
    {
        return Err(source.error(
            &cors.origins,
            "cors.origins",
            "is empty: give at least one, or leave `cors` out",
        ));
    }
    plugins(config, source)?;
    vms(config, source)?;
    chains(config, source)
}

/// Nobody can listen twice at one address. Port 0 is another one each time.
fn addresses(config: &Config, source: &Source) -> Result<(), ConfigError> {
    let listeners = config.listeners.value.iter().enumerate();
    let listeners = listeners.map(|(index, listener)| (format!("listeners[{index}].address"), &listener.address));
    let admin = config
        .admin
        .iter()
        .map(|admin| ("admin.address".to_owned(), &admin.address));
    let mut known = BTreeMap::new();
    for (key, address) in listeners.chain(admin) {
        if address.value.0.port() == 0 {
            continue;
        }
        if let Some(first) = known.get(&address.value.0) {
            let problem = format!(
                "`{}` is that of `{first}` already: give each its own port",
                address.value.0
            );
            return Err(source.error(address, key, problem));
        }
        known.insert(address.value.0, key);
    }
    Ok(())
}

fn tcp(config: &Config, source: &Source) -> Result<(), ConfigError> {
    for (index, listener) in config.listeners.value.iter().enumerate() {
        let Some(tcp) = &listener.tcp else { continue };
        if !config.clusters.contains_key(&tcp.cluster.value) {
            let problem = format!("there is no cluster `{}`{}", tcp.cluster.value, known(config));
            return Err(source.error(&tcp.cluster, format!("listeners[{index}].tcp.cluster"), problem));
        }
        let of_http = [
            ("request_trailers", listener.request_trailers),
            ("response_trailers", listener.response_trailers),
        ];
        if let Some((name, _)) = of_http.iter().find(|(_, given)| *given) {
            let key = format!("listeners[{index}].{name}");
            return Err(source.error(&listener.address, key, "is for HTTP: leave it out beside `tcp`"));
        }
    }
    Ok(())
}

fn clusters(config: &Config, source: &Source) -> Result<(), ConfigError> {
    for (name, cluster) in &config.clusters {
        if cluster.endpoints.value.is_empty() {
            let key = format!("clusters.{name}.endpoints");
            return Err(source.error(&cluster.endpoints, key, "is empty: give at least one `host:port`"));
        }
        let mut known = BTreeMap::new();
        for (place, endpoint) in cluster.endpoints.value.iter().enumerate() {
            let address = endpoint.value.address.to_string();
            if let Some(first) = known.get(&address) {
                let key = format!("clusters.{name}.endpoints[{place}]");
                let problem = format!("`{address}` is endpoints[{first}] already: remove one");
                return Err(source.error(endpoint, key, problem));
            }
            known.insert(address, place);
        }
        if cluster.max_connections == 0 {
            let key = format!("clusters.{name}.max_connections");
            return Err(source.error(
                &cluster.endpoints,
                key,
                "is 0: every request would wait in vain; give at least 1",
            ));
        }
        if let Some(health_check) = &cluster.health_check {
            for (part, time) in [("interval", health_check.interval), ("timeout", health_check.timeout)] {
                if time.get() < SHORTEST_CHECK {
                    let key = format!("clusters.{name}.health_check.{part}");
                    return Err(source.error(&health_check.path, key, "is too short: give at least 10ms"));
                }
            }
            let key = format!("clusters.{name}.health_check.path");
            path(&health_check.path.value).map_err(|problem| source.error(&health_check.path, key, problem))?;
        }
    }
    Ok(())
}

fn routes(config: &Config, source: &Source) -> Result<(), ConfigError> {
    let mut lines = BTreeMap::new();
    let choose_plugins = config.has_route_plugins();
    for (index, route) in config.routes.iter().enumerate() {
        let (prefix, key) = (&route.prefix, |name| format!("routes[{index}].{name}"));
        path(&prefix.value).map_err(|problem| source.error(prefix, key("prefix"), problem))?;
        if choose_plugins && (!is_unambiguous(&prefix.value) || is_respelled(&prefix.value)) {
            let problem = "is a path that can be read in several ways, and such paths are refused where routes have \
                           `plugins`: without `//`, `;`, dots at the end of a segment, and escapes that need not be";
            return Err(source.error(prefix, key("prefix"), problem));
        }
        if let Some(line) = lines.insert(&prefix.value, prefix.referenced.line()) {
            let problem = format!("`{}` stands already in line {line}", prefix.value);
            return Err(source.error(prefix, key("prefix"), problem));
        }
        if !config.clusters.contains_key(&route.cluster.value) {
            let problem = format!("there is no cluster `{}`{}", route.cluster.value, known(config));
            return Err(source.error(&route.cluster, key("cluster"), problem));
        }
        if route.retries > MOST_RETRIES {
            let problem = format!("is more than {MOST_RETRIES}: who waits for so many has gone long since");
            return Err(source.error(prefix, key("retries"), problem));
        }
        if let Some(strip) = &route.strip_prefix
            && !strips(&strip.value, &prefix.value)
        {
            let problem = format!(
                "`{}` is not a leading part, up to a `/`, of the prefix `{}`",
                strip.value, prefix.value
            );
            return Err(source.error(strip, key("strip_prefix"), problem));
        }
    }
    Ok(())
}

fn plugins(config: &Config, source: &Source) -> Result<(), ConfigError> {
    let mut names = BTreeMap::new();
    for (index, plugin) in config.plugins.iter().enumerate() {
        if let Err((key, problem)) = plugin.value.nonsense() {
            return Err(source.error(plugin, format!("plugins[{index}].{key}"), problem));
        }
        if let Some(problem) = unusable_file(&source.folder().join(&plugin.value.wasm)) {
            return Err(source.error(plugin, format!("plugins[{index}].wasm"), problem));
        }
        if let Some(line) = names.insert(&plugin.value.name, plugin.referenced.line()) {
            let problem = format!("`{}` stands already in line {line}", plugin.value.name);
            return Err(source.error(plugin, format!("plugins[{index}].name"), problem));
        }
    }
    Ok(())
}

fn vms(config: &Config, source: &Source) -> Result<(), ConfigError> {
    let vms = config.most_vms();
    if vms <= MOST_VMS {
        return Ok(());
    }
    let problem = format!("workers and plugins may need {vms} VMs together, and {MOST_VMS} is the most: take fewer");
    match (&config.workers, config.plugins.first()) {
        (Some(workers), _) => Err(source.error(workers, "workers", problem)),
        (None, Some(plugin)) => Err(source.error(plugin, "plugins", problem)),
        (None, None) => Ok(()),
    }
}

/// Listeners and routes may only name plugins that there are.
fn chains(config: &Config, source: &Source) -> Result<(), ConfigError> {
    let missing = |name: &String| (!config.has_plugin(name)).then(|| format!("there is no plugin `{name}`"));
    for (index, listener) in config.listeners.value.iter().enumerate() {
        let Some(names) = &listener.plugins else { continue };
        let key = format!("listeners[{index}].plugins");
        for (place, name) in names.value.iter().enumerate() {
            if let Some(problem) = missing(name) {
                return Err(source.error(names, key, problem));
            }
            if names.value[..place].contains(name) {
                return Err(source.error(names, key, format!("`{name}` stands here twice")));
            }
        }
    }
    for (index, route) in config.routes.iter().enumerate() {
        if let Some(plugins) = &route.plugins
            && let Some(problem) = plugins.value.keys().find_map(missing)
        {
            return Err(source.error(plugins, format!("routes[{index}].plugins"), problem));
        }
    }
    Ok(())
}

fn path(path: &str) -> Result<(), String> {
    let visible = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
    if path.starts_with('/') && path.bytes().all(visible) {
        Ok(())
    } else {
        Err(format!(
            "`{path}` is no path: write one that begins with `/`, without query"
        ))
    }
}

/// Whether a path below `prefix` still begins with a segment once `strip` is taken off.
fn strips(strip: &str, prefix: &str) -> bool {
    let strip = strip.trim_end_matches('/');
    strip.is_empty()
        || prefix
            .strip_prefix(strip)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn known(config: &Config) -> String {
    if config.clusters.is_empty() {
        return ": `clusters` is empty".to_owned();
    }
    let names: Vec<_> = config.clusters.keys().map(|name| format!("`{name}`")).collect();
    format!("; there are {}", names.join(", "))
}
