//! The append-only log behind the feed: which users changed, and when the permission table did.

use std::collections::BTreeMap;

use sqlx::AnyConnection;

use super::{Error, Write};

/// A change, as one past knows it: the mark is drawn with the row, so a change that took its number after a backup was
/// restored has another one. 0 and 0: nothing ever changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, sqlx::FromRow)]
pub struct Stamp {
    /// The number.
    pub number: i64,
    /// The mark.
    pub mark: i64,
}

/// A user whose authorities changed, who was added, removed, disabled or enabled.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ChangedUser {
    /// The user's id.
    pub user_id: String,
    /// Unix seconds of the last change.
    pub at: i64,
    /// 0: is disabled or gone, as of the read and whatever the last change was.
    active: i64,
}

impl ChangedUser {
    /// Exists and is not disabled.
    pub fn may_log_in(&self) -> bool {
        self.active != 0
    }
}

/// What a row of the permission table says, without its id and description.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The authority.
    pub name: String,
    /// A path pattern.
    pub url: String,
    /// An HTTP method, or [`EVERY_METHOD`](super::permissions::EVERY_METHOD).
    pub method: String,
}

/// How the permission table changed after a number.
#[derive(Debug, PartialEq, Eq)]
pub enum PermissionChanges {
    /// By these rows at most: whether each is there now. None: not at all.
    Rows(BTreeMap<Row, bool>),
    /// By too many rows to name them, or nobody noted by which.
    Many,
}

/// More changed rows than this are told as a whole table.
const MOST_ROWS: i64 = 2000;

/// Records that a row of the permission table came (`added`) or went.
pub async fn record_permission(write: &mut Write, row: &Row, added: bool, now_ms: i64) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO changes (at, user_id, permission_name, permission_url, permission_method, permission_added) \
         VALUES ($1, NULL, $2, $3, $4, $5)",
    )
    .bind(now_ms / 1000)
    .bind(&row.name)
    .bind(&row.url)
    .bind(&row.method)
    .bind(i64::from(added))
    .execute(&mut **write)
    .await?;
    Ok(())
}

/// Records that a user's authorities changed, or whether the user may log in.
pub async fn record_user(write: &mut Write, user_id: &str, now_ms: i64) -> Result<(), Error> {
    sqlx::query("INSERT INTO changes (at, user_id) VALUES ($1, $2)")
        .bind(now_ms / 1000)
        .bind(user_id)
        .execute(&mut **write)
        .await?;
    Ok(())
}

/// Records that the authorities of everybody with `role` changed. Before the role is removed, not after.
pub async fn record_users_of_role(write: &mut Write, role: &str, now_ms: i64) -> Result<(), Error> {
    sqlx::query("INSERT INTO changes (at, user_id) SELECT $1, user_id FROM user_roles WHERE role = $2")
        .bind(now_ms / 1000)
        .bind(role)
        .execute(&mut **write)
        .await?;
    Ok(())
}

/// Records that the authorities of everybody with a permission changed. Before the permission is removed, not after.
pub async fn record_users_of_permission(write: &mut Write, id: i64, now_ms: i64) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO changes (at, user_id) SELECT DISTINCT $1, user_roles.user_id FROM role_permissions \
         JOIN user_roles ON user_roles.role = role_permissions.role WHERE role_permissions.permission_id = $2",
    )
    .bind(now_ms / 1000)
    .bind(id)
    .execute(&mut **write)
    .await?;
    Ok(())
}

/// Which database this is: random, drawn when it was created.
pub async fn lineage(connection: &mut AnyConnection) -> Result<String, Error> {
    Ok(sqlx::query_scalar("SELECT lineage FROM feed")
        .fetch_one(connection)
        .await?)
}

/// The newest change: the version of the feed.
pub async fn newest(connection: &mut AnyConnection) -> Result<Stamp, Error> {
    let newest = sqlx::query_as("SELECT number, mark FROM changes ORDER BY number DESC LIMIT 1");
    Ok(newest.fetch_optional(connection).await?.unwrap_or_default())
}

/// Whether this change is one of the database's past, and still kept.
pub async fn knows(connection: &mut AnyConnection, stamp: Stamp) -> Result<bool, Error> {
    if stamp == Stamp::default() {
        return Ok(true);
    }
    let mark: Option<i64> = sqlx::query_scalar("SELECT mark FROM changes WHERE number = $1")
        .bind(stamp.number)
        .fetch_optional(connection)
        .await?;
    Ok(mark == Some(stamp.mark))
}

/// The users who changed after a number, each once.
pub async fn users_after(connection: &mut AnyConnection, number: i64) -> Result<Vec<ChangedUser>, Error> {
    let sql = "SELECT changes.user_id, MAX(changes.at) AS at, COUNT(users.id) AS active FROM changes \
               LEFT JOIN users ON users.id = changes.user_id AND users.disabled = 0 \
               WHERE changes.number > $1 AND changes.user_id IS NOT NULL \
               GROUP BY changes.user_id ORDER BY changes.user_id";
    Ok(sqlx::query_as(sql).bind(number).fetch_all(connection).await?)
}

/// The users who changed at or after a Unix second, each once.
pub async fn users_since(connection: &mut AnyConnection, second: i64) -> Result<Vec<ChangedUser>, Error> {
    let sql = "SELECT changes.user_id, MAX(changes.at) AS at, COUNT(users.id) AS active FROM changes \
               LEFT JOIN users ON users.id = changes.user_id AND users.disabled = 0 \
               WHERE changes.at >= $1 AND changes.user_id IS NOT NULL \
               GROUP BY changes.user_id ORDER BY changes.user_id";
    Ok(sqlx::query_as(sql).bind(second).fetch_all(connection).await?)
}

/// How the permission table changed after a number.
pub async fn permissions_after(connection: &mut AnyConnection, number: i64) -> Result<PermissionChanges, Error> {
    let sql = "SELECT permission_name, permission_url, permission_method, permission_added FROM changes \
               WHERE number > $1 AND user_id IS NULL ORDER BY number LIMIT $2";
    /// Name, URL, method, and whether the row was added; nothing in those of before there were such columns.
    type Change = (Option<String>, Option<String>, Option<String>, Option<i64>);
    let changes: Vec<Change> = sqlx::query_as(sql)
        .bind(number)
        .bind(MOST_ROWS + 1)
        .fetch_all(connection)
        .await?;
    if changes.len() as i64 > MOST_ROWS {
        return Ok(PermissionChanges::Many);
    }
    let mut rows = BTreeMap::new();
    for change in changes {
        let (Some(name), Some(url), Some(method), Some(added)) = change else {
            return Ok(PermissionChanges::Many);
        };
        rows.insert(Row { name, url, method }, added != 0);
    }
    Ok(PermissionChanges::Rows(rows))
}

/// Forgets what is older than a Unix second, except the newest row, which holds the version.
///
/// Only whole beginnings of the log go, also when the clock once stood wrong: what is left has no gaps, so a delta from a
/// change that is still kept is complete.
pub async fn prune(write: &mut Write, second: i64) -> Result<u64, Error> {
    let sql = "DELETE FROM changes WHERE number < \
               (SELECT COALESCE((SELECT MIN(number) FROM changes WHERE at >= $1), MAX(number)) FROM changes)";
    Ok(sqlx::query(sql)
        .bind(second)
        .execute(&mut **write)
        .await?
        .rows_affected())
}

/// A number that moves whenever another connection, of this process or another, has committed. SQLite only.
pub async fn data_version(connection: &mut AnyConnection) -> Result<i64, Error> {
    Ok(sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await?)
}
