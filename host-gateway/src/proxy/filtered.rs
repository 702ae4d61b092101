//! A body that passes the plugins frame by frame. The next frame is read when the plugins have let go of the last.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame};

use super::body::BodyError;
use super::{Early, SharedStream};
use crate::abi::types::Direction;
use crate::error::Failure;
use crate::plugin::{Verdict, Watch};

pub struct FilteredBody<B> {
    source: B,
    direction: Direction,
    plugins: SharedStream,
    watch: Watch,
    /// Data passes the plugins too, not the trailers alone.
    with_data: bool,
    /// What the plugins are busy with.
    step: Option<Pin<Box<dyn Future<Output = Step>>>>,
    /// What [`Self::whole`] has read and nobody has asked for yet.
    ahead: Option<Option<Result<Frame<Bytes>, BodyError>>>,
    /// Trailers that the plugins let pass, to be sent after the data that they let go at the same time.
    trailers: Option<HeaderMap>,
    /// Some of the body was read while a plugin paused at the head.
    early: bool,
    /// Trailers that were read then.
    read_trailers: Option<HeaderMap>,
    ended: bool,
    /// Where an answer is left that a plugin gives instead of letting the request pass.
    said: Option<Rc<RefCell<Option<Early>>>>,
}

enum Step {
    Data {
        verdict: Verdict<Bytes>,
        last: bool,
        /// Trailers that the plugins added behind the last bytes.
        added: Option<HeaderMap>,
    },
    Trailers {
        verdict: Verdict<HeaderMap>,
        released: Bytes,
    },
}

impl<B> FilteredBody<B> {
    pub(super) fn request(
        source: B,
        plugins: &(SharedStream, Watch),
        with_data: bool,
        said: Rc<RefCell<Option<Early>>>,
    ) -> Self {
        Self::new(source, Direction::Request, plugins, with_data, Some(said))
    }

    pub(super) fn response(source: B, plugins: &(SharedStream, Watch), with_data: bool) -> Self {
        Self::new(source, Direction::Response, plugins, with_data, None)
    }

    fn new(
        source: B,
        direction: Direction,
        (plugins, watch): &(SharedStream, Watch),
        with_data: bool,
        said: Option<Rc<RefCell<Option<Early>>>>,
    ) -> Self {
        Self {
            source,
            direction,
            plugins: Rc::clone(plugins),
            watch: watch.clone(),
            with_data,
            step: None,
            ahead: None,
            trailers: None,
            early: false,
            read_trailers: None,
            ended: false,
            said,
        }
    }

    /// Some of the body, and perhaps the trailers behind it, were read while a plugin paused at the head.
    pub(super) fn after_early(mut self, early: bool, trailers: Option<HeaderMap>) -> Self {
        self.early = early;
        self.read_trailers = trailers;
        self
    }

    /// The whole of a body that came with its length, if it is there and the plugins let it pass at once, as is the case with
    /// most: then the next hop can be told the length, as without plugins. What has passed otherwise comes first when the
    /// body is read, which must be soon: the plugins may be waiting for it.
    pub(super) async fn whole(&mut self) -> Option<Bytes>
    where
        B: Body<Data = Bytes> + Unpin,
        BodyError: From<B::Error>,
    {
        self.source.size_hint().exact()?;
        let Poll::Ready(frame) = poll_fn(|task| Poll::Ready(Pin::new(&mut *self).poll_frame(task))).await else {
            return None;
        };
        match frame {
            None => Some(Bytes::new()),
            Some(Ok(frame)) if self.is_end_stream() && frame.is_data() => frame.into_data().ok(),
            frame => {
                self.ahead = Some(frame);
                None
            }
        }
    }

    fn early(&mut self) {
        let (plugins, direction) = (Rc::clone(&self.plugins), self.direction);
        self.step = Some(Box::pin(async move {
            let mut plugins = plugins.lock().await;
            let ((verdict, last), added) = match direction {
                Direction::Request => (plugins.early_request_body().await, plugins.added_request_trailers()),
                Direction::Response => (plugins.early_response_body().await, plugins.added_response_trailers()),
            };
            let added = added.filter(|_| last);
            Step::Data { verdict, last, added }
        }));
    }

