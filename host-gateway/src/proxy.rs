//! The life of one request: plugins, route, upstream, plugins, answer.

mod ambiguity;
mod body;
mod deadline;
mod downstream;
mod fields;
mod filtered;
mod host;
mod target;
mod upgraded;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::header::UPGRADE;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header, request, response};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use tokio::sync::Mutex;

pub use self::ambiguity::{RESPELLED, WELL_FORMED, ambiguous, is_respelled, is_unambiguous, may_be_respelled};
use self::body::ClientBody;
pub use self::body::{RequestBody, ResponseBody, UpstreamBody};
pub use self::downstream::Downstream;
use self::filtered::FilteredBody;
use self::upgraded::Switched;
use crate::access_log::Record;
use crate::cluster::{Answer, Lease, Upgraded};
use crate::cors::Caller;
use crate::error::{Failure, UpstreamError};
use crate::plugin::{LocalResponse, PluginStream, Verdict, Watch};
use crate::route::Route;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain");

/// Both directions of an exchange may be under way at once, and each passes the plugins. While a plugin holds one of them
/// the other waits; only futures, never the thread: the lock belongs to one exchange, so no other one ever waits for it.
type SharedStream = Rc<Mutex<PluginStream>>;

/// Why an exchange ends without an upstream's response.
enum Early {
    Failure(Failure),
    Local(Box<LocalResponse>),
}

/// The exchange ends without an answer, and its connection with it.
#[derive(Debug, thiserror::Error)]
#[error("a plugin closed the stream")]
pub struct Closed;

/// What is known of an exchange while it is under way.
struct Exchange<'a> {
    downstream: &'a Rc<Downstream>,
    plugins: Option<(SharedStream, Watch)>,
    /// From where the request was sent, if the gateway has to do with that.
    caller: Option<Caller>,
    /// Place in the route table.
    route: Option<usize>,
    /// The route that plugins were told of at the start.
    told: Option<usize>,
    record: Option<Box<Record>>,
    /// The client's side of a connection that is to change the protocol.
    upgrade: Option<OnUpgrade>,
    /// Both sides of one that has changed it.
    switched: Option<Switched>,
}

