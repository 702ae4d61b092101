//! One gRPC call or stream of a plugin, from its opening to its close.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use hyper::body::{Body, Frame, Incoming};

use crate::abi::call_bytes::Charge;
use crate::abi::grpc_calls::{GrpcEvent, GrpcOpening, Kind, Outgoing};
use crate::abi::grpc_status as status;
use crate::cluster::Clusters;
use crate::error::UpstreamError;

/// Larger messages are errors: a guest's memory is bounded.
const LARGEST_MESSAGE: usize = 16 << 20;

/// Opens a call or stream and tells what is heard, until the other side closes it or nobody wants to hear of it.
///
/// Of a stream everything is told, and one close at the end. Of a call only the message, or else the close that says why
/// there is none, as in Envoy.
pub(crate) async fn run(clusters: &Clusters, opening: GrpcOpening, mut tell: impl FnMut(GrpcEvent)) {
    let GrpcOpening {
        id,
        root: _,
        cluster,
        request,
        timeout,
        announced,
        outgoing,
        mut wanted,
        mut charge,
    } = opening;
    drop(announced);
    let request = request.map(|()| OutgoingBody(outgoing));
    let ended = {
        let mut call = std::pin::pin!(async {
            match Kind::of(id) {
                Kind::Call => call(clusters, &cluster, request, &mut charge, &mut tell).await,
                Kind::Stream => Some(
                    exchange(
                        clusters,
                        &cluster,
                        request,
                        &mut Room::of_stream(&mut charge),
                        &mut tell,
                    )
                    .await,
                ),
            }
        });
        let limit = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = &mut call => ended,
            () = limit => Some(End::new(status::DEADLINE_EXCEEDED, "the call took too long")),
            _ = &mut wanted => return,
        }
    };
    if let Some(End { status, message }) = ended {
        if status != status::OK {
            tracing::debug!(call = id, cluster, status, message, "a plugin's gRPC call failed");
        }
        tell(GrpcEvent::Close { status, message });
    }
}

/// How the other side, or the way to it, ended a call.
struct End {
    status: u32,
    message: String,
}

impl End {
    fn new(status: u32, message: &str) -> Self {
        Self {
            status,
            message: message.to_owned(),
        }
    }

    /// What trailers, or the head of a response without a body, say.
    fn told_by(fields: &HeaderMap) -> Self {
        let status = fields
            .get(status::FIELD)
            .and_then(|status| status.to_str().ok()?.parse().ok());
        let message = fields
            .get(status::MESSAGE_FIELD)
            .map_or_else(String::new, |message| status::message_from_field(message.as_bytes()));
        Self {
            status: status.unwrap_or(status::UNKNOWN),
            message,
        }
    }
}

impl From<UpstreamError> for End {
    fn from(error: UpstreamError) -> Self {
        Self::new(status::UNAVAILABLE, &error.to_string())
    }
}

/// `None`: the message was told, which is the end of a call.
async fn call(
    clusters: &Clusters,
    cluster: &str,
    request: Request<OutgoingBody>,
    charge: &mut Charge,
    tell: &mut impl FnMut(GrpcEvent),
) -> Option<End> {
    let mut answer = None;
    let end = exchange(clusters, cluster, request, &mut Room::of_call(charge), &mut |event| {
        if let GrpcEvent::Message(message) = event {
            answer = Some(message);
        }
    })
    .await;
    match (end.status, answer) {
        (status::OK, Some(message)) => {
            tell(GrpcEvent::Message(message));
            None
        }
        (status::OK, None) => Some(End::new(status::INTERNAL, "the answer has no message")),
        _ => Some(end),
    }
}

/// Counts what was heard and not told yet. Of a call that is everything: its message is told at the end.
struct Room<'a> {
    charge: &'a mut Charge,
    tells_at_once: bool,
}

impl<'a> Room<'a> {
    fn of_call(charge: &'a mut Charge) -> Self {
        Self {
            charge,
            tells_at_once: false,
        }
    }

    fn of_stream(charge: &'a mut Charge) -> Self {
        Self {
            charge,
            tells_at_once: true,
        }
    }

