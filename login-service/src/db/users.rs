//! Users, and the roles they have.

use sqlx::AnyConnection;

use super::{Error, Write, changes, taken};

/// What signing in needs to know of a user.
#[derive(Clone, sqlx::FromRow)]
pub struct User {
    /// The id, as it stands in tokens.
    pub id: String,
    /// The name the user signs in with.
    pub name: String,
    /// A PHC string; of somebody who was imported and has not signed in since, maybe a bcrypt hash.
    pub password_hash: String,
    /// 1: may not sign in and has no authorities.
    disabled: i64,
}

impl User {
    /// May not sign in and has no authorities.
    pub fn is_disabled(&self) -> bool {
        self.disabled != 0
    }
}

/// A user who is not there yet.
#[derive(Clone, Copy)]
pub struct NewUser<'a> {
    /// The id, as it shall stand in tokens.
    pub id: &'a str,
    /// The name to sign in with.
    pub name: &'a str,
    /// A PHC string, or a bcrypt hash.
    pub password_hash: &'a str,
}

/// The user of that name.
pub async fn by_name(connection: &mut AnyConnection, name: &str) -> Result<Option<User>, Error> {
    let sql = "SELECT id, name, password_hash, disabled FROM users WHERE name = $1";
    Ok(sqlx::query_as(sql).bind(name).fetch_optional(connection).await?)
}

/// The user of that id.
pub async fn by_id(connection: &mut AnyConnection, id: &str) -> Result<Option<User>, Error> {
    let sql = "SELECT id, name, password_hash, disabled FROM users WHERE id = $1";
    Ok(sqlx::query_as(sql).bind(id).fetch_optional(connection).await?)
}

/// Every user, by name.
pub async fn all(connection: &mut AnyConnection) -> Result<Vec<User>, Error> {
    let sql = "SELECT id, name, password_hash, disabled FROM users ORDER BY name";
    Ok(sqlx::query_as(sql).fetch_all(connection).await?)
}

/// Every pair of user id and role, in order.
pub async fn all_roles(connection: &mut AnyConnection) -> Result<Vec<(String, String)>, Error> {
    let sql = "SELECT user_id, role FROM user_roles ORDER BY user_id, role";
    Ok(sqlx::query_as(sql).fetch_all(connection).await?)
}

/// Adds a user without roles. Fails with [`Error::UserNameTaken`] or [`Error::UserIdTaken`].
///
/// Also a change: a gateway may remember that a user of this id was removed.
pub async fn add(write: &mut Write, user: NewUser<'_>, now_ms: i64) -> Result<(), Error> {
    // The engines disagree on what to complain about where both are taken.
    if by_name(write, user.name).await?.is_some() {
        return Err(Error::UserNameTaken(user.name.into()));
    }
    sqlx::query("INSERT INTO users (id, name, password_hash, created_at) VALUES ($1, $2, $3, $4)")
        .bind(user.id)
        .bind(user.name)
        .bind(user.password_hash)
        .bind(now_ms)
        .execute(&mut **write)
        .await
        .map_err(|error| match error {
            error if taken(&error, "users", "id") => Error::UserIdTaken(user.id.into()),
            error => error.into(),
        })?;
    changes::record_user(write, user.id, now_ms).await
}

/// Removes a user with all roles.
pub async fn remove(write: &mut Write, id: &str, now_ms: i64) -> Result<(), Error> {
    sqlx::query("DELETE FROM users WHERE id = $1")
        .bind(id)
        .execute(&mut **write)
        .await?;
    changes::record_user(write, id, now_ms).await
}

/// Disables or enables a user. `false`: the user was that already.
pub async fn set_disabled(write: &mut Write, id: &str, disabled: bool, now_ms: i64) -> Result<bool, Error> {
    let done = sqlx::query("UPDATE users SET disabled = $2 WHERE id = $1 AND disabled <> $2")
        .bind(id)
        .bind(i64::from(disabled))
        .execute(&mut **write)
        .await?;
    record_if(write, done.rows_affected(), id, now_ms).await
}

/// Gives a user another password. Not a change of authorities: the gateways need not know.
pub async fn set_password(write: &mut Write, id: &str, password_hash: &str) -> Result<(), Error> {
    sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1")
        .bind(id)
        .bind(password_hash)
        .execute(&mut **write)
        .await?;
    Ok(())
}

/// Puts a better hash of the same password in the place of `old`, unless the password was changed meanwhile.
pub async fn renew_hash(write: &mut Write, id: &str, old: &str, new: &str) -> Result<(), Error> {
    sqlx::query("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2")
        .bind(id)
        .bind(old)
        .bind(new)
        .execute(&mut **write)
        .await?;
    Ok(())
}

/// Gives a user a role; both exist. `false`: the user has it already.
pub async fn grant(write: &mut Write, id: &str, role: &str, now_ms: i64) -> Result<bool, Error> {
    let done = sqlx::query("INSERT INTO user_roles (user_id, role) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(id)
        .bind(role)
        .execute(&mut **write)
        .await?;
    record_if(write, done.rows_affected(), id, now_ms).await
}

/// Takes a role from a user. `false`: the user does not have it.
pub async fn revoke(write: &mut Write, id: &str, role: &str, now_ms: i64) -> Result<bool, Error> {
    let done = sqlx::query("DELETE FROM user_roles WHERE user_id = $1 AND role = $2")
        .bind(id)
        .bind(role)
        .execute(&mut **write)
        .await?;
    record_if(write, done.rows_affected(), id, now_ms).await
}

/// Records a change of the user's authorities where a statement changed a row.
async fn record_if(write: &mut Write, rows: u64, id: &str, now_ms: i64) -> Result<bool, Error> {
    if rows == 0 {
        return Ok(false);
    }
    changes::record_user(write, id, now_ms).await?;
    Ok(true)
}
