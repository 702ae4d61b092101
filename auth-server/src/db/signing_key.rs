//! Rows of signing keys. Only [`crate::signing`] reads the secrets in them.

use sqlx::AnyConnection;

/// A key as it is stored.
#[derive(sqlx::FromRow)]
pub struct SigningKey {
    /// Random; never on the wire in the legacy profiles.
    pub key_id: String,
    /// The profile whose tokens it signs.
    pub profile: String,
    /// The HS256 secret.
    pub secret: Vec<u8>,
    /// When it was drawn.
    pub created_at_ms: i64,
    /// From when on it signs, until the next one does.
    pub active_from_ms: i64,
}

/// Every key, the oldest first.
pub async fn all(connection: &mut AnyConnection) -> sqlx::Result<Vec<SigningKey>> {
    sqlx::query_as(
        "SELECT key_id, profile, secret, created_at_ms, active_from_ms FROM signing_key ORDER BY active_from_ms",
    )
    .fetch_all(connection)
    .await
}

/// How many keys a profile has.
pub async fn count(connection: &mut AnyConnection, profile: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT COUNT(*) FROM signing_key WHERE profile = $1")
        .bind(profile)
        .fetch_one(connection)
        .await
}

/// The id of the key that signs at this time.
pub async fn active(connection: &mut AnyConnection, profile: &str, now_ms: i64) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "SELECT key_id FROM signing_key WHERE profile = $1 AND active_from_ms <= $2 ORDER BY active_from_ms DESC LIMIT 1",
    )
    .bind(profile)
    .bind(now_ms)
    .fetch_optional(connection)
    .await
}

/// Adds a key.
pub async fn insert(connection: &mut AnyConnection, key: &SigningKey) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO signing_key (key_id, profile, secret, created_at_ms, active_from_ms) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(key.key_id.as_str())
    .bind(key.profile.as_str())
    .bind(key.secret.clone())
    .bind(key.created_at_ms)
    .bind(key.active_from_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the keys of a profile that no living token needs: those older than the active one and older than every key
/// that signed a living access token or the first encoding of a living refresh token.
pub async fn delete_unneeded(connection: &mut AnyConnection, profile: &str, now_ms: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "DELETE FROM signing_key WHERE profile = $1 AND active_from_ms < \
           (SELECT MIN(needed.active_from_ms) FROM signing_key needed WHERE needed.profile = $1 AND ( \
              needed.key_id = (SELECT key_id FROM signing_key WHERE profile = $1 AND active_from_ms <= $2 \
                               ORDER BY active_from_ms DESC LIMIT 1) \
              OR EXISTS (SELECT 1 FROM access_token \
                         WHERE key_id = needed.key_id AND (expires_at_ms IS NULL OR expires_at_ms > $2)) \
              OR EXISTS (SELECT 1 FROM refresh_token \
                         WHERE first_key_id = needed.key_id AND (expires_at_ms IS NULL OR expires_at_ms > $2))))",
    )
    .bind(profile)
    .bind(now_ms)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
