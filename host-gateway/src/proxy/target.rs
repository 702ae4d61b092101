//! What a request must look like before anything trusts it.

use http::header::{HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::Scheme;
use http::{HeaderValue, Method, Uri, Version, request};

use super::fields;
use super::host::is_host;
use crate::error::Failure;

/// Refuses requests that this gateway cannot forward, and brings an absolute-form target into origin form.
pub fn check(head: &mut request::Parts) -> Result<(), Failure> {
    if head.method == Method::CONNECT {
        return Err(Failure::Tunnel);
    }
    if head.method == Method::TRACE {
        // The answer would hold all fields of the request, credentials too (RFC 9110 section 9.3.8).
        return Err(Failure::Trace);
    }
    if !is_chunked_at_most(head) {
        return Err(Failure::TransferCoding);
    }
    if let Some(authority) = head.uri.authority() {
        // RFC 9112 section 3.2.2: the target's authority replaces the Host field. Of another scheme we are not the origin.
        if head.uri.scheme() != Some(&Scheme::HTTP) {
            return Err(Failure::Host);
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Failure::Host)?;
        head.headers.insert(HOST, host);
        head.uri = head.uri.path_and_query().cloned().map(Uri::from).ok_or(Failure::Host)?;
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => Ok(()),
        (None, None) if head.version == Version::HTTP_10 => Ok(()),
        _ => Err(Failure::Host),
    }
}

/// Codings belong to one hop (RFC 9112 section 6.1): one that is not taken off here would be lost, and the body with it be
/// something else to the upstream.
fn is_chunked_at_most(head: &request::Parts) -> bool {
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

/// Whether a request asks to go on in the WebSocket protocol (RFC 6455 section 4.1). Other protocols are refused; but a
/// server may ignore an upgrade, and clients that offer `h2c` go on in HTTP/1.1 (RFC 9110 section 7.8).
pub fn wants_websocket(head: &request::Parts, bodyless: bool) -> Result<bool, Failure> {
    let mut protocols = head.headers.get_all(UPGRADE).iter().map(HeaderValue::as_bytes);
    match (protocols.next(), protocols.next()) {
        (None, _) => Ok(false),
        (Some(protocol), None) if protocol.eq_ignore_ascii_case(b"h2c") => Ok(false),
        (Some(protocol), None)
            if protocol.eq_ignore_ascii_case(b"websocket")
                && head.method == Method::GET
                && head.version == Version::HTTP_11
                && bodyless
                && fields::nominate(&head.headers, b"upgrade") =>
        {
            Ok(true)
        }
        _ => Err(Failure::Upgrade),
    }
}
