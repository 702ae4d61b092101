//! The wire contract of a single sign-on server with opaque tokens: `AT-…`, `RT-…`, `OC-…`, `TGC-…`.
//!
//! Requests are read as a servlet reads them (query and body merged). Errors have one shape, with texts in Chinese that
//! clients know by heart; the pages for people show them in English too.

mod shown;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, StatusCode, Uri, header};
use serde::Serialize;

use crate::app::App;
use crate::db::client::Client;
use crate::error::Refusal;
use crate::issue::Issued;
use crate::pages::failure::{Failure, failure};
use crate::profiles::json_beside;
use crate::servlet::Request;
pub use shown::{ShownClient, known_client, registered_redirect_uri};

/// What the contract calls the implicit grant.
pub const IMPLICIT: &str = "token";

/// How long a login at the pages lasts, in seconds.
pub const SESSION_S: i64 = 24 * 60 * 60;
/// The same, for who asked to be remembered.
pub const REMEMBERED_S: i64 = 7 * 24 * 60 * 60;

/// The value of a token: its kind, a dash and 32 letters and digits (190 bits).
pub fn token_value(kind: &str, bytes: &[u8; 32]) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let characters = bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
    format!("{kind}-{}", characters.collect::<String>())
}

/// Whether a client may have this id here.
pub fn is_client_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The scope of every token of a client: the contract has no parameter to ask for less.
pub fn scope_of(client: &Client) -> Vec<String> {
    client.scopes.clone()
}

/// A parameter that must be there; blank is absent.
pub fn required<'a>(request: &'a Request, name: &'static str) -> Result<&'a str, Refusal> {
    optional(request, name).ok_or(Refusal::MissingParameter(name))
}

/// A parameter that may be there; blank is absent.
pub fn optional<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.parameters.get(name).filter(|value| !value.trim().is_empty())
}

/// A value that must have its kind somewhere in it: tokens of the original came in two forms.
pub fn of_kind<'a>(value: &'a str, name: &'static str, kind: &str) -> Result<&'a str, Refusal> {
    if value.to_ascii_uppercase().contains(kind) {
        Ok(value)
    } else {
        Err(Refusal::Malformed(name))
    }
}

/// The answer of the token endpoint.
pub fn token_answer(grant: &str, issued: &Issued) -> Response {
    #[derive(Serialize)]
    struct Answer<'a> {
        access_token: &'a str,
        token_type: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_in: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        refresh_token: Option<&'a str>,
    }
    let answer = Answer {
        access_token: &issued.access_token,
        token_type: "Bearer",
        expires_in: lifetime(issued),
        // The one that was presented stays good, and is not told again.
        refresh_token: issued.refresh_token.as_deref().filter(|_| grant != "refresh_token"),
    };
    json(StatusCode::OK, &answer)
}

/// Seconds; `None`: for ever.
pub fn lifetime(issued: &Issued) -> Option<i64> {
    issued
        .expires_at_ms
        .map(|expires| (expires - issued.issued_at_ms) / 1000)
}

/// `iat` and `exp` in seconds. As in the original, the one is the other and the lifetime.
pub fn times(issued_at_ms: i64, expires_at_ms: Option<i64>) -> (i64, Option<i64>) {
    let iat = issued_at_ms / 1000;
    (iat, expires_at_ms.map(|expires| iat + (expires - issued_at_ms) / 1000))
}

/// A JSON answer. Unlike the original's, none may be kept by a cache: there are tokens in them.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    json_beside(
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        status,
        body,
    )
}

/// The answer to a refused request.
pub fn refuse(app: &App, path: &str, refusal: Refusal) -> Response {
    #[derive(Serialize)]
    struct Error {
        error: &'static str,
        error_description: String,
        error_uri_msg: &'static str,
    }
    let failure = note(app, path, refusal);
    let mut response = json(
        failure.status,
        &Error {
            error: "invalid request",
            error_description: failure.chinese,
            error_uri_msg: "See the full API docs at https://github.com/cdk8s",
        },
    );
    if let Some(seconds) = failure.retry_after.and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// Counts a refusal, logs what an operator must know, and says what to answer.
pub fn note(app: &App, path: &str, refusal: Refusal) -> Failure {
    refusal.log(path);
    let failure = failure(&refusal);
    app.metrics.refused(match failure.status.as_u16() {
        500.. => "server_error",
        429 => "too_many_attempts",
        _ => "invalid_request",
    });
    failure
}

/// For methods that an endpoint does not have.
pub async fn method_not_allowed(State(app): State<Arc<App>>, method: http::Method, uri: Uri) -> Response {
    refuse(&app, uri.path(), Refusal::MethodNotAllowed(method.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_the_shape_of_the_samples() {
        assert_eq!(token_value("AT", &[0; 32]), format!("AT-{}", "0".repeat(32)));
        assert_eq!(token_value("RT", &[255; 32]), format!("RT-{}", "7".repeat(32)));
    }

    #[test]
    fn both_forms_of_the_originals_tokens_are_of_their_kind() {
        for value in [
            "AT-IDm312Our5Jti70BGE8RgO2qRK29blri",
            "AT-3KGHVaANf4Ppi1IhrlHTF9IKSsV7fuzY-109",
            "at-x",
        ] {
            assert!(of_kind(value, "access_token", "AT-").is_ok(), "{value}");
        }
        assert!(of_kind("RT-x", "access_token", "AT-").is_err());
    }
}
