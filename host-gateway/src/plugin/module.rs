//! A plugin that was read, checked and compiled: once per process, whatever the number of its VMs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::error::PluginError;
use super::settings::{Compat, FailurePolicy, Isolation, PluginConfig, PropertyEncoding};
use crate::abi::Identity;
use crate::abi::callbacks::CallbackSet;
use crate::stream::exchange::Protocol;
use crate::vm::cache::{CodeCache, digest};
use crate::vm::limits::Limits;
use crate::vm::module::{GuestModule, ModuleError};
use crate::vm::start::{StartError, StartFailure};

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
    pub(super) service: bool,
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
    pub(super) fn on_route(&self, prefix: &str, configuration: &serde_json::Value) -> Arc<Self> {
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
    pub(super) fn shares_vm_with(&self, other: &Self) -> bool {
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

    pub(super) fn does_not_start(&self, error: StartError) -> PluginError {
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

fn configuration_bytes(value: Option<&serde_json::Value>) -> Bytes {
    match value {
        None | Some(serde_json::Value::Null) => Bytes::new(),
        Some(serde_json::Value::String(text)) => Bytes::copy_from_slice(text.as_bytes()),
        Some(value) => Bytes::from(value.to_string()),
    }
}