/// Answers one request of a client.
pub async fn serve(
    downstream: Rc<Downstream>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Closed> {
    let busy = downstream.begin();
    let upgrade = request
        .headers()
        .contains_key(UPGRADE)
        .then(|| hyper::upgrade::on(&mut request));
    let (head, body) = request.into_parts();
    let worker = &downstream.worker;
    let record = worker
        .access_log
        .as_ref()
        .map(|log| Record::begin(log, &downstream.connection, &head));
    let mut exchange = Exchange {
        downstream: &downstream,
        plugins: None,
        caller: worker.cors.as_ref().map(|cors| cors.caller(&head.headers)),
        route: None,
        told: None,
        record,
        upgrade,
        switched: None,
    };
    let (mut head, source) = match exchange.run(head, body).await {
        Ok((head, source)) => (head, source),
        Err(early) => {
            let reason = early.reason();
            // What follows such a request may be in the other protocol.
            let closes = matches!(early, Early::Failure(Failure::Upgrade));
            let early = exchange.past_plugins(early).await;
            let closed = exchange.is_closed(&early);
            if let Some(record) = &mut exchange.record {
                record.reason(if closed { Closed.to_string() } else { reason });
            }
            if closed {
                return Err(Closed);
            }
            let (mut head, source) = early.answer();
            if closes {
                head.headers
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            (head, source)
        }
    };
    worker.metrics.answered(exchange.route, head.status);
    let Exchange {
        plugins,
        mut record,
        caller,
        switched,
        ..
    } = exchange;
    if let (Some(cors), Some(caller)) = (&worker.cors, caller) {
        cors.mark(caller, &mut head.headers);
    }
    if let Some(record) = &mut record {
        record.answered(head.status);
    }
    let body = match switched {
        None => ResponseBody::new(source, plugins, record, busy),
        Some(switched) => {
            let carrying = upgraded::carry(switched, Rc::clone(&downstream), plugins, record);
            tokio::task::spawn_local(carrying);
            ResponseBody::new(source, None, None, busy)
        }
    };
    Ok(Response::from_parts(head, body))
}

impl Exchange<'_> {
    /// Whether a plugin wants no answer at all.
    fn is_closed(&self, early: &Early) -> bool {
        let closed = self.plugins.as_ref().is_some_and(|(_, watch)| watch.is_closed());
        closed && matches!(early, Early::Failure(Failure::Plugin))
    }

    /// What the gateway answers itself passes the plugins, too, if they have seen the request.
    async fn past_plugins(&self, early: Early) -> Early {
        let (Early::Failure(failure), Some((plugins, _))) = (&early, &self.plugins) else {
            return early;
        };
        if self.is_closed(&early) {
            return early;
        }
        tracing::debug!(reason = %failure, "answered without an upstream");
        let (answer, flags) = own_answer(*failure);
        match plugins.lock().await.own_answer(answer, flags).await {
            Some(answer) => Early::Local(Box::new(answer)),
            None => Early::Failure(Failure::Plugin),
        }
    }

    async fn run(
        &mut self,
        mut head: request::Parts,
        body: Incoming,
    ) -> Result<(response::Parts, body::Source), Early> {
        let worker = Rc::clone(&self.downstream.worker);
        target::check(&mut head)?;
        if !worker.routes.may_choose_by(head.uri.path()) {
            return Err(Failure::Ambiguous.into());
        }
        let bodyless = body.is_end_stream();
        let websocket = self.upgrade.is_some() && target::wants_websocket(&head, bodyless)?;
        if websocket
            && !worker
                .routes
                .find(head.uri.path())
                .is_some_and(|(_, route)| route.websocket)
        {
            return Err(Failure::Upgrade.into());
        }
        if let (Some(cors), Some(caller)) = (&worker.cors, &self.caller)
            && let Some(headers) = cors.preflight(caller, &head)
        {
            self.caller = None;
            return Err(Early::Local(Box::new(preflight_answer(headers))));
        }
        fields::remove_nominated(&mut head.headers);
        self.downstream.forwarded(&mut head.headers);
        let mut body = ClientBody::new(body, self.downstream.trailers.requests);
        // Only by plugins of `compat: spec`.
        let mut read_trailers = None;
        let mut early = false;

        // The path as it came chooses the chain; the path as the plugins leave it chooses the upstream.
        let mut found = None;
        let plugins = worker.chains.of(self.downstream.listener, || {
            found = worker.routes.place(head.uri.path());
            found
        });
        if !plugins.is_empty() {
            let mut stream = plugins.open(Rc::clone(&self.downstream.connection));
            let watch = stream.watch();
            self.told = found.or_else(|| worker.routes.place(head.uri.path()));
            if let Some(place) = self.told {
                watch.set_destination(Rc::clone(&worker.destinations[place]));
            }
            let broken = Cell::new(false);
            let mut reading = |task: &mut Context<'_>| match websocket {
                // What follows comes after the upstream's answer.
                true => Poll::Pending,
                false => read(&mut body, &mut read_trailers, &broken, task),
            };
            let deciding = stream.request_headers_reading(head, bodyless && !websocket, &mut reading);
            let verdict = unless_broken(&broken, deciding).await;
            early = stream.has_read_early();
            self.plugins = Some((Rc::new(Mutex::new(stream)), watch));
            if verdict.is_none() {
                self.downstream.body_broke();
            }
            head = proceed(verdict.ok_or(Failure::Body)?)?;
        }

        let (place, route) = worker.routes.find(head.uri.path()).ok_or(Failure::NoRoute)?;
        self.route = Some(place);
        let cluster = worker.clusters.get(route.cluster);
        if let Some(record) = &mut self.record {
            record.routed(cluster.name());
        }
        if let Some((_, watch)) = &self.plugins
            && self.told != Some(place)
        {
            watch.set_destination(Rc::clone(&worker.destinations[place]));
        }
        // A plugin may have chosen another route, or taken the wish off.
        let websocket = websocket && target::wants_websocket(&head, bodyless)?;
        if websocket && !route.websocket {
            return Err(Failure::Upgrade.into());
        }
        prepare(&mut head, bodyless, route, cluster.name())?;

        let (body, said) = self.request_body(body, bodyless, early, read_trailers);
        if self.plugins.is_some() && !matches!(body, RequestBody::Filtered(..)) {
            fields::tell_length(&mut head.headers, body.size_hint().exact());
        }
        let sending = async {
            if websocket {
                fields::change_to_websocket(&mut head.headers);
                return cluster.upgrade(head).await;
            }
            cluster.send(head, body, route.retries).await
        };
        let sending = self.downstream.deadline.limit(route.timeout, sending);
        let sent = match &self.plugins {
            None => sending.await,
            Some((plugins, watch)) => {
                tokio::select! {
                    biased;
                    sent = sending => sent,
                    early = interruption(plugins, watch) => return Err(early),
                }
            }
        };
        let answer = match sent {
            Some(Ok(answer)) => answer,
            failed => {
                if let Some(early) = said.and_then(|said| said.take()) {
                    return Err(early);
                }
                if self.downstream.has_broken() {
                    return Err(Failure::Body.into());
                }
                let error = failed.and_then(Result::err).unwrap_or(UpstreamError::Timeout);
                worker.metrics.upstream_error(route.cluster, error);
                return Err(Failure::Upstream(error).into());
            }
        };
        let ends = answer.lease.ends();
        if let Some(record) = &mut self.record {
            record.upstream(ends.remote);
        }
        if let Some((_, watch)) = &self.plugins {
            watch.set_upstream(ends);
        }
        self.response(answer).await
    }

    /// The body for the upstream, and the place where a plugin leaves its answer if it gives one while the body passes.
    /// `early`: some of it was read while a plugin paused at the head, and perhaps the trailers behind it.
    fn request_body(
        &self,
        body: ClientBody,
        bodyless: bool,
        early: bool,
        read_trailers: Option<HeaderMap>,
    ) -> (RequestBody, Option<Rc<RefCell<Option<Early>>>>) {
        if bodyless {
            return (RequestBody::Empty, None);
        }
        let downstream = Rc::clone(self.downstream);
        let Some(plugins) = &self.plugins else {
            return (RequestBody::Stream(body, downstream), None);
        };
        let data = plugins.1.wants_request_body();
        let trailers = plugins.1.wants_request_trailers() && body.may_have_trailers();
        if !data && !trailers {
            return (RequestBody::Stream(body, downstream), None);
        }
        let said = Rc::new(RefCell::new(None));
        let filtered = FilteredBody::request(body, plugins, data, Rc::clone(&said));
        let filtered = filtered.after_early(early, read_trailers);
        (RequestBody::Filtered(Box::new(filtered), downstream), Some(said))
    }

    async fn response(&mut self, answer: Answer) -> Result<(response::Parts, body::Source), Early> {
        let Answer {
            mut head,
            body,
            lease,
            upgraded,
        } = answer;
        head.version = Version::HTTP_11;
        if let Some(upgraded) = upgraded {
            return self.switch(head, upgraded, lease).await;
        }
        let mut body = UpstreamBody::new(body, lease, self.downstream.trailers.responses);
        fields::strip_response(&mut head.headers);
        let Some(plugins) = &self.plugins else {
            return Ok((head, body::Source::Upstream(body)));
        };

        let watch = &plugins.1;
        let bodyless = body.is_end_stream();
        let mut read_trailers = None;
        let mut early = false;
        if watch.wants_response_headers() {
            let mut stream = plugins.0.lock().await;
            let broken = Cell::new(false);
            let mut reading = |task: &mut Context<'_>| read(&mut body, &mut read_trailers, &broken, task);
            let deciding = stream.response_headers_reading(head, bodyless, &mut reading);
            let verdict = unless_broken(&broken, deciding).await;
            early = stream.has_read_early();
            head = proceed(verdict.ok_or(Failure::Upstream(UpstreamError::Reset))?)?;
            fields::strip_response(&mut head.headers);
        } else {
            watch.response_began();
        }
        if head.status == StatusCode::NO_CONTENT {
            // A plugin may have made it one: then there is no body, nor a length (RFC 9110 section 8.6).
            head.headers.remove(CONTENT_LENGTH);
            let source = if bodyless {
                body::Source::Upstream(body)
            } else {
                body::Source::Empty
            };
            return Ok((head, source));
        }
        let data = watch.wants_response_body();
        let trailers = watch.wants_response_trailers() && body.may_have_trailers();
        if bodyless {
            return Ok((head, body::Source::Upstream(body)));
        }
        if !data && !trailers {
            fields::tell_length(&mut head.headers, body.size_hint().exact());
            return Ok((head, body::Source::Upstream(body)));
        }
        let filtered = FilteredBody::response(body, plugins, data);
        let mut filtered = Box::new(filtered.after_early(early, read_trailers));
        Ok(match filtered.whole().await {
            Some(whole) => {
                fields::tell_length(&mut head.headers, Some(whole.len() as u64));
                (head, body::Source::Whole(whole))
            }
            None => (head, body::Source::Filtered(filtered)),
        })
    }

    /// The upstream has changed the protocol: so does the client's connection, if the plugins let it.
    async fn switch(
        &mut self,
        mut head: response::Parts,
        upstream: Upgraded,
        lease: Lease,
    ) -> Result<(response::Parts, body::Source), Early> {
        fields::remove_nominated(&mut head.headers);
        if let Some((plugins, watch)) = &self.plugins {
            if watch.wants_response_headers() {
                head = proceed(plugins.lock().await.response_headers(head, false).await)?;
            } else {
                watch.response_began();
            }
        }
        fields::strip_response(&mut head.headers);
        if head.status == StatusCode::SWITCHING_PROTOCOLS
            && let Some(client) = self.upgrade.take()
        {
            fields::change_to_websocket(&mut head.headers);
            let worker = &self.downstream.worker;
            self.switched = Some(Switched {
                client,
                upstream,
                lease,
                idle_timeout: self.route.and_then(|place| worker.routes.get(place)?.idle_timeout),
            });
        }
        Ok((head, body::Source::Empty))
    }
}

