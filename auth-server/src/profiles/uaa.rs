//! The wire contract of a server of client tokens: opaque UUIDs, and clients that register clients.

use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use serde::Serialize;

use super::spring::{self, claims::Claims};
use crate::config::Compat;
use crate::entropy;

/// The scope whose tokens register and remove clients.
pub const ADMIN_SCOPE: &str = "ADMIN";
/// The scope of a client that was registered so: its tokens open nothing here.
pub const REGISTERED_SCOPE: &str = "CLIENT";

/// The value of a token: a UUID.
pub fn token_value(bytes: &[u8; 32]) -> String {
    let mut first = [0; 16];
    first.copy_from_slice(&bytes[..16]);
    entropy::uuid_of(first)
}

/// What `check_token` says of a token: an opaque one has no `jti` there.
#[derive(Serialize)]
pub struct Checked {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aud: Vec<String>,
    scope: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorities: Vec<String>,
    client_id: String,
}

impl From<Claims> for Checked {
    fn from(claims: Claims) -> Self {
        Self {
            aud: claims.aud,
            scope: claims.scope,
            exp: claims.exp,
            authorities: claims.authorities,
            client_id: claims.client_id,
        }
    }
}

/// The answer to the removal of a client: what the original wrote looks like JSON and is none.
pub fn deleted(compat: &Compat, client_id: &str) -> Response {
    if !compat.literal_delete_body {
        return spring::json(StatusCode::OK, &serde_json::json!({ "clientId": client_id }));
    }
    let head = [
        (header::CONTENT_TYPE, "text/plain;charset=UTF-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::PRAGMA, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (head, format!("{{clientId:{client_id}}}")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_token_answers_in_the_order_of_the_sample() {
        let claims = Claims {
            user_name: None,
            user_id: None,
            authorities: Vec::new(),
            scope: vec!["ADMIN".into()],
            jti: "2777a567-1c64-4d5b-a03e-37de5d33ca4e".into(),
            ati: None,
            exp: Some(1_444_333_123),
            client_id: "admin".into(),
            aud: Vec::new(),
            active: None,
        };
        let written = |claims: Claims| serde_json::to_string(&Checked::from(claims)).unwrap();
        assert_eq!(
            written(claims.clone()),
            r#"{"scope":["ADMIN"],"exp":1444333123,"client_id":"admin"}"#
        );
        let more = Claims {
            authorities: vec!["ROLE_A".into()],
            aud: vec!["uaa".into()],
            ..claims
        };
        assert_eq!(
            written(more),
            r#"{"aud":["uaa"],"scope":["ADMIN"],"exp":1444333123,"authorities":["ROLE_A"],"client_id":"admin"}"#
        );
    }
}
