//! Calls that plugins have made and nobody has sent yet: whether a cluster takes one more is said when the call is made, as
//! in Envoy.

use std::fmt;
use std::rc::Rc;

use super::{Cluster, Clusters};

/// A call that will be sent when the guest has returned. To be dropped where the sending begins: what it takes of the
/// cluster is counted there.
pub(crate) struct Announced(Option<Rc<Cluster>>);

impl Clusters {
    /// Announces a call. `None`: every connection is taken and the queue is full, so that it would end at once.
    pub(crate) fn announce(&self, cluster: &str) -> Option<Announced> {
        self.announce_if(cluster, |cluster| cluster.room_for_calls() > cluster.announced.get())
    }

    /// The same for a call by gRPC, many of which share a connection.
    pub(crate) fn announce_grpc(&self, cluster: &str) -> Option<Announced> {
        self.announce_if(cluster, |cluster| {
            let connected = cluster.endpoints.iter().any(|endpoint| endpoint.http2().is_some());
            connected || cluster.shared.free_connections() > cluster.announced.get()
        })
    }

    fn announce_if(&self, cluster: &str, takes_one_more: impl FnOnce(&Cluster) -> bool) -> Option<Announced> {
        // Where somebody else answers there is nothing that could be full.
        let Some(cluster) = self.find(cluster) else {
            return Some(Announced(None));
        };
        takes_one_more(cluster).then(|| {
            cluster.announced.set(cluster.announced.get() + 1);
            Announced(Some(Rc::clone(cluster)))
        })
    }
}

impl Cluster {
    /// How many calls would be sent now, or might wait.
    fn room_for_calls(&self) -> usize {
        let idle: usize = self.endpoints.iter().map(|endpoint| endpoint.idle_connections()).sum();
        let queue = self.shared.max_pending.saturating_sub(self.waiting.get());
        idle.saturating_add(self.shared.free_connections())
            .saturating_add(queue)
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        if let Some(cluster) = &self.0 {
            cluster.announced.set(cluster.announced.get() - 1);
        }
    }
}

impl fmt::Debug for Announced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Announced")
            .field(&self.0.as_ref().map(|cluster| cluster.name()))
            .finish()
    }
}
