//! One thread with everything it needs to serve requests alone: runtime, sockets, upstream connections, plugin VMs.

use std::cell::{Cell, RefCell};
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use crate::access_log::AccessLog;
use crate::cluster::{Cluster, Clusters, SharedCluster};
use crate::cors::Cors;
use crate::listener::{self, Connections};
use crate::metrics::WorkerMetrics;
use crate::plugin::chains::{ChainPlan, Chains};
use crate::plugin::{Destination, ListenerFacts, PluginError, PluginProcess};
use crate::route::{Route, RouteTable};
use crate::tcp;
use crate::tunnels::Tunnels;

/// What the request path of one worker reaches. Single-threaded.
pub struct Worker {
    pub routes: Arc<RouteTable>,
    /// `None`: nothing is done about calls from other origins.
    pub cors: Option<Arc<Cors>>,
    /// Each route as plugins see it; its name is its prefix.
    pub destinations: Vec<Rc<Destination>>,
    pub clusters: Rc<Clusters>,
    pub chains: Chains,
    /// What plugins are told of the listeners, by their places.
    pub listeners: Vec<Rc<ListenerFacts>>,
    pub metrics: Arc<WorkerMetrics>,
    pub access_log: Option<Rc<AccessLog>>,
    pub connections: RefCell<Connections>,
    pub tunnels: Rc<Tunnels>,
    /// No further exchange begins on an open connection.
    pub draining: Cell<bool>,
    /// True when the gateway is to stop.
    pub stop: watch::Receiver<bool>,
    pub http: http1::Builder,
}

/// What a worker is made of; sent to its thread.
pub struct WorkerPlan {
    pub index: usize,
    pub listeners: Vec<ListenerPlan>,
    pub routes: Arc<RouteTable>,
    pub cors: Option<Arc<Cors>>,
    pub clusters: Arc<[Arc<SharedCluster>]>,
    pub plugins: Arc<ChainPlan>,
    pub process: Arc<PluginProcess>,
    pub metrics: Arc<WorkerMetrics>,
    pub access_log: Option<AccessLog>,
    pub drain_timeout: Duration,
    pub stop: watch::Receiver<bool>,
    /// Told once how the start went, and dropped when the worker has ended.
    pub started: mpsc::UnboundedSender<Result<(), WorkerError>>,
}

/// A listener of one worker.
pub struct ListenerPlan {
    pub socket: TcpListener,
    pub accepts: Accepts,
    /// For plugins.
    pub facts: ListenerFacts,
}

/// What a listener's connections bring.
#[derive(Debug, Clone, Copy)]
pub enum Accepts {
    Http(Trailers),
    /// Bytes.
    Tcp(TcpService),
}

/// Where the bytes of a TCP listener go.
#[derive(Debug, Clone, Copy)]
pub struct TcpService {
    /// Place in the order of names.
    pub cluster: usize,
    /// A connection on which nothing moves is closed.
    pub idle_timeout: Option<Duration>,
}

/// Which trailers are let through.
#[derive(Debug, Clone, Copy)]
pub struct Trailers {
    pub requests: bool,
    pub responses: bool,
}

/// Why a worker does not serve.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("cannot start a worker: {0}")]
    Runtime(std::io::Error),
    #[error(transparent)]
    Plugin(PluginError),
    #[error("a worker ended at start")]
    Ended,
}

impl WorkerPlan {
    /// Runs the worker on the calling thread until the gateway stops.
    pub fn run(self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = self.started.send(Err(WorkerError::Runtime(error)));
                return;
            }
        };
        let tasks = LocalSet::new();
        tasks.block_on(&runtime, self.serve());
    }

    async fn serve(self) {
        let clusters = Clusters::new(&self.clusters, self.index, &self.metrics);
        let chains = match self.plugins.start(&clusters, &self.process) {
            Ok(chains) => chains,
            Err(error) => {
                let _ = self.started.send(Err(WorkerError::Plugin(error)));
                return;
            }
        };
        let mut sockets = Vec::new();
        let mut listeners = Vec::new();
        for plan in self.listeners {
            sockets.push((plan.socket, plan.accepts));
            listeners.push(Rc::new(plan.facts));
        }
        let worker = Rc::new(Worker {
            destinations: self
                .routes
                .iter()
                .map(|route| Rc::new(destination(route, clusters.get(route.cluster))))
                .collect(),
            routes: self.routes,
            cors: self.cors,
            clusters,
            chains,
            listeners,
            metrics: self.metrics,
            access_log: self.access_log.map(Rc::new),
            connections: RefCell::new(Connections::new(self.index)),
            tunnels: Rc::default(),
            draining: Cell::new(false),
            stop: self.stop.clone(),
            http: listener::http(),
        });
        let mut accepting = Vec::new();
        for (place, (listener, accepts)) in sockets.into_iter().enumerate() {
            let worker = Rc::clone(&worker);
            accepting.push(match accepts {
                Accepts::Http(trailers) => {
                    tokio::task::spawn_local(listener::accept(worker, place, trailers, listener))
                }
                Accepts::Tcp(service) => tokio::task::spawn_local(tcp::accept(worker, place, service, listener)),
            });
        }
        tokio::task::spawn_local(sweep(Rc::clone(&worker)));
        let _ = self.started.send(Ok(()));

        for accepting in accepting {
            if let Ok(Err(error)) = accepting.await {
                tracing::error!(%error, "a listener failed");
            }
        }
        let mut stop = self.stop;
        let _ = stop.wait_for(|stop| *stop).await;
        worker.drain(self.drain_timeout).await;
        worker.chains.stop(self.drain_timeout).await;
        // The connections that are left hold the worker; dropping the LocalSet ends them.
        if let Some(log) = &worker.access_log {
            log.flush();
        }
    }
}

impl Worker {
    /// Lets running exchanges and tunnels finish.
    async fn drain(&self, timeout: Duration) {
        const PAUSE: Duration = Duration::from_millis(10);
        /// Connections without an exchange get so long to write what they still have.
        const QUIET: u32 = 20;

        self.draining.set(true);
        self.connections.borrow().wake_all();
        let deadline = tokio::time::Instant::now() + timeout;
        let mut quiet = 0;
        while !(self.connections.borrow().is_empty() && self.tunnels.is_empty()) && quiet < QUIET {
            if tokio::time::Instant::now() >= deadline {
                tracing::warn!("exchanges were cut off: they did not finish within the drain timeout");
                self.tunnels.cut().await;
                return;
            }
            tokio::time::sleep(PAUSE).await;
            let busy = self.connections.borrow().any_busy() || !self.tunnels.is_empty();
            quiet = if busy { 0 } else { quiet + 1 };
        }
    }
}

fn destination(route: &Route, cluster: &Cluster) -> Destination {
    Destination {
        route: route.prefix.as_str().into(),
        cluster: cluster.name().into(),
        route_metadata: Rc::new(route.metadata.clone()),
        cluster_metadata: Rc::clone(cluster.metadata()),
        endpoint_metadata: Rc::clone(cluster.endpoint_metadata()),
    }
}

/// What needs doing once a second and not per request.
async fn sweep(worker: Rc<Worker>) {
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    every_second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every_second.tick().await;
        worker.clusters.sweep();
        worker.connections.borrow().wake_unused();
        if let Some(log) = &worker.access_log {
            log.flush();
        }
    }
}
