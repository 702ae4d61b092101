//! gRPC calls: one message each way; and streams: messages both ways, until somebody closes them. Both belong to the root
//! context, go over HTTP/2, and end with the VM.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, TE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Method, Request, Uri, Version};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::Order;
use super::call_bytes::Charge;
use super::failure::{Answer, Failure, Status};
use super::fields::{self, Fields};
use super::pairs;
use super::protobuf;
use super::types::MapType;
use crate::cluster::Announced;
use crate::vm::memory::Host;

/// Most bytes that one stream may have waiting to be sent.
const MOST_UNSENT: usize = 16 << 20;
/// What a timeout of zero means, as for HTTP calls.
const LONGEST: Duration = Duration::from_secs(3600);
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// `proxy_grpc_call(service, service_name, method, metadata, message, timeout_ms, *call_id)`. The service is the name of a
/// cluster, or a serialized `GrpcService` of Envoy that names one; any other is a `PARSE_FAILURE`, as in Envoy.
#[expect(clippy::too_many_arguments, reason = "the ABI's own signature")]
pub(crate) fn grpc_call(
    host: &mut Host<'_>,
    service: u32,
    service_size: u32,
    service_name: u32,
    service_name_size: u32,
    method: u32,
    method_size: u32,
    metadata: u32,
    metadata_size: u32,
    message: u32,
    message_size: u32,
    timeout_ms: u32,
    id_out: u32,
) -> Answer {
    host.check(id_out, 4)?;
    let message = host.state().call_bytes.keep(framed(host.read(message, message_size)?));
    let message = message.inspect_err(|_| host.state().stats.refused_calls.add(1))?;
    let timeout = match timeout_ms {
        0 => LONGEST,
        milliseconds => Duration::from_millis(u64::from(milliseconds)),
    };
    let target = Target {
        service: host.read(service, service_size)?,
        service_name: host.read(service_name, service_name_size)?,
        method: host.read(method, method_size)?,
        metadata: host.read(metadata, metadata_size)?,
    };
    let (cluster, mut request) = target.request(host)?;
    let in_header = format!("{}m", timeout.as_millis());
    let in_header = HeaderValue::try_from(in_header).map_err(|_| Status::InternalFailure)?;
    request.headers_mut().insert(GRPC_TIMEOUT, in_header);
    let id = open(host, Kind::Call, cluster, request, Some(timeout))?;
    if let Some(open) = host.state_mut().grpc_calls.open.get_mut(&id) {
        // The one message, and no other.
        open.send(message)?;
        open.outgoing = None;
    }
    host.write_u32(id_out, id)
}

/// `proxy_grpc_stream(service, service_name, method, metadata, *stream_id)`, with the service as for `proxy_grpc_call`.
#[expect(clippy::too_many_arguments, reason = "the ABI's own signature")]
pub(crate) fn grpc_stream(
    host: &mut Host<'_>,
    service: u32,
    service_size: u32,
    service_name: u32,
    service_name_size: u32,
    method: u32,
    method_size: u32,
    metadata: u32,
    metadata_size: u32,
    id_out: u32,
) -> Answer {
    host.check(id_out, 4)?;
    let target = Target {
        service: host.read(service, service_size)?,
        service_name: host.read(service_name, service_name_size)?,
        method: host.read(method, method_size)?,
        metadata: host.read(metadata, metadata_size)?,
    };
    let (cluster, request) = target.request(host)?;
    let id = open(host, Kind::Stream, cluster, request, None)?;
    host.write_u32(id_out, id)
}

/// `proxy_grpc_send(id, message, end_of_stream)`: one message on a stream; `BAD_ARGUMENT` for a call.
pub(crate) fn grpc_send(host: &mut Host<'_>, id: u32, message: u32, size: u32, end: u32) -> Answer {
    if Kind::of(id) == Kind::Call {
        return Err(Status::BadArgument.into());
    }
    let message = host.state().call_bytes.keep(framed(host.read(message, size)?));
    let message = message.inspect_err(|_| host.state().stats.refused_calls.add(1))?;
    let open = host.state_mut().grpc_calls.open.get_mut(&id).ok_or(Status::NotFound)?;
    open.send(message)?;
    if end != 0 {
        open.outgoing = None;
    }
    Ok(())
}

/// `proxy_grpc_cancel(id)`: the call or stream is reset; the guest hears no more of it.
pub(crate) fn grpc_cancel(host: &mut Host<'_>, id: u32) -> Answer {
    let state = host.state_mut();
    state.grpc_calls.open.remove(&id).ok_or(Status::NotFound)?;
    // One that was not even sent is forgotten: a guest could fill the host's memory with them in one callback.
    state
        .orders
        .retain(|order| !matches!(order, Order::GrpcCall(opening) if opening.id == id));
    Ok(())
}

