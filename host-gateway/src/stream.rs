//! An exchange as plugins see it: headers, bodies and trailers pass through every plugin's callbacks, request phases in
//! order, response phases in reverse.

pub(crate) mod body;
mod chain;
pub(crate) mod connection;
pub(crate) mod exchange;
mod reading;
mod watch;

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Response, request, response};
use tokio::time::Instant;

use crate::abi::local_response;
use crate::abi::types::Direction;
use crate::plugin::{FailurePolicy, Plugins};
use chain::{Leg, Outcome};
use exchange::Exchange;
use reading::Early;

pub use exchange::{Connection, Destination, Ends, ListenerFacts, LocalResponse};
pub use reading::Reading;
pub use watch::Watch;

/// What the plugins decided about a part of an exchange.
#[derive(Debug)]
pub enum Verdict<T> {
    /// Goes on, perhaps changed. Empty body bytes: nothing to forward yet.
    Continue(T),
    /// A plugin answers instead.
    Respond(LocalResponse),
    /// A plugin failed (and its policy is `closed`), or closed the stream.
    Fail,
}

/// See [`PluginStream::interruption`].
#[derive(Debug)]
pub struct Interruption(Option<LocalResponse>);

/// One exchange in the hands of the plugins. Dropping it ends its contexts: `proxy_on_done`, `proxy_on_log` and
/// `proxy_on_delete` run once, in this order, however the exchange ended.
pub struct PluginStream {
    plugins: Rc<Plugins>,
    exchange: Rc<RefCell<Exchange>>,
    /// One per plugin.
    legs: Vec<Leg>,
    /// Of the body that follows the head which passes the plugins now.
    early: Option<Early>,
    /// The host has answered: what is left of the request goes nowhere.
    answered: bool,
}

impl PluginStream {
    pub(crate) fn new(plugins: Rc<Plugins>, connection: Rc<Connection>) -> Self {
        let began = plugins.needs.began.then(Instant::now);
        let exchange = Rc::new(RefCell::new(Exchange::new(connection, began)));
        let legs = plugins.seats.iter().map(|_| Leg::Unopened).collect();
        Self {
            plugins,
            exchange,
            legs,
            early: None,
            answered: false,
        }
    }

    /// Passes the request's head through the plugins. Returns without ever waiting unless a plugin pauses; then the
    /// body must not be read until this returns. `content-length` is gone from the head if a plugin may change the
    /// body that follows.
    pub async fn request_headers(&mut self, head: request::Parts, end_of_stream: bool) -> Verdict<request::Parts> {
        self.request_headers_reading(head, end_of_stream, &mut |_| Poll::Pending)
            .await
    }

    /// The same; plugins of `compat: spec` see the body while they pause. What was read comes first afterwards: see
    /// [`PluginStream::early_request_body`].
    pub async fn request_headers_reading(
        &mut self,
        head: request::Parts,
        end_of_stream: bool,
        reading: &mut Reading<'_>,
    ) -> Verdict<request::Parts> {
        {
            let mut exchange = self.exchange.borrow_mut();
            exchange.without_body = head.method == Method::HEAD;
            exchange.request.live = Some(head);
            exchange.request.ended = end_of_stream;
        }
        for place in 0..self.legs.len() {
            match self.headers(place, Direction::Request, end_of_stream, reading).await {
                Outcome::Continue => {}
                Outcome::Respond(response) => return self.answer(response).await,
                Outcome::Fail => return Verdict::Fail,
            }
        }
        let needs = self.plugins.needs;
        let mut exchange = self.exchange.borrow_mut();
        let Some(mut head) = exchange.request.live.take() else {
            return Verdict::Fail;
        };
        // Only a chunked body has trailers.
        let may_have_trailers = !end_of_stream && !head.headers.contains_key(CONTENT_LENGTH);
        if needs.request_head_later || (needs.request_head_for_trailers && may_have_trailers) {
            exchange.request.kept = Some(exchange::copy_of_request(&head));
        }
        if !end_of_stream && needs.request_body_changes {
            head.headers.remove(CONTENT_LENGTH);
        }
        Verdict::Continue(head)
    }

    /// Whether any plugin looks at request bodies; if not, they need not be passed here.
    pub fn wants_request_body(&self) -> bool {
        self.watch().wants_request_body()
    }

