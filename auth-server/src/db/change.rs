//! The append-only table of changes: its last number is the version of the feed.

use sqlx::AnyConnection;

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
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::TokenRevoked => "token_revoked",
            Self::ClientRevoked => "client_revoked",
            Self::ClientAdded => "client_added",
            Self::ClientReplaced => "client_replaced",
            Self::KeysChanged => "keys_changed",
        }
    }

    fn named(name: &str) -> sqlx::Result<Self> {
        [
            Self::TokenRevoked,
            Self::ClientRevoked,
            Self::ClientAdded,
            Self::ClientReplaced,
            Self::KeysChanged,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| sqlx::Error::Decode(format!("unknown kind of change `{name}`").into()))
    }
}

/// One change.
#[derive(Debug)]
pub struct Change {
    /// What changed.
    pub kind: Kind,
    /// Whom or what it is about.
    pub subject: String,
    /// When it happened.
    pub at_ms: i64,
    /// When it is of no interest any more; `None`: never.
    pub expires_at_ms: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct Row {
    kind: String,
    subject: String,
    at_ms: i64,
    expires_at_ms: Option<i64>,
}

/// Appends a change.
pub async fn append(
    connection: &mut AnyConnection,
    kind: Kind,
    subject: &str,
    now_ms: i64,
    expires_at_ms: Option<i64>,
) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO change (kind, subject, at_ms, expires_at_ms) VALUES ($1, $2, $3, $4)")
        .bind(kind.name())
        .bind(subject)
        .bind(now_ms)
        .bind(expires_at_ms)
        .execute(connection)
        .await?;
    Ok(())
}

/// The changes after one number, up to and including another, in order.
pub async fn between(connection: &mut AnyConnection, after: i64, up_to: i64) -> sqlx::Result<Vec<Change>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT kind, subject, at_ms, expires_at_ms FROM change WHERE number > $1 AND number <= $2 ORDER BY number",
    )
    .bind(after)
    .bind(up_to)
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Change {
                kind: Kind::named(&row.kind)?,
                subject: row.subject,
                at_ms: row.at_ms,
                expires_at_ms: row.expires_at_ms,
            })
        })
        .collect()
}

/// The numbers of the oldest change that is kept and of the newest; 0 and 0 when nothing ever changed.
pub async fn range(connection: &mut AnyConnection) -> sqlx::Result<(i64, i64)> {
    sqlx::query_as("SELECT COALESCE(MIN(number), 0), COALESCE(MAX(number), 0) FROM change")
        .fetch_one(connection)
        .await
}

/// Forgets changes before a time, but never the newest: the version must not fall back.
pub async fn prune(connection: &mut AnyConnection, before_ms: i64) -> sqlx::Result<u64> {
    let done = sqlx::query("DELETE FROM change WHERE at_ms < $1 AND number < (SELECT MAX(number) FROM change)")
        .bind(before_ms)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