/// Ends when a plugin ends the exchange while the upstream is asked: from a tick, or from the answer to a call.
async fn interruption(plugins: &SharedStream, watch: &Watch) -> Early {
    let interruption = poll_fn(|task| {
        watch.register(task);
        if !watch.was_woken() {
            return Poll::Pending;
        }
        // Who holds the lock is in a callback's wait, and looks itself.
        let looked = plugins.try_lock().ok().and_then(|mut stream| stream.interruption());
        looked.map_or(Poll::Pending, Poll::Ready)
    })
    .await;
    match plugins.lock().await.interrupt::<Infallible>(interruption).await {
        Verdict::Continue(never) => match never {},
        Verdict::Respond(local) => Early::Local(Box::new(local)),
        Verdict::Fail => Early::Failure(Failure::Plugin),
    }
}

/// The next part of a body, for a plugin that pauses at its head.
fn read<B: Body<Data = Bytes> + Unpin>(
    body: &mut B,
    trailers: &mut Option<HeaderMap>,
    broken: &Cell<bool>,
    task: &mut Context<'_>,
) -> Poll<Option<(Bytes, bool)>> {
    match ready!(Pin::new(&mut *body).poll_frame(task)) {
        None => Poll::Ready(Some((Bytes::new(), true))),
        // Whoever reads on learns it too.
        Some(Err(_)) => {
            broken.set(true);
            Poll::Ready(None)
        }
        Some(Ok(frame)) => match frame.into_data() {
            Ok(data) => {
                let last = body.is_end_stream();
                Poll::Ready(Some((data, last)))
            }
            Err(frame) => {
                *trailers = frame.into_trailers().ok();
                Poll::Ready(None)
            }
        },
    }
}