    /// Passes a part of the request's body through the plugins. While a plugin holds the body back this returns empty
    /// bytes, at the end of the stream it waits. More held back than `limits.body` is answered with 413.
    pub async fn request_body(&mut self, data: Bytes, end_of_stream: bool) -> Verdict<Bytes> {
        if self.answered {
            return Verdict::Fail;
        }
        {
            let mut exchange = self.exchange.borrow_mut();
            if exchange.request.ended {
                return Verdict::Continue(data);
            }
            exchange.request.body_bytes += data.len() as u64;
            exchange.request.ended = end_of_stream;
            exchange.request.trailers_addable = end_of_stream;
        }
        let order = 0..self.legs.len();
        let verdict = self.body(order, Direction::Request, data, end_of_stream).await;
        self.exchange.borrow_mut().request.trailers_addable = false;
        self.answered(verdict).await
    }

    /// Body bytes of the request that plugins held back and have let go of between two parts. To be asked when the next
    /// part is not there yet and a plugin did something meanwhile.
    pub async fn let_go_request_body(&mut self) -> Verdict<Bytes> {
        if self.answered {
            return Verdict::Fail;
        }
        let order = 0..self.legs.len();
        let verdict = self.let_go(order, Direction::Request).await;
        self.answered(verdict).await
    }

    /// The same for the response.
    pub async fn let_go_response_body(&mut self) -> Verdict<Bytes> {
        let order = (0..self.legs.len()).rev();
        self.let_go(order, Direction::Response).await
    }

    /// Whether any plugin looks at request trailers.
    pub fn wants_request_trailers(&self) -> bool {
        self.watch().wants_request_trailers()
    }

    /// Passes the request's trailers through the plugins. Body bytes that a plugin held back until now come first: see
    /// [`PluginStream::take_released_request_body`].
    pub async fn request_trailers(&mut self, trailers: HeaderMap) -> Verdict<HeaderMap> {
        if self.answered {
            return Verdict::Fail;
        }
        {
            let mut exchange = self.exchange.borrow_mut();
            exchange.request.trailers = Some(trailers);
            exchange.request.trailers_live = true;
            exchange.request.ended = true;
        }
        let order = 0..self.legs.len();
        let verdict = self.trailers(order, Direction::Request).await;
        self.answered(verdict).await
    }

    /// Trailers that a plugin added to the last bytes of a request's body, which had none.
    pub fn added_request_trailers(&self) -> Option<HeaderMap> {
        self.exchange.borrow().request.trailers.clone()
    }

    /// Trailers that a plugin added to the last bytes of a response's body, which had none.
    pub fn added_response_trailers(&self) -> Option<HeaderMap> {
        self.exchange.borrow().response.trailers.clone()
    }

    /// Body bytes to forward before the trailers that [`PluginStream::request_trailers`] returned.
    pub fn take_released_request_body(&mut self) -> Bytes {
        std::mem::take(&mut self.exchange.borrow_mut().request.released)
    }

    /// Whether any plugin looks at response heads.
    pub fn wants_response_headers(&self) -> bool {
        self.watch().wants_response_headers()
    }

    /// Passes the response's head through the plugins, as [`PluginStream::request_headers`] does the request's.
    pub async fn response_headers(&mut self, head: response::Parts, end_of_stream: bool) -> Verdict<response::Parts> {
        self.response_headers_reading(head, end_of_stream, &mut |_| Poll::Pending)
            .await
    }

    /// The same, as [`PluginStream::request_headers_reading`] does it.
    pub async fn response_headers_reading(
        &mut self,
        head: response::Parts,
        end_of_stream: bool,
        reading: &mut Reading<'_>,
    ) -> Verdict<response::Parts> {
        {
            let mut exchange = self.exchange.borrow_mut();
            exchange.begin_response(head);
            exchange.response.ended = end_of_stream;
        }
        for place in 0..self.legs.len() {
            match self.headers(place, Direction::Response, end_of_stream, reading).await {
                Outcome::Continue => {}
                Outcome::Respond(response) => return self.replaced(response),
                Outcome::Fail => return Verdict::Fail,
            }
        }
        let Some(mut head) = self.take_response_head() else {
            return Verdict::Fail;
        };
        if !end_of_stream && self.plugins.needs.response_body_changes {
            head.headers.remove(CONTENT_LENGTH);
        }
        Verdict::Continue(head)
    }

