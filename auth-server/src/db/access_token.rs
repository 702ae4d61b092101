//! Access tokens: what was signed, never the signed token.

use serde::Serialize;
use sqlx::{AnyConnection, AssertSqlSafe};

use crate::db::change::Kind;
use crate::db::{Holder, Location, WriteNew};
use crate::entropy;
use crate::profiles::{Format, Profile};
use crate::signing::Signing;

/// An access token as it was issued.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AccessToken {
    /// The `jti`.
    pub token_id: String,
    /// SHA-256 of the token; `None`: of a JWT that nobody has shown yet. The database keeps it of opaque tokens only: a
    /// JWT says its id.
    pub token_hash: Option<Vec<u8>>,
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

impl AccessToken {
    /// Its value, once more. `None`: its key is gone.
    pub fn value(&self, signing: &Signing) -> Option<String> {
        let profile: Profile = self.profile.parse().ok()?;
        profile.access_token(signing, &self.key_id, &self.token_id, &self.claims)
    }

    /// The hash that is kept in the database: random keys make an index dear, and a JWT needs none.
    fn stored_hash(&self) -> Option<&[u8]> {
        let is_opaque = self
            .profile
            .parse()
            .is_ok_and(|profile: Profile| profile.format() == Format::Opaque);
        self.token_hash.as_deref().filter(|_| is_opaque)
    }
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

/// The opaque token whose SHA-256 this is, of any profile, whether it has expired or not.
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
    .bind(token.stored_hash().map(<[u8]>::to_vec))
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
/// anything but a revoked token has changed since the change of that number. Returns how many are stored. One statement
/// for any number of them: they travel as one JSON array.
pub async fn insert_first(write: &mut WriteNew, tokens: &[&AccessToken], seen: i64) -> sqlx::Result<usize> {
    let tokens: Vec<NewRow<'_>> = tokens.iter().map(|token| NewRow::of(token)).collect();
    let tokens = serde_json::to_string(&tokens).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let stored = match write.location {
        Location::Sqlite(_) => {
            let insert = sqlx::query(
                "INSERT INTO access_token (token_id, token_hash, authentication_id, profile, client_id, user_id, user_name, \
                 scope, grant_type, claims, key_id, issued_at_ms, expires_at_ms, reusable) \
                 SELECT value ->> 0, unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
                 value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, 1 FROM json_each($3) \
                 WHERE NOT EXISTS (SELECT 1 FROM change WHERE number > $1 AND kind <> $2) ON CONFLICT DO NOTHING",
            );
            let insert = insert.bind(seen).bind(Kind::TokenRevoked.name()).bind(tokens);
            insert.execute(&mut *write.connection).await?.rows_affected()
        }
        // It waits for who writes alone, before it looks.
        Location::Postgres(_) => {
            let insert = sqlx::query_scalar("SELECT postern_insert_first($1, $2, $3)");
            let insert = insert.bind(seen).bind(Kind::TokenRevoked.name()).bind(tokens);
            let stored: i64 = insert.fetch_one(&mut *write.connection).await?;
            stored.unsigned_abs()
        }
    };
    Ok(usize::try_from(stored).unwrap_or(usize::MAX))
}

/// The columns of a new token, in the order in which the statements and `postern_insert_first` read them.
#[derive(Serialize)]
struct NewRow<'a>(
    &'a str,
    Option<String>,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    i64,
    Option<i64>,
);

impl<'a> NewRow<'a> {
    fn of(token: &'a AccessToken) -> Self {
        Self(
            &token.token_id,
            token.stored_hash().map(entropy::hex),
            &token.authentication_id,
            &token.profile,
            &token.client_id,
            &token.user_id,
            &token.user_name,
            &token.scope,
            &token.grant_type,
            &token.claims,
            &token.key_id,
            token.issued_at_ms,
            token.expires_at_ms,
        )
    }
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
        holder.access_token_condition()
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
         WHERE ((client_id = $1 AND reusable = 1) OR (client_id = $1 AND reusable = 0)) \
         AND (expires_at_ms IS NULL OR expires_at_ms > $2)",
    )
    .bind(client_id)
    .bind(now_ms)
    .fetch_one(connection)
    .await?;
    Ok((count, (endless == 0).then_some(last)))
}

/// Marks all tokens of a removed client. They are kept until they expire: whoever asks is told what became of them.
pub async fn revoke_with_client(connection: &mut AnyConnection, client_id: &str) -> sqlx::Result<()> {
    sqlx::query(
        // Two indexes lead to a client's tokens, each to its half.
        "UPDATE access_token SET revoked_with_client = 1, reusable = 0 \
         WHERE (client_id = $1 AND reusable = 1) OR (client_id = $1 AND reusable = 0)",
    )
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
