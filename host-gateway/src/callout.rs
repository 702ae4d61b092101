//! Sends plugins' HTTP and gRPC calls to clusters.

pub(crate) mod grpc;

use crate::abi::http_calls::{CallAnswer, HttpCall};
use crate::cluster::{CallError, Clusters};

/// Sends one call and waits for its end. Why it failed is for the operator; the plugin learns that it did.
pub(crate) async fn send(clusters: &Clusters, call: HttpCall) -> CallAnswer {
    let HttpCall {
        id,
        root: _,
        cluster,
        request,
        timeout,
        mut charge,
    } = call;
    let mut room = |bytes| charge.grow(bytes);
    match clusters.call(&cluster, request, timeout, &mut room).await {
        Ok((head, body, trailers)) => CallAnswer::Answered { head, body, trailers },
        // No answer of this size will ever arrive: that is for the operator to mend, unlike an upstream that is away.
        Err(error @ (CallError::TooLarge | CallError::NoRoom)) => {
            tracing::warn!(cluster, "a plugin's HTTP call failed: {error}");
            CallAnswer::Failed
        }
        Err(error) => {
            tracing::debug!(call = id, cluster, %error, "a plugin's HTTP call failed");
            CallAnswer::Failed
        }
    }
}
