//! Refreshing an access token, RFC 6749 section 6.
//!
//! A refresh token that is a JWT is known by its `jti`: any encoding that one of the profile's keys signed is that token.
//! In profile `spring`, refreshing takes back every access token that was given with it before. The new one carries the authorities that the user has
//! now, not those of the login: what was taken away meanwhile must not come back. The login service is asked for them
//! first; then everything happens in one transaction, so that of a refresh and a logout at the same time one comes first.

use std::sync::Arc;

use crate::app::App;
use crate::clock;
use crate::db::authorization_code;
use crate::db::client::Client;
use crate::db::refresh_token::{self, RefreshToken};
use crate::error::{Presented, Refusal};
use crate::imported::{self, Imported};
use crate::issue::{Grantee, Issued, User, authorities_text, lives, refresh, token_hash};
use crate::profiles::spring::claims::Claims;
use crate::profiles::{Format, Profile};
use crate::revoke;

/// Exchanges a refresh token. `requested` is the scope asked for; empty: the one that was granted.
pub async fn grant(app: &App, client: Arc<Client>, requested: Vec<String>, token: &str) -> Result<Issued, Refusal> {
    let unknown = || Refusal::InvalidRefreshToken(Presented(token.to_owned()));
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
    let (found, imported) = find(app, client.profile, token).await?.unzip();
    let (found, imported) = (admit(found)?, imported.flatten());
    let authorities = if lives(found.expires_at_ms, clock::now_ms()) {
        narrowed(&found, &requested)?;
        // Whose user is gone is refused as if it had never been; should they come back, so does it.
        Some(authorities(app, &client, &found).await?.ok_or_else(unknown)?)
    } else {
        None
    };

    let mut write = app.database.write_for(&found.client_id, &found.user_name).await?;
    let now_ms = clock::now_ms();
    if let Some(imported) = &imported {
        imported::adopt(app, &mut write, imported, now_ms).await?;
    }
    let mut presented = admit(refresh_token::find(&mut write, &found.token_id).await?)?;
    let Some(authorities) = authorities.filter(|_| lives(presented.expires_at_ms, now_ms)) else {
        if client.profile.refresh_takes_back() {
            revoke::refresh_token(&mut write, &presented.token_id, now_ms).await?;
        } else {
            refresh_token::delete(&mut write, &presented.token_id).await?;
        }
        // Committed before it is answered: a refusal must not undo a revocation.
        write.commit().await?;
        return Err(Refusal::ExpiredRefreshToken(Presented(token.to_owned())));
    };
    let scope = narrowed(&presented, &requested)?;

    let rotated = client.profile.rotates_refresh_tokens(&app.compat);
    if client.profile.refresh_takes_back() {
        revoke::access_tokens_of(&mut write, &presented.token_id, now_ms).await?;
    }
    if rotated {
        revoke::end_refresh_token(&mut write, &presented.token_id).await?;
    } else {
        presented.authorities = authorities_text(&authorities);
        refresh_token::update_authorities(&mut write, &presented.token_id, &presented.authorities).await?;
    }
    let grantee = Grantee {
        grant: "refresh_token",
        client,
        user: user_of(&presented),
        authorities,
        scope,
    };
    let presented_id = presented.token_id.clone();
    let issued = refresh(app, &mut write, &grantee, presented, rotated, now_ms).await?;
    if rotated && let Some(new_id) = &issued.refresh_id {
        authorization_code::replace_refresh_token(&mut write, &grantee.client.client_id, &presented_id, new_id).await?;
    }
    write.commit().await?;
    Ok(issued)
}

/// The refresh token that was presented, whether it has expired or not. A JWT counts in any encoding that a key of the
/// profile signed; one of the system before us in those that were imported, and it may have been adopted already.
async fn find(app: &App, profile: Profile, token: &str) -> Result<Option<(RefreshToken, Option<Imported>)>, Refusal> {
    let own = match profile.format() {
        Format::Opaque => refresh_token::find_opaque(&mut *app.database.read().await?, &token_hash(token)).await?,
        Format::Jwt => {
            let mut read = app.database.read().await?;
            let mut payload = app.signing.verify(profile, token);
            if payload.is_none() {
                // Perhaps with a key that another process drew a moment ago.
                app.signing.load(&mut read).await?;
                payload = app.signing.verify(profile, token);
            }
            let claims = payload.and_then(|payload| serde_json::from_slice::<Claims>(&payload).ok());
            match claims {
                Some(claims) => refresh_token::find(&mut read, &claims.jti).await?,
                None => None,
            }
        }
    };
    if let Some(own) = own {
        return Ok(Some((own, None)));
    }
    let Some(imported) = imported::find(app, imported::Kind::Refresh, token).await? else {
        return Ok(None);
    };
    let adopted = refresh_token::find(&mut *app.database.read().await?, &imported.token.token_id).await?;
    Ok(Some((adopted.unwrap_or_else(|| imported.as_ours()), Some(imported))))
}

/// What the user is allowed now; a client's own token has the client's authorities. `None`: the user is gone.
async fn authorities(app: &App, client: &Client, token: &RefreshToken) -> Result<Option<Vec<String>>, Refusal> {
    match user_of(token) {
        Some(user) => Ok(app.login.authorities(&user.id).await?),
        None => Ok(Some(client.sorted_authorities())),
    }
}

fn user_of(token: &RefreshToken) -> Option<User> {
    (!token.user_id.is_empty()).then(|| User {
        id: token.user_id.clone(),
        name: token.user_name.clone(),
    })
}

/// The scope of the new token: what is asked for, which must have been granted, or else all that was.
fn narrowed(presented: &RefreshToken, requested: &[String]) -> Result<Vec<String>, Refusal> {
    let granted: Vec<String> = presented.scope.split(' ').map(str::to_owned).collect();
    let requested = requested.to_vec();
    match () {
        () if requested.is_empty() => Ok(granted),
        () if requested.iter().all(|scope| granted.contains(scope)) => Ok(requested),
        () => Err(Refusal::WiderScope {
            requested: Presented(requested.join(", ")),
            granted,
        }),
    }
}