/// What plugins decide about a head, or `None` when the body breaks while they wait.
async fn unless_broken<T>(broken: &Cell<bool>, deciding: impl Future<Output = Verdict<T>>) -> Option<Verdict<T>> {
    let mut deciding = pin!(deciding);
    poll_fn(|task| match deciding.as_mut().poll(task) {
        Poll::Ready(verdict) => Poll::Ready(Some(verdict)),
        Poll::Pending if broken.get() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// What plugins see of an answer of the gateway's own, with Envoy's flags.
fn own_answer(failure: Failure) -> (LocalResponse, u64) {
    let (status, body) = failure.answer();
    let (details, flags) = failure.told();
    let mut headers = HeaderMap::new();
    if !body.is_empty() {
        headers.insert(header::CONTENT_TYPE, TEXT);
    }
    let answer = LocalResponse {
        status,
        headers,
        body,
        details: details.to_owned(),
        breaks_off: false,
    };
    (answer, flags)
}

/// The answer to a preflight, which nobody behind the gateway sees.
fn preflight_answer(headers: HeaderMap) -> LocalResponse {
    LocalResponse {
        status: StatusCode::OK,
        headers,
        body: Bytes::new(),
        details: "cors_preflight".to_owned(),
        breaks_off: false,
    }
}

/// Makes the head fit for the next hop.
fn prepare(head: &mut request::Parts, bodyless: bool, route: &Route, cluster: &str) -> Result<(), Failure> {
    head.uri = route.target(&head.uri).ok_or(Failure::UnusableRequest)?;
    head.version = Version::HTTP_11;
    fields::strip_request(&mut head.headers);
    if !head.headers.contains_key(header::HOST) {
        // HTTP/1.0 knows no Host; the upstream, which is spoken to in HTTP/1.1, must get one.
        let host = HeaderValue::from_str(cluster).map_err(|_| Failure::UnusableRequest)?;
        head.headers.insert(header::HOST, host);
    }
    if bodyless && matches!(head.method, Method::POST | Method::PUT | Method::PATCH) {
        // Some servers answer 411 to a request that could have had a body and does not say that it has none.
        head.headers
            .entry(CONTENT_LENGTH)
            .or_insert(HeaderValue::from_static("0"));
    }
    Ok(())
}

fn proceed<T>(verdict: Verdict<T>) -> Result<T, Early> {
    match verdict {
        Verdict::Continue(value) => Ok(value),
        Verdict::Respond(local) => Err(Early::Local(Box::new(local))),
        Verdict::Fail => Err(Early::Failure(Failure::Plugin)),
    }
}

impl Early {
    /// For the operator's eyes.
    fn reason(&self) -> String {
        match self {
            Early::Failure(failure) => failure.to_string(),
            Early::Local(local) => local.details.clone(),
        }
    }

    fn answer(self) -> (response::Parts, body::Source) {
        let (mut head, ()) = Response::new(()).into_parts();
        let text = match self {
            Early::Failure(failure) => {
                tracing::debug!(reason = %failure, "answered without an upstream");
                let (status, text) = failure.answer();
                head.status = status;
                text
            }
            Early::Local(local) => {
                head.status = local.status;
                head.headers = local.headers;
                fields::strip_response(&mut head.headers);
                head.headers.remove(CONTENT_LENGTH);
                if local.breaks_off {
                    return (head, body::Source::Broken);
                }
                local.body
            }
        };
        if text.is_empty() {
            return (head, body::Source::Empty);
        }
        // As Envoy does, so that a plugin's answer looks the same on both hosts.
        head.headers.entry(header::CONTENT_TYPE).or_insert(TEXT);
        (head, body::Source::Whole(text))
    }
}

impl From<Failure> for Early {
    fn from(failure: Failure) -> Self {
        Early::Failure(failure)
    }
}
