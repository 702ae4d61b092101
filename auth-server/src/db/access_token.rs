//! Access tokens: what was signed, never the signed token.

use std::fmt::Write as _;

use sqlx::{AnyConnection, AssertSqlSafe};

use crate::db::Holder;
use crate::db::change::Kind;

/// An access token as it was issued.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AccessToken {
    /// The `jti`.
    pub token_id: String,
    /// SHA-256 of the token.
    pub token_hash: Vec<u8>,
    /// Which authentication it stands for, see [`crate::issue::authentication_id`].
    pub authentication_id: String,
    /// The profile it was made in.
    pub profile: String,
    /// The client it was given to.
    pub client_id: String,
    /// The user's id; empty: the client's own token.
    pub user_id: String,
    /// The user's name; empty: the client's own token.
    pub user_name: String,
    /// Space-separated, in the order of the answer.
    pub scope: String,
    /// The grant it was issued by.
    pub grant_type: String,
    /// The payload that was signed.
    pub claims: String,
    /// The refresh token it was given with.
    pub refresh_id: Option<String>,
    /// The payload of that refresh token's encoding that was given with it.
    pub refresh_claims: Option<String>,
    /// The key both were signed with.
    pub key_id: String,
    /// When it was made.
    pub issued_at_ms: i64,
    /// `None`: never.
    pub expires_at_ms: Option<i64>,
    /// Not 0: it is the one to give again.
    pub reusable: i64,
    /// Not 0: its client was removed meanwhile.
    pub revoked_with_client: i64,
}

/// The token that is given again for the same client, user and scope, whether it has expired or not.
pub async fn reusable(
    connection: &mut AnyConnection,
    profile: &str,
    client_id: &str,
    user_name: &str,
    authentication_id: &str,
) -> sqlx::Result<Option<AccessToken>> {
    sqlx::query_as(
        "SELECT token_id, token_hash, authentication_id, profile, client_id, user_id, user_name, scope, grant_type, claims, refresh_id, \
         refresh_claims, key_id, issued_at_ms, expires_at_ms, reusable, revoked_with_client FROM access_token \
         WHERE profile = $1 AND client_id = $2 AND user_name = $3 AND authentication_id = $4 AND reusable = 1",
    )
    .bind(profile)
    .bind(client_id)
    .bind(user_name)
    .bind(authentication_id)
    .fetch_optional(connection)
    .await
}

/// The token whose SHA-256 this is, of any profile, whether it has expired or not.
pub async fn find(connection: &mut AnyConnection, token_hash: &[u8]) -> sqlx::Result<Option<AccessToken>> {
    sqlx::query_as(
        "SELECT token_id, token_hash, authentication_id, profile, client_id, user_id, user_name, scope, grant_type, claims, refresh_id, \
         refresh_claims, key_id, issued_at_ms, expires_at_ms, reusable, revoked_with_client FROM access_token WHERE token_hash = $1",
    )
    .bind(token_hash.to_vec())
    .fetch_optional(connection)
    .await
}

/// The token of that id, of any profile, whether it has expired or not.
pub async fn by_id(connection: &mut AnyConnection, token_id: &str) -> sqlx::Result<Option<AccessToken>> {
    sqlx::query_as(
        "SELECT token_id, token_hash, authentication_id, profile, client_id, user_id, user_name, scope, grant_type, claims, refresh_id, \
         refresh_claims, key_id, issued_at_ms, expires_at_ms, reusable, revoked_with_client FROM access_token WHERE token_id = $1",
    )
    .bind(token_id)
    .fetch_optional(connection)
    .await
}

