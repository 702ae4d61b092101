//! The statuses of gRPC that are ours to give, and how they stand in fields (gRPC, "Status codes and their use in gRPC" and
//! "gRPC over HTTP2").

use http::{HeaderName, StatusCode};

pub(crate) const FIELD: HeaderName = HeaderName::from_static("grpc-status");
pub(crate) const MESSAGE_FIELD: HeaderName = HeaderName::from_static("grpc-message");

pub(crate) const OK: u32 = 0;
pub(crate) const UNKNOWN: u32 = 2;
pub(crate) const DEADLINE_EXCEEDED: u32 = 4;
const PERMISSION_DENIED: u32 = 7;
pub(crate) const RESOURCE_EXHAUSTED: u32 = 8;
const UNIMPLEMENTED: u32 = 12;
pub(crate) const INTERNAL: u32 = 13;
pub(crate) const UNAVAILABLE: u32 = 14;
const UNAUTHENTICATED: u32 = 16;

/// gRPC, "HTTP to gRPC status code mapping".
pub(crate) fn of_http(http: StatusCode) -> u32 {
    match http.as_u16() {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502 | 503 | 504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// `grpc-message` as it was meant; what is not percent-encoded stays.
pub(crate) fn message_from_field(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let encoded = after.first_chunk::<2>().filter(|_| first == b'%');
        let digits = encoded.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A message as it stands in `grpc-message`.
pub(crate) fn message_to_field(message: &[u8]) -> String {
    let mut field = String::with_capacity(message.len());
    for &byte in message {
        match byte {
            b'%' => field.push_str("%25"),
            b' '..=b'~' => field.push(char::from(byte)),
            _ => field.push_str(&format!("%{byte:02X}")),
        }
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_percent_encoded() {
        let message = "50% \u{20ac}\n";
        assert_eq!(message_to_field(message.as_bytes()), "50%25 %E2%82%AC%0A");
        assert_eq!(message_from_field(b"50%25 %e2%82%ac%0A"), message);
        assert_eq!(message_from_field(b"%zz %"), "%zz %");
    }
}
