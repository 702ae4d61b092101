//! Users who are logged in at the server's own pages, by the SHA-256 of their cookie.

use sqlx::{AnyConnection, AssertSqlSafe};

use crate::db::Holder;

/// A logged-in browser.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct LoginSession {
    /// SHA-256 of the cookie's value.
    pub session_hash: Vec<u8>,
    /// The profile whose pages it logged in at.
    pub profile: String,
    /// The user's id.
    pub user_id: String,
    /// The user's name.
    pub user_name: String,
    /// When it is no longer good.
    pub expires_at_ms: i64,
}

/// The session of that hash, whether it is still good or not.
pub async fn find(connection: &mut AnyConnection, session_hash: &[u8]) -> sqlx::Result<Option<LoginSession>> {
    sqlx::query_as(
        "SELECT session_hash, profile, user_id, user_name, expires_at_ms FROM login_session WHERE session_hash = $1",
    )
    .bind(session_hash.to_vec())
    .fetch_optional(connection)
    .await
}

/// Stores a new one.
pub async fn insert(connection: &mut AnyConnection, session: &LoginSession) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO login_session (session_hash, profile, user_id, user_name, expires_at_ms) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(session.session_hash.clone())
    .bind(session.profile.as_str())
    .bind(session.user_id.as_str())
    .bind(session.user_name.as_str())
    .bind(session.expires_at_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets one.
pub async fn delete(connection: &mut AnyConnection, session_hash: &[u8]) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM login_session WHERE session_hash = $1")
        .bind(session_hash.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets all of a user; a client has none.
pub async fn delete_of(connection: &mut AnyConnection, holder: Holder<'_>) -> sqlx::Result<()> {
    if let Holder::Client(_) = holder {
        return Ok(());
    }
    let sql = format!("DELETE FROM login_session WHERE {}", holder.condition());
    // The condition is one of ours.
    let delete = sqlx::query(AssertSqlSafe(sql)).bind(holder.value());
    delete.execute(connection).await?;
    Ok(())
}

/// Forgets those that expired before a time.
pub async fn delete_expired(connection: &mut AnyConnection, before_ms: i64) -> sqlx::Result<u64> {
    let done = sqlx::query("DELETE FROM login_session WHERE expires_at_ms < $1")
        .bind(before_ms)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
