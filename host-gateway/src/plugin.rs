//! Plugins: their configuration, their compiled modules, and the VMs of one worker.

pub mod cases;
pub mod chains;
pub(crate) mod check;
pub(crate) mod guest;
pub mod inspect;
pub(crate) mod process;
pub(crate) mod slot;
mod tasks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::abi::Identity;
use crate::abi::callbacks::CallbackSet;
use crate::cluster::Clusters;
use crate::config;
use crate::stream::exchange::Protocol;
use crate::vm::cache::digest;
use crate::vm::module::{GuestModule, ModuleError};
use crate::vm::start::{StartError, StartFailure};
pub(crate) use slot::Seated;
use slot::{Seat, Slot};
use tasks::Tasks;

pub use crate::abi::capabilities::{CapabilityRestriction, Sanitization};
pub use crate::config::{Metadata, TrafficDirection};
pub use crate::stream::connection::{Closer, Ended, Passed, PluginConnection, Side};
pub use crate::stream::{
    Connection, Destination, Ends, Interruption, ListenerFacts, LocalResponse, PluginStream, Reading, Verdict, Watch,
};
pub use crate::vm::cache::{CodeCache, default_folder};
pub use crate::vm::limits::{ByteSize, CallTime, Limits};
pub use process::PluginProcess;

/// One entry of `plugins:` in gateway.yaml.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginConfig {
    /// Names the plugin in logs and metrics.
    pub name: String,
    /// The WebAssembly file, relative to the configuration file's folder.
    pub wasm: PathBuf,
    /// Which root context of the module to use, for modules with several.
    #[serde(default)]
    pub root_id: String,
    /// Plugins with the same `vm_id` see the same shared data; if their code, `vm_configuration` and limits are the same too,
    /// they share one VM per worker, with a root context each.
    #[serde(default)]
    pub vm_id: String,
    /// Handed to `proxy_on_vm_start`.
    #[serde(default)]
    pub vm_configuration: Option<serde_json::Value>,
    /// Handed to `proxy_on_configure`: a string as its bytes, anything else as compact JSON.
    #[serde(default)]
    pub configuration: Option<serde_json::Value>,
    /// Requests do not pass the plugin unless their listener or their route names it.
    #[serde(default, deserialize_with = "config::truth::read")]
    pub disabled: bool,
    /// How numbers and truth values of properties are encoded.
    #[serde(default)]
    pub properties: PropertyEncoding,
    /// Environment variables the plugin sees; none of the gateway's own.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The plugin only works from its root context: it ticks, calls and listens to queues, and sees no requests.
    #[serde(default, deserialize_with = "config::truth::read")]
    pub service: bool,
    /// What happens to requests when the plugin fails.
    #[serde(default)]
    pub failure: FailurePolicy,
    /// The shortest time between two VMs that take over from failed ones, under `failure: reload` (default `1s`).
    #[serde(default)]
    pub reload_backoff: ReloadBackoff,
    /// Who shares a VM.
    #[serde(default)]
    pub isolation: Isolation,
    /// Whose ways the plugin was written for, where hosts differ.
    #[serde(default)]
    pub compat: Compat,
    /// Memory and time the plugin may use.
    #[serde(default)]
    pub limits: Limits,
    /// Which host functions the plugin may call and which of its callbacks are called (default: all). As in Envoy.
    #[serde(default)]
    pub capability_restriction_config: CapabilityRestriction,
}

/// How numbers and truth values of properties are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PropertyEncoding {
    /// Numbers as 8 bytes, little endian, truth as one byte: as Envoy does.
    #[default]
    Binary,
    /// Numbers in digits, truth as `true` and `false`: as Kong's ngx_wasm_module does.
    Text,
}

/// What happens to requests when the plugin fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailurePolicy {
    /// They are refused with 503 until it works again.
    #[default]
    Closed,
    /// They go on as if it were not there.
    Open,
    /// They are refused with 503 until a fresh VM takes over, which happens at most once per `reload_backoff`.
    Reload,
}

/// Who shares a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// All exchanges of a worker.
    #[default]
    Worker,
    /// Nobody: each exchange has a VM of its own, which ends with it, and with it the calls and timers of its root context.
    Request,
}

/// Whose ways a plugin was written for, where hosts differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// While the plugin pauses at a head, the body waits. A call that nobody answers is answered by the gateway.
    #[default]
    Envoy,
    /// While the plugin pauses at a head, its body callback sees the body. A call that nobody answers has no headers.
    Spec,
    /// As Kong has it: properties are texts, calls name endpoints, and have a `:dispatch_status`.
    Nginx,
}

