//! A client's connection, and the exchange that is under way on it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use http::header::{Entry, HeaderName};
use http::{HeaderMap, HeaderValue};

use super::deadline::Deadline;
use crate::plugin::Connection;
use crate::worker::{Trailers, Worker};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Fields that are added to a request.
const ADDED: usize = 8;

pub struct Downstream {
    pub worker: Rc<Worker>,
    /// Place of the listener that the client came to.
    pub(super) listener: usize,
    /// Those that the listener lets through.
    pub(super) trailers: Trailers,
    pub connection: Rc<Connection>,
    pub(super) deadline: Deadline,
    /// The client's address, ready for `X-Forwarded-For`.
    address: HeaderValue,
    exchanges: Cell<u32>,
    /// The body of a request broke: no other request can follow on this connection.
    broken: Cell<bool>,
    /// Second of the worker in which the last exchange began or ended.
    last_used: Cell<u32>,
}

/// An exchange is under way until this is dropped.
pub struct Busy(Rc<Downstream>);

impl Downstream {
    pub fn new(
        worker: &Rc<Worker>,
        listener: usize,
        trailers: Trailers,
        id: u64,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Rc<Self> {
        let ip = source.ip().to_canonical();
        Rc::new(Self {
            worker: Rc::clone(worker),
            listener,
            trailers,
            connection: Rc::new(Connection {
                id,
                source,
                destination,
                listener: Rc::clone(&worker.listeners[listener]),
            }),
            deadline: Deadline::new(),
            address: HeaderValue::from_str(&ip.to_string()).unwrap_or(HeaderValue::from_static("unknown")),
            exchanges: Cell::new(0),
            broken: Cell::new(false),
            last_used: Cell::new(worker.clusters.seconds()),
        })
    }

    pub(super) fn begin(self: &Rc<Self>) -> Busy {
        self.exchanges.set(self.exchanges.get() + 1);
        self.last_used.set(self.worker.clusters.seconds());
        Busy(Rc::clone(self))
    }

    /// The client's body is malformed, or ended too early.
    pub(super) fn body_broke(&self) {
        self.broken.set(true);
    }

    pub(super) fn has_broken(&self) -> bool {
        self.broken.get()
    }

    pub fn is_busy(&self) -> bool {
        self.exchanges.get() > 0
    }

    /// Seconds since the last exchange.
    pub fn unused_for(&self) -> u32 {
        if self.is_busy() {
            0
        } else {
            self.worker.clusters.seconds().saturating_sub(self.last_used.get())
        }
    }

    /// Tells the upstream whom the gateway serves.
    pub(super) fn forwarded(&self, headers: &mut HeaderMap) {
        // Room at once for these and for what plugins usually add: to grow twice costs more.
        headers.reserve(ADDED);
        match headers.entry(FORWARDED_FOR) {
            Entry::Vacant(entry) => {
                entry.insert(self.address.clone());
            }
            Entry::Occupied(mut entry) => {
                let mut chain = Vec::new();
                for value in entry.iter() {
                    chain.extend_from_slice(value.as_bytes());
                    chain.extend_from_slice(b",");
                }
                chain.extend_from_slice(self.address.as_bytes());
                // The parts are header values, so the whole is one.
                if let Ok(chain) = HeaderValue::from_bytes(&chain) {
                    entry.insert(chain);
                }
            }
        }
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.exchanges.set(self.0.exchanges.get() - 1);
        self.0.last_used.set(self.0.worker.clusters.seconds());
    }
}
