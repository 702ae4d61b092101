//! One request and its response while plugins look at them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, request, response};
use tokio::time::Instant;

use crate::abi::fields::{Fields, FieldsMut};
use crate::abi::types::{Direction, MapType};
use crate::clock;
use crate::config::{Metadata, TrafficDirection};

/// The downstream connection an exchange came on.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Unique in the process.
    pub id: u64,
    /// The client.
    pub source: SocketAddr,
    /// Our side.
    pub destination: SocketAddr,
    /// What is configured of the listener.
    pub listener: Rc<ListenerFacts>,
}

/// What a listener tells plugins, as properties show it.
#[derive(Debug, Clone, Default)]
pub struct ListenerFacts {
    /// `xds.listener_direction`
    pub direction: Option<TrafficDirection>,
    /// `xds.listener_metadata`
    pub metadata: Metadata,
}

/// Both ends of a connection to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// `upstream.address`
    pub remote: SocketAddr,
    /// `upstream.local_address`
    pub local: SocketAddr,
}

/// A response that a plugin gives instead of the upstream.
#[derive(Debug, Clone)]
pub struct LocalResponse {
    /// A final status: 200 to 999.
    pub status: StatusCode,
    /// Without fields that frame the message: the proxy sets those.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// Why, for the access log; never sent to the client.
    pub details: String,
    /// A plugin failed at the body: it breaks off behind the head.
    pub breaks_off: bool,
}

/// One half of an exchange. While plugins look at a head it is `live`; once it went on, a copy may be kept.
#[derive(Debug)]
pub(crate) struct Half<H> {
    pub(crate) live: Option<H>,
    pub(crate) kept: Option<H>,
    pub(crate) trailers: Option<HeaderMap>,
    /// Trailers may still be changed.
    pub(crate) trailers_live: bool,
    /// The last bytes of a body without trailers pass: some may be added.
    pub(crate) trailers_addable: bool,
    /// Body bytes that came in so far.
    pub(crate) body_bytes: u64,
    /// Held-back bytes to forward before the trailers.
    pub(crate) released: Bytes,
    /// The last byte or trailer was shown to the plugins.
    pub(crate) ended: bool,
}

impl<H> Half<H> {
    const fn new() -> Self {
        Self {
            live: None,
            kept: None,
            trailers: None,
            trailers_live: false,
            trailers_addable: false,
            body_bytes: 0,
            released: Bytes::new(),
            ended: false,
        }
    }

    fn trailers_to_change(&mut self) -> Option<&mut HeaderMap> {
        if self.trailers_addable {
            return Some(self.trailers.get_or_insert_default());
        }
        self.trailers.as_mut().filter(|_| self.trailers_live)
    }

    pub(crate) fn head(&self) -> Option<&H> {
        self.live.as_ref().or(self.kept.as_ref())
    }
}

/// What passes the plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Tcp,
}

/// What all plugins of an exchange share; of a TCP connection the halves stay empty.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) protocol: Protocol,
    pub(crate) connection: Rc<Connection>,
    pub(crate) request: Half<request::Parts>,
    pub(crate) response: Half<response::Parts>,
    /// Fields that plugins gave the response before there was one; they are added to it.
    pub(crate) response_fields: HeaderMap,
    /// `:scheme` as a plugin set it.
    pub(crate) scheme: Option<Box<str>>,
    /// Bytes that plugins set in each map since it was measured.
    pub(crate) unmeasured: [usize; MapType::COUNT],
    /// What plugins set: filter state, by its whole name.
    pub(crate) properties: Vec<Property>,
    /// The route and the cluster, as far as the proxy chose them.
    pub(crate) destination: Option<Rc<Destination>>,
    /// The connection to the endpoint that the request went to.
    pub(crate) upstream: Option<Ends>,
    /// The first local response any plugin gave; taken when the stream acts on it.
    pub(crate) local_response: Option<LocalResponse>,
    /// The status with which the head came that plugins look at now.
    pub(crate) came_with: Option<StatusCode>,
    /// Why the response is what it is, when the upstream did not give it.
    pub(crate) details: Option<Box<str>>,
    /// Envoy's flags of a response.
    pub(crate) flags: u64,
    /// The client asked for the head of the response alone.
    pub(crate) without_body: bool,
    /// A response is on its way to the client: local responses come too late.
    pub(crate) response_started: bool,
    /// A plugin closed the stream.
    pub(crate) reset: bool,
    /// The VM of a plugin that must not be missing was poisoned.
    pub(crate) failed: bool,
    /// Only callbacks after the end are left: nothing may be changed any more.
    pub(crate) over: bool,
    /// Who waits while a plugin has paused the stream.
    pub(crate) waker: Option<Waker>,
    /// Who waits for the upstream meanwhile, or sends its answer.
    pub(crate) watcher: Option<Waker>,
    /// There was an occasion to look.
    pub(crate) woken: bool,
    /// Who waits for the next part of a body, which the plugins may not need to go on.
    readers: [Reader; 2],
    /// When the exchange began; only kept when a guest can ask.
    pub(crate) began: Option<Instant>,
    /// The same since 1970, once somebody has asked.
    began_at: Cell<Option<Duration>>,
}

