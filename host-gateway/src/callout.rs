//! Sends plugins' HTTP and gRPC calls to clusters.

pub(crate) mod grpc;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response};

use crate::abi::http_calls::{CallAnswer, HttpCall};
use crate::cluster::{CallError, Clusters};
use crate::error::{Failure, UpstreamError};
use crate::plugin::Compat;

/// Sends one call and waits for its end. Why it failed is for the operator; the plugin learns that it did.
pub(crate) async fn send(clusters: &Clusters, call: HttpCall) -> CallAnswer {
    let HttpCall {
        id,
        root: _,
        cluster,
        request,
        timeout,
        announced,
        compat,
        mut charge,
    } = call;
    drop(announced);
    let mut room = |bytes| charge.grow(bytes);
    let error = match clusters.call(&cluster, request, timeout, &mut room).await {
        Ok((head, body, trailers)) => return CallAnswer::Answered { head, body, trailers },
        Err(error) => error,
    };
    match error {
        // No answer of this size will ever arrive: that is for the operator to mend, unlike an upstream that is away.
        CallError::TooLarge | CallError::NoRoom => {
            tracing::warn!(cluster, "a plugin's HTTP call failed: {error}");
        }
        _ => tracing::debug!(call = id, cluster, %error, "a plugin's HTTP call failed"),
    }
    match (error, compat) {
        (CallError::Upstream(error), Compat::Envoy) => in_its_place(error),
        (error, _) => CallAnswer::Failed(error),
    }
}

/// What Envoy answers a plugin in the place of an upstream from which no answer began to come.
fn in_its_place(error: UpstreamError) -> CallAnswer {
    let (status, body) = Failure::Upstream(error).answer();
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = status;
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    head.headers
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    CallAnswer::Answered {
        head,
        body,
        trailers: None,
    }
}
