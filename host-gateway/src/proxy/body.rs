//! Bodies on their way through, in both directions: nothing is collected, what is read is what the other side takes.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::SharedStream;
use super::downstream::{Busy, Downstream};
use super::filtered::FilteredBody;
use crate::access_log::Record;
use crate::cluster::Lease;
use crate::plugin::Watch;

#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error(transparent)]
    Transfer(#[from] hyper::Error),
    #[error("the body broke off")]
    Broken,
    #[error("a plugin ended the body")]
    Plugin,
}

/// Towards the upstream.
pub enum RequestBody {
    Empty,
    Whole(Bytes),
    /// Chunked, with trailers behind it.
    Trailed(Bytes, Option<HeaderMap>),
    Stream(ClientBody, Rc<Downstream>),
    Filtered(Box<FilteredBody<ClientBody>>, Rc<Downstream>),
}

impl RequestBody {
    /// Says in the head how long a body is that passes the plugins at once. To be called when the upstream is ready for it: a
    /// client that asks first whether to send its body is told to.
    pub async fn tell_length(&mut self, headers: &mut HeaderMap) {
        let RequestBody::Filtered(filtered, _) = self else {
            return;
        };
        if let Some(whole) = filtered.whole().await {
            headers.insert(CONTENT_LENGTH, whole.len().into());
            *self = RequestBody::Whole(whole);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let (frame, downstream) = match &mut *self {
            RequestBody::Empty => return Poll::Ready(None),
            RequestBody::Whole(bytes) => {
                let whole = std::mem::take(bytes);
                return Poll::Ready((!whole.is_empty()).then(|| Ok(Frame::data(whole))));
            }
            RequestBody::Trailed(bytes, trailers) => {
                let whole = std::mem::take(bytes);
                let frame = if whole.is_empty() {
                    trailers.take().map(Frame::trailers)
                } else {
                    Some(Frame::data(whole))
                };
                return Poll::Ready(frame.map(Ok));
            }
            RequestBody::Stream(body, downstream) => (Pin::new(body).poll_frame(cx), downstream),
            RequestBody::Filtered(filtered, downstream) => (Pin::new(filtered).poll_frame(cx), downstream),
        };
        match frame {
            Poll::Ready(Some(Err(BodyError::Transfer(_) | BodyError::Broken))) => downstream.body_broke(),
            Poll::Ready(_) => downstream.deadline.progressed(),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Whole(bytes) => bytes.is_empty(),
            RequestBody::Trailed(bytes, trailers) => bytes.is_empty() && trailers.is_none(),
            RequestBody::Stream(body, _) => body.is_end_stream(),
            RequestBody::Filtered(filtered, _) => filtered.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            RequestBody::Stream(body, _) => body.size_hint(),
            // A plugin may change the length.
            RequestBody::Filtered(..) | RequestBody::Trailed(..) => SizeHint::default(),
        }
    }
}

/// A body from the wire. hyper tells once that it broke off, and then that it ends; here a broken body never ends, whoever
/// of several readers was told.
struct Received {
    incoming: Incoming,
    broken: bool,
}

impl Received {
    fn new(incoming: Incoming) -> Self {
        Self {
            incoming,
            broken: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.broken {
            return Poll::Ready(Some(Err(BodyError::Broken)));
        }
        let frame = Pin::new(&mut self.incoming).poll_frame(cx);
        self.broken = matches!(frame, Poll::Ready(Some(Err(_))));
        frame.map_err(BodyError::Transfer)
    }

    fn is_end(&self) -> bool {
        !self.broken && self.incoming.is_end_stream()
    }
}

/// A client's request body.
pub struct ClientBody {
    received: Received,
    /// Trailers are part of it; otherwise it ends where they would begin.
    trailers: bool,
}

impl ClientBody {
    pub(super) fn new(incoming: Incoming, trailers: bool) -> Self {
        Self {
            received: Received::new(incoming),
            trailers,
        }
    }

