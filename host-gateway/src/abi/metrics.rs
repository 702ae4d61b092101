//! Metrics that plugins define: one value per name in the process, however many VMs add to it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::failure::{Answer, Status};
use super::types::MetricType;
use crate::vm::memory::Host;

/// Upper bounds of the histogram buckets, Envoy's own.
const BUCKETS: [u64; 17] = [
    1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
];

/// Most metrics of one plugin, in all its VMs together, and the longest name in bytes: they stay as long as the process.
const MOST_DEFINED: usize = 10_000;
const LONGEST_NAME: usize = 1024;

/// `proxy_define_metric(type, name, *id)`: a second definition of a name gives the same id. (In Envoy another one, of the
/// same value: a guest that defines its metrics in every request would fill the host's memory with them.)
pub(crate) fn define_metric(host: &mut Host<'_>, kind: u32, name: u32, name_size: u32, id_out: u32) -> Answer {
    let kind = MetricType::try_from(kind)?;
    let name = std::str::from_utf8(host.read(name, name_size)?).map_err(|_| Status::BadArgument)?;
    host.check(id_out, 4)?;
    let state = host.state();
    if name.len() > LONGEST_NAME {
        return Err(Status::InternalFailure.into());
    }
    let metric = state.process.metrics.define(&state.identity.name, kind, name);
    let metric = metric.ok_or(Status::InternalFailure)?;
    let id = host.state_mut().metrics.add(metric);
    host.write_u32(id_out, id)
}

/// `proxy_increment_metric(id, offset)`: counters only grow, gauges move both ways.
pub(crate) fn increment_metric(host: &mut Host<'_>, id: u32, offset: i64) -> Answer {
    match (host.state().metrics.get(id), kind_of(id)) {
        (Some(metric), Some(MetricType::Counter)) if offset > 0 => metric.add(offset.unsigned_abs()),
        (Some(metric), Some(MetricType::Gauge)) => metric.add(offset as u64),
        (None, Some(MetricType::Gauge)) => return Err(Status::NotFound.into()),
        _ => return Err(Status::BadArgument.into()),
    }
    Ok(())
}

/// `proxy_record_metric(id, value)`: a counter adds, a gauge is set, a histogram takes a sample.
pub(crate) fn record_metric(host: &mut Host<'_>, id: u32, value: u64) -> Answer {
    let metric = host.state().metrics.get(id).ok_or(Status::NotFound)?;
    match metric.kind {
        MetricType::Counter => metric.add(value),
        MetricType::Gauge => metric.value.store(value, Ordering::Relaxed),
        MetricType::Histogram => metric.sample(value),
    }
    Ok(())
}

/// `proxy_get_metric(id, *value)`.
pub(crate) fn get_metric(host: &mut Host<'_>, id: u32, value_out: u32) -> Answer {
    let metric = host.state().metrics.get(id).ok_or(Status::NotFound)?;
    if metric.kind == MetricType::Histogram {
        return Err(Status::BadArgument.into());
    }
    let value = metric.value.load(Ordering::Relaxed);
    host.write_u64(value_out, value)
}

/// The metrics one VM defined, by id. The low two bits of an id are its type, as in Envoy, and none is zero.
#[derive(Debug, Default)]
pub(crate) struct DefinedMetrics {
    metrics: Vec<Arc<Metric>>,
    /// By address: the metrics stay where they are.
    ids: HashMap<*const Metric, u32>,
}

impl DefinedMetrics {
    fn add(&mut self, metric: Arc<Metric>) -> u32 {
        let next = ((self.metrics.len() as u32 + 1) << 2) | metric.kind as u32;
        match self.ids.entry(Arc::as_ptr(&metric)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(place) => {
                self.metrics.push(metric);
                *place.insert(next)
            }
        }
    }

    fn get(&self, id: u32) -> Option<&Metric> {
        let metric = self.metrics.get(((id >> 2) as usize).checked_sub(1)?)?;
        (metric.kind as u32 == id & 3).then_some(metric)
    }
}

fn kind_of(id: u32) -> Option<MetricType> {
    MetricType::try_from(id & 3).ok()
}

/// One value.
#[derive(Debug)]
pub(crate) struct Metric {
    kind: MetricType,
    /// The counter, the gauge, or the sum of the samples.
    value: AtomicU64,
    /// Samples up to each bound, and beyond the last. Empty unless this is a histogram.
    buckets: Box<[AtomicU64]>,
}

