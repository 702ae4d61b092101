//! Tokens of the system before us, by the MD5 of their value: it is all that its tables say of a JWT. MD5 is good enough
//! for that: to be taken for such a token, a forgery would need the MD5 of a value that was random (a second preimage),
//! not a mere collision.

use std::collections::HashSet;

use sqlx::{AnyConnection, AssertSqlSafe};

use crate::db::Holder;
use crate::profiles::Profile;

/// A token that another system issued.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ImportedToken {
    /// MD5 of its value, in lower-case hexadecimal digits.
    pub token_md5: String,
    /// Its `jti`, where that is known, else the MD5. By this id it is revoked.
    pub token_id: String,
    /// Not 0: a refresh token.
    pub refresh: i32,
    /// The profile that honours it.
    pub profile: String,
    /// The client it was given to.
    pub client_id: String,
    /// The user's name; empty: the client's own.
    pub user_name: String,
    /// The `token_id` of the refresh token it was given with; empty: none.
    pub refresh_id: String,
    /// The scope of an opaque token, space-separated.
    pub scope: String,
    /// When it expires; 0: only the token itself says.
    pub expires_at_ms: i64,
}

/// The token of that MD5, if it was not revoked, whether it has expired or not.
pub async fn find(connection: &mut AnyConnection, token_md5: &str) -> sqlx::Result<Option<ImportedToken>> {
    sqlx::query_as(
        "SELECT token_md5, token_id, refresh, profile, client_id, user_name, refresh_id, scope, expires_at_ms \
         FROM imported_token WHERE token_md5 = $1 AND revoked = 0",
    )
    .bind(token_md5)
    .fetch_optional(connection)
    .await
}

/// Stores tokens, except those that are there already, also revoked, and except new encodings of a refresh token that was
/// revoked. Returns how many are new.
pub async fn insert(connection: &mut AnyConnection, tokens: &[ImportedToken]) -> sqlx::Result<u64> {
    let mut new = 0;
    // Many at a time, for others wait until the import commits; SQLite takes 32,766 parameters in one statement.
    for tokens in tokens.chunks(1000) {
        let revoked = revoked_refresh_tokens(&mut *connection, tokens).await?;
        let good = |token: &&ImportedToken| token.refresh == 0 || !revoked.contains(&token.token_id);
        let tokens: Vec<&ImportedToken> = tokens.iter().filter(good).collect();
        if tokens.is_empty() {
            continue;
        }
        let rows: Vec<String> = (0..tokens.len()).map(placeholders).collect();
        let statement = format!(
            "INSERT INTO imported_token (token_md5, token_id, refresh, profile, client_id, user_name, refresh_id, scope, \
             expires_at_ms) VALUES {} ON CONFLICT (token_md5) DO NOTHING",
            rows.join(", ")
        );
        // Made of nothing but numbers.
        let mut insert = sqlx::query(AssertSqlSafe(statement));
        for token in tokens {
            insert = insert
                .bind(token.token_md5.as_str())
                .bind(token.token_id.as_str())
                .bind(token.refresh)
                .bind(token.profile.as_str())
                .bind(token.client_id.as_str())
                .bind(token.user_name.as_str())
                .bind(token.refresh_id.as_str())
                .bind(token.scope.as_str())
                .bind(token.expires_at_ms);
        }
        new += insert.execute(&mut *connection).await?.rows_affected();
    }
    Ok(new)
}

/// The ids of those refresh tokens of which an encoding is revoked.
async fn revoked_refresh_tokens(
    connection: &mut AnyConnection,
    tokens: &[ImportedToken],
) -> sqlx::Result<HashSet<String>> {
    let ids: HashSet<&str> = tokens
        .iter()
        .filter(|token| token.refresh != 0)
        .map(|token| token.token_id.as_str())
        .collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let numbers: Vec<String> = (1..=ids.len()).map(|number| format!("${number}")).collect();
    // Made of nothing but numbers.
    let statement = AssertSqlSafe(format!(
        "SELECT DISTINCT token_id FROM imported_token WHERE refresh <> 0 AND revoked = 1 AND token_id IN ({})",
        numbers.join(", ")
    ));
    let mut select = sqlx::query_scalar(statement);
    for id in ids {
        select = select.bind(id);
    }
    let revoked: Vec<String> = select.fetch_all(connection).await?;
    Ok(revoked.into_iter().collect())
}

