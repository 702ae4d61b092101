//! HTTP/2 for plugins' gRPC calls: one connection per endpoint and worker, opened with prior knowledge.

use std::future::Future;
use std::rc::Rc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::endpoint::Endpoint;
use super::{Cluster, Clusters};
use crate::callout::grpc::OutgoingBody;
use crate::error::UpstreamError;

impl Clusters {
    /// Sends a request in absolute form. The response is there when its head is.
    pub(crate) async fn open_grpc(
        &self,
        cluster: &str,
        request: Request<OutgoingBody>,
    ) -> Result<Response<Incoming>, UpstreamError> {
        // Whether the cluster exists was asked when the call was made.
        let cluster = self.find(cluster).ok_or(UpstreamError::Connect)?;
        let endpoint = cluster.choose();
        let mut sender = match endpoint.http2() {
            Some(sender) => sender,
            None => cluster.connect_http2(endpoint).await?,
        };
        sender.ready().await.map_err(|_| UpstreamError::Reset)?;
        sender.send_request(request).await.map_err(|_| UpstreamError::Reset)
    }
}

impl Cluster {
    async fn connect_http2(&self, endpoint: &Rc<Endpoint>) -> Result<SendRequest<OutgoingBody>, UpstreamError> {
        let (stream, slot) = self.open_socket(endpoint).await?;
        let handshake = http2::handshake(OnThisWorker, TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|_| UpstreamError::Connect)?;
        tokio::task::spawn_local(async move {
            let _slot = slot;
            // How it ended is told to whoever was waiting for a response.
            let _ = connection.await;
        });
        endpoint.keep_http2(&sender);
        Ok(sender)
    }
}

/// Runs what hyper starts for a connection on the thread that opened it.
#[derive(Clone, Copy)]
struct OnThisWorker;

impl<F> hyper::rt::Executor<F> for OnThisWorker
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
