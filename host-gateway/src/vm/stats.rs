//! What is counted about a plugin's VMs on one worker, by index: a call costs a few additions and one or two looks at the
//! clock.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::entry::Entry;
use crate::abi::metrics::escape;
use crate::metrics::Counter;

/// Upper bounds of the time histogram in nanoseconds; beyond the last there is one more bucket.
const BOUNDS: [u64; 12] = [
    1_000,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    1_000_000,
    5_000_000,
    25_000_000,
    100_000_000,
    1_000_000_000,
];

/// One plugin on one worker. Only that worker writes; anybody may read.
#[derive(Debug, Default)]
pub(crate) struct PluginStats {
    entries: [EntryStats; Entry::COUNT],
    /// VMs that were poisoned, or did not start again.
    pub(crate) traps: Counter,
    /// Streams that ended, or went on without the plugin, because a VM was poisoned.
    pub(crate) failed_streams: Counter,
    /// VMs that were started.
    pub(crate) starts: Counter,
    /// VMs that were replaced because they had grown.
    pub(crate) recycled: Counter,
    /// Lines that were not written, because there were too many.
    pub(crate) dropped_lines: Counter,
    /// HTTP calls that were refused, because too many were under way.
    pub(crate) refused_calls: Counter,
    /// Linear memory of the newest VM, bytes.
    pub(crate) memory: Counter,
    /// Stream contexts of the newest VM that are open.
    pub(crate) contexts: Counter,
}

#[derive(Debug, Default)]
struct EntryStats {
    nanoseconds: Counter,
    host_calls: Counter,
    buckets: [Counter; BOUNDS.len() + 1],
}

impl PluginStats {
    /// A callback has returned, or failed.
    pub(crate) fn entered(&self, entry: Entry, took: Duration, host_calls: u64) {
        let stats = &self.entries[entry as usize];
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        stats.nanoseconds.add(nanoseconds);
        stats.host_calls.add(host_calls);
        let bucket = BOUNDS.iter().position(|bound| nanoseconds <= *bound);
        stats.buckets[bucket.unwrap_or(BOUNDS.len())].add(1);
    }
}

