//! `gateway.yaml`: its shape, read once into types. What spans several keys is checked in [`check`].

mod address;
mod check;
mod cors;
mod duration;
mod endpoint;
mod metadata;
mod named_key;
mod origin;
mod plugins;
mod source;
pub(crate) mod truth;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

pub use self::address::{EndpointAddress, ListenAddress};
pub use self::cors::Cors;
pub use self::duration::Duration;
pub use self::endpoint::Endpoint;
pub use self::metadata::Metadata;
pub use self::origin::Origin;
pub use self::source::{ConfigError, Source, folder_of};
use crate::plugin::PluginConfig;

/// The whole file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Number of worker threads (default: one per core).
    #[schemars(with = "Option<usize>")]
    pub workers: Option<Spanned<usize>>,
    /// Where clients connect.
    #[schemars(with = "Vec<Listener>")]
    pub listeners: Spanned<Vec<Listener>>,
    /// Which cluster serves which path. The longest prefix wins.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// The upstream services by name.
    #[serde(default)]
    pub clusters: BTreeMap<String, Cluster>,
    /// proxy-wasm plugins, in the order in which requests pass them.
    #[serde(default)]
    #[schemars(with = "Vec<PluginConfig>")]
    pub plugins: Vec<Spanned<PluginConfig>>,
    /// The folder, relative to this file's, where compiled plugins are kept; `off` for nowhere. Default: `$CACHE_DIRECTORY`,
    /// or `postern-gateway` in the user's cache folder.
    pub code_cache: Option<PathBuf>,
    /// Which pages of other origins may call; nothing is done about it when the key is absent.
    pub cors: Option<Cors>,
    /// Health, readiness and metrics.
    pub admin: Option<Admin>,
    /// One line per exchange; off when the key is absent.
    pub access_log: Option<AccessLog>,
    /// How long running exchanges may take to finish after SIGTERM.
    #[serde(default = "default_drain_timeout")]
    pub drain_timeout: Duration,
}

/// A socket that accepts clients, in plain HTTP/1.1 or, with `tcp`, whatever they speak.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// `ip:port`; port 0 takes a free one.
    #[schemars(with = "String")]
    pub address: Spanned<ListenAddress>,
    /// Names of the plugins that requests to this listener pass, in this order (default: all that are not `disabled`), or
    /// the connections of a TCP listener (default: none).
    #[schemars(with = "Option<Vec<String>>")]
    pub plugins: Option<Spanned<Vec<String>>>,
    /// Trailers behind request bodies reach the plugins and the upstream. By default they are dropped, as in Envoy.
    #[serde(default, deserialize_with = "truth::read")]
    pub request_trailers: bool,
    /// Trailers behind response bodies reach the plugins and the client. By default they are dropped, as in Envoy.
    #[serde(default, deserialize_with = "truth::read")]
    pub response_trailers: bool,
    /// What plugins read as `xds.listener_direction` (default: 0, unspecified).
    pub traffic_direction: Option<TrafficDirection>,
    /// What plugins read as `xds.listener_metadata`.
    #[serde(default)]
    pub metadata: Metadata,
    /// Bytes go to a cluster as they are; `routes` are not for this listener.
    pub tcp: Option<Tcp>,
}

/// Where a TCP listener's connections go.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tcp {
    /// Name of a cluster; a plugin may choose another.
    #[schemars(with = "String")]
    pub cluster: Spanned<String>,
    /// A connection on which nothing moves for so long is closed; `0` for never.
    #[serde(default = "default_tcp_idle_timeout")]
    pub idle_timeout: Duration,
}

/// Whose requests a listener takes, as Envoy names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrafficDirection {
    /// Of others, to us.
    Inbound,
    /// Of ours, to others.
    Outbound,
}

/// Paths below a prefix, and the cluster that serves them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// A path, matched on segment boundaries: `/a` and `/a/` match `/a/b`, neither matches `/ab`; only `/a` matches `/a`.
    #[schemars(with = "String")]
    pub prefix: Spanned<String>,
    /// Name of a cluster.
    #[schemars(with = "String")]
    pub cluster: Spanned<String>,
    /// Leading part of the prefix that is taken off the path before the request goes upstream.
    #[schemars(with = "Option<String>")]
    pub strip_prefix: Option<Spanned<String>>,
    /// Longest time from the last byte of the request to the head of the response; `0` for none.
    #[serde(default = "default_route_timeout")]
    pub timeout: Duration,
    /// How often a request that no upstream has begun to answer is tried again.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// To which protocols a client may change here (default: to none).
    #[serde(default)]
    pub upgrades: Vec<Upgrade>,
    /// A connection that has changed its protocol and on which nothing moves for so long is closed; `0` for never.
    #[serde(default = "default_upgraded_idle_timeout")]
    pub idle_timeout: Duration,
    /// What plugins read as `route_metadata`.
    #[serde(default)]
    pub metadata: Metadata,
    /// What is different for plugins, by their names.
    #[schemars(with = "Option<BTreeMap<String, RoutePlugin>>")]
    pub plugins: Option<Spanned<BTreeMap<String, RoutePlugin>>>,
}

