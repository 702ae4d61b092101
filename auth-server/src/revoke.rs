//! Revocation: what is taken back is told to the gateways in the same transaction.

use crate::db::change::{self, Kind};
use crate::db::client;
use crate::db::{Write, access_token, authorization_code, imported_token, refresh_token, revocation};
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
    Ok(())
}

/// Takes back a refresh token and every access token that was given with it.
pub async fn refresh_token(write: &mut Write, refresh_id: &str, now_ms: i64) -> sqlx::Result<()> {
    access_tokens_of(write, refresh_id, now_ms).await?;
    refresh_token::delete(write, refresh_id).await
}

/// Removes a client and takes back everything it was given; `false`: there is no such client.
pub async fn client(write: &mut Write, client_id: &str, now_ms: i64) -> sqlx::Result<bool> {
    if !client::delete(write, client_id).await? {
        return Ok(false);
    }
    let (living, last_expiry_ms) = access_token::living_of_client(write, client_id, now_ms).await?;
    if living > 0 {
        revocation::insert_client(write, client_id, now_ms, last_expiry_ms).await?;
    } else {
        change::append(write, Kind::ClientRevoked, client_id, now_ms, last_expiry_ms).await?;
    }
    access_token::revoke_with_client(write, client_id).await?;
    refresh_token::delete_of_client(write, client_id).await?;
    authorization_code::delete_of_client(write, client_id).await?;
    imported_token::delete_of_client(write, client_id).await?;
    Ok(true)
}
