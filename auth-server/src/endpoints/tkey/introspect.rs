//! `POST /oauth/introspect` of profile `tkey`: whether a token is good, and until when. Not RFC 7662: a bad token is an error,
//! and there is no `active`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use crate::app::App;
use crate::clock;
use crate::db::refresh_token;
use crate::error::Refusal;
use crate::issue::{lives, token_hash};
use crate::known_tokens;
use crate::profiles::tkey::{self, ShownClient, of_kind, required};
use crate::servlet::Request;

/// Answers with what is known of a living token. The caller is any client that authenticates.
pub async fn introspect(State(app): State<Arc<App>>, request: Request) -> Response {
    match check(&app, &request).await {
        Ok(answer) => tkey::json(StatusCode::OK, &answer),
        Err(refusal) => tkey::refuse(&app, &request.path, refusal),
    }
}

#[derive(Serialize)]
struct Answer {
    token_type: &'static str,
    grant_type: String,
    /// The caller's, whoever the token was given to.
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    iat: i64,
}

enum Kind {
    Access,
    Refresh,
}

/// The checks in the order of the original.
async fn check(app: &App, request: &Request) -> Result<Answer, Refusal> {
    let client = ShownClient::read(request);
    let token = required(request, "token")?;
    let hint = required(request, "token_type_hint")?;
    client.secret()?;
    let kind = match hint.to_ascii_lowercase().as_str() {
        "access_token" => {
            of_kind(token, "access_token", "AT-")?;
            Kind::Access
        }
        "refresh_token" => {
            of_kind(token, "refresh_token", "RT-")?;
            Kind::Refresh
        }
        _ => return Err(Refusal::Malformed("token_type_hint")),
    };
    let client = client.authenticate(app, request).await?;

    let profile = request.mount.profile.name();
    let known = match kind {
        Kind::Access => known_tokens::find(app, token)
            .await?
            .filter(|found| found.profile == profile && found.revoked_with_client == 0)
            .map(|found| (found.grant_type.clone(), found.issued_at_ms, found.expires_at_ms)),
        Kind::Refresh => refresh_token::find_opaque(&mut *app.database.read().await?, &token_hash(token))
            .await?
            .filter(|found| found.profile == profile)
            .map(|found| (found.grant_type, found.issued_at_ms, found.expires_at_ms)),
    };
    let (grant_type, issued_at_ms, expires_at_ms) = known
        .filter(|(_, _, expires_at_ms)| lives(*expires_at_ms, clock::now_ms()))
        .ok_or(Refusal::UnknownToken)?;
    let (iat, exp) = tkey::times(issued_at_ms, expires_at_ms);
    Ok(Answer {
        token_type: "Bearer",
        grant_type,
        client_id: client.client_id.clone(),
        exp,
        iat,
    })
}
