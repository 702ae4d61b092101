//! Who calls us: gateways and the auth server, with HTTP Basic (RFC 7617). Extractors, so that a handler that takes one
//! cannot forget to ask.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use subtle::{Choice, ConstantTimeEq as _};

use crate::app::App;
use crate::config::Credentials;
use crate::error::Error;

/// A caller with credentials from the configuration.
#[derive(Debug)]
pub struct Gateway(());

/// A caller who may use the reserved interfaces: with credentials, or anybody where the configuration says so.
#[derive(Debug)]
pub struct ReservedCaller(());

impl FromRequestParts<Arc<App>> for Gateway {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        check(&parts.headers, &app.credentials).map(|()| Self(()))
    }
}

impl FromRequestParts<Arc<App>> for ReservedCaller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        if app.open_reserved {
            return Ok(Self(()));
        }
        check(&parts.headers, &app.credentials).map(|()| Self(()))
    }
}

fn check(headers: &HeaderMap, accepted: &[Credentials]) -> Result<(), Error> {
    let header = headers.get(AUTHORIZATION).ok_or(Error::NotAuthenticated)?;
    let presented = basic(header.as_bytes()).ok_or(Error::BadCredentials)?;
    // Every pair is compared, in constant time: how long it takes tells nothing about how close a guess was.
    let found = accepted
        .iter()
        .fold(Choice::from(0), |found, pair| found | pair.as_bytes().ct_eq(&presented));
    if found.into() {
        Ok(())
    } else {
        Err(Error::BadCredentials)
    }
}

/// The decoded `user:password` of an `Authorization: Basic` header.
fn basic(header: &[u8]) -> Option<Vec<u8>> {
    let (scheme, encoded) = header.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    STANDARD.decode(encoded.trim_ascii()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(header: Option<&str>) -> Result<(), Error> {
        let accepted =
            ["gateway:secret", "other:word"].map(|pair| Credentials::try_from(pair.to_owned()).expect("well-formed"));
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(AUTHORIZATION, header.parse().unwrap());
        }
        check(&headers, &accepted)
    }

    #[test]
    fn any_configured_pair_is_accepted() {
        assert!(answer(Some("Basic Z2F0ZXdheTpzZWNyZXQ=")).is_ok());
        assert!(answer(Some("basic b3RoZXI6d29yZA==")).is_ok());
    }

    #[test]
    fn nothing_else_is() {
        assert!(matches!(answer(None), Err(Error::NotAuthenticated)));
        for header in [
            "Basic",
            "Basic ",
            "Basic !",
            "Bearer Z2F0ZXdheTpzZWNyZXQ=",
            "Basic Z2F0ZXdheTpzZWNyZQ==",
        ] {
            assert!(matches!(answer(Some(header)), Err(Error::BadCredentials)), "{header}");
        }
    }
}
