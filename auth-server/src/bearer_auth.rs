//! Bearer authentication of the endpoints that a token opens (RFC 6750), as a resource server of Spring Security OAuth
//! has it: the header comes before the parameter `access_token`.

use crate::app::App;
use crate::clock;
use crate::error::{Presented, Refusal};
use crate::imported::{self, Kind};
use crate::issue::lives;
use crate::known_tokens;
use crate::profiles::spring;
use crate::servlet::Request;

/// Lets a request pass whose living token of the mount's profile has the scope.
pub async fn authorize(app: &App, request: &Request, scope: &'static str) -> Result<(), Refusal> {
    let token = spring::bearer(&request.headers)
        .or_else(|| request.parameters.get("access_token"))
        .filter(|token| !token.is_empty())
        .ok_or(Refusal::NoBearerToken)?;
    let presented = || Presented(token.to_owned());
    let found = known_tokens::find(app, token).await?;
    let profile = request.mount.profile.name();
    let (held, expires_at_ms) = match found.filter(|found| found.profile == profile) {
        Some(found) if found.revoked_with_client != 0 && lives(found.expires_at_ms, clock::now_ms()) => {
            return Err(Refusal::ClientOfBearerGone(found.client_id.clone()));
        }
        Some(found) => (found.scope.clone(), found.expires_at_ms),
        None => match imported::find(app, Kind::Access, token).await? {
            Some(imported) if imported.profile.name() == profile => {
                // The other system may have given it to a client that is registered for no scope at all.
                let client = app.clients.find(&imported.token.client_id);
                let is_registered =
                    |scope: &String| client.as_ref().is_some_and(|client| client.scopes.contains(scope));
                let held: Vec<String> = imported.claims.scope.into_iter().filter(is_registered).collect();
                (held.join(" "), Some(imported.expires_at_ms))
            }
            _ => return Err(Refusal::UnknownBearerToken(presented())),
        },
    };
    if !lives(expires_at_ms, clock::now_ms()) {
        return Err(Refusal::ExpiredBearerToken(presented()));
    }
    if held.split(' ').any(|held| held == scope) {
        Ok(())
    } else {
        Err(Refusal::InsufficientScope(scope))
    }
}
