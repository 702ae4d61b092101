//! Roles, and the permissions they have.

use sqlx::AnyConnection;

use super::{Error, Write, changes, taken};

/// Whether there is a role of that name.
pub async fn exists(connection: &mut AnyConnection, name: &str) -> Result<bool, Error> {
    let found: Option<String> = sqlx::query_scalar("SELECT name FROM roles WHERE name = $1")
        .bind(name)
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

/// Every role, by name.
pub async fn all(connection: &mut AnyConnection) -> Result<Vec<String>, Error> {
    Ok(sqlx::query_scalar("SELECT name FROM roles ORDER BY name")
        .fetch_all(connection)
        .await?)
}

/// Every pair of role and permission id, in order.
pub async fn all_permissions(connection: &mut AnyConnection) -> Result<Vec<(String, i64)>, Error> {
    let sql = "SELECT role, permission_id FROM role_permissions ORDER BY role, permission_id";
    Ok(sqlx::query_as(sql).fetch_all(connection).await?)
}

/// Adds a role without permissions. Fails with [`Error::RoleTaken`].
pub async fn add(write: &mut Write, name: &str) -> Result<(), Error> {
    sqlx::query("INSERT INTO roles (name) VALUES ($1)")
        .bind(name)
        .execute(&mut **write)
        .await
        .map_err(|error| match error {
            error if taken(&error, "roles", "name") => Error::RoleTaken(name.into()),
            error => error.into(),
        })?;
    Ok(())
}

/// Removes a role; whoever has it loses its permissions. `false`: there is none.
pub async fn remove(write: &mut Write, name: &str, now_ms: i64) -> Result<bool, Error> {
    changes::record_users_of_role(write, name, now_ms).await?;
    let done = sqlx::query("DELETE FROM roles WHERE name = $1")
        .bind(name)
        .execute(&mut **write)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Gives a role a permission; both exist. `false`: the role has it already.
pub async fn grant(write: &mut Write, role: &str, permission_id: i64, now_ms: i64) -> Result<bool, Error> {
    let done = sqlx::query("INSERT INTO role_permissions (role, permission_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(role)
        .bind(permission_id)
        .execute(&mut **write)
        .await?;
    record_if(write, done.rows_affected(), role, now_ms).await
}

/// Takes a permission from a role. `false`: the role does not have it.
pub async fn revoke(write: &mut Write, role: &str, permission_id: i64, now_ms: i64) -> Result<bool, Error> {
    let done = sqlx::query("DELETE FROM role_permissions WHERE role = $1 AND permission_id = $2")
        .bind(role)
        .bind(permission_id)
        .execute(&mut **write)
        .await?;
    record_if(write, done.rows_affected(), role, now_ms).await
}

/// Records a change of the authorities of everybody with the role where a statement changed a row.
async fn record_if(write: &mut Write, rows: u64, role: &str, now_ms: i64) -> Result<bool, Error> {
    if rows == 0 {
        return Ok(false);
    }
    changes::record_users_of_role(write, role, now_ms).await?;
    Ok(true)
}
