//! What a request must look like before anything trusts it.

use http::header::{HOST, UPGRADE};
use http::{HeaderValue, Method, Uri, Version, request};

use super::fields;
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

/// What [`is_unambiguous`] refuses, as a regular expression over the whole path.
pub const AMBIGUOUS: &str =
    r"(?i).*(?:%(?:2[d-f]|3[0-9]|[46][1-9a-f]|[57][0-9a]|5[cf]|7e)|//|\\|/\.\.?[;/]).*|.*/\.\.?";

/// Whether everybody who takes a path apart comes to the same segments. Not so with dot segments (also with a parameter:
/// `..;x`), empty segments, backslashes, and what need not be encoded but is: slashes, and characters that mean the same
/// either way (RFC 3986 section 6.2.2.2).
pub fn is_unambiguous(path: &str) -> bool {
    let mut segments = path.split('/').skip(1);
    let dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    !path.contains("//") && !path.contains('\\') && !segments.any(dots) && !encodes_needlessly(path)
}

fn encodes_needlessly(path: &str) -> bool {
    path.split('%').skip(1).any(|rest| {
        let byte = rest.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"-._~/\\".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_can_be_read_in_two_ways_are_found() {
        for path in [
            "/health/../orders",
            "/a/.",
            "/a/..",
            "/./a",
            "/a/..;x=1/b",
            "/a/.;",
            "//a",
            "/a//",
            "/a\\b",
            "/a%2Fb",
            "/a/%2e%2E/b",
            "/a/.%2e/b",
            "/a%5cb",
            "/%6frders",
            "/%4Frders",
            "/orders%2d1",
            "/%7euser",
            "/%39",
        ] {
            assert!(!is_unambiguous(path), "{path}");
        }
        for path in [
            "/",
            "/a/b",
            "/a/",
            "/a.b/..c/...",
            "/a;b=c",
            "/a%20b",
            "/%C3%BC",
            "/a%3Bb",
            "/a%25",
            "/%",
            "/%2",
            "*",
            "",
            "/%40",
            "/%5B",
            "/%60",
            "/%7B",
        ] {
            assert!(is_unambiguous(path), "{path}");
        }
    }
}
