//! Refreshing an access token, RFC 6749 section 6.
//!
//! A refresh token is known by its `jti`: any encoding that one of the profile's keys signed is that token. Refreshing
//! takes back every access token that was given with it before. The new one carries the authorities that the user has
//! now, not those of the login: what was taken away meanwhile must not come back. The login service is asked for them
//! first; then everything happens in one transaction, so that of a refresh and a logout at the same time one comes first.

use std::sync::Arc;

use crate::app::App;
use crate::clock;
use crate::db::client::Client;
use crate::db::refresh_token::{self, RefreshToken};
use crate::error::{Presented, Refusal};
use crate::issue::{Grantee, Issued, User, authorities_text, lives, refresh};
use crate::profiles::spring::claims::Claims;
use crate::revoke;

/// Exchanges a refresh token. `requested` is the scope asked for; empty: the one that was granted.
pub async fn grant(app: &App, client: Arc<Client>, requested: Vec<String>, token: &str) -> Result<Issued, Refusal> {
    let unknown = || Refusal::InvalidRefreshToken(Presented(token.to_owned()));
    let payload = app.signing.verify(client.profile, token).ok_or_else(unknown)?;
    let claims: Claims = serde_json::from_slice(&payload).map_err(|_| unknown())?;

    let admit = |found: Option<RefreshToken>| {
        let found = found
            .filter(|found| found.profile == client.profile.name())
            .ok_or_else(unknown)?;
        if found.client_id == client.client_id {
            Ok(found)
        } else {
            Err(Refusal::ForeignRefreshToken(Presented(token.to_owned())))
        }
    };

    // No network call while the transaction is open: the token is looked up here to know whose authorities to ask for,
    // and once more there, where it counts.
    let found = refresh_token::find(&mut *app.database.read().await?, &claims.jti).await?;
    let found = admit(found)?;
    let authorities = if lives(found.expires_at_ms, clock::now_ms()) {
        narrowed(&found, &requested)?;
        Some(app.login.authorities(&found.user_id).await?)
    } else {
        None
    };

    let mut write = app.database.write().await?;
    let now_ms = clock::now_ms();
    let mut presented = admit(refresh_token::find(&mut write, &claims.jti).await?)?;
    let Some(authorities) = authorities.filter(|_| lives(presented.expires_at_ms, now_ms)) else {
        revoke::refresh_token(&mut write, &presented.token_id, now_ms).await?;
        // Committed before it is answered: a refusal must not undo a revocation.
        write.commit().await?;
        return Err(Refusal::ExpiredRefreshToken(Presented(token.to_owned())));
    };
    let scope = narrowed(&presented, &requested)?;

    let rotated = !app.compat.reuse_refresh_token;
    revoke::access_tokens_of(&mut write, &presented.token_id, now_ms).await?;
    if rotated {
        refresh_token::delete(&mut write, &presented.token_id).await?;
    } else {
        presented.authorities = authorities_text(&authorities);
        refresh_token::update_authorities(&mut write, &presented.token_id, &presented.authorities).await?;
    }
    let grantee = Grantee {
        client,
        user: Some(User {
            id: presented.user_id.clone(),
            name: presented.user_name.clone(),
        }),
        authorities,
        scope,
    };
    let issued = refresh(app, &mut write, &grantee, presented, rotated, now_ms).await?;
    write.commit().await?;
    Ok(issued)
}

/// The scope of the new token: what is asked for, which must have been granted, or else all that was.
fn narrowed(presented: &RefreshToken, requested: &[String]) -> Result<Vec<String>, Refusal> {
    let granted: Vec<String> = presented.scope.split(' ').map(str::to_owned).collect();
    let requested = requested.to_vec();
    match () {
        () if requested.is_empty() => Ok(granted),
        () if requested.iter().all(|scope| granted.contains(scope)) => Ok(requested),
        () => Err(Refusal::WiderScope { requested, granted }),
    }
}
