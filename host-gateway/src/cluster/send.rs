//! One request to a cluster: a connection, the request, the head of the response; and again, where that is safe.

use std::rc::Rc;
use std::time::Duration;

use http::{Request, StatusCode, request, response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::endpoint::{Endpoint, Lease};
use super::tcp::ends;
use super::{Cluster, SharedCluster, Upgraded};
use crate::error::UpstreamError;
use crate::listener::LARGEST_HEAD;
use crate::proxy::RequestBody;

/// Connections that other workers close are not announced: who waits for one looks again so often.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The head of a response, and what is needed to read the rest.
pub struct Answer {
    pub head: response::Parts,
    pub body: Incoming,
    pub lease: Lease,
    /// Of a request that asked for another protocol and got it.
    pub upgraded: Option<Upgraded>,
}

impl Cluster {
    /// Sends a request that is ready for the wire (origin form, `Host`, no hop-by-hop fields).
    ///
    /// A request that no endpoint has seen is tried again up to `retries` times; one that may have been seen only when
    /// it is idempotent and has no body (RFC 9110 section 9.2.2). A pooled connection that turns out to be closed costs
    /// no retry: the request goes out once more on a fresh one.
    pub async fn send(
        self: &Rc<Self>,
        mut head: request::Parts,
        mut body: RequestBody,
        retries: u32,
    ) -> Result<Answer, UpstreamError> {
        let mut left = retries;
        let mut fresh = false;
        loop {
            let mut lease = match self.lease(fresh).await {
                Ok(lease) => lease,
                Err(UpstreamError::Connect | UpstreamError::ConnectTimeout) if left > 0 && self.has_available() => {
                    left -= 1;
                    self.metrics.retries[self.index].add(1);
                    continue;
                }
                Err(error) => return Err(error),
            };
            body.tell_length(&mut head.headers).await;
            let repeatable = head.method.is_idempotent() && matches!(body, RequestBody::Empty);
            let copy = (repeatable && (lease.reused || left > 0)).then(|| head.clone());
            let mut failure = match lease.sender.try_send_request(Request::from_parts(head, body)).await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    if head.status == StatusCode::SWITCHING_PROTOCOLS {
                        // Never asked for: `Upgrade` is not forwarded.
                        return Err(UpstreamError::Protocol);
                    }
                    return Ok(Answer {
                        head,
                        body,
                        lease,
                        upgraded: None,
                    });
                }
                Err(failure) => failure,
            };
            let again = match (failure.take_message(), copy) {
                (Some(unsent), _) => Some(unsent.into_parts()),
                (None, Some(copy)) if kind(failure.error()) == UpstreamError::Reset => Some((copy, RequestBody::Empty)),
                _ => None,
            };
            let Some(again) = again else {
                return Err(kind(failure.error()));
            };
            if lease.reused && !fresh {
                fresh = true;
            } else if left > 0 {
                left -= 1;
            } else {
                return Err(kind(failure.error()));
            }
            self.metrics.retries[self.index].add(1);
            (head, body) = again;
        }
    }

    /// An idle connection or, when there is none or a fresh one is asked for, a new one.
    async fn lease(self: &Rc<Self>, fresh: bool) -> Result<Lease, UpstreamError> {
        loop {
            let endpoint = self.choose();
            if !fresh && let Some(lease) = endpoint.take_idle(self) {
                return Ok(lease);
            }
            if let Some(slot) = SharedCluster::reserve(&self.shared) {
                return self.connect(endpoint, slot).await;
            }
            if let Some(lease) = self.endpoints.iter().find_map(|endpoint| endpoint.take_idle(self)) {
                return Ok(lease);
            }
            self.wait().await?;
        }
    }

    /// Waits until a connection of this worker is released, or for a moment.
    pub(super) async fn wait(&self) -> Result<(), UpstreamError> {
        struct Waiting<'a>(&'a Cluster);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.waiting.set(self.0.waiting.get() - 1);
                self.0.shared.end_waiting();
            }
        }

        if self.waiting.get() >= self.shared.max_pending {
            return Err(UpstreamError::Overflow);
        }
        self.waiting.set(self.waiting.get() + 1);
        self.shared.begin_waiting();
        let _waiting = Waiting(self);
        // Either way the caller looks again.
        let _ = tokio::time::timeout(LOOK_AGAIN, self.released.notified()).await;
        Ok(())
    }

    async fn connect(
        self: &Rc<Self>,
        endpoint: &Rc<Endpoint>,
        slot: super::shared::ConnectionSlot,
    ) -> Result<Lease, UpstreamError> {
        let stream = self.dial(endpoint).await?;
        let local = ends(&stream, endpoint.address).local;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(LARGEST_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| UpstreamError::Connect)?;
        tokio::task::spawn_local(async move {
            let _slot = slot;
            // How it ended is told to whoever was waiting for a response.
            let _ = connection.await;
        });
        Ok(Lease::new(sender, false, local, endpoint, self))
    }
}

pub(super) fn kind(error: &hyper::Error) -> UpstreamError {
    if error.is_parse() {
        UpstreamError::Protocol
    } else {
        UpstreamError::Reset
    }
}
