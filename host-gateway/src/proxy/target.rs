//! What a request must look like before anything trusts it.

use http::header::{HOST, UPGRADE};
use http::{HeaderValue, Method, Uri, Version, request};

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
    // A server may ignore an upgrade; clients that offer `h2c` go on in HTTP/1.1 (RFC 9110 section 7.8).
    let upgrade = head.headers.get(UPGRADE);
    if upgrade.is_some_and(|protocol| !protocol.as_bytes().eq_ignore_ascii_case(b"h2c")) {
        return Err(Failure::Upgrade);
    }
    if let Some(authority) = head.uri.authority() {
        // RFC 9112 section 3.2.2: the target's authority replaces the Host field.
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Failure::Host)?;
        head.headers.insert(HOST, host);
        head.uri = head.uri.path_and_query().cloned().map(Uri::from).ok_or(Failure::Host)?;
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), None) => Ok(()),
        (None, None) if head.version == Version::HTTP_10 => Ok(()),
        _ => Err(Failure::Host),
    }
}
