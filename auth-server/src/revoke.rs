//! Revocation: what is taken back is told to the gateways in the same transaction.

use crate::db::change::{self, Kind};
use crate::db::client;
use crate::db::{
    Holder, Write, access_token, authorization_code, imported_token, login_session, refresh_token, revocation,
};
use crate::issue::lives;

/// Takes back one access token.
pub async fn access_token(
    write: &mut Write,
    token_id: &str,
    expires_at_ms: Option<i64>,
    now_ms: i64,
) -> sqlx::Result<()> {
    access_token::delete(write, token_id).await?;
    if lives(expires_at_ms, now_ms) {
        revocation::insert_token(write, token_id, now_ms, expires_at_ms).await?;
    }
    Ok(())
}

/// Takes back every access token that was given with a refresh token; the refresh token stays.
pub async fn access_tokens_of(write: &mut Write, refresh_id: &str, now_ms: i64) -> sqlx::Result<()> {
    for (token_id, expires_at_ms) in access_token::bound_to(write, refresh_id).await? {
        self::access_token(write, &token_id, expires_at_ms, now_ms).await?;
    }
    for (token_id, expires_at_ms) in imported_token::bound_to(write, refresh_id).await? {
        imported_access_token(write, &token_id, expires_at_ms, now_ms).await?;
    }
    Ok(())
}

/// Takes back one access token of another system. `None`: nobody knows when it expires.
pub async fn imported_access_token(
    write: &mut Write,
    token_id: &str,
    expires_at_ms: Option<i64>,
    now_ms: i64,
) -> sqlx::Result<()> {
    imported_token::revoke(write, token_id).await?;
    if lives(expires_at_ms, now_ms) {
        revocation::insert_token(write, token_id, now_ms, expires_at_ms).await?;
    }
    Ok(())
}

/// Takes back a refresh token and every access token that was given with it.
pub async fn refresh_token(write: &mut Write, refresh_id: &str, now_ms: i64) -> sqlx::Result<()> {
    access_tokens_of(write, refresh_id, now_ms).await?;
    end_refresh_token(write, refresh_id).await
}

/// Ends a refresh token, in every encoding, also those of another system; its access tokens stay.
pub async fn end_refresh_token(write: &mut Write, refresh_id: &str) -> sqlx::Result<()> {
    imported_token::revoke(write, refresh_id).await?;
    refresh_token::delete(write, refresh_id).await
}

/// Removes a client and takes back everything it was given; `false`: there is no such client.
pub async fn client(write: &mut Write, client_id: &str, now_ms: i64) -> sqlx::Result<bool> {
    if !client::delete(write, client_id).await? {
        return Ok(false);
    }
    let (own, last_own_expiry_ms) = access_token::living_of_client(write, client_id, now_ms).await?;
    let (imported, last_imported_expiry_ms) = imported_token::living_of_client(write, client_id, now_ms).await?;
    let living = own + imported;
    let last_expiry_ms = last_own_expiry_ms
        .zip(last_imported_expiry_ms)
        .map(|(own, imported)| own.max(imported));
    if living > 0 {
        revocation::insert_client(write, client_id, now_ms, last_expiry_ms).await?;
    } else {
        change::append(write, Kind::ClientRevoked, client_id, now_ms, last_expiry_ms).await?;
    }
    access_token::revoke_with_client(write, client_id).await?;
    let holder = Holder::Client(client_id);
    refresh_token::delete_of(write, holder).await?;
    authorization_code::delete_of(write, holder).await?;
    imported_token::revoke_of(write, holder).await?;
    Ok(true)
}

/// Takes back everything that a holder was given and could still use: access tokens, refresh tokens, codes, logins at our
/// pages. Returns how many access tokens were alive.
pub async fn everything_of(write: &mut Write, holder: Holder<'_>, now_ms: i64) -> sqlx::Result<u64> {
    let living = revocation::insert_of(write, holder, now_ms).await?;
    access_token::delete_of(write, holder).await?;
    refresh_token::delete_of(write, holder).await?;
    authorization_code::delete_of(write, holder).await?;
    login_session::delete_of(write, holder).await?;
    imported_token::revoke_of(write, holder).await?;
    Ok(living)
}