    /// Whether any plugin looks at response bodies.
    pub fn wants_response_body(&self) -> bool {
        self.watch().wants_response_body()
    }

    /// Passes a part of the response's body through the plugins, as [`PluginStream::request_body`] does the request's.
    /// More held back than `limits.body` ends the exchange: the head may be out, so the answer is 500 only if it is not.
    pub async fn response_body(&mut self, data: Bytes, end_of_stream: bool) -> Verdict<Bytes> {
        {
            let mut exchange = self.exchange.borrow_mut();
            if exchange.response.ended {
                return Verdict::Continue(data);
            }
            exchange.response.body_bytes += data.len() as u64;
            exchange.response.ended = end_of_stream;
            exchange.response.trailers_addable = end_of_stream;
        }
        let order = (0..self.legs.len()).rev();
        let verdict = self.body(order, Direction::Response, data, end_of_stream).await;
        self.exchange.borrow_mut().response.trailers_addable = false;
        verdict
    }

    /// Whether any plugin looks at response trailers.
    pub fn wants_response_trailers(&self) -> bool {
        self.watch().wants_response_trailers()
    }

    /// Passes the response's trailers through the plugins.
    pub async fn response_trailers(&mut self, trailers: HeaderMap) -> Verdict<HeaderMap> {
        {
            let mut exchange = self.exchange.borrow_mut();
            exchange.response.trailers = Some(trailers);
            exchange.response.trailers_live = true;
            exchange.response.ended = true;
        }
        let order = (0..self.legs.len()).rev();
        self.trailers(order, Direction::Response).await
    }

    /// Body bytes to forward before the trailers that [`PluginStream::response_trailers`] returned.
    pub fn take_released_response_body(&mut self) -> Bytes {
        std::mem::take(&mut self.exchange.borrow_mut().response.released)
    }

    /// Somebody outside may wait for what a plugin does meanwhile.
    pub fn watch(&self) -> Watch {
        Watch::new(Rc::clone(&self.exchange), self.plugins.needs)
    }

    /// What a plugin did meanwhile: a local response from a tick or a call's answer, a closed stream, a failed VM.
    /// `None` while the exchange goes on.
    pub fn interruption(&mut self) -> Option<Interruption> {
        match self.interrupted() {
            Outcome::Continue => None,
            Outcome::Respond(response) => Some(Interruption(Some(response))),
            Outcome::Fail => Some(Interruption(None)),
        }
    }

    /// Ends the exchange as the plugin wished; a local response passes the response callbacks.
    pub async fn interrupt<T>(&mut self, Interruption(response): Interruption) -> Verdict<T> {
        match response {
            Some(response) => self.answer(response).await,
            None => Verdict::Fail,
        }
    }

    async fn answered<T>(&mut self, verdict: Verdict<T>) -> Verdict<T> {
        match verdict {
            Verdict::Respond(response) => self.answer(response).await,
            verdict => verdict,
        }
    }

    /// What the host answers itself, because no upstream does, passes the response callbacks too. Plugins that have failed are
    /// left out; if the failure of one is what is answered, the others see it. Nothing more of the request passes.
    ///
    /// `flags` are Envoy's of a response. `None`: the answer goes no further, for a plugin closed the stream or failed now.
    pub async fn own_answer(&mut self, mut answer: LocalResponse, flags: u64) -> Option<LocalResponse> {
        self.answered = true;
        for index in 0..self.legs.len() {
            if let Leg::Open { context, .. } = &self.legs[index]
                && context.failed()
            {
                self.lose(index);
            }
            if matches!(self.legs[index], Leg::Failed) {
                self.legs[index] = Leg::Skipped(None);
            }
        }
        {
            let mut exchange = self.exchange.borrow_mut();
            exchange.flags = flags;
            if exchange.response.head().is_some() {
                // A response has been on its way already.
                exchange.response_started = true;
                return Some(answer);
            }
            local_response::as_the_client_speaks(&exchange, &mut answer, None);
        }
        match self.answer::<Infallible>(answer).await {
            Verdict::Continue(never) => match never {},
            Verdict::Respond(answer) => Some(answer),
            Verdict::Fail => None,
        }
    }