    fn data(&mut self, data: Bytes, last: bool) {
        let (plugins, direction) = (Rc::clone(&self.plugins), self.direction);
        self.step = Some(Box::pin(async move {
            let mut plugins = plugins.lock().await;
            let (verdict, added) = match direction {
                Direction::Request => (plugins.request_body(data, last).await, plugins.added_request_trailers()),
                Direction::Response => (
                    plugins.response_body(data, last).await,
                    plugins.added_response_trailers(),
                ),
            };
            let added = added.filter(|_| last);
            Step::Data { verdict, last, added }
        }));
    }

    /// Something happened while there was nothing to read.
    fn let_go(&mut self) {
        let (plugins, direction) = (Rc::clone(&self.plugins), self.direction);
        self.step = Some(Box::pin(async move {
            let mut plugins = plugins.lock().await;
            let verdict = match direction {
                Direction::Request => plugins.let_go_request_body().await,
                Direction::Response => plugins.let_go_response_body().await,
            };
            Step::Data {
                verdict,
                last: false,
                added: None,
            }
        }));
    }

    fn trailers(&mut self, trailers: HeaderMap) {
        let (plugins, direction) = (Rc::clone(&self.plugins), self.direction);
        self.step = Some(Box::pin(async move {
            let mut plugins = plugins.lock().await;
            match direction {
                Direction::Request => {
                    let verdict = plugins.request_trailers(trailers).await;
                    Step::Trailers {
                        verdict,
                        released: plugins.take_released_request_body(),
                    }
                }
                Direction::Response => {
                    let verdict = plugins.response_trailers(trailers).await;
                    Step::Trailers {
                        verdict,
                        released: plugins.take_released_response_body(),
                    }
                }
            }
        }));
    }

    /// Takes what the plugins let pass, or ends the body where they do not.
    fn pass<T>(&mut self, verdict: Verdict<T>) -> Result<T, BodyError> {
        let early = match verdict {
            Verdict::Continue(value) => return Ok(value),
            Verdict::Respond(local) => Early::Local(Box::new(local)),
            Verdict::Fail => Early::Failure(Failure::Plugin),
        };
        self.ended = true;
        if let Some(said) = &self.said {
            said.replace(Some(early));
        }
        Err(BodyError::Plugin)
    }
}

impl<B> Body for FilteredBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    BodyError: From<B::Error>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(ahead);
        }
        loop {
            if let Some(step) = &mut self.step {
                let step = ready!(step.as_mut().poll(cx));
                self.step = None;
                match step {
                    Step::Data { verdict, last, added } => {
                        self.ended = last;
                        let data = self.pass(verdict)?;
                        self.trailers = added;
                        if !data.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                    }
                    Step::Trailers { verdict, released } => {
                        self.ended = true;
                        let trailers = self.pass(verdict)?;
                        if released.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                        }
                        self.trailers = Some(trailers);
                        return Poll::Ready(Some(Ok(Frame::data(released))));
                    }
                }
            }
            if let Some(trailers) = self.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            if std::mem::take(&mut self.early) {
                self.early();
                continue;
            }
            if let Some(trailers) = self.read_trailers.take() {
                self.trailers(trailers);
                continue;
            }
            let Poll::Ready(frame) = Pin::new(&mut self.source).poll_frame(cx) else {
                if self.with_data && self.watch.may_have_let_go(self.direction, cx) {
                    self.let_go();
                    continue;
                }
                return Poll::Pending;
            };
            match frame {
                None if self.with_data => self.data(Bytes::new(), true),
                None => self.ended = true,
                Some(frame) => match frame?.into_data() {
                    Ok(data) if !self.with_data => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Ok(data) => {
                        let last = self.source.is_end_stream();
                        self.data(data, last);
                    }
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            self.trailers(trailers);
                        }
                    }
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.step.is_none() && self.ahead.is_none() && self.trailers.is_none()
    }
}