/// One family of `/metrics` with a value per plugin.
type Family = (&'static str, &'static str, &'static str, fn(&PluginStats) -> &Counter);

const FAMILIES: [Family; 8] = [
    (
        "postern_plugin_traps_total",
        "counter",
        "VMs that were poisoned by a trap, a deadline or a failed start.",
        |stats| &stats.traps,
    ),
    (
        "postern_plugin_failed_streams_total",
        "counter",
        "Streams that a poisoned VM ended, or that went on without the plugin.",
        |stats| &stats.failed_streams,
    ),
    (
        "postern_plugin_vm_starts_total",
        "counter",
        "VMs that were started.",
        |stats| &stats.starts,
    ),
    (
        "postern_plugin_vm_recycled_total",
        "counter",
        "VMs that were replaced because their memory had grown.",
        |stats| &stats.recycled,
    ),
    (
        "postern_plugin_log_lines_dropped_total",
        "counter",
        "Log lines of plugins that came too fast.",
        |stats| &stats.dropped_lines,
    ),
    (
        "postern_plugin_calls_refused_total",
        "counter",
        "Calls of plugins that were refused: too many were under way, or their cluster took no more.",
        |stats| &stats.refused_calls,
    ),
    (
        "postern_plugin_memory_bytes",
        "gauge",
        "Linear memory of the VMs.",
        |stats| &stats.memory,
    ),
    ("postern_plugin_contexts", "gauge", "Open stream contexts.", |stats| {
        &stats.contexts
    }),
];

/// Appends Prometheus text. `plugins` has the places of a plugin on all workers side by side.
pub(crate) fn render(plugins: &BTreeMap<Arc<str>, Vec<Arc<PluginStats>>>, out: &mut String) {
    for (family, kind, help, counter) in FAMILIES {
        let _ = writeln!(out, "# HELP {family} {help}\n# TYPE {family} {kind}");
        for (plugin, workers) in plugins {
            let value = sum(workers, counter);
            let _ = writeln!(out, "{family}{{plugin=\"{}\"}} {value}", escape(plugin));
        }
    }
    out.push_str(
        "# HELP postern_plugin_callback_seconds Time that callbacks took.\n\
         # TYPE postern_plugin_callback_seconds histogram\n",
    );
    each_entry(plugins, |workers, entry, labels| {
        let mut count = 0;
        for bucket in 0..=BOUNDS.len() {
            count += sum(workers, |stats| &stats.entries[entry].buckets[bucket]);
            let bound = BOUNDS
                .get(bucket)
                .map_or_else(|| "+Inf".to_owned(), |bound| seconds(*bound));
            let _ = writeln!(
                out,
                "postern_plugin_callback_seconds_bucket{{{labels},le=\"{bound}\"}} {count}"
            );
        }
        let total = seconds(sum(workers, |stats| &stats.entries[entry].nanoseconds));
        let _ = writeln!(out, "postern_plugin_callback_seconds_sum{{{labels}}} {total}");
        let _ = writeln!(out, "postern_plugin_callback_seconds_count{{{labels}}} {count}");
    });
    out.push_str(
        "# HELP postern_plugin_host_calls_total Host functions that callbacks called.\n\
         # TYPE postern_plugin_host_calls_total counter\n",
    );
    each_entry(plugins, |workers, entry, labels| {
        let calls = sum(workers, |stats| &stats.entries[entry].host_calls);
        let _ = writeln!(out, "postern_plugin_host_calls_total{{{labels}}} {calls}");
    });
}

/// Every callback that was called at least once, with its labels.
fn each_entry(
    plugins: &BTreeMap<Arc<str>, Vec<Arc<PluginStats>>>,
    mut show: impl FnMut(&[Arc<PluginStats>], usize, &str),
) {
    for (plugin, workers) in plugins {
        for (entry, callback) in Entry::NAMES.iter().enumerate() {
            let called =
                (0..=BOUNDS.len()).any(|bucket| sum(workers, |stats| &stats.entries[entry].buckets[bucket]) > 0);
            if called {
                let labels = format!("plugin=\"{}\",callback=\"{callback}\"", escape(plugin));
                show(workers, entry, &labels);
            }
        }
    }
}

fn sum(workers: &[Arc<PluginStats>], counter: impl Fn(&PluginStats) -> &Counter) -> u64 {
    workers
        .iter()
        .fold(0, |sum, stats| sum.wrapping_add(counter(stats).get()))
}

fn seconds(nanoseconds: u64) -> String {
    (nanoseconds as f64 / 1e9).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_workers_are_one_histogram() {
        let workers = vec![Arc::new(PluginStats::default()), Arc::new(PluginStats::default())];
        workers[0].entered(Entry::Tick, Duration::from_nanos(900), 2);
        workers[1].entered(Entry::Tick, Duration::from_secs(2), 1);
        let mut text = String::new();
        render(&BTreeMap::from([("a\"b".into(), workers)]), &mut text);
        let labels = r#"plugin="a\"b",callback="proxy_on_tick""#;
        for line in [
            format!("postern_plugin_callback_seconds_bucket{{{labels},le=\"0.000001\"}} 1\n"),
            format!("postern_plugin_callback_seconds_bucket{{{labels},le=\"1\"}} 1\n"),
            format!("postern_plugin_callback_seconds_bucket{{{labels},le=\"+Inf\"}} 2\n"),
            format!("postern_plugin_callback_seconds_sum{{{labels}}} 2.0000009\n"),
            format!("postern_plugin_host_calls_total{{{labels}}} 3\n"),
        ] {
            assert!(text.contains(&line), "{line} is not in {text}");
        }
        assert!(!text.contains("proxy_on_done"));
    }
}