/// Stores a new token as the one to give again. An earlier one of the same authentication stays good until it expires.
pub async fn insert(connection: &mut AnyConnection, token: &AccessToken) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE access_token SET reusable = 0 \
         WHERE profile = $1 AND client_id = $2 AND user_name = $3 AND authentication_id = $4 AND reusable = 1",
    )
    .bind(token.profile.as_str())
    .bind(token.client_id.as_str())
    .bind(token.user_name.as_str())
    .bind(token.authentication_id.as_str())
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO access_token (token_id, token_hash, authentication_id, profile, client_id, user_id, user_name, scope, \
         grant_type, claims, refresh_id, refresh_claims, key_id, issued_at_ms, expires_at_ms, reusable) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 1)",
    )
    .bind(token.token_id.as_str())
    .bind(token.token_hash.clone())
    .bind(token.authentication_id.as_str())
    .bind(token.profile.as_str())
    .bind(token.client_id.as_str())
    .bind(token.user_id.as_str())
    .bind(token.user_name.as_str())
    .bind(token.scope.as_str())
    .bind(token.grant_type.as_str())
    .bind(token.claims.as_str())
    .bind(token.refresh_id.clone())
    .bind(token.refresh_claims.clone())
    .bind(token.key_id.as_str())
    .bind(token.issued_at_ms)
    .bind(token.expires_at_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores new tokens without refresh tokens, each as the one to give again unless there is an earlier one; none at all, if
/// anything but a revoked token has changed since the change of that number. Returns how many are stored.
pub async fn insert_first(connection: &mut AnyConnection, tokens: &[&AccessToken], seen: i64) -> sqlx::Result<usize> {
    const COLUMNS: usize = 13;
    let mut sql = String::from(
        "INSERT INTO access_token (token_id, token_hash, authentication_id, profile, client_id, user_id, user_name, scope, \
         grant_type, claims, key_id, issued_at_ms, expires_at_ms, reusable) SELECT * FROM (VALUES ",
    );
    for row in 0..tokens.len() {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..COLUMNS {
            let _ = write!(sql, "${}, ", row * COLUMNS + column + 3);
        }
        sql.push_str("1)");
    }
    sql.push_str(
        ") AS new WHERE NOT EXISTS (SELECT 1 FROM change WHERE number > $1 AND kind <> $2) ON CONFLICT DO NOTHING",
    );
    // Nothing but numbers of parameters was added to it.
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(seen)
        .bind(Kind::TokenRevoked.name());
    for token in tokens {
        query = query
            .bind(token.token_id.as_str())
            .bind(token.token_hash.clone())
            .bind(token.authentication_id.as_str())
            .bind(token.profile.as_str())
            .bind(token.client_id.as_str())
            .bind(token.user_id.as_str())
            .bind(token.user_name.as_str())
            .bind(token.scope.as_str())
            .bind(token.grant_type.as_str())
            .bind(token.claims.as_str())
            .bind(token.key_id.as_str())
            .bind(token.issued_at_ms)
            .bind(token.expires_at_ms);
    }
    let done = query.execute(connection).await?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(0))
}

/// When a token expires (`Some(None)`: never); `None`: there is no such token (any more).
pub async fn expiry(connection: &mut AnyConnection, token_id: &str) -> sqlx::Result<Option<Option<i64>>> {
    sqlx::query_scalar("SELECT expires_at_ms FROM access_token WHERE token_id = $1")
        .bind(token_id)
        .fetch_optional(connection)
        .await
}

/// The ids and expiries of all tokens that were given with a refresh token.
pub async fn bound_to(connection: &mut AnyConnection, refresh_id: &str) -> sqlx::Result<Vec<(String, Option<i64>)>> {
    sqlx::query_as("SELECT token_id, expires_at_ms FROM access_token WHERE refresh_id = $1")
        .bind(refresh_id)
        .fetch_all(connection)
        .await
}

/// Forgets one.
pub async fn delete(connection: &mut AnyConnection, token_id: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM access_token WHERE token_id = $1")
        .bind(token_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets all of a holder, but those that went with their client: whoever asks is told what became of them.
pub async fn delete_of(connection: &mut AnyConnection, holder: Holder<'_>) -> sqlx::Result<()> {
    let sql = format!(
        "DELETE FROM access_token WHERE {} AND revoked_with_client = 0",
        holder.condition()
    );
    // The condition is one of ours.
    let delete = sqlx::query(AssertSqlSafe(sql)).bind(holder.value());
    delete.execute(connection).await?;
    Ok(())
}

/// The living tokens of a client: how many, and when the last of them expires (`None`: one of them never does).
pub async fn living_of_client(
    connection: &mut AnyConnection,
    client_id: &str,
    now_ms: i64,
) -> sqlx::Result<(i64, Option<i64>)> {
    let (count, endless, last): (i64, i64, i64) = sqlx::query_as(
        "SELECT COUNT(*), COUNT(*) - COUNT(expires_at_ms), COALESCE(MAX(expires_at_ms), 0) FROM access_token \
         WHERE client_id = $1 AND (expires_at_ms IS NULL OR expires_at_ms > $2)",
    )
    .bind(client_id)
    .bind(now_ms)
    .fetch_one(connection)
    .await?;
    Ok((count, (endless == 0).then_some(last)))
}

/// Marks all tokens of a removed client. They are kept until they expire: whoever asks is told what became of them.
pub async fn revoke_with_client(connection: &mut AnyConnection, client_id: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE access_token SET revoked_with_client = 1, reusable = 0 WHERE client_id = $1")
        .bind(client_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets those that expired before a time and whose refresh token is gone. (While it lives, the next login keeps it,
/// and the row is what leads there.)
pub async fn delete_expired(connection: &mut AnyConnection, before_ms: i64) -> sqlx::Result<u64> {
    let done = sqlx::query("DELETE FROM access_token WHERE expires_at_ms < $1 AND refresh_id IS NULL")
        .bind(before_ms)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
