//! What all workers share of a cluster: its settings, which endpoints are well, how many connections are open.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::config::{self, LoadBalancing};

pub struct SharedCluster {
    pub name: String,
    pub endpoints: Vec<SharedEndpoint>,
    pub load_balancing: LoadBalancing,
    pub connect_timeout: Duration,
    pub idle_timeout: Duration,
    pub max_pending: usize,
    pub health_check: Option<config::HealthCheck>,
    pub metadata: config::Metadata,
    max_connections: usize,
    connections: AtomicUsize,
    /// Requests of all workers that wait for a connection.
    waiting: AtomicUsize,
}

pub struct SharedEndpoint {
    pub address: SocketAddr,
    /// `host:port` as configured.
    pub authority: String,
    pub metadata: config::Metadata,
    /// What the last health check said; true without one.
    pub healthy: AtomicBool,
}

/// An endpoint whose name cannot be looked up.
#[derive(Debug)]
pub struct Unresolved {
    /// Its place within the cluster.
    pub place: usize,
    pub problem: String,
}

/// One open connection, counted until dropped.
pub struct ConnectionSlot(Arc<SharedCluster>);

impl SharedCluster {
    /// Resolves the names of the endpoints, which may block: for use at start.
    pub fn resolve(name: &str, config: &config::Cluster) -> Result<Arc<Self>, Unresolved> {
        let endpoint = |(place, config::Endpoint { address, metadata }): (usize, &config::Endpoint)| match address
            .resolve()
        {
            Ok(resolved) => Ok(SharedEndpoint {
                address: resolved,
                authority: address.to_string(),
                metadata: metadata.clone(),
                healthy: AtomicBool::new(true),
            }),
            Err(error) => Err(Unresolved {
                place,
                problem: format!(
                    "cannot look up `{}`: {error}; names are looked up once, at the start: is it right, and does the \
                     name server of this machine know it?",
                    address.host
                ),
            }),
        };
        let endpoints = config.endpoints.value.iter().map(|at| &at.value);
        let endpoints: Vec<_> = endpoints.enumerate().map(endpoint).collect::<Result<_, _>>()?;
        for (place, endpoint) in endpoints.iter().enumerate() {
            if let Some(other) = endpoints[..place]
                .iter()
                .find(|other| other.address == endpoint.address)
            {
                // Names change their meaning: no reason not to start.
                tracing::warn!(
                    cluster = name,
                    "the endpoints {} and {} are both {}: plugins read the metadata of the latter for both",
                    other.authority,
                    endpoint.authority,
                    endpoint.address
                );
            }
        }
        Ok(Self::new(name, config, endpoints))
    }

    /// A cluster that is known by name and never called: it has no endpoints.
    pub fn named(name: &str, config: &config::Cluster) -> Arc<Self> {
        Self::new(name, config, Vec::new())
    }

    fn new(name: &str, config: &config::Cluster, endpoints: Vec<SharedEndpoint>) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            endpoints,
            load_balancing: config.load_balancing,
            connect_timeout: config.connect_timeout.limit().unwrap_or(Duration::from_secs(3600)),
            idle_timeout: config.idle_timeout.get(),
            max_pending: config.max_pending,
            health_check: config.health_check.clone(),
            metadata: config.metadata.clone(),
            max_connections: config.max_connections,
            connections: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Permission to open a connection; `None` when as many are open as may be.
    pub fn reserve(self: &Arc<Self>) -> Option<ConnectionSlot> {
        // Touched only when a connection opens or closes, never per request.
        if self.connections.fetch_add(1, Ordering::Relaxed) < self.max_connections {
            Some(ConnectionSlot(Arc::clone(self)))
        } else {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            None
        }
    }

    /// How many connections may still be opened.
    pub fn free_connections(&self) -> usize {
        self.max_connections
            .saturating_sub(self.connections.load(Ordering::Relaxed))
    }

    pub fn begin_waiting(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    pub fn end_waiting(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many requests of all workers wait. Written only when the limit is reached, so that reading it is cheap.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
