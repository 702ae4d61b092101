//! Living tokens of the system before us, by the MD5 of their value: it is all that its tables say of a JWT. MD5 is good
//! enough for that: to be taken for such a token, a forgery would need the MD5 of a value that was random (a second
//! preimage), not a mere collision.

use sqlx::AnyConnection;

/// A token that another system issued.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ImportedToken {
    /// MD5 of its value, in lower-case hexadecimal digits.
    pub token_md5: String,
    /// Not 0: a refresh token.
    pub refresh: i32,
    /// The profile that honours it.
    pub profile: String,
    /// The client it was given to.
    pub client_id: String,
    /// The user's name; empty: the client's own, or not known.
    pub user_name: String,
    /// The refresh token it was given with; empty: none.
    pub refresh_md5: String,
    /// When it expires; 0: it says so itself.
    pub expires_at_ms: i64,
}

/// The token of that MD5.
pub async fn find(connection: &mut AnyConnection, token_md5: &str) -> sqlx::Result<Option<ImportedToken>> {
    sqlx::query_as(
        "SELECT token_md5, refresh, profile, client_id, user_name, refresh_md5, expires_at_ms FROM imported_token \
         WHERE token_md5 = $1",
    )
    .bind(token_md5)
    .fetch_optional(connection)
    .await
}

/// Stores one; `false`: it is there already.
pub async fn insert(connection: &mut AnyConnection, token: &ImportedToken) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO imported_token (token_md5, refresh, profile, client_id, user_name, refresh_md5, expires_at_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (token_md5) DO NOTHING",
    )
    .bind(token.token_md5.as_str())
    .bind(token.refresh)
    .bind(token.profile.as_str())
    .bind(token.client_id.as_str())
    .bind(token.user_name.as_str())
    .bind(token.refresh_md5.as_str())
    .bind(token.expires_at_ms)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets one.
pub async fn delete(connection: &mut AnyConnection, token_md5: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM imported_token WHERE token_md5 = $1")
        .bind(token_md5)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets all of a client.
pub async fn delete_of_client(connection: &mut AnyConnection, client_id: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM imported_token WHERE client_id = $1")
        .bind(client_id)
        .execute(connection)
        .await?;
    Ok(())
}