/// `($1, …, $9)` for the first row, and so on.
fn placeholders(row: usize) -> String {
    let numbers: Vec<String> = (1..=9).map(|column| format!("${}", row * 9 + column)).collect();
    format!("({})", numbers.join(", "))
}

/// The token was presented and said when it expires.
pub async fn learn_expiry(connection: &mut AnyConnection, token_md5: &str, expires_at_ms: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE imported_token SET expires_at_ms = $2 WHERE token_md5 = $1 AND expires_at_ms = 0")
        .bind(token_md5)
        .bind(expires_at_ms)
        .execute(connection)
        .await?;
    Ok(())
}

/// The ids and expiries (`None`: not known) of all access tokens that were given with a refresh token and not revoked.
pub async fn bound_to(connection: &mut AnyConnection, refresh_id: &str) -> sqlx::Result<Vec<(String, Option<i64>)>> {
    sqlx::query_as(
        "SELECT token_id, NULLIF(expires_at_ms, 0) FROM imported_token \
         WHERE refresh_id = $1 AND refresh = 0 AND revoked = 0",
    )
    .bind(refresh_id)
    .fetch_all(connection)
    .await
}

/// Marks every encoding of a token.
pub async fn revoke(connection: &mut AnyConnection, token_id: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE imported_token SET revoked = 1 WHERE token_id = $1")
        .bind(token_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Marks all of a holder; these tokens know no ids of users.
pub async fn revoke_of(connection: &mut AnyConnection, holder: Holder<'_>) -> sqlx::Result<()> {
    if let Holder::UserId(_) = holder {
        return Ok(());
    }
    let sql = format!("UPDATE imported_token SET revoked = 1 WHERE {}", holder.condition());
    // The condition is one of ours.
    let update = sqlx::query(AssertSqlSafe(sql)).bind(holder.value());
    update.execute(connection).await?;
    Ok(())
}

/// A token by its id or its MD5, if it was not revoked, whether it has expired or not.
pub async fn by_id(connection: &mut AnyConnection, id: &str) -> sqlx::Result<Option<ImportedToken>> {
    sqlx::query_as(
        "SELECT token_md5, token_id, refresh, profile, client_id, user_name, refresh_id, scope, expires_at_ms \
         FROM imported_token WHERE (token_id = $1 OR token_md5 = $1) AND revoked = 0",
    )
    .bind(id)
    .fetch_optional(connection)
    .await
}

/// The living access tokens of a client: how many, and when the last of them expires (`None`: not known of all).
pub async fn living_of_client(
    connection: &mut AnyConnection,
    client_id: &str,
    now_ms: i64,
) -> sqlx::Result<(i64, Option<i64>)> {
    let (count, known, last): (i64, i64, i64) = sqlx::query_as(
        "SELECT COUNT(*), COUNT(NULLIF(expires_at_ms, 0)), COALESCE(MAX(expires_at_ms), 0) FROM imported_token \
         WHERE client_id = $1 AND refresh = 0 AND revoked = 0 AND (expires_at_ms = 0 OR expires_at_ms > $2)",
    )
    .bind(client_id)
    .bind(now_ms)
    .fetch_one(connection)
    .await?;
    Ok((count, (known == count).then_some(last)))
}

/// The profiles that living tokens were imported for.
pub async fn profiles(connection: &mut AnyConnection, now_ms: i64) -> sqlx::Result<Vec<Profile>> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT profile FROM imported_token WHERE revoked = 0 AND (expires_at_ms = 0 OR expires_at_ms > $1)",
    )
    .bind(now_ms)
    .fetch_all(connection)
    .await?;
    let profiles = names.iter().map(|name| name.parse());
    profiles
        .collect::<Result<_, String>>()
        .map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Forgets those that are known to have expired before a time.
pub async fn delete_expired(connection: &mut AnyConnection, before_ms: i64) -> sqlx::Result<u64> {
    let done = sqlx::query("DELETE FROM imported_token WHERE expires_at_ms > 0 AND expires_at_ms < $1")
        .bind(before_ms)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
