//! A connection of its own for a TCP client.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use tokio::net::TcpStream;

use super::Cluster;
use super::shared::{ConnectionSlot, SharedCluster};
use crate::error::UpstreamError;
use crate::plugin::Ends;

/// Both ends of a connection. Ours is unknown once it is broken, which whoever uses it finds out.
pub(super) fn ends(stream: &TcpStream, remote: SocketAddr) -> Ends {
    Ends {
        remote,
        local: stream.local_addr().unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into()),
    }
}

impl Cluster {
    /// Connects to one endpoint. The connection counts as open until the slot is dropped.
    pub async fn connect_tcp(self: &Rc<Self>) -> Result<(TcpStream, Ends, ConnectionSlot), UpstreamError> {
        let endpoint = Rc::clone(self.choose());
        let connected = self.open_socket(&endpoint).await;
        if let Err(error) = &connected {
            self.metrics.upstream_error(self.index, *error);
        }
        connected.map(|(stream, slot)| {
            let ends = ends(&stream, endpoint.address);
            (stream, ends, slot)
        })
    }

    /// A fresh connection to an endpoint.
    pub(super) async fn open_socket(
        &self,
        endpoint: &super::endpoint::Endpoint,
    ) -> Result<(TcpStream, ConnectionSlot), UpstreamError> {
        let slot = SharedCluster::reserve(&self.shared).ok_or(UpstreamError::Overflow)?;
        Ok((self.dial(endpoint).await?, slot))
    }

    /// The same, where the slot is taken already.
    pub(super) async fn dial(&self, endpoint: &super::endpoint::Endpoint) -> Result<TcpStream, UpstreamError> {
        let opened = tokio::time::timeout(self.shared.connect_timeout, TcpStream::connect(endpoint.address)).await;
        let (error, reason) = match opened {
            // Without it small writes wait for the other side's acknowledgement.
            Ok(Ok(stream)) if stream.set_nodelay(true).is_ok() => {
                endpoint.accepted();
                self.metrics.upstream_connections[self.index].add(1);
                return Ok(stream);
            }
            Ok(Err(error)) => (UpstreamError::Connect, error.to_string()),
            Ok(Ok(_)) => (UpstreamError::Connect, "it is closed at once".to_owned()),
            Err(_) => (
                UpstreamError::ConnectTimeout,
                "it is not open within connect_timeout".to_owned(),
            ),
        };
        endpoint.refused();
        if endpoint.may_complain() {
            let (cluster, place) = (self.name(), endpoint.place);
            let authority = &self.shared.endpoints[place].authority;
            tracing::warn!(
                cluster,
                endpoint = authority,
                reason,
                "no connection to clusters.{cluster}.endpoints[{place}]: is it running there?"
            );
        }
        Err(error)
    }
}
