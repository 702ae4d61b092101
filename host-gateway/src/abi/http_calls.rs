//! HTTP calls: requests a plugin sends to a cluster on its own account.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue};
use http::{HeaderMap, Method, Request, Uri, response};

use super::call_bytes::Charge;
use super::failure::{Answer, Failure, Status};
use super::fields::{self, Fields};
use super::grpc_calls::GrpcEvent;
use super::pairs::{self, Pair};
use super::types::MapType;
use super::{HostState, Order};
use crate::cluster::{Announced, CallError};
use crate::error::UpstreamError;
use crate::plugin::Compat;
use crate::vm::memory::Host;

/// What a timeout of zero means: Envoy waits without end; a call that nobody can cancel should not.
const LONGEST: Duration = Duration::from_secs(3600);

/// A call that waits to be sent.
#[derive(Debug)]
pub(crate) struct HttpCall {
    pub(crate) id: u32,
    /// The root context that is told the answer.
    pub(crate) root: u32,
    pub(crate) cluster: String,
    /// With its body and trailers.
    pub(crate) request: Request<(Bytes, HeaderMap)>,
    pub(crate) timeout: Duration,
    /// Until it is sent.
    pub(crate) announced: Announced,
    /// How the guest is told of a failure.
    pub(crate) compat: Compat,
    /// For its fields, and for what comes of the answer; the body counts for itself.
    pub(crate) charge: Charge,
}

/// How a call ended.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made and looked at one by one")]
pub(crate) enum CallAnswer {
    Answered {
        head: response::Parts,
        body: Bytes,
        trailers: Option<HeaderMap>,
    },
    /// Nobody answered, or not to the end.
    Failed(CallError),
}

impl CallAnswer {
    /// Headers, body bytes, trailers, as `proxy_on_http_call_response` is told; no headers means failed.
    pub(crate) fn sizes(&self) -> (u32, u32, u32) {
        match self {
            Self::Answered { head, body, trailers } => (
                Fields::Response(head).count(),
                body.len() as u32,
                trailers.as_ref().map_or(0, |map| map.len() as u32),
            ),
            Self::Failed(_) => (0, 0, 0),
        }
    }

    pub(crate) fn fields(&self, map: MapType) -> Option<Fields<'_>> {
        match (self, map) {
            (Self::Answered { head, .. }, MapType::HttpCallResponseHeaders) => Some(Fields::Response(head)),
            (Self::Answered { trailers, .. }, MapType::HttpCallResponseTrailers) => {
                trailers.as_ref().map(Fields::Plain)
            }
            _ => None,
        }
    }

    pub(crate) fn body(&self) -> Option<&[u8]> {
        match self {
            Self::Answered { body, .. } => Some(body),
            Self::Failed(_) => None,
        }
    }

    /// How the call ended, as Kong shows it among the headers.
    pub(crate) fn dispatch_status(&self) -> &'static str {
        match self {
            Self::Answered { .. } => "ok",
            Self::Failed(CallError::Upstream(UpstreamError::Timeout | UpstreamError::ConnectTimeout)) => "timeout",
            Self::Failed(CallError::Upstream(UpstreamError::Protocol)) => "reader failure",
            Self::Failed(CallError::Upstream(_) | CallError::Incomplete) => "broken connection",
            Self::Failed(_) => "internal failure",
        }
    }
}

/// `proxy_http_call(cluster, headers, body, trailers, timeout_ms, *call_id)`. The call belongs to the root context; it
/// is sent after the callback has returned.
#[expect(clippy::too_many_arguments, reason = "the ABI's own signature")]
pub(crate) fn http_call(
    host: &mut Host<'_>,
    cluster: u32,
    cluster_size: u32,
    headers: u32,
    headers_size: u32,
    body: u32,
    body_size: u32,
    trailers: u32,
    trailers_size: u32,
    timeout_ms: u32,
    id_out: u32,
) -> Answer {
    host.check(id_out, 4)?;
    let named = std::str::from_utf8(host.read(cluster, cluster_size)?).map_err(|_| Status::BadArgument)?;
    let cluster = cluster_of(host.state(), named).ok_or(Status::BadArgument)?;
    // In Kong a call need not say to whom it is: the address does.
    let implied = (host.state().identity.compat == Compat::Nginx).then_some(named);
    let mut trailer_fields = HeaderMap::new();
    for (name, value) in pairs::read(host.read(trailers, trailers_size)?)? {
        add(&mut trailer_fields, name, value)?;
    }
    let body = host.read(body, body_size)?;
    let fields = headers_size as usize + trailers_size as usize;
    let room = charge(host, body, fields);
    let Some((body, charge)) = room else {
        host.state().stats.refused_calls.add(1);
        return Err(Status::InternalFailure.into());
    };
    let fields = pairs::read(host.read(headers, headers_size)?)?;
    let request = request(&fields, implied, (body, trailer_fields))?;
    let timeout = match timeout_ms {
        0 => LONGEST,
        milliseconds => Duration::from_millis(u64::from(milliseconds)),
    };
    let state = host.state_mut();
    let room = state.open_calls < state.limits.calls;
    let Some(announced) = room.then(|| state.clusters.announce(&cluster)).flatten() else {
        state.stats.refused_calls.add(1);
        return Err(Status::InternalFailure.into());
    };
    state.open_calls += 1;
    let id = next_id(&mut state.next_call);
    let call = Box::new(HttpCall {
        id,
        root: state.root,
        cluster,
        request,
        timeout,
        announced,
        compat: state.identity.compat,
        charge,
    });
    host.state_mut().orders.push(Order::HttpCall(call));
    host.write_u32(id_out, id)
}