/// How long `failure: reload` waits from one VM to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "config::Duration")]
#[schemars(with = "config::Duration")]
pub struct ReloadBackoff(pub Duration);

impl Default for ReloadBackoff {
    fn default() -> Self {
        Self(Duration::from_secs(1))
    }
}

impl TryFrom<config::Duration> for ReloadBackoff {
    type Error = &'static str;

    fn try_from(time: config::Duration) -> Result<Self, Self::Error> {
        time.limit()
            .map(Self)
            .ok_or("a plugin that always fails must not be started without a pause: write for example 1s")
    }
}

/// Why a plugin cannot run. One sentence that names the plugin and its file.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The file cannot be read.
    #[error("plugin {name:?}: cannot read {}: {cause}", .file.display())]
    Unreadable {
        /// `name:` of the plugin.
        name: String,
        /// The file that was tried.
        file: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The file is no plugin for this host.
    #[error("plugin {name:?}: {}: {cause}", .file.display())]
    Module {
        /// `name:` of the plugin.
        name: String,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// What the plugin may use names something that there is not.
    #[error("plugin {name:?}: {cause}")]
    Capability {
        /// `name:` of the plugin.
        name: String,
        /// What there is not.
        cause: String,
    },
    /// The plugin does not take its configuration.
    #[error("plugin {name:?} refused the configuration: {cause}")]
    Configuration {
        /// `name:` of the plugin.
        name: String,
        /// The prefix of the route that gives the configuration.
        route: Option<String>,
        /// What it said.
        cause: String,
    },
    /// The plugin starts, and cannot take part in a request.
    #[error(
        "plugin {name:?} would fail in each {stream}: {}: {cause}; write `service: true` if it only has a root context, else name the file that its build is meant to give",
        .file.display()
    )]
    Stream {
        /// `name:` of the plugin.
        name: String,
        /// The file.
        file: PathBuf,
        /// What it would see: a request, or a connection.
        stream: &'static str,
        /// What happened.
        cause: String,
    },
    /// The plugin does not start.
    #[error("plugin {name:?} does not start: {}: {cause}", .file.display())]
    Start {
        /// `name:` of the plugin.
        name: String,
        /// The file.
        file: PathBuf,
        /// What happened.
        cause: String,
    },
}

impl PluginError {
    /// `name:` of the plugin.
    pub fn plugin(&self) -> &str {
        match self {
            Self::Unreadable { name, .. }
            | Self::Module { name, .. }
            | Self::Capability { name, .. }
            | Self::Configuration { name, .. }
            | Self::Stream { name, .. }
            | Self::Start { name, .. } => name,
        }
    }
}

/// A plugin, compiled once per process.
pub struct PluginModule {
    pub(crate) identity: Arc<Identity>,
    pub(crate) guest: Arc<GuestModule>,
    /// SHA-256 of the file.
    code: [u8; 32],
    pub(crate) failure: FailurePolicy,
    pub(crate) limits: Limits,
    pub(crate) reload_backoff: Duration,
    pub(crate) isolation: Isolation,
    /// It sees no requests.
    service: bool,
    /// Calls in both directions are written to the log.
    pub(crate) trace: bool,
    file: PathBuf,
    /// The prefix of the only route on which it runs with this configuration.
    route: Option<String>,
}

/// How plugins are loaded.
#[derive(Debug, Clone, Copy)]
pub struct Loading<'a> {
    /// Where relative paths start.
    pub folder: &'a Path,
    /// Where compiled code is kept; `None`: nowhere.
    pub cache: Option<&'a CodeCache>,
    /// Names of the plugins whose calls are written to the log.
    pub traced: &'a [String],
}

