//! `user:password` pairs of HTTP Basic (RFC 7617) between our own programs.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A `user:password` pair from the configuration. Its `Debug` shows the user only.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Credentials(String);

impl Credentials {
    /// The `Authorization` header that presents the pair.
    pub fn header(&self) -> HeaderValue {
        let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(&self.0)))
            .unwrap_or_else(|_| HeaderValue::from_static("Basic"));
        value.set_sensitive(true);
        value
    }
}

impl Credentials {
    /// The user's name.
    pub fn user(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// How many characters the password has.
    pub fn password_length(&self) -> usize {
        self.0
            .split_once(':')
            .map_or(0, |(_, password)| password.chars().count())
    }
}

impl TryFrom<String> for Credentials {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.split_once(':') {
            Some((user, password)) if !user.is_empty() && !password.is_empty() => Ok(Self(text)),
            _ => Err("write user:password"),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:<redacted>", self.user())
    }
}

/// Whether the request presents one of the pairs. Takes the same time whichever it is, and however much of it is right.
pub fn presented(headers: &HeaderMap, accepted: &[Credentials]) -> bool {
    let Some(given) = basic(headers).and_then(Result::ok) else {
        return false;
    };
    let given = Sha256::digest(given);
    let matches = accepted.iter().map(|pair| Sha256::digest(&pair.0).ct_eq(&given));
    matches.fold(subtle::Choice::from(0), |any, one| any | one).into()
}

/// What `Authorization: Basic …` carries, as bytes; `Some(Err)`: not Base64.
pub fn basic(headers: &HeaderMap) -> Option<Result<Vec<u8>, base64::DecodeError>> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, encoded) = value.split_at_checked("Basic ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Basic ")
        .then(|| STANDARD.decode(encoded.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn only_a_configured_pair_is_accepted() {
        let accepted = [Credentials("a:1".into()), Credentials("gateway:secret".into())];
        assert!(presented(&headers("Basic Z2F0ZXdheTpzZWNyZXQ="), &accepted));
        assert!(presented(&headers("basic Z2F0ZXdheTpzZWNyZXQ="), &accepted));
        assert!(!presented(&headers("Basic Z2F0ZXdheTpzZWNyZXQ"), &accepted));
        assert!(!presented(&headers("Basic Z2F0ZXdheTo="), &accepted));
        assert!(!presented(&HeaderMap::new(), &accepted));
    }

    #[test]
    fn a_password_never_shows_in_debug_output() {
        assert_eq!(
            format!("{:?}", Credentials("gateway:secret".into())),
            "gateway:<redacted>"
        );
    }
}