/// `proxy_grpc_close(id)`: no further message is sent on a stream; what the other side still says is told. A call is
/// cancelled.
pub(crate) fn grpc_close(host: &mut Host<'_>, id: u32) -> Answer {
    if Kind::of(id) == Kind::Call {
        return grpc_cancel(host, id);
    }
    let open = host.state_mut().grpc_calls.open.get_mut(&id).ok_or(Status::NotFound)?;
    open.outgoing = None;
    Ok(())
}

/// A call has one message each way, a stream any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Call = 0,
    Stream = 1,
}

impl Kind {
    /// The lowest bit of an id tells them apart, as in Envoy.
    pub(crate) const fn of(id: u32) -> Self {
        if id & 1 == 0 { Self::Call } else { Self::Stream }
    }
}

/// A call or stream that waits to be opened.
#[derive(Debug)]
pub(crate) struct GrpcOpening {
    pub(crate) id: u32,
    /// Whose it is.
    pub(crate) root: u32,
    pub(crate) cluster: String,
    /// In absolute form, without a body.
    pub(crate) request: Request<()>,
    pub(crate) timeout: Option<Duration>,
    /// Until it is sent.
    pub(crate) announced: Announced,
    pub(crate) outgoing: Outgoing,
    /// Ends when the guest does not want to hear any more.
    pub(crate) wanted: oneshot::Receiver<()>,
    /// For its fields, and for what comes of the answer; messages count for themselves.
    pub(crate) charge: Charge,
}

/// Messages on their way to the other side, with their prefix; the end of the channel is the end of the stream.
#[derive(Debug)]
pub(crate) struct Outgoing {
    messages: UnboundedReceiver<Bytes>,
    unsent: Rc<Cell<usize>>,
}

impl Outgoing {
    pub(crate) fn poll_next(&mut self, task: &mut std::task::Context<'_>) -> std::task::Poll<Option<Bytes>> {
        let next = std::task::ready!(self.messages.poll_recv(task));
        if let Some(message) = &next {
            self.unsent.set(self.unsent.get().saturating_sub(message.len()));
        }
        std::task::Poll::Ready(next)
    }
}

/// What the other side of a call or stream says.
#[derive(Debug)]
pub(crate) enum GrpcEvent {
    InitialMetadata(HeaderMap),
    Message(Bytes),
    TrailingMetadata(HeaderMap),
    /// The last that is heard: a status of gRPC, and what was said about it.
    Close {
        status: u32,
        message: String,
    },
}

impl GrpcEvent {
    pub(crate) fn fields(&self, map: MapType) -> Option<Fields<'_>> {
        match (self, map) {
            (Self::InitialMetadata(fields), MapType::GrpcInitialMetadata)
            | (Self::TrailingMetadata(fields), MapType::GrpcTrailingMetadata) => Some(Fields::Plain(fields)),
            _ => None,
        }
    }

    pub(crate) fn message(&self) -> Option<&[u8]> {
        match self {
            Self::Message(message) => Some(message),
            _ => None,
        }
    }
}

/// The calls and streams of one VM.
#[derive(Debug, Default)]
pub(crate) struct GrpcCalls {
    open: HashMap<u32, OpenCall>,
    last: u32,
}

impl GrpcCalls {
    /// Whether the guest still wants to hear of this one.
    pub(crate) fn is_open(&self, id: u32) -> bool {
        self.open.contains_key(&id)
    }

    /// Nothing more will be heard.
    pub(crate) fn end(&mut self, id: u32) {
        self.open.remove(&id);
    }

    /// Ids count up, calls even and streams odd; zero and one are never used, nor is one that is still open.
    fn next(&mut self, kind: Kind) -> u32 {
        loop {
            self.last = if self.last >= u32::MAX >> 1 { 1 } else { self.last + 1 };
            let id = self.last << 1 | kind as u32;
            if !self.open.contains_key(&id) {
                return id;
            }
        }
    }
}

/// Dropping it cancels the call.
#[derive(Debug)]
struct OpenCall {
    /// `None`: the guest has said all.
    outgoing: Option<UnboundedSender<Bytes>>,
    unsent: Rc<Cell<usize>>,
    _wanted: oneshot::Sender<()>,
}