    /// In HTTP/1.1 only chunked bodies have trailers (RFC 9112 section 7.1.2).
    pub(super) fn may_have_trailers(&self) -> bool {
        self.trailers && self.size_hint().exact().is_none()
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = self.received.poll(cx);
        match frame {
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() && !self.trailers => Poll::Ready(None),
            frame => frame,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.received.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.received.incoming.size_hint()
    }
}

/// An upstream's response body. Once it is read to its end its connection goes back to the pool; dropped earlier, the
/// connection is closed.
pub struct UpstreamBody {
    received: Received,
    /// As in [`ClientBody`].
    trailers: bool,
    lease: Option<Lease>,
    ended: bool,
}

impl UpstreamBody {
    pub fn new(incoming: Incoming, lease: Lease, trailers: bool) -> Self {
        Self {
            received: Received::new(incoming),
            trailers,
            lease: Some(lease),
            ended: false,
        }
    }

    /// As for [`ClientBody::may_have_trailers`].
    pub(super) fn may_have_trailers(&self) -> bool {
        self.trailers && self.size_hint().exact().is_none()
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match self.received.poll(cx) {
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() && !self.trailers => Poll::Ready(None),
            frame => frame,
        };
        if matches!(frame, Poll::Ready(None)) {
            self.ended = true;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.received.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.received.incoming.size_hint()
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        if (self.ended || self.received.is_end())
            && let Some(lease) = self.lease.take()
        {
            lease.finish();
        }
    }
}

/// Where the bytes for the client come from.
pub enum Source {
    Empty,
    /// Not even its first byte comes.
    Broken,
    Whole(Bytes),
    Upstream(UpstreamBody),
    Filtered(Box<FilteredBody<UpstreamBody>>),
}

/// Towards the client. The HTTP connection drops it when the last byte is written or the client is gone: that is the end
/// of the exchange, for the upstream connection, the plugins and the access log alike (fields are dropped in this order).
pub struct ResponseBody {
    source: Source,
    /// The plugins' part ends with this.
    plugins: Option<(SharedStream, Watch)>,
    record: Option<Box<Record>>,
    /// The body breaks off here.
    broken: Option<BodyError>,
    _busy: Busy,
}

impl ResponseBody {
    pub(super) fn new(
        source: Source,
        plugins: Option<(SharedStream, Watch)>,
        record: Option<Box<Record>>,
        busy: Busy,
    ) -> Self {
        Self {
            source,
            plugins,
            record,
            broken: None,
            _busy: busy,
        }
    }
}

impl ResponseBody {
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let (Some((_, watch)), Source::Upstream(_) | Source::Filtered(_)) = (&self.plugins, &self.source) {
            watch.register(cx);
            if watch.is_closed() || watch.has_failed() {
                return Poll::Ready(Some(Err(BodyError::Plugin)));
            }
        }
        match &mut self.source {
            Source::Empty => Poll::Ready(None),
            Source::Broken => Poll::Ready(Some(Err(BodyError::Plugin))),
            Source::Whole(bytes) => {
                let whole = std::mem::take(bytes);
                Poll::Ready((!whole.is_empty()).then(|| Ok(Frame::data(whole))))
            }
            Source::Upstream(body) => Pin::new(body).poll_frame(cx),
            Source::Filtered(body) => Pin::new(body).poll_frame(cx),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = match self.poll_source(cx) {
            Poll::Ready(Some(Err(error))) => {
                // The connection ends with the error, and what was written before would not be sent: the head, perhaps.
                if let Some(record) = &mut self.record {
                    record.broken();
                }
                self.broken = Some(error);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            frame => frame,
        };
        if let (Some(record), Poll::Ready(Some(Ok(frame)))) = (&mut self.record, &frame) {
            record.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Upstream(body) => body.is_end_stream(),
            Source::Filtered(body) => body.is_end_stream(),
            Source::Broken => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Upstream(body) => body.size_hint(),
            // A plugin may change the length.
            Source::Filtered(_) | Source::Broken => SizeHint::default(),
        }
    }
}
