//! `POST /oauth2/introspect`: what a token says, for the gateways (RFC 7662). They ask for tokens that they cannot verify
//! by themselves.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;

use crate::app::App;
use crate::clock;
use crate::error::Refusal;
use crate::imported::{self, Kind};
use crate::issue::lives;
use crate::known_tokens;
use crate::profiles::Profile;
use crate::profiles::spring;
use crate::reader_auth;
use crate::servlet::Parameters;

/// 200 with what the token says, or with `{"active":false}`; 401 for a stranger. The caller shows the credentials of a
/// reader of the feed.
pub async fn introspect(State(app): State<Arc<App>>, headers: HeaderMap, body: String) -> Response {
    if let Err(refused) = reader_auth::authenticate(&app, &headers).await {
        return refused;
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let parameters = Parameters::read(None, content_type, body.as_bytes());
    let Some(token) = parameters.get("token").filter(|token| !token.is_empty()) else {
        return spring::json(
            StatusCode::BAD_REQUEST,
            &serde_json::json!({ "error": "invalid_request" }),
        );
    };
    let answer = match identify(&app, token).await {
        Ok(Some(identity)) => serde_json::json!(identity),
        Ok(None) => serde_json::json!({ "active": false }),
        Err(refusal) => return spring::refuse(&app, "/oauth2/introspect", refusal),
    };
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accepted.is_some_and(|types| types.contains(MEDIA_TYPE)) {
        signed(&app, &answer)
    } else {
        spring::json(StatusCode::OK, &answer)
    }
}

/// The answer as a JWT (RFC 9701 section 5): for whoever hands it on to somebody that does not trust him.
fn signed(app: &App, answer: &serde_json::Value) -> Response {
    let now_ms = clock::now_ms();
    let payload = serde_json::json!({
        "iss": app.issuer, "aud": app.audience, "iat": now_ms / 1000, "token_introspection": answer
    });
    let Some(token) = app.signing.sign_answer(&payload, now_ms) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [(header::CONTENT_TYPE, MEDIA_TYPE), (header::CACHE_CONTROL, "no-store")];
    (headers, token).into_response()
}

/// Of a signed answer, as it is asked for and sent.
const MEDIA_TYPE: &str = "application/token-introspection+jwt";

/// The members of RFC 7662 section 2.2 and `authorities`, by their names in the tokens of profile `spring`; and whose user it is.
#[derive(Serialize)]
struct Identity {
    active: bool,
    token_type: &'static str,
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// The user is none of the login service's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    foreign_user: bool,
    scope: String,
    authorities: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    jti: String,
}

/// Who a living token speaks of; `None`: it is none, or no longer good.
async fn identify(app: &App, token: &str) -> Result<Option<Identity>, Refusal> {
    let found = known_tokens::find(app, token).await?;
    if found.is_none() {
        return identify_imported(app, token).await;
    }
    let living = found.filter(|found| lives(found.expires_at_ms, clock::now_ms()) && found.revoked_with_client == 0);
    let Some(found) = living else { return Ok(None) };
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    Ok(Some(Identity {
        active: true,
        token_type: "Bearer",
        authorities: authorities(&found.claims)?,
        client_id: found.client_id.clone(),
        username: text(&found.user_name),
        sub: text(&found.user_id),
        foreign_user: found.profile == Profile::Principal.name(),
        scope: found.scope.clone(),
        exp: found.expires_at_ms.map(|ms| ms / 1000),
        iat: Some(found.issued_at_ms / 1000),
        jti: found.token_id.clone(),
    }))
}

/// The same for a token of the system before us. By its id it will be revoked, whatever `jti` it may carry.
async fn identify_imported(app: &App, token: &str) -> Result<Option<Identity>, Refusal> {
    let imported = imported::find(app, Kind::Access, token).await?;
    let Some(imported) = imported.filter(|imported| imported.lives(clock::now_ms())) else {
        return Ok(None);
    };
    let Some(authorities) = imported.authorities(app).await? else {
        return Ok(None);
    };
    let (sub, username) = imported.claims.user.map(|user| (user.id, user.name)).unzip();
    Ok(Some(Identity {
        active: true,
        token_type: "Bearer",
        client_id: imported.token.client_id,
        username,
        sub,
        foreign_user: imported.profile == Profile::Principal,
        scope: imported.claims.scope.join(" "),
        authorities,
        exp: Some(imported.expires_at_ms / 1000),
        iat: None,
        jti: imported.token.token_id,
    }))
}

fn authorities(claims: &str) -> Result<Vec<String>, Refusal> {
    #[derive(serde::Deserialize)]
    struct Claims {
        #[serde(default)]
        authorities: Vec<String>,
    }
    let claims: Claims =
        serde_json::from_str(claims).map_err(|_| Refusal::Corrupt("the claims of a token cannot be read"))?;
    Ok(claims.authorities)
}