impl OpenCall {
    /// After its end nothing is sent: the message is dropped, as in Envoy. Nor is one after the other side has closed.
    fn send(&self, message: Bytes) -> Answer {
        if let Some(outgoing) = &self.outgoing {
            let unsent = self.unsent.get() + message.len();
            if unsent > MOST_UNSENT {
                return Err(Status::InternalFailure.into());
            }
            if outgoing.send(message).is_ok() {
                self.unsent.set(unsent);
            }
        }
        Ok(())
    }
}

/// What a guest says about where a call goes.
struct Target<'a> {
    service: &'a [u8],
    service_name: &'a [u8],
    method: &'a [u8],
    metadata: &'a [u8],
}

impl Target<'_> {
    /// The cluster, and the head of the request. SDKs hand only `PARSE_FAILURE` and `INTERNAL_FAILURE` to the filter.
    fn request(&self, host: &Host<'_>) -> Result<(String, Request<()>), Failure> {
        let (cluster, authority) = self.cluster(host).ok_or(Status::ParseFailure)?;
        let path = [b"/", self.service_name, b"/", self.method].concat();
        let path = PathAndQuery::try_from(path).map_err(|_| Status::ParseFailure)?;
        let target = Uri::builder().scheme("http").authority(authority).path_and_query(path);
        let mut request = Request::new(());
        *request.uri_mut() = target.build().map_err(|_| Status::ParseFailure)?;
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        let metadata = pairs::read(self.metadata).map_err(|_| Status::ParseFailure)?;
        let headers = request.headers_mut();
        for (name, value) in metadata {
            if name.first() == Some(&b':') {
                continue;
            }
            let (name, value) = fields::field(name, value).map_err(|_| Status::ParseFailure)?;
            let ours = [CONTENT_LENGTH, CONTENT_TYPE, HOST, TE].contains(&name);
            if !ours && !fields::belongs_to_the_connection(&name) {
                fields::append(headers, name, value)?;
            }
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        Ok((cluster, request))
    }

    /// A cluster, and the authority that its requests name.
    fn cluster(&self, host: &Host<'_>) -> Option<(String, String)> {
        let clusters = &host.state().clusters;
        let named = |name: &[u8]| {
            let name = std::str::from_utf8(name).ok()?;
            clusters.contains(name).then(|| name.to_owned())
        };
        if let Some(cluster) = named(self.service) {
            return Some((cluster.clone(), cluster));
        }
        // GrpcService { 1: EnvoyGrpc { 1: cluster_name, 2: authority } }
        let envoy_grpc = protobuf::bytes_of(self.service, 1)?;
        let cluster = named(protobuf::bytes_of(envoy_grpc, 1)?)?;
        let authority = match protobuf::bytes_of(envoy_grpc, 2)? {
            [] => cluster.clone(),
            authority => std::str::from_utf8(authority).ok()?.to_owned(),
        };
        Some((cluster, authority))
    }
}

fn open(
    host: &mut Host<'_>,
    kind: Kind,
    cluster: String,
    request: Request<()>,
    timeout: Option<Duration>,
) -> Result<u32, Failure> {
    let state = host.state_mut();
    let fields = request.headers().iter();
    let charge = state
        .call_bytes
        .take(fields.map(|(name, value)| name.as_str().len() + value.len()).sum());
    let room = state.grpc_calls.open.len() < state.limits.calls as usize;
    let announced = room.then(|| state.clusters.announce_grpc(&cluster)).flatten();
    let (Some(charge), Some(announced)) = (charge, announced) else {
        state.stats.refused_calls.add(1);
        return Err(Status::InternalFailure.into());
    };
    let id = state.grpc_calls.next(kind);
    let (outgoing, messages) = unbounded_channel();
    let (still_wanted, wanted) = oneshot::channel();
    let unsent = Rc::new(Cell::new(0));
    let open = OpenCall {
        outgoing: Some(outgoing),
        unsent: Rc::clone(&unsent),
        _wanted: still_wanted,
    };
    state.grpc_calls.open.insert(id, open);
    state.orders.push(Order::GrpcCall(Box::new(GrpcOpening {
        id,
        root: state.root,
        cluster,
        request,
        timeout,
        announced,
        outgoing: Outgoing { messages, unsent },
        wanted,
        charge,
    })));
    Ok(id)
}

/// A message with its prefix: not compressed, and its size (gRPC over HTTP/2, "Length-Prefixed-Message").
fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(5 + message.len());
    bytes.put_u8(0);
    // A guest's memory has less than 2³² bytes.
    bytes.put_u32(message.len() as u32);
    bytes.extend_from_slice(message);
    bytes
}