impl Metric {
    fn new(kind: MetricType) -> Self {
        let buckets = if kind == MetricType::Histogram {
            BUCKETS.len() + 1
        } else {
            0
        };
        Self {
            kind,
            value: AtomicU64::new(0),
            buckets: (0..buckets).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Wraps around: adding −1 as `u64` takes one away.
    fn add(&self, value: u64) {
        self.value.fetch_add(value, Ordering::Relaxed);
    }

    fn sample(&self, value: u64) {
        let place = BUCKETS
            .iter()
            .position(|bound| value <= *bound)
            .unwrap_or(BUCKETS.len());
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.add(value);
    }
}

/// All metrics of all plugins, by family, type and plugin.
#[derive(Debug, Default)]
pub(crate) struct MetricRegistry {
    metrics: Mutex<Registered>,
}

#[derive(Debug, Default)]
struct Registered {
    families: Families,
    /// How many each plugin has.
    defined: HashMap<Arc<str>, usize>,
}

type Families = BTreeMap<(String, MetricType), BTreeMap<(Arc<str>, String), Arc<Metric>>>;

impl MetricRegistry {
    /// The metric of that name; `None`: it would be one too many.
    fn define(&self, plugin: &Arc<str>, kind: MetricType, name: &str) -> Option<Arc<Metric>> {
        let registered = &mut *self.lock();
        let (family, name) = ((family(name), kind), (Arc::clone(plugin), name.to_owned()));
        let known = registered.families.get(&family).and_then(|family| family.get(&name));
        if let Some(known) = known {
            return Some(Arc::clone(known));
        }
        let defined = registered.defined.entry(Arc::clone(plugin)).or_default();
        if *defined >= MOST_DEFINED {
            return None;
        }
        *defined += 1;
        let metric = Arc::new(Metric::new(kind));
        let family = registered.families.entry(family).or_default();
        family.insert(name, Arc::clone(&metric));
        Some(metric)
    }

    /// Prometheus text.
    pub(crate) fn render(&self, out: &mut String) {
        let mut previous = "";
        let registered = self.lock();
        for ((family, kind), metrics) in &registered.families {
            let kind_name = match kind {
                MetricType::Counter => "counter",
                MetricType::Gauge => "gauge",
                MetricType::Histogram => "histogram",
            };
            // Two plugins may use a name for two types; a family has one.
            let suffix = if previous == family {
                format!("_{kind_name}")
            } else {
                String::new()
            };
            let family_name = format!("{family}{suffix}");
            let _ = writeln!(out, "# TYPE {family_name} {kind_name}");
            for ((plugin, name), metric) in metrics {
                let labels = format!("plugin=\"{}\",name=\"{}\"", escape(plugin), escape(name));
                write_metric(out, &family_name, &labels, metric);
            }
            previous = family;
        }
    }

    /// A panic elsewhere leaves the map whole.
    fn lock(&self) -> MutexGuard<'_, Registered> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_metric(out: &mut String, family: &str, labels: &str, metric: &Metric) {
    let value = metric.value.load(Ordering::Relaxed);
    match metric.kind {
        MetricType::Counter => {
            let _ = writeln!(out, "{family}{{{labels}}} {value}");
        }
        // A gauge that was decremented below zero.
        MetricType::Gauge => {
            let _ = writeln!(out, "{family}{{{labels}}} {}", value as i64);
        }
        MetricType::Histogram => {
            let mut count = 0;
            for (place, bucket) in metric.buckets.iter().enumerate() {
                count += bucket.load(Ordering::Relaxed);
                let bound = BUCKETS.get(place).map_or_else(|| "+Inf".to_owned(), u64::to_string);
                let _ = writeln!(out, "{family}_bucket{{{labels},le=\"{bound}\"}} {count}");
            }
            let _ = writeln!(out, "{family}_sum{{{labels}}} {value}");
            let _ = writeln!(out, "{family}_count{{{labels}}} {count}");
        }
    }
}

/// A name Prometheus takes.
fn family(name: &str) -> String {
    let name = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' });
    std::iter::once("postern_guest_")
        .map(str::to_owned)
        .chain(name.map(String::from))
        .collect()
}

/// A label's value as Prometheus text has it.
pub(crate) fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_vms_add_to_one_value() {
        let registry = MetricRegistry::default();
        let plugin: Arc<str> = "auth".into();
        let (mut first, mut second) = (DefinedMetrics::default(), DefinedMetrics::default());
        let one = first.add(registry.define(&plugin, MetricType::Counter, "requests.seen").unwrap());
        let two = second.add(registry.define(&plugin, MetricType::Counter, "requests.seen").unwrap());
        first.get(one).unwrap().add(2);
        second.get(two).unwrap().add(3);
        let mut text = String::new();
        registry.render(&mut text);
        assert_eq!(
            text,
            "# TYPE postern_guest_requests_seen counter\n\
             postern_guest_requests_seen{plugin=\"auth\",name=\"requests.seen\"} 5\n"
        );
    }

    #[test]
    fn a_plugin_has_so_many_metrics_however_many_vms_define_them() {
        let registry = MetricRegistry::default();
        let plugin: Arc<str> = "auth".into();
        let define = |plugin, name: usize| registry.define(plugin, MetricType::Gauge, &name.to_string());
        let mut vm = DefinedMetrics::default();
        let first = vm.add(define(&plugin, 0).unwrap());
        for name in 0..MOST_DEFINED {
            let mut another = DefinedMetrics::default();
            another.add(define(&plugin, name).unwrap());
        }
        assert!(define(&plugin, MOST_DEFINED).is_none());
        assert_eq!(
            vm.add(define(&plugin, 0).unwrap()),
            first,
            "a name that is known has its id"
        );
        assert_ne!(vm.add(define(&plugin, 1).unwrap()), first);
        assert!(define(&"other".into(), MOST_DEFINED).is_some());
    }

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let registry = MetricRegistry::default();
        let metric = registry.define(&"p".into(), MetricType::Histogram, "t").unwrap();
        for value in [1, 7, 3_000_000] {
            metric.sample(value);
        }
        let mut text = String::new();
        registry.render(&mut text);
        assert!(
            text.contains("_bucket{plugin=\"p\",name=\"t\",le=\"10\"} 2\n"),
            "{text}"
        );
        assert!(
            text.contains("_bucket{plugin=\"p\",name=\"t\",le=\"+Inf\"} 3\n"),
            "{text}"
        );
        assert!(text.contains("_sum{plugin=\"p\",name=\"t\"} 3000008\n"), "{text}");
    }
}