    /// A local response passes the response callbacks like any other response, the plugin's own included, as in Envoy.
    async fn answer<T>(&mut self, local: LocalResponse) -> Verdict<T> {
        let wanted = self.wants_response_headers();
        {
            let mut exchange = self.exchange.borrow_mut();
            exchange.details = Some(local.details.as_str().into());
            if exchange.response_started || !wanted {
                exchange.response_started = true;
                return Verdict::Respond(local);
            }
        }
        let LocalResponse { body, details, .. } = self.begin_local_response(local);
        let end_of_stream = self.exchange.borrow().response.ended;
        for place in 0..self.legs.len() {
            let reading: &mut Reading<'_> = &mut |_| Poll::Pending;
            match self.headers(place, Direction::Response, end_of_stream, reading).await {
                Outcome::Continue => {}
                Outcome::Respond(response) => return self.replaced(response),
                Outcome::Fail => return Verdict::Fail,
            }
        }
        let Some(mut head) = self.take_response_head() else {
            return Verdict::Fail;
        };
        head.headers.remove(CONTENT_LENGTH);
        let mut passed = LocalResponse {
            status: head.status,
            headers: head.headers,
            body,
            details,
            breaks_off: false,
        };
        if !end_of_stream && self.wants_response_body() {
            let order = (0..self.legs.len()).rev();
            let body = std::mem::take(&mut passed.body);
            match self.body(order, Direction::Response, body, true).await {
                Verdict::Continue(changed) => passed.body = changed,
                Verdict::Respond(_) | Verdict::Fail => passed.breaks_off = true,
            }
        }
        Verdict::Respond(passed)
    }

    /// A local response that is given from the callback for the head of a response takes the place of that one, as in Envoy. It
    /// goes straight to the client: the response callbacks have begun already.
    fn replaced<T>(&mut self, local: LocalResponse) -> Verdict<T> {
        self.exchange.borrow_mut().details = Some(local.details.as_str().into());
        let mut local = self.begin_local_response(local);
        match self.take_response_head() {
            Some(mut head) => {
                head.headers.remove(CONTENT_LENGTH);
                local.headers = head.headers;
                Verdict::Respond(local)
            }
            None => Verdict::Fail,
        }
    }

    /// The head of a local response is what plugins look at from now on. The rest comes back.
    fn begin_local_response(&self, local: LocalResponse) -> LocalResponse {
        let LocalResponse {
            status,
            headers,
            body,
            details,
            breaks_off,
        } = local;
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = status;
        head.headers = headers;
        if !body.is_empty() {
            head.headers.insert(CONTENT_LENGTH, body.len().into());
        }
        let mut exchange = self.exchange.borrow_mut();
        exchange.begin_response(head);
        exchange.response.ended = body.is_empty() || exchange.without_body;
        exchange.response.body_bytes = body.len() as u64;
        LocalResponse {
            status,
            headers: HeaderMap::new(),
            body,
            details,
            breaks_off,
        }
    }

    fn take_response_head(&mut self) -> Option<response::Parts> {
        let mut exchange = self.exchange.borrow_mut();
        let head = exchange.response.live.take()?;
        exchange.response_started = true;
        exchange.came_with = None;
        if self.plugins.needs.response_head_later {
            exchange.response.kept = Some(exchange::copy_of_response(&head));
        }
        Some(head)
    }

    fn policy(&self, index: usize) -> FailurePolicy {
        self.plugins.seats[index].policy()
    }
}

impl Drop for PluginStream {
    fn drop(&mut self) {
        self.exchange.borrow_mut().over = true;
        for (leg, seat) in self.legs.iter().zip(&self.plugins.seats) {
            match leg {
                // Nobody has asked the plugin since.
                Leg::Open { context, .. } if context.failed() => seat.stats.failed_streams.add(1),
                Leg::Open { guest, context } => {
                    // A failure has been dealt with by `run`: nobody waits for this stream any more.
                    let _ = guest.close(context);
                }
                Leg::Unopened | Leg::Skipped(_) | Leg::Failed => {}
            }
        }
    }
}