    fn heard(&mut self, bytes: usize) -> Result<(), End> {
        let full = || {
            End::new(
                status::RESOURCE_EXHAUSTED,
                "more than limits.call_bytes of the plugin leaves",
            )
        };
        self.charge.grow(bytes).then_some(()).ok_or_else(full)
    }

    fn told(&mut self, unread: usize) {
        if self.tells_at_once {
            self.charge.set(unread);
        }
    }
}

async fn exchange(
    clusters: &Clusters,
    cluster: &str,
    request: Request<OutgoingBody>,
    room: &mut Room<'_>,
    tell: &mut impl FnMut(GrpcEvent),
) -> End {
    let response = match clusters.open_grpc(cluster, request).await {
        Ok(response) => response,
        Err(error) => return error.into(),
    };
    let (head, mut body) = response.into_parts();
    // A response that is only a head: its fields are the trailers.
    let only_head = body.is_end_stream();
    tell(GrpcEvent::InitialMetadata(if only_head {
        HeaderMap::new()
    } else {
        head.headers.clone()
    }));
    if head.status != StatusCode::OK && !(only_head && head.headers.contains_key(status::FIELD)) {
        return End::new(
            status::of_http(head.status),
            &format!("HTTP status {}", head.status.as_u16()),
        );
    }
    let read = if only_head {
        Ok(None)
    } else {
        read(&mut body, room, tell).await
    };
    match read {
        Ok(trailers) => {
            // A body that ends without trailers leaves the word to the head.
            let trailers = trailers.unwrap_or(head.headers);
            let end = End::told_by(&trailers);
            tell(GrpcEvent::TrailingMetadata(trailers));
            end
        }
        Err(end) => end,
    }
}

/// Tells all messages. Returns the trailers.
async fn read(
    body: &mut Incoming,
    room: &mut Room<'_>,
    tell: &mut impl FnMut(GrpcEvent),
) -> Result<Option<HeaderMap>, End> {
    let mut unread = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|task| Pin::new(&mut *body).poll_frame(task)).await {
        let frame = frame.map_err(|_| End::new(status::UNAVAILABLE, "the connection ended before the stream"))?;
        match frame.into_data() {
            Ok(data) => {
                room.heard(data.len())?;
                unread.extend_from_slice(&data);
                while let Some(message) = next_message(&mut unread)? {
                    tell(GrpcEvent::Message(message));
                }
                room.told(unread.len());
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return Ok(Some(trailers));
                }
            }
        }
    }
    Ok(None)
}

/// Takes the first message off, once it is whole.
fn next_message(unread: &mut BytesMut) -> Result<Option<Bytes>, End> {
    let Some(&[compressed, a, b, c, d]) = unread.first_chunk::<5>() else {
        return Ok(None);
    };
    let size = u32::from_be_bytes([a, b, c, d]) as usize;
    if compressed != 0 {
        return Err(End::new(
            status::INTERNAL,
            "a compressed message, which nobody asked for",
        ));
    }
    if size > LARGEST_MESSAGE {
        return Err(End::new(status::RESOURCE_EXHAUSTED, "a message of more than 16 MiB"));
    }
    if unread.len() < 5 + size {
        return Ok(None);
    }
    unread.advance(5);
    Ok(Some(unread.split_to(size).freeze()))
}

/// What the guest sends.
pub struct OutgoingBody(Outgoing);

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_next(task)
            .map(|next| next.map(|message| Ok(Frame::data(message))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_once_they_are_whole() {
        let mut unread = BytesMut::from(&b"\0\0\0\0\x02ab\0\0\0\0\0\0\0"[..]);
        assert_eq!(next_message(&mut unread).ok().flatten().unwrap(), "ab");
        assert_eq!(next_message(&mut unread).ok().flatten().unwrap(), "");
        assert!(next_message(&mut unread).is_ok_and(|message| message.is_none()));
        assert_eq!(
            next_message(&mut BytesMut::from(&b"\x01\0\0\0\0"[..]))
                .err()
                .unwrap()
                .status,
            13
        );
        assert_eq!(
            next_message(&mut BytesMut::from(&b"\0\xff\0\0\0"[..]))
                .err()
                .unwrap()
                .status,
            8
        );
    }
}
