//! A request for another protocol, on a connection of its own.

use std::rc::Rc;

use http::{Request, StatusCode, request};
use hyper::client::conn::http1;
use hyper::upgrade::{self, OnUpgrade};
use hyper_util::rt::TokioIo;

use super::endpoint::Lease;
use super::send::kind;
use super::tcp::ends;
use super::{Answer, Cluster, ConnectionSlot, SharedCluster};
use crate::error::UpstreamError;
use crate::listener::LARGEST_HEAD;
use crate::proxy::RequestBody;

/// The upstream's side of a connection that has changed the protocol.
pub struct Upgraded {
    pub connection: OnUpgrade,
    /// Counts it as open.
    pub slot: Rc<ConnectionSlot>,
}

impl Cluster {
    /// Sends a request that asks for another protocol. It is sent once: what the upstream did with it is not known.
    pub async fn upgrade(self: &Rc<Self>, head: request::Parts) -> Result<Answer, UpstreamError> {
        let slot = Rc::new(self.slot().await?);
        let endpoint = Rc::clone(self.choose());
        let stream = self.dial(&endpoint).await?;
        let local = ends(&stream, endpoint.address).local;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(LARGEST_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| UpstreamError::Connect)?;
        let held = Rc::clone(&slot);
        tokio::task::spawn_local(async move {
            let _slot = held;
            // How it ended is told to whoever was waiting for a response.
            let _ = connection.with_upgrades().await;
        });
        let mut lease = Lease::new(sender, false, local, &endpoint, self);
        let request = Request::from_parts(head, RequestBody::Empty);
        let mut response = lease.sender.send_request(request).await.map_err(|error| kind(&error))?;
        let upgraded = (response.status() == StatusCode::SWITCHING_PROTOCOLS).then(|| Upgraded {
            connection: upgrade::on(&mut response),
            slot,
        });
        let (head, body) = response.into_parts();
        Ok(Answer {
            head,
            body,
            lease,
            upgraded,
        })
    }

    /// Room for one more connection: idle ones make way.
    async fn slot(&self) -> Result<ConnectionSlot, UpstreamError> {
        loop {
            if let Some(slot) = SharedCluster::reserve(&self.shared) {
                return Ok(slot);
            }
            for endpoint in &self.endpoints {
                endpoint.close_all_idle();
            }
            self.wait().await?;
        }
    }
}
