//! What the VMs of all workers share.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::abi::metrics::{MetricRegistry, escape};
use crate::abi::shared_data::SharedData;

/// Shared data and metrics: one for the whole process.
pub struct PluginProcess {
    pub(crate) shared_data: SharedData,
    pub(crate) metrics: MetricRegistry,
    traps: Mutex<BTreeMap<Arc<str>, u64>>,
    started: Instant,
}

impl PluginProcess {
    /// An empty one.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            shared_data: SharedData::default(),
            metrics: MetricRegistry::default(),
            traps: Mutex::default(),
            started: Instant::now(),
        })
    }

    /// Appends Prometheus text: what plugins count, and how often they were replaced.
    pub fn render_metrics(&self, out: &mut String) {
        out.push_str(
            "# HELP postern_plugin_traps_total VMs that were poisoned by a trap, a deadline or a failed start.\n",
        );
        out.push_str("# TYPE postern_plugin_traps_total counter\n");
        for (plugin, traps) in self.lock().iter() {
            let _ = writeln!(
                out,
                "postern_plugin_traps_total{{plugin=\"{}\"}} {traps}",
                escape(plugin)
            );
        }
        self.metrics.render(out);
    }

    /// Shows a plugin with no traps yet.
    pub(crate) fn register(&self, plugin: &Arc<str>) {
        self.lock().entry(Arc::clone(plugin)).or_default();
    }

    pub(crate) fn count_trap(&self, plugin: &Arc<str>) {
        *self.lock().entry(Arc::clone(plugin)).or_default() += 1;
    }

    /// The guests' monotonic clock.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// A panic elsewhere leaves the counts whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, u64>> {
        self.traps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
