//! `/oauth/check_token`: what a token says, for resource servers (the forerunner of RFC 7662). A bad token is answered
//! with 400: the legacy `RemoteTokenServices` takes only 400 for "bad" and fails on anything else.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{Method, StatusCode};

use crate::app::App;
use crate::client_auth;
use crate::clock;
use crate::config::{SpringOauth, TokenStore};
use crate::error::Refusal;
use crate::imported::{self, Imported, Kind, Payload};
use crate::issue::lives;
use crate::known_tokens;
use crate::profiles::Profile;
use crate::profiles::spring;
use crate::profiles::spring::claims::Claims;
use crate::profiles::uaa::Checked;
use crate::servlet::Request;

/// Answers with the claims of a living token. The caller is any client that authenticates; where the mount says
/// `danger_open_check_token`, anybody.
pub async fn check_token(State(app): State<Arc<App>>, request: Request) -> Response {
    match check(&app, &request).await {
        Ok(Payload::Claims(claims)) if request.mount.profile == Profile::Uaa => {
            spring::json(StatusCode::OK, &Checked::from(claims))
        }
        Ok(payload) => spring::json(StatusCode::OK, &payload),
        Err(refusal) => request.refuse(&app, refusal),
    }
}

async fn check(app: &App, request: &Request) -> Result<Payload, Refusal> {
    let profile = request.mount.profile;
    if !request.mount.danger_open_check_token {
        client_auth::authenticate(app, profile, &request.client_credentials()?).await?;
    }
    let version = profile.compat(&app.compat).spring_oauth;
    if version >= SpringOauth::V2_5 && request.method != Method::POST {
        return Err(Refusal::MethodNotAllowed(request.method.to_string()));
    }
    let token = request
        .parameters
        .get("token")
        .ok_or(Refusal::MissingParameter("token"))?;
    let active = (version >= SpringOauth::V2_3).then_some(true);
    let found = known_tokens::find(app, token).await?;
    let found = found.filter(|found| found.profile == profile.name());
    let Some(found) = found else {
        return match imported::find(app, Kind::Access, token).await? {
            Some(imported) if imported.profile == profile => check_imported(imported, active),
            _ => Err(unknown(app, profile, token)),
        };
    };
    if !lives(found.expires_at_ms, clock::now_ms()) {
        return Err(Refusal::ExpiredToken);
    }
    if found.revoked_with_client != 0 {
        return Err(Refusal::ClientGone(found.client_id.clone()));
    }
    let claims: Claims =
        serde_json::from_str(&found.claims).map_err(|_| Refusal::Corrupt("the claims of a token cannot be read"))?;
    Ok(Payload::Claims(Claims { active, ..claims }))
}

/// A token of the system before us says what it said there.
fn check_imported(imported: Imported, active: Option<bool>) -> Result<Payload, Refusal> {
    if !imported.lives(clock::now_ms()) {
        return Err(Refusal::ExpiredToken);
    }
    Ok(match imported.claims.payload {
        Payload::Jwt(mut claims) => {
            claims.extend(active.map(|active| ("active".to_owned(), active.into())));
            Payload::Jwt(claims)
        }
        Payload::Claims(claims) => Payload::Claims(Claims { active, ..claims }),
    })
}

/// What is wrong with a token that is not stored. A `JwtTokenStore` tells by the token alone.
fn unknown(app: &App, profile: Profile, token: &str) -> Refusal {
    if profile.compat(&app.compat).token_store == TokenStore::Jdbc {
        return Refusal::UnknownToken;
    }
    let claims = app.signing.verify(profile, token);
    match claims.and_then(|claims| serde_json::from_slice::<Claims>(&claims).ok()) {
        None => Refusal::UnreadableToken,
        Some(claims) if claims.ati.is_some() => Refusal::RefreshTokenAsAccessToken,
        // Taken back: no JwtTokenStore knew that.
        Some(_) => Refusal::UnknownToken,
    }
}
