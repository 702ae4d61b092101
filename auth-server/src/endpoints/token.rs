//! `POST /oauth/token`: the token endpoint of the profiles that follow Spring Security OAuth (RFC 6749 section 3.2).

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, Method};

use crate::app::App;
use crate::client_auth;
use crate::clock;
use crate::db::client::Client;
use crate::error::{Presented, Refusal};
use crate::grants::authorization_code::Shown;
use crate::grants::{authorization_code, client_credentials, password, refresh_token};
use crate::issue::Issued;
use crate::profiles::Profile;
use crate::profiles::spring;
use crate::profiles::uaa::ADMIN_SCOPE;
use crate::servlet::Request;

/// Since RFC 9700 nobody should use the password grant (RFC 9745: 1 January 2025).
const DEPRECATED: HeaderValue = HeaderValue::from_static("@1735689600");

/// Authenticates the client, runs the grant, and answers with the tokens or the refusal.
pub async fn token(State(app): State<Arc<App>>, request: Request) -> Response {
    match grant(&app, &request).await {
        Ok((grant, issued)) => {
            app.metrics.issued(grant, issued.repeated);
            let mut response = spring::token_answer(request.mount.profile, &issued, clock::now_ms());
            note_deprecation(&app, grant, &mut response);
            response
        }
        Err(refusal) => request.refuse(&app, refusal),
    }
}

/// Says in the answer to a password grant that nobody should use it any more, and when it will be gone, if that is set
/// (RFC 8594).
pub fn note_deprecation(app: &App, grant: &str, response: &mut Response) {
    if grant != "password" {
        return;
    }
    let headers = response.headers_mut();
    headers.insert("deprecation", DEPRECATED);
    if let Some(date) = app.compat.password_grant_sunset
        && let Ok(value) = HeaderValue::from_str(&date.to_string())
    {
        headers.insert("sunset", value);
    }
}

/// The checks in the order of the original: client, `client_id`, scope, grant type, whether the client may use it, and at
/// last the grant itself. The order shows in which error a wrong request gets.
async fn grant(app: &App, request: &Request) -> Result<(&'static str, Issued), Refusal> {
    let client = client_auth::authenticate(app, request.mount.profile, &request.client_credentials()?).await?;
    if request.method != Method::POST {
        return Err(Refusal::MethodNotAllowed(request.method.to_string()));
    }
    let parameter = |name| request.parameters.get(name);
    if parameter("client_id").is_some_and(|given| given != client.client_id) {
        return Err(Refusal::ClientMismatch);
    }
    let requested = request.scope();
    let scope = effective_scope(&client, &requested)?;
    let may_use = |grant: &'static str| match client.may_use(grant) {
        true => Ok(grant),
        false => Err(Refusal::GrantNotRegistered(grant)),
    };
    match parameter("grant_type").map(str::trim).unwrap_or_default() {
        "" => Err(Refusal::MissingGrantType),
        "implicit" => Err(Refusal::ImplicitAtTokenEndpoint),
        "password" => {
            let grant = may_use("password")?;
            let (user_name, password) = (parameter("username"), parameter("password"));
            let (user_name, password) = (user_name.unwrap_or_default(), password.unwrap_or_default());
            Ok((grant, password::grant(app, client, scope, user_name, password).await?))
        }
        "refresh_token" => {
            let grant = may_use("refresh_token")?;
            let token = parameter("refresh_token").ok_or(Refusal::MissingRefreshToken)?;
            Ok((grant, refresh_token::grant(app, client, requested, token).await?))
        }
        "client_credentials" => {
            let grant = may_use("client_credentials")?;
            Ok((grant, client_credentials::grant(app, client, scope).await?))
        }
        "authorization_code" => {
            let grant = may_use("authorization_code")?;
            let shown = Shown {
                code: parameter("code").ok_or(Refusal::MissingCode)?,
                redirect_uri: parameter("redirect_uri").unwrap_or_default(),
                code_verifier: parameter("code_verifier").unwrap_or_default(),
            };
            Ok((grant, authorization_code::grant(app, client, &shown).await?))
        }
        other => Err(Refusal::UnsupportedGrantType(Presented(other.to_owned()))),
    }
}

/// What is asked for, or everything the client is registered for. A client without registered scopes may ask for any, but
/// for the one that opens the endpoints of ours.
pub fn effective_scope(client: &Client, requested: &[String]) -> Result<Vec<String>, Refusal> {
    let scope = if requested.is_empty() {
        &client.scopes
    } else {
        requested
    };
    let opens_ours = |scope: &str| client.profile == Profile::Uaa && scope == ADMIN_SCOPE;
    let unregistered =
        |scope: &&String| !client.scopes.contains(scope) && (!client.scopes.is_empty() || opens_ours(scope.as_str()));
    if let Some(foreign) = scope.iter().find(unregistered) {
        return Err(Refusal::InvalidScope {
            scope: Presented(foreign.clone()),
            registered: client.scopes.clone(),
        });
    }
    if scope.is_empty() {
        Err(Refusal::EmptyScope)
    } else {
        Ok(scope.to_vec())
    }
}