/// The cluster that a guest names; or, as in Kong, whose endpoint it names as `host` or `host:port`. What no cluster has
/// cannot be called.
fn cluster_of(state: &HostState, named: &str) -> Option<String> {
    let clusters = &state.clusters;
    if clusters.contains(named) {
        return Some(named.to_owned());
    }
    if state.identity.compat != Compat::Nginx {
        return None;
    }
    let found = clusters.with_endpoint(named);
    let found = found.or_else(|| clusters.with_endpoint(&format!("{named}:80")));
    found.map(str::to_owned)
}

/// Counts what a call holds.
fn charge(host: &Host<'_>, body: &[u8], fields: usize) -> Option<(Bytes, Charge)> {
    let left = &host.state().call_bytes;
    let charge = left.take(fields)?;
    Some((left.keep(body.to_vec()).ok()?, charge))
}

/// `proxy_get_status(*code, **message, *size)`: why the call whose answer is delivered failed, if it did, or the status of
/// the gRPC call that is closed.
pub(crate) fn get_status(host: &mut Host<'_>, code_out: u32, data_out: u32, size_out: u32) -> Answer {
    let (answer, event) = (host.state().answer.clone(), host.state().grpc_event.clone());
    let (code, message) = match (answer.as_deref(), event.as_deref()) {
        (Some(CallAnswer::Failed(_)), _) => (Status::BrokenConnection as u32, "reset"),
        (None, Some(GrpcEvent::Close { status, message })) => (*status, message.as_str()),
        _ => (0, ""),
    };
    host.check(code_out, 4)?;
    host.return_bytes(message.as_bytes(), data_out, size_out)?;
    host.write_u32(code_out, code)
}

/// Ids count up; zero is never one.
fn next_id(next: &mut u32) -> u32 {
    let id = *next;
    *next = next.checked_add(1).unwrap_or(1);
    id
}

fn request(
    pairs: &[Pair<'_>],
    implied: Option<&str>,
    body: (Bytes, HeaderMap),
) -> Result<Request<(Bytes, HeaderMap)>, Failure> {
    let (mut head, body) = Request::new(body).into_parts();
    let (mut method, mut path, mut authority) = (None, None, None);
    for (name, value) in pairs {
        match *name {
            b":method" => method = Some(Method::from_bytes(value).map_err(|_| Status::BadArgument)?),
            b":path" => path = Some(Uri::try_from(*value).map_err(|_| Status::BadArgument)?),
            b":authority" => authority = Some(HeaderValue::from_bytes(value).map_err(|_| Status::BadArgument)?),
            [b':', ..] => {}
            _ => add(&mut head.headers, name, value)?,
        }
    }
    head.method = method.ok_or(Status::BadArgument)?;
    head.uri = path
        .filter(|path| path.path_and_query().is_some())
        .ok_or(Status::BadArgument)?;
    let authority = authority.or_else(|| HeaderValue::from_str(implied?).ok());
    head.headers.insert(HOST, authority.ok_or(Status::BadArgument)?);
    Ok(Request::from_parts(head, body))
}

/// The length is that of the body; a second opinion would let a guest smuggle requests.
fn add(headers: &mut HeaderMap, name: &[u8], value: &[u8]) -> Answer {
    let (name, value) = fields::field(name, value)?;
    if !fields::belongs_to_the_connection(&name) && name != CONTENT_LENGTH && name != HOST {
        fields::append(headers, name, value)?;
    }
    Ok(())
}
