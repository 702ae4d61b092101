//! Whole calls to a cluster, for plugins: a request with its body, a response with its body.

use std::cell::Cell;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HOST, TRAILER};
use http::{HeaderMap, HeaderValue, Request, Uri, response};
use hyper::body::Body;

use super::Clusters;
use crate::error::UpstreamError;
use crate::proxy::{RequestBody, UpstreamBody};

/// Larger responses are errors: a guest's memory is bounded.
const LARGEST_RESPONSE: usize = 16 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("there is no such cluster")]
    UnknownCluster,
    #[error("the request has no usable target")]
    Target,
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("the response did not come to its end")]
    Incomplete,
    #[error("the answer is larger than {} MiB", LARGEST_RESPONSE >> 20)]
    TooLarge,
    #[error("the answer does not fit into what limits.call_bytes of the plugin leaves")]
    NoRoom,
}

impl Clusters {
    /// The body and its trailers stand together. The target may be in origin or absolute form; an authority becomes `Host`
    /// where there is none. `timeout` bounds the whole call.
    /// `room` is asked for the bytes of the answer as they come, and says whether there is room for them.
    pub async fn call(
        &self,
        cluster: &str,
        request: Request<(Bytes, HeaderMap)>,
        timeout: Duration,
        room: &mut dyn FnMut(usize) -> bool,
    ) -> Result<(response::Parts, Bytes, Option<HeaderMap>), CallError> {
        if let Some(elsewhere) = &self.elsewhere {
            let answer = tokio::time::timeout(timeout, elsewhere.call(cluster, request.map(|(body, _)| body))).await;
            let answer = answer.map_err(|_| UpstreamError::Timeout)??;
            let (head, body) = answer.into_parts();
            if !room(body.len()) {
                return Err(CallError::NoRoom);
            }
            return Ok((head, body, None));
        }
        let cluster = self.find(cluster).ok_or(CallError::UnknownCluster)?;
        let (mut head, (body, trailers)) = request.into_parts();
        if !head.headers.contains_key(HOST) {
            let authority = head
                .uri
                .authority()
                .map_or(cluster.name(), |authority| authority.as_str());
            head.headers
                .insert(HOST, HeaderValue::from_str(authority).map_err(|_| CallError::Target)?);
        }
        head.uri = head
            .uri
            .path_and_query()
            .cloned()
            .map(Uri::from)
            .ok_or(CallError::Target)?;
        let body = match (body.is_empty(), trailers.is_empty()) {
            (true, true) => RequestBody::Empty,
            (false, true) => RequestBody::Whole(body),
            (_, false) => {
                let names = trailers.keys().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
                head.headers
                    .insert(TRAILER, HeaderValue::from_str(&names).map_err(|_| CallError::Target)?);
                RequestBody::Trailed(body, Some(trailers))
            }
        };
        let begun = Cell::new(false);
        let call = async {
            let answer = cluster.send(head, body, 0).await?;
            begun.set(true);
            let fields = answer.head.headers.iter();
            if !room(fields.map(|(name, value)| name.as_str().len() + value.len()).sum()) {
                return Err(CallError::NoRoom);
            }
            let (body, trailers) = collect(UpstreamBody::new(answer.body, answer.lease, true), room).await?;
            Ok((answer.head, body, trailers))
        };
        match tokio::time::timeout(timeout, call).await {
            Ok(result) => result,
            Err(_) if begun.get() => Err(CallError::Incomplete),
            Err(_) => Err(CallError::Upstream(UpstreamError::Timeout)),
        }
    }
}

async fn collect(
    body: UpstreamBody,
    room: &mut dyn FnMut(usize) -> bool,
) -> Result<(Bytes, Option<HeaderMap>), CallError> {
    let mut body = std::pin::pin!(body);
    let mut whole = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
        match frame.map_err(|_| CallError::Incomplete)?.into_data() {
            Ok(data) if whole.len() + data.len() > LARGEST_RESPONSE => return Err(CallError::TooLarge),
            Ok(data) if !room(data.len()) => return Err(CallError::NoRoom),
            Ok(data) => whole.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((whole.freeze(), trailers))
}
