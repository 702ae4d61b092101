//! What gateways must refuse although its signature and times are good: single tokens, and all tokens of a client.

use sqlx::AnyConnection;

/// Revokes one token.
pub async fn insert_token(
    connection: &mut AnyConnection,
    token_id: &str,
    expires_at_ms: Option<i64>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO revoked_token (token_id, expires_at_ms) VALUES ($1, $2) ON CONFLICT (token_id) DO NOTHING",
    )
    .bind(token_id)
    .bind(expires_at_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Revokes every token that a client was given until now.
pub async fn insert_client(
    connection: &mut AnyConnection,
    client_id: &str,
    now_ms: i64,
    expires_at_ms: Option<i64>,
) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO revoked_client (client_id, at_ms, expires_at_ms) VALUES ($1, $2, $3)")
        .bind(client_id)
        .bind(now_ms)
        .bind(expires_at_ms)
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
    sqlx::query(
        "INSERT INTO revoked_token (token_id, expires_at_ms) SELECT token_id, expires_at_ms FROM access_token \
         WHERE client_id = $1 AND revoked_with_client = 1 AND (expires_at_ms IS NULL OR expires_at_ms > $2) \
         ON CONFLICT (token_id) DO NOTHING",
    )
    .bind(client_id)
    .bind(now_ms)
    .execute(connection)
    .await?;
    Ok(true)
}

/// The revoked tokens that have not expired by themselves: id and expiry.
pub async fn living_tokens(connection: &mut AnyConnection, now_ms: i64) -> sqlx::Result<Vec<(String, Option<i64>)>> {
    sqlx::query_as(
        "SELECT token_id, expires_at_ms FROM revoked_token WHERE expires_at_ms IS NULL OR expires_at_ms > $1",
    )
    .bind(now_ms)
    .fetch_all(connection)
    .await
}

/// The revoked clients of whose tokens some have not expired by themselves: id, time of the revocation, last expiry.
pub async fn living_clients(
    connection: &mut AnyConnection,
    now_ms: i64,
) -> sqlx::Result<Vec<(String, i64, Option<i64>)>> {
    sqlx::query_as(
        "SELECT client_id, at_ms, expires_at_ms FROM revoked_client WHERE expires_at_ms IS NULL OR expires_at_ms > $1",
    )
    .bind(now_ms)
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
