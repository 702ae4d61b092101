//! Which host functions a plugin may call and which of its callbacks are called, as Envoy restricts them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// `capability_restriction_config:` of a plugin, in Envoy's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CapabilityRestriction {
    /// Names of host functions (`proxy_log`, `fd_write`) and callbacks (`proxy_on_request_headers`), each with `{}`. Once
    /// there is one, everything else is denied: a host function answers with an error, a callback is not called.
    #[serde(default)]
    pub allowed_capabilities: BTreeMap<String, Sanitization>,
}

/// `{}`: Envoy has nothing to say here yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sanitization {}

impl CapabilityRestriction {
    /// Whether a host function or a callback is allowed.
    pub(crate) fn allows(&self, name: &str) -> bool {
        self.allowed_capabilities.is_empty() || self.allowed_capabilities.contains_key(name)
    }
}