/// What a connection may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Upgrade {
    /// RFC 6455.
    Websocket,
}

/// A plugin on one route. Named here, it is on.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoutePlugin {
    /// Requests on this route do not pass it.
    #[serde(default, deserialize_with = "truth::read")]
    pub disabled: bool,
    /// Its configuration on this route, in place of its own.
    #[serde(default)]
    pub configuration: Option<serde_json::Value>,
}

/// Several endpoints that serve the same.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// `host:port` each, or that as `address` with `metadata`. A host name is resolved once, at start.
    #[schemars(with = "Vec<Endpoint>")]
    pub endpoints: Spanned<Vec<Spanned<Endpoint>>>,
    /// Which endpoint gets the next request.
    #[serde(default)]
    pub load_balancing: LoadBalancing,
    /// Longest time to open a connection.
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    #[serde(default = "default_idle_timeout")]
    pub idle_timeout: Duration,
    /// Most open connections of all workers together.
    #[serde(default = "default_max_connections")]
    pub max_connections: usize,
    /// Most requests of one worker that wait for a connection; more are answered 503.
    #[serde(default = "default_max_pending")]
    pub max_pending: usize,
    /// Asks each endpoint regularly whether it is well; without it, only refused connections count.
    pub health_check: Option<HealthCheck>,
    /// What plugins read as `cluster_metadata`.
    #[serde(default)]
    pub metadata: Metadata,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoadBalancing {
    /// The endpoint with the fewest exchanges of this worker under way.
    #[default]
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
}

/// `GET path` with an answer of 200 to 299 is well.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    #[schemars(with = "String")]
    pub path: Spanned<String>,
    #[serde(default = "default_health_interval")]
    pub interval: Duration,
    /// Longest time for one answer.
    #[serde(default = "default_health_timeout")]
    pub timeout: Duration,
}

/// The operator's listener. Never expose it to clients.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// `ip:port`; port 0 takes a free one.
    #[schemars(with = "String")]
    pub address: Spanned<ListenAddress>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessLog {
    /// A file (relative to this file's folder) or `-` for standard output.
    #[schemars(with = "PathBuf")]
    pub path: Spanned<PathBuf>,
    #[serde(default)]
    pub format: AccessLogFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessLogFormat {
    #[default]
    Json,
    Text,
}

impl Route {
    /// What the route says about a plugin.
    pub fn plugin(&self, name: &str) -> Option<&RoutePlugin> {
        self.plugins.as_ref()?.value.get(name)
    }
}

impl Config {
    /// Whether a plugin is for TCP listeners: it does not see requests then, unless a listener or a route names it.
    pub fn is_for_tcp(&self, plugin: &str) -> bool {
        let mut tcp = self.listeners.value.iter().filter(|listener| listener.tcp.is_some());
        tcp.any(|listener| {
            let named = listener.plugins.as_ref();
            named.is_some_and(|named| named.value.iter().any(|name| name == plugin))
        })
    }

    /// Reads and checks a file. The error is one line that names file, line, column and key.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let source = Source::read(path)?;
        let config: Config = source.parse()?;
        check::check(&config, &source)?;
        Ok(config)
    }
}

fn default_drain_timeout() -> Duration {
    Duration::from_secs(10)
}

fn default_route_timeout() -> Duration {
    Duration::from_secs(15)
}

fn default_retries() -> u32 {
    1
}

fn default_tcp_idle_timeout() -> Duration {
    Duration::from_secs(3600)
}

fn default_upgraded_idle_timeout() -> Duration {
    Duration::from_secs(300)
}

fn default_connect_timeout() -> Duration {
    Duration::from_secs(5)
}

fn default_idle_timeout() -> Duration {
    Duration::from_secs(60)
}

fn default_max_connections() -> usize {
    4096
}

fn default_max_pending() -> usize {
    4096
}

fn default_health_interval() -> Duration {
    Duration::from_secs(5)
}

fn default_health_timeout() -> Duration {
    Duration::from_secs(2)
}
