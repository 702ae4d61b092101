//! What the VMs of all workers share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::abi::metrics::MetricRegistry;
use crate::abi::shared_data::SharedData;
use crate::vm::stats::{self, PluginStats};

/// Of each plugin, what every worker counts.
type Places = BTreeMap<Arc<str>, Vec<Arc<PluginStats>>>;
use crate::abi::shared_queues::SharedQueues;

/// Shared data, shared queues and metrics: one for the whole process.
pub struct PluginProcess {
    pub(crate) shared_data: SharedData,
    pub(crate) shared_queues: SharedQueues,
    pub(crate) metrics: MetricRegistry,
    stats: Mutex<Places>,
    started: Instant,
}

impl PluginProcess {
    /// An empty one.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            shared_data: SharedData::default(),
            shared_queues: SharedQueues::default(),
            metrics: MetricRegistry::default(),
            stats: Mutex::default(),
            started: Instant::now(),
        })
    }

    /// Appends Prometheus text: what plugins count, and what is counted about them.
    pub fn render_metrics(&self, out: &mut String) {
        stats::render(&self.lock(), out);
        self.metrics.render(out);
    }

    /// A place where one worker counts for a plugin.
    pub(crate) fn stats(&self, plugin: &Arc<str>) -> Arc<PluginStats> {
        let stats = Arc::new(PluginStats::default());
        self.lock()
            .entry(Arc::clone(plugin))
            .or_default()
            .push(Arc::clone(&stats));
        stats
    }

    /// The guests' monotonic clock.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// A panic elsewhere leaves the counts whole.
    fn lock(&self) -> MutexGuard<'_, Places> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
