//! The wire contract of Spring Security OAuth 2.x, to the byte: how its requests are read and its answers written.

pub mod claims;
mod failures;

use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::client_auth::Presented;
use crate::credentials;
use crate::error::Refusal;
use crate::issue::Issued;
use crate::profiles::{Profile, json_beside};
use crate::servlet::Request;
pub use failures::{refuse, refuse_as, told};

impl Request {
    /// The credentials of the client: HTTP Basic (not URL-decoded), else the parameters.
    pub fn client_credentials(&self) -> Result<Presented, Refusal> {
        if let Some(decoded) = credentials::basic(&self.headers) {
            let decoded =
                decoded.map_err(|_| Refusal::MalformedBasic("Failed to decode basic authentication token"))?;
            let text = String::from_utf8_lossy(&decoded);
            let (client_id, secret) = text
                .split_once(':')
                .ok_or(Refusal::MalformedBasic("Invalid basic authentication token"))?;
            return Ok(Presented::Basic {
                client_id: client_id.to_owned(),
                secret: secret.to_owned(),
            });
        }
        let client_id = self.parameters.get("client_id").ok_or(Refusal::NoClientCredentials)?;
        let secret = self.parameters.get("client_secret").unwrap_or_default();
        Ok(Presented::Form {
            client_id: client_id.trim().to_owned(),
            secret: secret.to_owned(),
        })
    }

    /// The scopes asked for, sorted, as the original's `TreeSet` has them; blanks and plus signs part them.
    pub fn scope(&self) -> Vec<String> {
        parse_scope(self.parameters.get("scope").unwrap_or_default())
    }
}

/// The token of `Authorization: Bearer …`; the scheme in any case.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .trim()
        .split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The answer of the token endpoint. Members in the order of Spring's serializer; of the profiles only `spring` has a
/// `jti` in it.
pub fn token_answer(profile: Profile, issued: &Issued, now_ms: i64) -> Response {
    #[derive(Serialize)]
    struct Answer<'a> {
        access_token: &'a str,
        token_type: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        refresh_token: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_in: Option<i64>,
        scope: String,
        #[serde(rename = "userId", skip_serializing_if = "Option::is_none")]
        user_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        jti: Option<&'a str>,
    }
    // Truncated, and never measured in the millisecond of issue itself: a fresh token of twelve hours says 43199.
    let now_ms = now_ms.max(issued.issued_at_ms + 1);
    let answer = Answer {
        access_token: &issued.access_token,
        token_type: "bearer",
        refresh_token: issued.refresh_token.as_deref(),
        expires_in: issued.expires_at_ms.map(|expires| (expires - now_ms) / 1000),
        scope: issued.scope.join(" "),
        user_id: issued.user_id.as_deref(),
        jti: (profile == Profile::Spring).then_some(issued.token_id.as_str()),
    };
    json(StatusCode::OK, &answer)
}

/// A JSON answer with the headers that every answer of the profile has.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    json_beside((header::PRAGMA, HeaderValue::from_static("no-cache")), status, body)
}

fn parse_scope(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| c.is_ascii_whitespace() || c == '\u{b}' || c == '+');
    let mut scope: Vec<String> = parts.filter(|part| !part.is_empty()).map(str::to_owned).collect();
    scope.sort_unstable();
    scope.dedup();
    scope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_parted_by_blanks_and_plus_signs_and_sorted() {
        assert_eq!(parse_scope("write read+all  read"), ["all", "read", "write"]);
        assert!(parse_scope("  ").is_empty());
    }

    #[test]
    fn the_bearer_scheme_counts_in_any_case() {
        let headers =
            |value: &'static str| HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
        assert_eq!(bearer(&headers("bearer a.b.c")), Some("a.b.c"));
        assert_eq!(bearer(&headers("BEARER  a.b.c ")), Some("a.b.c"));
        assert_eq!(bearer(&headers("Basic a.b.c")), None);
        assert_eq!(bearer(&headers("bearer ")), None);
    }
}
