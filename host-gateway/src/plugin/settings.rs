//! One entry of `plugins:` in gateway.yaml.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::abi::capabilities::CapabilityRestriction;
use crate::config;
use crate::vm::limits::Limits;

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
