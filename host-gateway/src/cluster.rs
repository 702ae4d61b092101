//! The clusters as one worker sees them: its own connections, its own view of which endpoint is busy.

mod announced;
mod balance;
mod call;
mod elsewhere;
mod endpoint;
mod grpc;
mod send;
mod shared;
mod tcp;
mod upgrade;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use tokio::sync::Notify;

pub(crate) use self::announced::Announced;
pub use self::call::CallError;
pub use self::elsewhere::Answering;
use self::elsewhere::Elsewhere;
use self::endpoint::Endpoint;
pub use self::endpoint::Lease;
pub use self::send::Answer;
pub use self::shared::{ConnectionSlot, SharedCluster, SharedEndpoint, Unresolved};
pub use self::upgrade::Upgraded;
use crate::config::Metadata;
use crate::metrics::WorkerMetrics;

/// Single-threaded: each worker has its own.
pub struct Clusters {
    clusters: Vec<Rc<Cluster>>,
    by_name: HashMap<String, usize>,
    /// Seconds since the worker started, as the sweep counts them: cheap to read once per request.
    seconds: Rc<Cell<u32>>,
    /// Who answers plugins in the place of a network.
    elsewhere: Option<Elsewhere>,
}

/// One cluster of one worker.
pub struct Cluster {
    shared: Arc<SharedCluster>,
    /// Place in the order of names.
    index: usize,
    endpoints: Vec<Rc<Endpoint>>,
    /// Where the next choice starts.
    next: Cell<usize>,
    random: Cell<u64>,
    /// Requests that wait for a connection.
    waiting: Cell<usize>,
    /// Calls of plugins that are about to be sent.
    announced: Cell<usize>,
    released: Notify,
    metrics: Arc<WorkerMetrics>,
    /// The worker's own copy: workers that count the uses of one would slow each other down.
    metadata: Rc<Metadata>,
    /// Of those that have some, by their addresses.
    endpoint_metadata: Rc<BTreeMap<SocketAddr, Metadata>>,
}

impl Clusters {
    /// `worker` seeds the random choice of endpoints, so that workers do not choose alike.
    pub fn new(shared: &[Arc<SharedCluster>], worker: usize, metrics: &Arc<WorkerMetrics>) -> Rc<Self> {
        let seconds = Rc::new(Cell::new(0));
        let cluster = |(index, shared): (usize, &Arc<SharedCluster>)| {
            let endpoints = shared.endpoints.iter().enumerate();
            Rc::new(Cluster {
                shared: Arc::clone(shared),
                index,
                endpoints: endpoints
                    .map(|(place, at)| Rc::new(Endpoint::new(at.address, place, &seconds)))
                    .collect(),
                next: Cell::new(worker),
                random: Cell::new(0x9E37_79B9_7F4A_7C15 ^ (worker as u64 + 1)),
                waiting: Cell::new(0),
                announced: Cell::new(0),
                released: Notify::new(),
                metrics: Arc::clone(metrics),
                metadata: Rc::new(shared.metadata.clone()),
                endpoint_metadata: Rc::new(endpoint_metadata(shared)),
            })
        };
        Rc::new(Self {
            clusters: shared.iter().enumerate().map(cluster).collect(),
            by_name: shared
                .iter()
                .enumerate()
                .map(|(index, shared)| (shared.name.clone(), index))
                .collect(),
            seconds,
            elsewhere: None,
        })
    }

    /// Clusters of these names, whose calls `answer` answers: no network is used. For plugins without the proxy.
    pub fn answered_by(
        names: impl IntoIterator<Item = impl Into<String>>,
        answer: impl Fn(&str, Request<Bytes>) -> Answering + 'static,
    ) -> Rc<Self> {
        Rc::new(Self {
            clusters: Vec::new(),
            by_name: HashMap::new(),
            seconds: Rc::new(Cell::new(0)),
            elsewhere: Some(Elsewhere::new(names, answer)),
        })
    }

    pub fn contains(&self, cluster: &str) -> bool {
        self.by_name.contains_key(cluster) || self.elsewhere.as_ref().is_some_and(|all| all.contains(cluster))
    }

    /// The name of the first cluster that has an endpoint written so, as `host:port`.
    pub fn with_endpoint(&self, authority: &str) -> Option<&str> {
        let has = |cluster: &&Rc<Cluster>| {
            let mut endpoints = cluster.shared.endpoints.iter();
            endpoints.any(|endpoint| endpoint.authority == authority)
        };
        self.clusters.iter().find(has).map(|cluster| cluster.name())
    }

    /// A cluster by its place in the order of names.
    pub fn get(&self, index: usize) -> &Rc<Cluster> {
        &self.clusters[index]
    }

    pub fn find(&self, name: &str) -> Option<&Rc<Cluster>> {
        self.by_name.get(name).map(|index| &self.clusters[*index])
    }

    /// Seconds since the worker started, give or take one.
    pub fn seconds(&self) -> u32 {
        self.seconds.get()
    }

    /// To be called every second: closes connections that were idle for too long.
    pub fn sweep(&self) {
        self.seconds.set(self.seconds.get() + 1);
        for cluster in &self.clusters {
            let idle_timeout = u32::try_from(cluster.shared.idle_timeout.as_secs()).unwrap_or(u32::MAX);
            for endpoint in &cluster.endpoints {
                if cluster.others_wait() {
                    endpoint.close_all_idle();
                } else {
                    endpoint.close_idle(idle_timeout);
                }
            }
        }
    }
}

impl Cluster {
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What plugins read as `cluster_metadata`.
    pub fn metadata(&self) -> &Rc<Metadata> {
        &self.metadata
    }

    /// What plugins read as `upstream_host_metadata`, by the addresses of the endpoints that have some.
    pub fn endpoint_metadata(&self) -> &Rc<BTreeMap<SocketAddr, Metadata>> {
        &self.endpoint_metadata
    }

    /// Whether requests of other workers wait for a connection: this worker must not keep one idle then.
    fn others_wait(&self) -> bool {
        self.shared.waiting() > self.waiting.get()
    }
}

fn endpoint_metadata(cluster: &SharedCluster) -> BTreeMap<SocketAddr, Metadata> {
    let described = cluster
        .endpoints
        .iter()
        .filter(|at| !at.metadata.filter_metadata.is_empty());
    described.map(|at| (at.address, at.metadata.clone())).collect()
}
