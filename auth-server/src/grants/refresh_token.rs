//! Refreshing an access token, RFC 6749 section 6.
//!
//! A refresh token is known by its `jti`: any encoding that one of the profile's keys signed is that token. Refreshing
//! takes back every access token that was given with it before. Everything happens in one transaction, so that of a
//! refresh and a logout at the same time one comes first.

use std::sync::Arc;

use crate::app::App;
use crate::clock;
use crate::db::client::Client;
use crate::db::refresh_token;
use crate::error::{Presented, Refusal};
use crate::issue::{Grantee, Issued, User, lives, refresh};
use crate::profiles::spring::claims::Claims;
use crate::revoke;

/// Exchanges a refresh token. `requested` is the scope asked for; empty: the one that was granted.
pub async fn grant(app: &App, client: Arc<Client>, requested: Vec<String>, token: &str) -> Result<Issued, Refusal> {
    let unknown = || Refusal::InvalidRefreshToken(Presented(token.to_owned()));
    let payload = app.signing.verify(client.profile, token).ok_or_else(unknown)?;
    let claims: Claims = serde_json::from_slice(&payload).map_err(|_| unknown())?;

    let mut write = app.database.write().await?;
    let now_ms = clock::now_ms();
    let found = refresh_token::find(&mut write, &claims.jti).await?;
    let presented = found
        .filter(|found| found.profile == client.profile.name())
        .ok_or_else(unknown)?;
    if presented.client_id != client.client_id {
        return Err(Refusal::ForeignRefreshToken(Presented(token.to_owned())));
    }
    if !lives(presented.expires_at_ms, now_ms) {
        revoke::refresh_token(&mut write, &presented.token_id, now_ms).await?;
        // Committed before it is answered: a refusal must not undo a revocation.
        write.commit().await?;
        return Err(Refusal::ExpiredRefreshToken(Presented(token.to_owned())));
    }
    let granted: Vec<String> = presented.scope.split(' ').map(str::to_owned).collect();
    if !requested.iter().all(|scope| granted.contains(scope)) {
        return Err(Refusal::WiderScope { requested, granted });
    }

    let rotated = !app.compat.reuse_refresh_token;
    revoke::access_tokens_of(&mut write, &presented.token_id, now_ms).await?;
    if rotated {
        refresh_token::delete(&mut write, &presented.token_id).await?;
    }
    let grantee = Grantee {
        client,
        user: Some(User {
            id: presented.user_id.clone(),
            name: presented.user_name.clone(),
        }),
        authorities: serde_json::from_str(&presented.authorities)
            .map_err(|_| Refusal::Corrupt("the authorities of a refresh token are no JSON array"))?,
        scope: if requested.is_empty() { granted } else { requested },
    };
    let issued = refresh(app, &mut write, &grantee, presented, rotated, now_ms).await?;
    write.commit().await?;
    Ok(issued)
}
