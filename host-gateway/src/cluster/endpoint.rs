//! One endpoint of a cluster: its idle connections, and whether it is worth trying.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use hyper::client::conn::http2;
use tokio::time::Instant;

use super::Cluster;
use crate::callout::grpc::OutgoingBody;
use crate::plugin::Ends;
use crate::proxy::RequestBody;

/// An endpoint that refused connections is skipped for so long at most.
const LONGEST_SKIP: Duration = Duration::from_secs(10);

/// Seconds from one line about an endpoint without a connection to the next.
const SILENCE: u32 = 60;

pub struct Endpoint {
    pub address: SocketAddr,
    /// Place within the cluster.
    pub place: usize,
    /// Exchanges under way.
    pub active: Cell<usize>,
    /// The most recently used last: those are reused first, and the others can grow old.
    idle: RefCell<Vec<Idle>>,
    /// The connection for gRPC, and the second of its last use.
    http2: RefCell<Option<(http2::SendRequest<OutgoingBody>, u32)>>,
    /// Connections refused in a row.
    refused: Cell<u32>,
    skipped_until: Cell<Option<Instant>>,
    /// The second in which it was last said that there is no connection.
    complained: Cell<Option<u32>>,
    seconds: Rc<Cell<u32>>,
}

struct Idle {
    sender: SendRequest<RequestBody>,
    local: SocketAddr,
    /// Second of the worker.
    since: u32,
}

/// A connection in use by one exchange. Dropping it closes the connection; [`Lease::finish`] keeps it.
pub struct Lease {
    pub sender: SendRequest<RequestBody>,
    /// It has carried an exchange before, so its other end may have closed it meanwhile.
    pub reused: bool,
    /// Our end of it.
    local: SocketAddr,
    seat: Seat,
}

/// Counts an exchange as under way until dropped.
struct Seat {
    endpoint: Rc<Endpoint>,
    cluster: Rc<Cluster>,
}

impl Endpoint {
    pub fn new(address: SocketAddr, place: usize, seconds: &Rc<Cell<u32>>) -> Self {
        Self {
            address,
            place,
            active: Cell::new(0),
            idle: RefCell::new(Vec::new()),
            http2: RefCell::new(None),
            refused: Cell::new(0),
            skipped_until: Cell::new(None),
            complained: Cell::new(None),
            seconds: Rc::clone(seconds),
        }
    }

    pub fn is_skipped(&self) -> bool {
        // The clock is read only after a failure.
        self.skipped_until.get().is_some_and(|until| Instant::now() < until)
    }

    pub fn accepted(&self) {
        self.refused.set(0);
        self.skipped_until.set(None);
    }

    /// Skips the endpoint for 1, 2, 4 … seconds.
    pub fn refused(&self) {
        let refused = self.refused.get();
        self.refused.set(refused.saturating_add(1));
        let skip = Duration::from_secs(1 << refused.min(4)).min(LONGEST_SKIP);
        self.skipped_until.set(Some(Instant::now() + skip));
    }

    /// Whether it is to be said again that there is no connection: not for each request.
    pub fn may_complain(&self) -> bool {
        let now = self.seconds.get();
        let due = self
            .complained
            .get()
            .is_none_or(|said| now.saturating_sub(said) >= SILENCE);
        if due {
            self.complained.set(Some(now));
        }
        due
    }

    /// An idle connection that is still open, as far as is known.
    pub fn take_idle(self: &Rc<Self>, cluster: &Rc<Cluster>) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { sender, local, .. }) = idle.pop() {
            if sender.is_ready() {
                return Some(Lease::new(sender, true, local, self, cluster));
            }
        }
        None
    }

    /// How many of them there are.
    pub fn idle_connections(&self) -> usize {
        self.idle.borrow().len()
    }

    pub fn close_idle(&self, timeout: u32) {
        let now = self.seconds.get();
        self.idle
            .borrow_mut()
            .retain(|idle| now.saturating_sub(idle.since) <= timeout && !idle.sender.is_closed());
        // Streams that are still open on it go on to their end.
        self.http2
            .borrow_mut()
            .take_if(|(_, since)| now.saturating_sub(*since) > timeout);
    }

    /// The connection for gRPC, if it is open.
    pub fn http2(&self) -> Option<http2::SendRequest<OutgoingBody>> {
        let mut kept = self.http2.borrow_mut();
        let (sender, since) = kept.as_mut().filter(|(sender, _)| !sender.is_closed())?;
        *since = self.seconds.get();
        Some(sender.clone())
    }

    pub fn keep_http2(&self, sender: &http2::SendRequest<OutgoingBody>) {
        self.http2.replace(Some((sender.clone(), self.seconds.get())));
    }

    pub fn close_all_idle(&self) {
        self.idle.borrow_mut().clear();
    }

    fn keep(&self, sender: SendRequest<RequestBody>, local: SocketAddr) {
        self.idle.borrow_mut().push(Idle {
            sender,
            local,
            since: self.seconds.get(),
        });
    }
}

impl Lease {
    pub fn new(
        sender: SendRequest<RequestBody>,
        reused: bool,
        local: SocketAddr,
        endpoint: &Rc<Endpoint>,
        cluster: &Rc<Cluster>,
    ) -> Self {
        endpoint.active.set(endpoint.active.get() + 1);
        Self {
            sender,
            reused,
            local,
            seat: Seat {
                endpoint: Rc::clone(endpoint),
                cluster: Rc::clone(cluster),
            },
        }
    }

    pub fn ends(&self) -> Ends {
        Ends {
            remote: self.seat.endpoint.address,
            local: self.local,
        }
    }

    /// The response has been read to its end: the connection may serve the next exchange.
    pub fn finish(self) {
        let Lease {
            mut sender,
            local,
            seat,
            ..
        } = self;
        if seat.cluster.others_wait() {
            return;
        }
        if sender.is_ready() {
            seat.endpoint.keep(sender, local);
        } else if !sender.is_closed() {
            // The upstream answered before it had read the whole request.
            tokio::task::spawn_local(async move {
                if sender.ready().await.is_ok() {
                    seat.endpoint.keep(sender, local);
                }
            });
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.endpoint.active.set(self.endpoint.active.get() - 1);
        if self.cluster.waiting.get() > 0 {
            self.cluster.released.notify_one();
        }
    }
}