impl PluginModule {
    /// Reads, checks and compiles a plugin. Takes up to a second for large modules.
    pub fn load(config: &PluginConfig, loading: &Loading<'_>) -> Result<Arc<Self>, PluginError> {
        let file = loading.folder.join(&config.wasm);
        let bytes = std::fs::read(&file).map_err(|cause| PluginError::Unreadable {
            name: config.name.clone(),
            file: file.clone(),
            cause,
        })?;
        let allowed = &config.capability_restriction_config;
        let mut guest =
            GuestModule::compile(&bytes, allowed, loading.cache).map_err(|cause: ModuleError| match cause {
                ModuleError::UnknownCapability(_) => PluginError::Capability {
                    name: config.name.clone(),
                    cause: cause.to_string(),
                },
                _ => PluginError::Module {
                    name: config.name.clone(),
                    file: file.clone(),
                    cause: cause.to_string(),
                },
            })?;
        if config.service {
            if guest.callbacks.http() && !guest.callbacks.root {
                tracing::warn!(
                    plugin = config.name,
                    "the plugin only has callbacks for requests, and sees none with `service: true`: it does nothing"
                );
            }
            guest.callbacks = CallbackSet::default();
        }
        if !guest.stubs.is_empty() {
            let stubs = guest.stubs.join(", ");
            tracing::warn!(
                plugin = config.name,
                stubs,
                "the plugin imports functions that this host does not have"
            );
        }
        let identity = Identity {
            name: config.name.as_str().into(),
            root_id: config.root_id.clone(),
            vm_id: config.vm_id.clone(),
            vm_configuration: configuration_bytes(config.vm_configuration.as_ref()),
            configuration: configuration_bytes(config.configuration.as_ref()),
            properties: match config.compat {
                Compat::Nginx => PropertyEncoding::Text,
                Compat::Envoy | Compat::Spec => config.properties,
            },
            compat: config.compat,
            environment: config
                .environment
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            abi: guest.abi,
        };
        let module = Self {
            identity: Arc::new(identity),
            guest: Arc::new(guest),
            code: digest(&bytes),
            failure: config.failure,
            limits: config.limits,
            reload_backoff: config.reload_backoff.0,
            isolation: config.isolation,
            service: config.service,
            trace: loading.traced.contains(&config.name),
            file,
            route: None,
        };
        Ok(Arc::new(module))
    }

    /// Whether it has callbacks for requests or responses.
    pub fn sees_requests(&self) -> bool {
        self.guest.callbacks.http()
    }

    /// Whether it has callbacks for TCP connections.
    pub(crate) fn sees_connections(&self) -> bool {
        self.guest.callbacks.tcp
    }

    /// What it takes part in; `None`: it only works from its root context.
    pub(crate) fn stream(&self) -> Option<Protocol> {
        let callbacks = self.guest.callbacks;
        match (callbacks.any(), callbacks.tcp) {
            (true, _) => Some(Protocol::Http),
            (false, true) => Some(Protocol::Tcp),
            (false, false) => None,
        }
    }

    /// The same plugin with another configuration.
    fn on_route(&self, prefix: &str, configuration: &serde_json::Value) -> Arc<Self> {
        let identity = Identity {
            configuration: configuration_bytes(Some(configuration)),
            ..Identity::clone(&self.identity)
        };
        Arc::new(Self {
            identity: Arc::new(identity),
            guest: Arc::clone(&self.guest),
            file: self.file.clone(),
            route: Some(prefix.to_owned()),
            ..*self
        })
    }

    /// Whether both may be root contexts of one VM: as in Envoy, where they have the same code, `vm_id` and
    /// `vm_configuration`; here also the same limits. Who names no `vm_id` shares with nobody.
    fn shares_vm_with(&self, other: &Self) -> bool {
        let id = |module: &Self| {
            let identity = &module.identity;
            let environment = identity.environment.clone();
            (
                identity.vm_id.clone(),
                identity.vm_configuration.clone(),
                environment,
                module.code,
            )
        };
        !self.identity.vm_id.is_empty()
            && id(self) == id(other)
            && self.limits == other.limits
            && self.failure == other.failure
            && self.reload_backoff == other.reload_backoff
            && self.isolation == other.isolation
            && self.identity.compat == other.identity.compat
            && self.guest.allowed == other.guest.allowed
    }

    fn does_not_start(&self, error: StartError) -> PluginError {
        let name = self.identity.name.to_string();
        match error {
            StartError {
                failure: StartFailure::Configuration,
                said,
                ..
            } => PluginError::Configuration {
                name,
                route: self.route.clone(),
                cause: said.unwrap_or_else(|| "it does not say why".to_owned()),
            },
            StartError {
                failure: StartFailure::Stream(_),
                ..
            } => PluginError::Stream {
                name,
                file: self.file.clone(),
                stream: match self.stream() {
                    Some(Protocol::Tcp) => "connection",
                    Some(Protocol::Http) | None => "request",
                },
                cause: error.to_string(),
            },
            error => PluginError::Start {
                name,
                file: self.file.clone(),
                cause: error.to_string(),
            },
        }
    }
}