/// Who reads a body that passes the plugins.
#[derive(Debug, Default)]
struct Reader {
    waker: Option<Waker>,
    /// There was an occasion to look.
    woken: bool,
}

/// A property that a plugin set.
#[derive(Debug)]
pub(crate) struct Property {
    pub(crate) path: Box<[u8]>,
    pub(crate) value: Box<[u8]>,
}

/// Where the proxy sends requests of a route, as properties show it.
#[derive(Debug, Clone)]
pub struct Destination {
    /// `route_name`
    pub route: Rc<str>,
    /// `cluster_name`
    pub cluster: Rc<str>,
    /// `route_metadata`
    pub route_metadata: Rc<Metadata>,
    /// `cluster_metadata`
    pub cluster_metadata: Rc<Metadata>,
    /// `upstream_host_metadata`, by the addresses of the endpoints that have some
    pub endpoint_metadata: Rc<BTreeMap<SocketAddr, Metadata>>,
}

impl Exchange {
    /// Since 1970, when it began; the clock on the wall is only read when somebody asks.
    pub(crate) fn began_at(&self) -> Option<Duration> {
        let began = self.began?;
        let at = self
            .began_at
            .get()
            .unwrap_or_else(|| clock::now().saturating_sub(began.elapsed()));
        self.began_at.set(Some(at));
        Some(at)
    }
}

impl Exchange {
    pub(crate) fn new(connection: Rc<Connection>, began: Option<Instant>) -> Self {
        Self {
            protocol: Protocol::Http,
            connection,
            request: Half::new(),
            response: Half::new(),
            response_fields: HeaderMap::new(),
            scheme: None,
            unmeasured: [0; MapType::COUNT],
            properties: Vec::new(),
            destination: None,
            upstream: None,
            local_response: None,
            came_with: None,
            details: None,
            flags: 0,
            without_body: false,
            response_started: false,
            reset: false,
            failed: false,
            over: false,
            waker: None,
            watcher: None,
            woken: false,
            readers: Default::default(),
            began,
            began_at: Cell::new(None),
        }
    }

