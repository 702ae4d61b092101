//! `GET` and `POST /oauth/userinfo` of profile `tkey`: of whom an access token speaks.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, header};
use serde::Serialize;

use crate::app::App;
use crate::clock;
use crate::config::TkeyUserinfo;
use crate::db::access_token::AccessToken;
use crate::error::{Presented, Refusal};
use crate::issue::lives;
use crate::known_tokens;
use crate::profiles::tkey::{self, of_kind, optional};
use crate::servlet::Request;

/// Answers in the shape that `compat.tkey_userinfo` names.
pub async fn userinfo(State(app): State<Arc<App>>, request: Request) -> Response {
    match find(&app, &request).await {
        Ok(found) => match app.compat.tkey_userinfo {
            TkeyUserinfo::Sample => tkey::json(StatusCode::OK, &Sample::of(&found)),
            TkeyUserinfo::Source => tkey::json(StatusCode::OK, &Source::of(&found)),
        },
        Err(refusal) => tkey::refuse(&app, &request.path, refusal),
    }
}

async fn find(app: &App, request: &Request) -> Result<Arc<AccessToken>, Refusal> {
    let token = token(request).ok_or(Refusal::NoBearerToken)?;
    of_kind(token, "access_token", "AT-")?;
    let found = known_tokens::find(app, token).await?;
    let is_good = |found: &Arc<AccessToken>| {
        found.profile == request.mount.profile.name()
            && found.revoked_with_client == 0
            && lives(found.expires_at_ms, clock::now_ms())
    };
    found
        .filter(is_good)
        .ok_or_else(|| Refusal::BadBearerToken(Presented(token.to_owned())))
}

/// The header, with or without a scheme, wins over the parameter.
fn token(request: &Request) -> Option<&str> {
    let header = request.headers.get(header::AUTHORIZATION);
    let header = header.and_then(|value| value.to_str().ok()).map(str::trim);
    let Some(header) = header.filter(|text| !text.is_empty()) else {
        return optional(request, "access_token").map(str::trim);
    };
    match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim_start()),
        _ => Some(header),
    }
}

/// The original also has an `email` here, which no login service tells us.
#[derive(Serialize)]
struct UserAttribute<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
}

/// The five members of the published sample.
#[derive(Serialize)]
struct Sample<'a> {
    user_attribute: UserAttribute<'a>,
    grant_type: &'a str,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    client_id: &'a str,
}

/// The longer form of the original's source.
#[derive(Serialize)]
struct Source<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    user_attribute: UserAttribute<'a>,
    grant_type: &'a str,
    client_id: &'a str,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
}

impl<'a> UserAttribute<'a> {
    /// Nothing, if the token is the client's own.
    fn of(found: &'a AccessToken) -> Self {
        let text = |text: &'a String| (!text.is_empty()).then_some(text.as_str());
        Self {
            user_id: text(&found.user_id),
            username: text(&found.user_name),
        }
    }
}

impl<'a> Sample<'a> {
    fn of(found: &'a AccessToken) -> Self {
        let (iat, exp) = tkey::times(found.issued_at_ms, found.expires_at_ms);
        Self {
            user_attribute: UserAttribute::of(found),
            grant_type: &found.grant_type,
            iat,
            exp,
            client_id: &found.client_id,
        }
    }
}

impl<'a> Source<'a> {
    fn of(found: &'a AccessToken) -> Self {
        let user_attribute = UserAttribute::of(found);
        let (iat, exp) = tkey::times(found.issued_at_ms, found.expires_at_ms);
        Self {
            username: user_attribute.username,
            name: user_attribute.username,
            id: user_attribute.user_id,
            user_id: user_attribute.user_id,
            user_attribute,
            grant_type: &found.grant_type,
            client_id: &found.client_id,
            iat,
            exp,
        }
    }
}
