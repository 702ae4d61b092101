//! Authorization codes, RFC 6749 section 4.1, by the SHA-256 of their value.

use sqlx::{AnyConnection, AssertSqlSafe};

use crate::db::Holder;

/// A code: who allowed which client what.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AuthorizationCode {
    /// SHA-256 of the code.
    pub code_hash: Vec<u8>,
    /// The profile it was made in.
    pub profile: String,
    /// The client it was given to.
    pub client_id: String,
    /// The user's id.
    pub user_id: String,
    /// The user's name.
    pub user_name: String,
    /// Space-separated, in the order of the answer.
    pub scope: String,
    /// The redirect URI of the authorization request; empty: it named none.
    pub redirect_uri: String,
    /// Where it was sent: that one, or the only one of the client.
    pub sent_to: String,
    /// The S256 challenge of RFC 7636; empty: none.
    pub code_challenge: String,
    /// The access token it was exchanged for; `None`: not yet.
    pub token_id: Option<String>,
    /// The refresh token that came with it, or the one that took its place since.
    pub refresh_id: Option<String>,
    /// When it was exchanged.
    pub redeemed_at_ms: Option<i64>,
    /// When it is no longer good.
    pub expires_at_ms: i64,
}

/// The code of that hash, whether it is still good or not.
pub async fn find(connection: &mut AnyConnection, code_hash: &[u8]) -> sqlx::Result<Option<AuthorizationCode>> {
    sqlx::query_as(
        "SELECT code_hash, profile, client_id, user_id, user_name, scope, redirect_uri, sent_to, code_challenge, token_id, \
         refresh_id, redeemed_at_ms, expires_at_ms FROM authorization_code WHERE code_hash = $1",
    )
    .bind(code_hash.to_vec())
    .fetch_optional(connection)
    .await
}

/// Stores a new one.
pub async fn insert(connection: &mut AnyConnection, code: &AuthorizationCode) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO authorization_code (code_hash, profile, client_id, user_id, user_name, scope, redirect_uri, \
         sent_to, code_challenge, token_id, refresh_id, expires_at_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(code.code_hash.clone())
    .bind(code.profile.as_str())
    .bind(code.client_id.as_str())
    .bind(code.user_id.as_str())
    .bind(code.user_name.as_str())
    .bind(code.scope.as_str())
    .bind(code.redirect_uri.as_str())
    .bind(code.sent_to.as_str())
    .bind(code.code_challenge.as_str())
    .bind(code.token_id.clone())
    .bind(code.refresh_id.clone())
    .bind(code.expires_at_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes the tokens that a code was exchanged for: it is good for nothing more.
pub async fn redeem(
    connection: &mut AnyConnection,
    code_hash: &[u8],
    token_id: &str,
    refresh_id: Option<&str>,
    now_ms: i64,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE authorization_code SET token_id = $2, refresh_id = $3, redeemed_at_ms = $4 WHERE code_hash = $1",
    )
    .bind(code_hash.to_vec())
    .bind(token_id)
    .bind(refresh_id)
    .bind(now_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// A refresh token took the place of another one: the code that led to that one now leads to this one.
pub async fn replace_refresh_token(
    connection: &mut AnyConnection,
    client_id: &str,
    old_id: &str,
    new_id: &str,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE authorization_code SET refresh_id = $3 WHERE client_id = $1 AND refresh_id = $2")
        .bind(client_id)
        .bind(old_id)
        .bind(new_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets all of a holder.
pub async fn delete_of(connection: &mut AnyConnection, holder: Holder<'_>) -> sqlx::Result<()> {
    let sql = format!("DELETE FROM authorization_code WHERE {}", holder.condition());
    // The condition is one of ours.
    let delete = sqlx::query(AssertSqlSafe(sql)).bind(holder.value());
    delete.execute(connection).await?;
    Ok(())
}

/// Forgets those that expired before a time.
pub async fn delete_expired(connection: &mut AnyConnection, before_ms: i64) -> sqlx::Result<u64> {
    let done = sqlx::query("DELETE FROM authorization_code WHERE expires_at_ms < $1")
        .bind(before_ms)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
