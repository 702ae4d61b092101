//! `metadata` of a listener, a route, a cluster or an endpoint: facts that plugins read as properties, in the form in which Envoy takes them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What plugins read as `listener_metadata`, `route_metadata`, `cluster_metadata` or `upstream_host_metadata`; the proxy itself makes no use of it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// By the name under which a plugin looks for it: keys and their values.
    #[serde(default)]
    pub filter_metadata: BTreeMap<String, Map<String, Value>>,
}