    /// One that nobody has sent, for a plugin that is only tried: `GET /`, or a connection.
    pub(crate) fn rehearsed(protocol: Protocol) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let connection = Rc::new(Connection {
            id: 0,
            source: address,
            destination: address,
            listener: Rc::default(),
        });
        if protocol == Protocol::Tcp {
            return Self::of_tcp(connection);
        }
        let mut exchange = Self::new(connection, Some(Instant::now()));
        let (mut head, ()) = Request::new(()).into_parts();
        head.headers
            .insert(http::header::HOST, http::HeaderValue::from_static("localhost"));
        exchange.request.live = Some(head);
        exchange
    }

    /// A whole TCP connection.
    pub(crate) fn of_tcp(connection: Rc<Connection>) -> Self {
        Self {
            protocol: Protocol::Tcp,
            ..Self::new(connection, None)
        }
    }

    /// A header map to read; `None` when it does not exist (yet).
    pub(crate) fn fields(&self, map: MapType) -> Option<Fields<'_>> {
        match map {
            MapType::RequestHeaders => self.request.head().map(|head| Fields::Request {
                head,
                scheme: self.scheme(head),
            }),
            MapType::RequestTrailers => self.request.trailers.as_ref().map(Fields::Plain),
            MapType::ResponseHeaders => self.response.head().map(Fields::Response),
            MapType::ResponseTrailers => self.response.trailers.as_ref().map(Fields::Plain),
            _ => None,
        }
    }

    /// A header map to change; `None` when it does not exist, or has gone on already.
    pub(crate) fn fields_mut(&mut self, map: MapType) -> Option<FieldsMut<'_>> {
        if self.over {
            return None;
        }
        match map {
            MapType::RequestHeaders => {
                let scheme = &mut self.scheme;
                self.request
                    .live
                    .as_mut()
                    .map(|head| FieldsMut::Request { head, scheme })
            }
            MapType::ResponseHeaders => match &mut self.response.live {
                Some(head) => Some(FieldsMut::Response(head)),
                // Envoy refuses; plugins written for nginx do it.
                None if self.protocol == Protocol::Http && !self.response_started => {
                    Some(FieldsMut::Plain(&mut self.response_fields))
                }
                None => None,
            },
            MapType::RequestTrailers => self.request.trailers_to_change().map(FieldsMut::Plain),
            MapType::ResponseTrailers => self.response.trailers_to_change().map(FieldsMut::Plain),
            _ => None,
        }
    }

    /// A response begins: plugins look at its head from now on.
    pub(crate) fn begin_response(&mut self, mut head: response::Parts) {
        let mut last = None;
        for (name, value) in self.response_fields.drain() {
            last = name.or(last);
            if let Some(name) = &last {
                head.headers.append(name.clone(), value);
            }
        }
        self.came_with = Some(head.status);
        self.response.live = Some(head);
    }

    /// What a plugin set under this name.
    pub(crate) fn filter_state(&self, name: &[u8]) -> Option<Vec<u8>> {
        let set = self.properties.iter().find(|set| *set.path == *name)?;
        Some(set.value.to_vec())
    }

    /// `:scheme`: what a plugin set, else the target's own, else `http`.
    pub(crate) fn scheme<'a>(&'a self, head: &'a request::Parts) -> &'a str {
        self.scheme
            .as_deref()
            .or_else(|| head.uri.scheme_str())
            .unwrap_or("http")
    }

    /// Wakes the stream if it waits, and who watches it or reads its bodies. They run later, never inside the guest's call.
    pub(crate) fn wake(&mut self) {
        self.woken = true;
        let readers = self.readers.iter_mut().map(|reader| {
            reader.woken = true;
            reader.waker.take()
        });
        let waiting = [self.waker.take(), self.watcher.take()].into_iter().chain(readers);
        for waker in waiting.flatten() {
            waker.wake();
        }
    }

    /// Whether there was an occasion to look since the last time, for who reads the body; if not, the task is woken then.
    pub(crate) fn reader_woken(&mut self, direction: Direction, task: &Context<'_>) -> bool {
        let reader = &mut self.readers[direction as usize];
        if std::mem::take(&mut reader.woken) {
            return true;
        }
        reader.waker = Some(task.waker().clone());
        false
    }
}

/// A request head to read later. Extensions stay with the original.
pub(crate) fn copy_of_request(head: &request::Parts) -> request::Parts {
    let (mut copy, ()) = Request::new(()).into_parts();
    copy.method = head.method.clone();
    copy.uri = head.uri.clone();
    copy.version = head.version;
    copy.headers = head.headers.clone();
    copy
}

/// A response head to read later. Extensions stay with the original.
pub(crate) fn copy_of_response(head: &response::Parts) -> response::Parts {
    let (mut copy, ()) = Response::new(()).into_parts();
    copy.status = head.status;
    copy.version = head.version;
    copy.headers = head.headers.clone();
    copy
}
