//! Local responses: what a plugin answers in the upstream's place.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::failure::{Answer, Failure, Status};
use super::fields;
use super::grpc_status;
use super::pairs;
use crate::stream::exchange::{Exchange, LocalResponse};
use crate::vm::memory::Host;

/// `proxy_send_local_response(status, details, body, headers, grpc_status)`: takes effect after the callback, in place
/// of what it returns. A gRPC client gets the status and the text as gRPC has them. The first one counts. Outside of a
/// stream it is accepted and dropped, as in Envoy. One that is given while the head of another response passes the plugins
/// takes its place.
#[expect(clippy::too_many_arguments, reason = "the ABI's own signature")]
pub(crate) fn send_local_response(
    host: &mut Host<'_>,
    status: u32,
    details: u32,
    details_size: u32,
    body: u32,
    body_size: u32,
    headers: u32,
    headers_size: u32,
    grpc_status: i32,
) -> Answer {
    let status = final_status(status)?;
    let details = String::from_utf8_lossy(host.read(details, details_size)?).into_owned();
    let body = Bytes::copy_from_slice(host.read(body, body_size)?);
    let mut headers = response_fields(host.read(headers, headers_size)?)?;
    let Some(stream) = host.stream() else { return Ok(()) };
    let mut exchange = stream.exchange.borrow_mut();
    if exchange.over || exchange.local_response.is_some() {
        return Ok(());
    }
    if exchange.response_started {
        // What has gone to the client cannot be taken back: the response breaks off, as in Envoy.
        exchange.reset = true;
        exchange.wake();
        return Ok(());
    }
    if !body.is_empty() && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    let mut local = LocalResponse {
        status,
        headers,
        body,
        details,
        breaks_off: false,
    };
    as_the_client_speaks(&exchange, &mut local, u32::try_from(grpc_status).ok());
    exchange.local_response = Some(local);
    exchange.wake();
    Ok(())
}

/// To a gRPC client the status of an answer is a field, and so is its text.
pub(crate) fn as_the_client_speaks(exchange: &Exchange, local: &mut LocalResponse, grpc_status: Option<u32>) {
    if !is_grpc(exchange) {
        return;
    }
    let grpc_status = grpc_status.filter(|status| *status <= 16);
    let grpc_status = grpc_status.unwrap_or_else(|| grpc_status::of_http(local.status));
    let headers = &mut local.headers;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(grpc_status::FIELD, HeaderValue::from(grpc_status));
    let text = std::mem::take(&mut local.body);
    if !text.is_empty()
        && let Ok(message) = HeaderValue::try_from(grpc_status::message_to_field(&text))
    {
        headers.insert(grpc_status::MESSAGE_FIELD, message);
    }
    local.status = StatusCode::OK;
}

/// Whether the client speaks gRPC, as far as is still known.
fn is_grpc(exchange: &Exchange) -> bool {
    let head = exchange.request.head();
    head.and_then(|head| head.headers.get(CONTENT_TYPE))
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// An interim status cannot end an exchange.
fn final_status(status: u32) -> Result<StatusCode, Failure> {
    u16::try_from(status)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .filter(|status| !status.is_informational())
        .ok_or_else(|| Status::BadArgument.into())
}

fn response_fields(bytes: &[u8]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs::read(bytes)? {
        if name.first() == Some(&b':') {
            continue;
        }
        let (name, value) = fields::field(name, value)?;
        if !fields::belongs_to_the_connection(&name) && name != CONTENT_LENGTH {
            fields::append(&mut headers, name, value)?;
        }
    }
    Ok(headers)
}
