//! The permission table: which authority may call which URL.

use sqlx::AnyConnection;

use super::{Error, Write, changes, taken};

/// The `method` of a permission that speaks of every method.
pub const EVERY_METHOD: &str = "*";

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Permission {
    /// The number by which roles refer to it.
    pub id: i64,
    /// The authority, as it stands in a token (`ROLE_TEST`).
    pub name: String,
    /// A path pattern.
    pub url: String,
    /// An HTTP method, or [`EVERY_METHOD`].
    pub method: String,
    /// For people.
    pub description: String,
}

/// A permission that is not there yet.
#[derive(Debug, Clone, Copy)]
pub struct NewPermission<'a> {
    /// The number; absent: one more than the highest.
    pub id: Option<i64>,
    /// The authority.
    pub name: &'a str,
    /// A path pattern.
    pub url: &'a str,
    /// An HTTP method, or [`EVERY_METHOD`].
    pub method: &'a str,
    /// For people.
    pub description: &'a str,
}

impl Permission {
    fn row(&self) -> changes::Row {
        changes::Row {
            name: self.name.clone(),
            url: self.url.clone(),
            method: self.method.clone(),
        }
    }
}

impl NewPermission<'_> {
    fn row(&self) -> changes::Row {
        changes::Row {
            name: self.name.into(),
            url: self.url.into(),
            method: self.method.into(),
        }
    }
}

/// The permission of that id.
pub async fn by_id(connection: &mut AnyConnection, id: i64) -> Result<Option<Permission>, Error> {
    let sql = "SELECT id, name, url, method, description FROM permissions WHERE id = $1";
    Ok(sqlx::query_as(sql).bind(id).fetch_optional(connection).await?)
}

/// The permission that says the same as a new one would.
pub async fn same_as(connection: &mut AnyConnection, new: NewPermission<'_>) -> Result<Option<Permission>, Error> {
    let sql = "SELECT id, name, url, method, description FROM permissions WHERE name = $1 AND url = $2 AND method = $3";
    Ok(sqlx::query_as(sql)
        .bind(new.name)
        .bind(new.url)
        .bind(new.method)
        .fetch_optional(connection)
        .await?)
}

/// Every permission, by id.
pub async fn all(connection: &mut AnyConnection) -> Result<Vec<Permission>, Error> {
    let sql = "SELECT id, name, url, method, description FROM permissions ORDER BY id";
    Ok(sqlx::query_as(sql).fetch_all(connection).await?)
}

/// The permissions that a user has through roles, each once, by id. None for a user who is unknown or disabled.
pub async fn of_user(connection: &mut AnyConnection, user_id: &str) -> Result<Vec<Permission>, Error> {
    let sql = "SELECT DISTINCT permissions.id, permissions.name, permissions.url, permissions.method, \
               permissions.description FROM users \
               JOIN user_roles ON user_roles.user_id = users.id \
               JOIN role_permissions ON role_permissions.role = user_roles.role \
               JOIN permissions ON permissions.id = role_permissions.permission_id \
               WHERE users.id = $1 AND users.disabled = 0 ORDER BY permissions.id";
    Ok(sqlx::query_as(sql).bind(user_id).fetch_all(connection).await?)
}

/// Adds a permission and returns its id. Fails with [`Error::PermissionIdTaken`] or [`Error::PermissionTaken`].
pub async fn add(write: &mut Write, new: NewPermission<'_>, now_ms: i64) -> Result<i64, Error> {
    let id = match new.id {
        Some(id) => id,
        None => {
            sqlx::query_scalar("SELECT COALESCE(MAX(id), 0) + 1 FROM permissions")
                .fetch_one(&mut **write)
                .await?
        }
    };
    sqlx::query("INSERT INTO permissions (id, name, url, method, description) VALUES ($1, $2, $3, $4, $5)")
        .bind(id)
        .bind(new.name)
        .bind(new.url)
        .bind(new.method)
        .bind(new.description)
        .execute(&mut **write)
        .await
        .map_err(|error| match error {
            error if taken(&error, "permissions", "id") => Error::PermissionIdTaken(id),
            error if taken(&error, "permissions", "name") => Error::PermissionTaken {
                name: new.name.into(),
                url: new.url.into(),
            },
            error => error.into(),
        })?;
    changes::record_permission(write, &new.row(), true, now_ms).await?;
    Ok(id)
}

/// Gives the permission `there` another name, url and description.
pub async fn update(write: &mut Write, new: NewPermission<'_>, there: &Permission, now_ms: i64) -> Result<(), Error> {
    sqlx::query("UPDATE permissions SET name = $2, url = $3, description = $4 WHERE id = $1")
        .bind(there.id)
        .bind(new.name)
        .bind(new.url)
        .bind(new.description)
        .execute(&mut **write)
        .await?;
    if new.name != there.name {
        changes::record_users_of_permission(write, there.id, now_ms).await?;
    }
    if (new.name, new.url) != (&*there.name, &*there.url) {
        let after = changes::Row {
            method: there.method.clone(),
            ..new.row()
        };
        changes::record_permission(write, &there.row(), false, now_ms).await?;
        changes::record_permission(write, &after, true, now_ms).await?;
    }
    Ok(())
}

/// Removes a permission; whoever has it through a role loses it. `false`: there is none.
pub async fn remove(write: &mut Write, id: i64, now_ms: i64) -> Result<bool, Error> {
    let Some(there) = by_id(write, id).await? else {
        return Ok(false);
    };
    changes::record_users_of_permission(write, id, now_ms).await?;
    sqlx::query("DELETE FROM permissions WHERE id = $1")
        .bind(id)
        .execute(&mut **write)
        .await?;
    changes::record_permission(write, &there.row(), false, now_ms).await?;
    Ok(true)
}
