//! What was counted in this VM, and the host's metrics that it is handed to.

use postern_access::counters::Counters;
use postern_access::policy::Policy;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

/// Counters, and the host's number of each.
pub struct Metrics {
    pub counters: Counters,
    /// `None`: the host does not have it.
    ids: Vec<Option<u32>>,
    times: Option<u32>,
    handed_over_at: u64,
}

/// Between two hand-overs, in milliseconds.
const PAUSE: u64 = 1000;

impl Metrics {
    /// Makes them known to the host. VMs that define the same name add to one value.
    pub fn define(policy: &Policy) -> Self {
        let counters = Counters::new(policy);
        let ids = counters.names().iter().map(|name| define(MetricType::Counter, name));
        Self {
            ids: ids.collect(),
            times: define(MetricType::Histogram, Counters::TIMES),
            counters,
            handed_over_at: 0,
        }
    }

    /// Hands over what was counted since the last time, if that is a while ago. `now` in Unix milliseconds.
    pub fn hand_over(&mut self, now: u64) {
        if now < self.handed_over_at.saturating_add(PAUSE) {
            return;
        }
        self.handed_over_at = now;
        for (number, by) in self.counters.drain() {
            if let (Some(Some(id)), Ok(by)) = (self.ids.get(number), i64::try_from(by)) {
                let _ = hostcalls::increment_metric(*id, by);
            }
        }
        for micros in self.counters.drain_times() {
            if let Some(id) = self.times {
                let _ = hostcalls::record_metric(id, micros);
            }
        }
    }
}

fn define(kind: MetricType, name: &str) -> Option<u32> {
    hostcalls::define_metric(kind, name).ok()
}
