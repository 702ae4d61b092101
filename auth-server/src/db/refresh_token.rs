//! Refresh tokens, by their id.

use sqlx::{AnyConnection, AssertSqlSafe};

use crate::db::Holder;

/// A refresh token: who was granted what. The `jti` identifies it, in whichever encoding it comes.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct RefreshToken {
    /// The `jti`.
    pub token_id: String,
    /// SHA-256 of its value, where that is opaque; `None`: a JWT, known by its `jti`.
    pub token_hash: Option<Vec<u8>>,
    /// The profile it was made in.
    pub profile: String,
    /// The client it was given to.
    pub client_id: String,
    /// The user's id; empty: the client's own token.
    pub user_id: String,
    /// The user's name; empty: the client's own token.
    pub user_name: String,
    /// What the user was allowed when a token was last made with it: a JSON array of names.
    pub authorities: String,
    /// Space-separated, in the order of the answer.
    pub scope: String,
    /// The grant it was first issued by.
    pub grant_type: String,
    /// The key of its first encoding.
    pub first_key_id: String,
    /// When it was made.
    pub issued_at_ms: i64,
    /// `None`: never.
    pub expires_at_ms: Option<i64>,
}

/// The refresh token of that id, whether it has expired or not.
pub async fn find(connection: &mut AnyConnection, token_id: &str) -> sqlx::Result<Option<RefreshToken>> {
    sqlx::query_as(
        "SELECT token_id, token_hash, profile, client_id, user_id, user_name, authorities, scope, grant_type, first_key_id, \
         issued_at_ms, expires_at_ms FROM refresh_token WHERE token_id = $1",
    )
    .bind(token_id)
    .fetch_optional(connection)
    .await
}

/// The opaque refresh token whose SHA-256 this is, whether it has expired or not.
pub async fn find_opaque(connection: &mut AnyConnection, token_hash: &[u8]) -> sqlx::Result<Option<RefreshToken>> {
    sqlx::query_as(
        "SELECT token_id, token_hash, profile, client_id, user_id, user_name, authorities, scope, grant_type, first_key_id, \
         issued_at_ms, expires_at_ms FROM refresh_token WHERE token_hash = $1",
    )
    .bind(token_hash.to_vec())
    .fetch_optional(connection)
    .await
}

/// Stores a new one.
pub async fn insert(connection: &mut AnyConnection, token: &RefreshToken) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO refresh_token (token_id, token_hash, profile, client_id, user_id, user_name, authorities, scope, \
         grant_type, first_key_id, issued_at_ms, expires_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(token.token_id.as_str())
    .bind(token.token_hash.clone())
    .bind(token.profile.as_str())
    .bind(token.client_id.as_str())
    .bind(token.user_id.as_str())
    .bind(token.user_name.as_str())
    .bind(token.authorities.as_str())
    .bind(token.scope.as_str())
    .bind(token.grant_type.as_str())
    .bind(token.first_key_id.as_str())
    .bind(token.issued_at_ms)
    .bind(token.expires_at_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// The user logged in again or the token was used: these are the authorities of now.
pub async fn update_authorities(connection: &mut AnyConnection, token_id: &str, authorities: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE refresh_token SET authorities = $2 WHERE token_id = $1")
        .bind(token_id)
        .bind(authorities)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets one.
pub async fn delete(connection: &mut AnyConnection, token_id: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM refresh_token WHERE token_id = $1")
        .bind(token_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets all of a holder.
pub async fn delete_of(connection: &mut AnyConnection, holder: Holder<'_>) -> sqlx::Result<()> {
    let sql = format!("DELETE FROM refresh_token WHERE {}", holder.condition());
    // The condition is one of ours.
    let delete = sqlx::query(AssertSqlSafe(sql)).bind(holder.value());
    delete.execute(connection).await?;
    Ok(())
}

/// Forgets those that expired before a time.
pub async fn delete_expired(connection: &mut AnyConnection, before_ms: i64) -> sqlx::Result<u64> {
    let done = sqlx::query("DELETE FROM refresh_token WHERE expires_at_ms < $1")
        .bind(before_ms)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
