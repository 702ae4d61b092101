//! Fields that belong to one hop only (RFC 9110 section 7.6.1).

use http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT,
    HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// A sender may not declare these as meant for one hop only; a client that does is not obeyed.
const END_TO_END: [HeaderName; 8] = [
    ACCEPT,
    AUTHORIZATION,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    COOKIE,
    HOST,
];

/// They say something about the connection, in both directions.
const OF_ONE_HOP: [HeaderName; 6] = [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE];

/// Removes the fields that `Connection` names.
///
/// Before the plugins, not after: a client that sends `Connection: x-user-id` must not make the gateway take off what a
/// plugin has set for the upstream.
pub fn remove_nominated(headers: &mut HeaderMap) {
    let mut nominated = Vec::new();
    for value in headers.get_all(CONNECTION) {
        for name in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let usual = [&b"keep-alive"[..], b"close", b"te", b"upgrade", b""];
            if usual.iter().any(|usual| name.eq_ignore_ascii_case(usual)) {
                continue;
            }
            if let Ok(name) = HeaderName::from_bytes(name)
                && !END_TO_END.contains(&name)
            {
                nominated.push(name);
            }
        }
    }
    for name in nominated {
        headers.remove(name);
    }
}

/// Whether `Connection` names a field.
pub fn nominate(headers: &HeaderMap, name: &[u8]) -> bool {
    let values = headers.get_all(CONNECTION).iter();
    let mut names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    names.any(|nominated| nominated.trim_ascii().eq_ignore_ascii_case(name))
}

/// Makes a head, without fields of this hop, one that changes the protocol.
pub fn change_to_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Removes what is for this hop only from a request.
pub fn strip_request(headers: &mut HeaderMap) {
    let found = Found::in_fields(headers);
    if !found.any {
        return;
    }
    // The one thing that TE still says to the next hop: trailers are welcome.
    let trailers = found.te && headers.get_all(TE).iter().any(accepts_trailers);
    remove(headers, OF_ONE_HOP);
    remove(headers, [HTTP2_SETTINGS, PROXY_AUTHORIZATION]);
    // The gateway itself asks the client for the body, when the upstream is ready for it.
    headers.remove(EXPECT);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Removes what is for this hop only from a response.
pub fn strip_response(headers: &mut HeaderMap) {
    if !Found::in_fields(headers).any {
        return;
    }
    remove_nominated(headers);
    remove(headers, OF_ONE_HOP);
    headers.remove(PROXY_AUTHENTICATE);
}

fn remove<const N: usize>(headers: &mut HeaderMap, names: [HeaderName; N]) {
    for name in names {
        headers.remove(name);
    }
}

/// Makes `Content-Length` say what the body is, whatever a plugin wrote there: a wrong length would let the next hop take
/// a part of one message for the beginning of another. `None` is a body that will be chunked.
pub fn tell_length(headers: &mut HeaderMap, length: Option<u64>) {
    match length {
        None => {
            headers.remove(CONTENT_LENGTH);
        }
        Some(0) => {
            if headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0") {
                headers.remove(CONTENT_LENGTH);
            }
        }
        Some(length) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
    }
}

/// Most messages have none of these fields or one: a look at the names is cheaper than trying to remove each.
#[derive(Default)]
struct Found {
    any: bool,
    te: bool,
}

impl Found {
    fn in_fields(headers: &HeaderMap) -> Self {
        let mut found = Found::default();
        for name in headers.keys() {
            match *name {
                TE => (found.any, found.te) = (true, true),
                CONNECTION | TRANSFER_ENCODING | UPGRADE | EXPECT | PROXY_AUTHORIZATION | PROXY_AUTHENTICATE => {
                    found.any = true;
                }
                _ => found.any |= [KEEP_ALIVE, PROXY_CONNECTION, HTTP2_SETTINGS].contains(name),
            }
        }
        found
    }
}

fn accepts_trailers(te: &HeaderValue) -> bool {
    te.as_bytes()
        .split(|byte| *byte == b',')
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn fields_of_one_hop_end_here() {
        let mut headers = fields(&[
            ("connection", "keep-alive, x-hop"),
            ("keep-alive", "timeout=5"),
            ("x-hop", "1"),
            ("te", "gzip, trailers"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
            ("x-end", "2"),
        ]);
        remove_nominated(&mut headers);
        strip_request(&mut headers);
        assert_eq!(
            headers,
            fields(&[("x-end", "2"), ("te", "trailers"), ("connection", "te")])
        );
    }

    #[test]
    fn a_length_is_what_the_body_is() {
        let told = |field: &[(&'static str, &'static str)], length| {
            let mut headers = fields(field);
            tell_length(&mut headers, length);
            headers
                .get(CONTENT_LENGTH)
                .map(|length| length.to_str().unwrap().to_owned())
        };
        assert_eq!(told(&[("content-length", "5")], Some(3)).as_deref(), Some("3"));
        assert_eq!(told(&[], Some(3)).as_deref(), Some("3"));
        assert_eq!(told(&[("content-length", "5")], None), None);
        assert_eq!(told(&[("content-length", "5")], Some(0)), None);
        assert_eq!(told(&[("content-length", "0")], Some(0)).as_deref(), Some("0"));
        assert_eq!(told(&[], Some(0)), None);
    }

    #[test]
    fn fields_for_everybody_cannot_be_nominated_away() {
        let mut headers = fields(&[
            ("connection", "authorization, x-other"),
            ("authorization", "a"),
            ("x-other", "b"),
        ]);
        remove_nominated(&mut headers);
        strip_request(&mut headers);
        assert_eq!(headers, fields(&[("authorization", "a")]));
    }
}
