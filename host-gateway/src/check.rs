//! `postern-gateway check`, and what `run` has of it: whether the configuration and the plugins would serve.

use std::path::Path;
use std::sync::Arc;

use crate::cluster::{Clusters, SharedCluster};
use crate::config::Config;
use crate::metrics::WorkerMetrics;
use crate::plugin::chains::ChainPlan;
use crate::route::RouteTable;
use crate::run;

/// Checks a configuration, and whether its plugins take theirs and can take part in a request. Asks neither upstreams nor
/// name servers. The error is one line for the user.
pub fn check(file: &Path) -> Result<(), String> {
    let config = Config::load(file).map_err(|error| error.to_string())?;
    let modules = run::load_plugins(&config, file, &[])?;
    let plan = ChainPlan::new(&config, &RouteTable::new(&config), modules);
    plugins(&config, file, &plan)
}

/// Starts every plugin once, and opens a stream in it. One that cannot is found out here, and not by the first request.
pub fn plugins(config: &Config, file: &Path, plan: &ChainPlan) -> Result<(), String> {
    let clusters: Vec<_> = config
        .clusters
        .iter()
        .map(|(name, cluster)| SharedCluster::named(name, cluster))
        .collect();
    let metrics = Arc::new(WorkerMetrics::new(0, clusters.len()));
    plan.check(&Clusters::new(&clusters, 0, &metrics))
        .map_err(|error| config.plugin_error(file, &error).to_string())
}
