//! Bearer authentication of the endpoints that a token opens (RFC 6750), as a resource server of Spring Security OAuth
//! has it: the header comes before the parameter `access_token`.

use crate::app::App;
use crate::clock;
use crate::db::access_token;
use crate::error::{Presented, Refusal};
use crate::issue::{lives, token_hash};
use crate::profiles::spring::{self, Request};

/// Lets a request pass whose living token of the mount's profile has the scope.
pub async fn authorize(app: &App, request: &Request, scope: &'static str) -> Result<(), Refusal> {
    let token = spring::bearer(&request.headers)
        .or_else(|| request.parameters.get("access_token"))
        .filter(|token| !token.is_empty())
        .ok_or(Refusal::NoBearerToken)?;
    let presented = || Presented(token.to_owned());
    let found = access_token::find(&mut *app.database.read().await?, &token_hash(token)).await?;
    let found = found
        .filter(|found| found.profile == request.mount.profile.name())
        .ok_or_else(|| Refusal::UnknownBearerToken(presented()))?;
    if !lives(found.expires_at_ms, clock::now_ms()) {
        return Err(Refusal::ExpiredBearerToken(presented()));
    }
    if found.revoked_with_client != 0 {
        return Err(Refusal::ClientOfBearerGone(found.client_id));
    }
    if found.scope.split(' ').any(|held| held == scope) {
        Ok(())
    } else {
        Err(Refusal::InsufficientScope(scope))
    }
}