/// A file that cannot be read, in one line.
fn file_error(file: &Path, error: &std::io::Error) -> String {
    format!("cannot read {}: {error}", file.display())
}

fn configuration_bytes(value: Option<&serde_json::Value>) -> Bytes {
    match value {
        None | Some(serde_json::Value::Null) => Bytes::new(),
        Some(serde_json::Value::String(text)) => Bytes::copy_from_slice(text.as_bytes()),
        Some(value) => Bytes::from(value.to_string()),
    }
}

/// The plugins of one worker thread, in the order requests pass them.
pub struct Plugins {
    pub(crate) seats: Vec<Seat>,
    pub(crate) needs: Needs,
}

/// What any of the plugins may want, so that the rest is not prepared.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Needs {
    pub(crate) request_body: bool,
    pub(crate) request_trailers: bool,
    pub(crate) response_headers: bool,
    pub(crate) response_body: bool,
    pub(crate) response_trailers: bool,
    /// A copy of the request head after it has gone on.
    pub(crate) request_head_later: bool,
    /// The same, but only where trailers may follow.
    pub(crate) request_head_for_trailers: bool,
    /// A copy of the response head after it has gone on.
    pub(crate) response_head_later: bool,
    pub(crate) request_body_changes: bool,
    pub(crate) response_body_changes: bool,
    /// The time at which an exchange began.
    pub(crate) began: bool,
}

impl Needs {
    fn add(&mut self, module: &GuestModule) {
        let CallbackSet {
            request_body,
            request_trailers,
            response_headers,
            response_body,
            response_trailers,
            end,
            ..
        } = module.callbacks;
        let after_response_headers = response_body || response_trailers || end;
        let after_request_headers = request_body || response_headers || after_response_headers;
        self.request_body |= request_body;
        self.request_trailers |= request_trailers;
        self.response_headers |= response_headers;
        self.response_body |= response_body;
        self.response_trailers |= response_trailers;
        self.request_head_later |= module.reads_exchange && after_request_headers;
        self.request_head_for_trailers |= module.reads_exchange && request_trailers;
        self.response_head_later |= module.reads_exchange && after_response_headers;
        self.request_body_changes |= request_body && module.writes_bodies;
        self.response_body_changes |= response_body && module.writes_bodies;
        self.began |= module.reads_properties;
    }
}

impl Plugins {
    /// Starts and configures one VM per plugin. Must be called inside the worker's `LocalSet`: HTTP calls and ticks
    /// run there as tasks.
    pub fn start(
        modules: &[Arc<PluginModule>],
        clusters: Rc<Clusters>,
        process: Arc<PluginProcess>,
    ) -> Result<Rc<Self>, PluginError> {
        let mut needs = Needs::default();
        for module in modules {
            needs.add(&module.guest);
        }
        let seats = Slot::start_all(modules, &clusters, &process, &Tasks::start())?;
        Ok(Rc::new(Self { seats, needs }))
    }

    /// Starts and configures one VM per plugin, opens a stream in it as for a request, and throws it away. HTTP calls and
    /// ticks that it asks for are not carried out: of the clusters it only learns whether they exist.
    pub fn check(modules: &[Arc<PluginModule>], clusters: &Rc<Clusters>) -> Result<(), PluginError> {
        Slot::rehearse_all(modules, clusters)
    }

    /// Ends the root contexts; those that ask to wait have until the limit.
    pub async fn stop(&self, limit: Duration) {
        stop(&self.seats, limit).await;
    }

    /// Whether there is nothing to run: requests need no stream then.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Opens one TCP connection.
    pub fn connect(self: &Rc<Self>, connection: Rc<Connection>) -> Result<PluginConnection, Ended> {
        PluginConnection::new(Rc::clone(self), connection)
    }

    /// Opens one exchange.
    pub fn open(self: &Rc<Self>, connection: Rc<Connection>) -> PluginStream {
        PluginStream::new(Rc::clone(self), connection)
    }
}

async fn stop(seats: &[Seat], limit: Duration) {
    let all_ended = async {
        loop {
            let mut all = true;
            for seat in seats {
                all &= seat.slot.stop();
            }
            if all {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(limit, all_ended).await.is_err() {
        tracing::warn!("plugins were cut off: they did not call proxy_done within the drain timeout");
    }
}
