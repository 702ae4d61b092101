//! What gateways must refuse although its signature and times are good: single tokens, and all tokens of a client.

use sqlx::AnyConnection;

use crate::db::Holder;
use crate::db::change::{self, Kind};

/// Revokes one token; tells it as a change.
pub async fn insert_token(
    connection: &mut AnyConnection,
    token_id: &str,
    now_ms: i64,
    expires_at_ms: Option<i64>,
) -> sqlx::Result<()> {
    let number = change::append(connection, Kind::TokenRevoked, token_id, now_ms, expires_at_ms).await?;
    sqlx::query(
        "INSERT INTO revoked_token (token_id, expires_at_ms, number) VALUES ($1, $2, $3) \
         ON CONFLICT (token_id) DO NOTHING",
    )
    .bind(token_id)
    .bind(expires_at_ms)
    .bind(number)
    .execute(connection)
    .await?;
    Ok(())
}

/// Revokes every token that a client was given until now; tells it as a change.
pub async fn insert_client(
    connection: &mut AnyConnection,
    client_id: &str,
    now_ms: i64,
    expires_at_ms: Option<i64>,
) -> sqlx::Result<()> {
    let number = change::append(connection, Kind::ClientRevoked, client_id, now_ms, expires_at_ms).await?;
    sqlx::query("INSERT INTO revoked_client (client_id, at_ms, expires_at_ms, number) VALUES ($1, $2, $3, $4)")
        .bind(client_id)
        .bind(now_ms)
        .bind(expires_at_ms)
        .bind(number)
        .execute(connection)
        .await?;
    Ok(())
}

/// A client of that name is registered again. Its predecessor's tokens stay revoked, but one by one: tokens of the
/// legacy profiles do not say when they were issued, so a revocation by client would meet the new ones too.
/// `false`: no client of that name is revoked.
pub async fn replace_client(connection: &mut AnyConnection, client_id: &str, now_ms: i64) -> sqlx::Result<bool> {
    let done = sqlx::query("DELETE FROM revoked_client WHERE client_id = $1")
        .bind(client_id)
        .execute(&mut *connection)
        .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    let (_, told) = change::range(connection).await?;
    change::append_revoked_with_client(connection, client_id, now_ms).await?;
    insert_changed_after(connection, told).await?;
    Ok(true)
}

/// Revokes each living token of a holder, one by one; tells it as changes. Returns how many they are.
pub async fn insert_of(connection: &mut AnyConnection, holder: Holder<'_>, now_ms: i64) -> sqlx::Result<u64> {
    let (_, told) = change::range(connection).await?;
    let living = change::append_revoked_of(connection, holder, now_ms).await?;
    insert_changed_after(connection, told).await?;
    Ok(living)
}

/// Every change after that number is the revocation of a token.
async fn insert_changed_after(connection: &mut AnyConnection, number: i64) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO revoked_token (token_id, expires_at_ms, number) SELECT subject, expires_at_ms, number FROM change \
         WHERE number > $1 ON CONFLICT (token_id) DO NOTHING",
    )
    .bind(number)
    .execute(connection)
    .await?;
    Ok(())
}

/// A revocation, as the gateways are told it.
#[derive(Debug, sqlx::FromRow)]
pub struct Revocation {
    /// The number of the change that told it.
    pub number: i64,
    /// 1: of a client; 0: of a token. (`Any` has no booleans that both databases can select.)
    pub of_client: i64,
    /// The id of the token or the client.
    pub subject: String,
    /// When a client was revoked; of a token, 0.
    pub at_ms: i64,
    /// When the last token it speaks of expires by itself; `None`: never.
    pub expires_at_ms: Option<i64>,
}

/// The first revocations after a number, in order, of what has not expired by itself; so many at most. One statement, so
/// that they are of one moment.
pub async fn living_after(
    connection: &mut AnyConnection,
    number: i64,
    now_ms: i64,
    most: i64,
) -> sqlx::Result<Vec<Revocation>> {
    sqlx::query_as(
        "SELECT number, 0 AS of_client, token_id AS subject, 0 AS at_ms, expires_at_ms FROM revoked_token \
         WHERE number > $1 AND (expires_at_ms IS NULL OR expires_at_ms > $2) \
         UNION ALL \
         SELECT number, 1 AS of_client, client_id AS subject, at_ms, expires_at_ms FROM revoked_client \
         WHERE number > $1 AND (expires_at_ms IS NULL OR expires_at_ms > $2) \
         ORDER BY number LIMIT $3",
    )
    .bind(number)
    .bind(now_ms)
    .bind(most)
    .fetch_all(connection)
    .await
}

/// How many revocations the gateways hold now.
pub async fn count_living(connection: &mut AnyConnection, now_ms: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT (SELECT COUNT(*) FROM revoked_token WHERE expires_at_ms IS NULL OR expires_at_ms > $1) \
              + (SELECT COUNT(*) FROM revoked_client WHERE expires_at_ms IS NULL OR expires_at_ms > $1)",
    )
    .bind(now_ms)
    .fetch_one(connection)
    .await
}

/// Forgets revocations of what expired by itself before a time.
pub async fn delete_expired(connection: &mut AnyConnection, before_ms: i64) -> sqlx::Result<u64> {
    let tokens = sqlx::query("DELETE FROM revoked_token WHERE expires_at_ms < $1")
        .bind(before_ms)
        .execute(&mut *connection)
        .await?;
    let clients = sqlx::query("DELETE FROM revoked_client WHERE expires_at_ms < $1")
        .bind(before_ms)
        .execute(connection)
        .await?;
    Ok(tokens.rows_affected() + clients.rows_affected())
}
