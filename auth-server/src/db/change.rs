//! The append-only table of changes: its last number is the version of the feed.

use sqlx::{AnyConnection, AssertSqlSafe};

use crate::db::Holder;

/// A change, as one past knows it: the mark is drawn with the row, so a change that took its number after a backup was
/// restored has another one. 0 and 0: nothing ever changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, sqlx::FromRow)]
pub struct Stamp {
    /// The number.
    pub number: i64,
    /// The mark.
    pub mark: i64,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A token is no longer good; the subject is its id.
    TokenRevoked,
    /// A client is gone and its tokens with it; the subject is its id.
    ClientRevoked,
    /// A client was registered; the subject is its id.
    ClientAdded,
    /// A client was registered whose predecessor of the same id is revoked. Followers start again from a full snapshot:
    /// the revocation must not meet the new client's tokens.
    ClientReplaced,
    /// The signing keys changed; the subject is the profile.
    KeysChanged,
    /// Tokens of another system were imported, or the last of them are gone; the subject is the profile, or empty.
    ImportsChanged,
}

impl Kind {
    /// As it stands in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::TokenRevoked => "token_revoked",
            Self::ClientRevoked => "client_revoked",
            Self::ClientAdded => "client_added",
            Self::ClientReplaced => "client_replaced",
            Self::KeysChanged => "keys_changed",
            Self::ImportsChanged => "imports_changed",
        }
    }

    fn named(name: &str) -> sqlx::Result<Self> {
        [
            Self::TokenRevoked,
            Self::ClientRevoked,
            Self::ClientAdded,
            Self::ClientReplaced,
            Self::KeysChanged,
            Self::ImportsChanged,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| sqlx::Error::Decode(format!("unknown kind of change `{name}`").into()))
    }
}

/// Appends a change. Returns its number.
pub async fn append(
    connection: &mut AnyConnection,
    kind: Kind,
    subject: &str,
    now_ms: i64,
    expires_at_ms: Option<i64>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO change (kind, subject, at_ms, expires_at_ms) VALUES ($1, $2, $3, $4) RETURNING number",
    )
    .bind(kind.name())
    .bind(subject)
    .bind(now_ms)
    .bind(expires_at_ms)
    .fetch_one(connection)
    .await
}

/// Appends the revocation of each living token that was revoked with its client.
pub async fn append_revoked_with_client(
    connection: &mut AnyConnection,
    client_id: &str,
    now_ms: i64,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO change (kind, subject, at_ms, expires_at_ms) SELECT $1, token_id, $3, expires_at_ms FROM access_token \
         WHERE client_id = $2 AND reusable = 0 AND revoked_with_client = 1 AND (expires_at_ms IS NULL OR expires_at_ms > $3) \
         UNION ALL \
         SELECT $1, token_id, $3, NULLIF(expires_at_ms, 0) FROM imported_token \
         WHERE client_id = $2 AND revoked = 1 AND refresh = 0 AND (expires_at_ms = 0 OR expires_at_ms > $3)",
    )
    .bind(Kind::TokenRevoked.name())
    .bind(client_id)
    .bind(now_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Appends the revocation of each living token of a holder.
pub async fn append_revoked_of(connection: &mut AnyConnection, holder: Holder<'_>, now_ms: i64) -> sqlx::Result<u64> {
    let own = format!(
        "SELECT $2, token_id, $3, expires_at_ms FROM access_token \
         WHERE {} AND revoked_with_client = 0 AND (expires_at_ms IS NULL OR expires_at_ms > $3)",
        holder.access_token_condition()
    );
    let imported = match holder {
        // These know no ids of users.
        Holder::UserId(_) => String::new(),
        Holder::Client(_) | Holder::UserName(_) => format!(
            " UNION ALL SELECT $2, token_id, $3, NULLIF(expires_at_ms, 0) FROM imported_token \
             WHERE {} AND revoked = 0 AND refresh = 0 AND (expires_at_ms = 0 OR expires_at_ms > $3)",
            holder.condition()
        ),
    };
    let sql = format!("INSERT INTO change (kind, subject, at_ms, expires_at_ms) {own}{imported}");
    // The conditions are ours.
    let append = sqlx::query(AssertSqlSafe(sql));
    let append = append.bind(holder.value()).bind(Kind::TokenRevoked.name()).bind(now_ms);
    Ok(append.execute(connection).await?.rows_affected())
}

/// What kinds of changes there were after one number, up to and including another.
pub async fn kinds(connection: &mut AnyConnection, after: i64, up_to: i64) -> sqlx::Result<Vec<Kind>> {
    let names: Vec<String> = sqlx::query_scalar("SELECT DISTINCT kind FROM change WHERE number > $1 AND number <= $2")
        .bind(after)
        .bind(up_to)
        .fetch_all(connection)
        .await?;
    names.iter().map(|name| Kind::named(name)).collect()
}

/// What changed after one number, up to and including another, with the subjects; so many at most.
pub async fn after(
    connection: &mut AnyConnection,
    after: i64,
    up_to: i64,
    most: usize,
) -> sqlx::Result<Vec<(Kind, String)>> {
    let changes: Vec<(String, String)> =
        sqlx::query_as("SELECT kind, subject FROM change WHERE number > $1 AND number <= $2 LIMIT $3")
            .bind(after)
            .bind(up_to)
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(connection)
            .await?;
    let typed = |(name, subject): (String, String)| Ok((Kind::named(&name)?, subject));
    changes.into_iter().map(typed).collect()
}

/// The numbers of the oldest change that is kept and of the newest; 0 and 0 when nothing ever changed. (Each is found by
/// itself: asked for both together, SQLite would read the whole table.)
pub async fn range(connection: &mut AnyConnection) -> sqlx::Result<(i64, i64)> {
    sqlx::query_as(
        "SELECT COALESCE((SELECT MIN(number) FROM change), 0), COALESCE((SELECT MAX(number) FROM change), 0)",
    )
    .fetch_one(connection)
    .await
}

/// The newest change.
pub async fn newest(connection: &mut AnyConnection) -> sqlx::Result<Stamp> {
    let newest = sqlx::query_as("SELECT number, mark FROM change ORDER BY number DESC LIMIT 1");
    Ok(newest.fetch_optional(connection).await?.unwrap_or_default())
}

/// Whether this change is one of the database's past, and not forgotten.
pub async fn knows(connection: &mut AnyConnection, stamp: Stamp) -> sqlx::Result<bool> {
    if stamp == Stamp::default() {
        return Ok(true);
    }
    let mark: Option<i64> = sqlx::query_scalar("SELECT mark FROM change WHERE number = $1")
        .bind(stamp.number)
        .fetch_optional(connection)
        .await?;
    Ok(mark == Some(stamp.mark))
}

/// Forgets changes before a time, but never the newest: the version must not fall back.
pub async fn prune(connection: &mut AnyConnection, before_ms: i64) -> sqlx::Result<u64> {
    let done = sqlx::query("DELETE FROM change WHERE at_ms < $1 AND number < (SELECT MAX(number) FROM change)")
        .bind(before_ms)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
