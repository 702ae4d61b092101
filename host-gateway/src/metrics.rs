//! Counters. Each worker writes its own and the admin listener sums them up: the request path shares no cache line.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

use crate::config::Config;
use crate::error::UpstreamError;
use crate::route::RouteTable;

/// A counter with one writer; others may read it at any time.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Only the owning worker may call this: a plain load and store is cheaper than a locked addition.
    pub fn add(&self, n: u64) {
        self.0
            .store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    pub fn subtract(&self, n: u64) {
        self.0
            .store(self.0.load(Ordering::Relaxed).wrapping_sub(n), Ordering::Relaxed);
    }

    /// Makes a gauge of it.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one worker counts.
#[derive(Debug)]
pub struct WorkerMetrics {
    /// By route (the last row: no route) and by status class (1xx to 5xx).
    requests: Vec<[Counter; 5]>,
    /// By cluster and by kind, in the order of [`UpstreamError::ALL`].
    upstream_errors: Vec<[Counter; UpstreamError::ALL.len()]>,
    /// By cluster.
    pub retries: Vec<Counter>,
    /// By cluster.
    pub upstream_connections: Vec<Counter>,
    pub connections: Counter,
    pub connections_active: Counter,
    pub access_log_lost: Counter,
}

impl WorkerMetrics {
    pub fn new(routes: usize, clusters: usize) -> Self {
        Self {
            requests: (0..=routes).map(|_| Default::default()).collect(),
            upstream_errors: (0..clusters).map(|_| Default::default()).collect(),
            retries: (0..clusters).map(|_| Counter::default()).collect(),
            upstream_connections: (0..clusters).map(|_| Counter::default()).collect(),
            connections: Counter::default(),
            connections_active: Counter::default(),
            access_log_lost: Counter::default(),
        }
    }

    /// Counts one answer. `route` is a place in the route table.
    pub fn answered(&self, route: Option<usize>, status: StatusCode) {
        let row = route.unwrap_or(self.requests.len() - 1);
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.requests[row][class].add(1);
    }

    pub fn upstream_error(&self, cluster: usize, error: UpstreamError) {
        if let Some(kind) = UpstreamError::ALL.iter().position(|(known, _)| *known == error) {
            self.upstream_errors[cluster][kind].add(1);
        }
    }
}

/// The counters of all workers, with the names that belong to their places.
pub struct Metrics {
    /// Prefix and cluster of each route.
    routes: Vec<(String, String)>,
    clusters: Vec<String>,
    workers: Vec<Arc<WorkerMetrics>>,
}

impl Metrics {
    pub fn new(config: &Config, routes: &RouteTable, workers: usize) -> Self {
        let clusters: Vec<String> = config.clusters.keys().cloned().collect();
        let routes: Vec<_> = routes
            .iter()
            .map(|route| (route.prefix.clone(), clusters[route.cluster].clone()))
            .collect();
        let workers = (0..workers)
            .map(|_| Arc::new(WorkerMetrics::new(routes.len(), clusters.len())))
            .collect();
        Self {
            routes,
            clusters,
            workers,
        }
    }

    pub fn worker(&self, index: usize) -> Arc<WorkerMetrics> {
        Arc::clone(&self.workers[index])
    }

    /// Prometheus text format.
    pub fn render(&self, out: &mut String) {
        family(
            out,
            "postern_gateway_requests_total",
            "counter",
            "Answers by route, cluster and status class.",
        );
        for row in 0..=self.routes.len() {
            let (route, cluster) = self
                .routes
                .get(row)
                .map_or(("", ""), |(route, cluster)| (route, cluster));
            for class in 0..5 {
                let count = self.sum(|worker| &worker.requests[row][class]);
                if count > 0 {
                    let labels = format!(
                        "route={},cluster={},status=\"{}xx\"",
                        quoted(route),
                        quoted(cluster),
                        class + 1
                    );
                    sample(out, "postern_gateway_requests_total", &labels, count);
                }
            }
        }
        family(
            out,
            "postern_gateway_upstream_errors_total",
            "counter",
            "Requests that no upstream answered, by cause.",
        );
        for (index, cluster) in self.clusters.iter().enumerate() {
            for (kind, (_, cause)) in UpstreamError::ALL.iter().enumerate() {
                let count = self.sum(|worker| &worker.upstream_errors[index][kind]);
                let labels = format!("cluster={},cause=\"{cause}\"", quoted(cluster));
                sample(out, "postern_gateway_upstream_errors_total", &labels, count);
            }
        }
        family(
            out,
            "postern_gateway_upstream_retries_total",
            "counter",
            "Requests that were sent once more.",
        );
        self.by_cluster(out, "postern_gateway_upstream_retries_total", |worker| &worker.retries);
        family(
            out,
            "postern_gateway_upstream_connections_total",
            "counter",
            "Connections opened to endpoints.",
        );
        self.by_cluster(out, "postern_gateway_upstream_connections_total", |worker| {
            &worker.upstream_connections
        });
        family(
            out,
            "postern_gateway_connections_total",
            "counter",
            "Connections accepted from clients.",
        );
        sample(
            out,
            "postern_gateway_connections_total",
            "",
            self.sum(|worker| &worker.connections),
        );
        family(
            out,
            "postern_gateway_connections_active",
            "gauge",
            "Connections of clients that are open.",
        );
        sample(
            out,
            "postern_gateway_connections_active",
            "",
            self.sum(|worker| &worker.connections_active),
        );
        family(
            out,
            "postern_gateway_access_log_lost_total",
            "counter",
            "Access log lines dropped: the disk is too slow.",
        );
        sample(
            out,
            "postern_gateway_access_log_lost_total",
            "",
            self.sum(|worker| &worker.access_log_lost),
        );
    }

    fn by_cluster(&self, out: &mut String, name: &str, counters: impl Fn(&WorkerMetrics) -> &Vec<Counter>) {
        for (index, cluster) in self.clusters.iter().enumerate() {
            let labels = format!("cluster={}", quoted(cluster));
            sample(out, name, &labels, self.sum(|worker| &counters(worker)[index]));
        }
    }

    fn sum(&self, counter: impl Fn(&WorkerMetrics) -> &Counter) -> u64 {
        self.workers
            .iter()
            .fold(0, |sum, worker| sum.wrapping_add(counter(worker).get()))
    }
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(out: &mut String, name: &str, labels: &str, value: u64) {
    let _ = if labels.is_empty() {
        writeln!(out, "{name} {value}")
    } else {
        writeln!(out, "{name}{{{labels}}} {value}")
    };
}

fn quoted(label: &str) -> String {
    format!(
        "\"{}\"",
        label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
    )
}
