//! `postern-gateway check`: all that `run` does before it opens a socket.

use std::path::Path;
use std::sync::Arc;

use crate::cluster::{Clusters, SharedCluster};
use crate::config::Config;
use crate::metrics::WorkerMetrics;
use crate::plugin::chains::ChainPlan;
use crate::route::RouteTable;
use crate::run;

/// Checks a configuration and whether its plugins take theirs. Asks neither upstreams nor name servers. The error is one
/// line for the user.
pub fn check(file: &Path) -> Result<(), String> {
    let config = Config::load(file).map_err(|error| error.to_string())?;
    let modules = run::load_plugins(&config, file, &[])?;
    let clusters: Vec<_> = config
        .clusters
        .iter()
        .map(|(name, cluster)| SharedCluster::named(name, cluster))
        .collect();
    let metrics = Arc::new(WorkerMetrics::new(0, clusters.len()));
    ChainPlan::new(&config, &RouteTable::new(&config), modules)
        .check(&Clusters::new(&clusters, 0, &metrics))
        .map_err(|error| config.plugin_error(file, &error).to_string())
}
