//! The rows of the legacy tables, each looked at for what would make it useless here.

use std::collections::HashMap;

use postern_mysql_dump::{Reader, Row};

use super::encoding::{self, Password};
use super::report::{Place, Report};
use super::{Dump, Seen, TABLES};
use crate::{name, permission_url};

/// Everything that is worth storing.
#[derive(Default)]
pub struct Directory {
    pub users: Vec<User>,
    pub roles: Vec<Role>,
    pub permissions: Vec<Permission>,
    /// `sys_role_user`, by user id.
    pub user_roles: HashMap<String, Vec<Link>>,
    /// `sys_permission_role`.
    pub role_permissions: Vec<Link>,
}

/// `sys_user`
pub struct User {
    pub place: Place,
    pub id: String,
    pub name: String,
    pub password: Password,
}

/// `sys_role`
pub struct Role {
    pub place: Place,
    pub id: String,
    pub name: String,
}

/// `sys_permission`
pub struct Permission {
    pub place: Place,
    pub id: i64,
    pub name: String,
    pub url: String,
    pub description: String,
}

/// A row that gives a role to a user, or a permission to a role.
pub struct Link {
    pub place: Place,
    pub role_id: String,
    /// The id of the user or permission.
    pub to: String,
}

/// Reads all files as if they were one. What is not worth storing goes to the report.
pub fn read(dumps: &[Dump], report: &mut Report) -> Directory {
    let mut directory = Directory::default();
    let (mut users, mut roles, mut permissions) = (Seen::default(), Seen::default(), Seen::default());
    let mut reader = Reader::new(TABLES);
    for (file, dump) in dumps.iter().enumerate() {
        for row in reader.rows(&dump.bytes) {
            let row = match row {
                Ok(row) => row,
                Err(error) => {
                    let place = Place { file, line: error.line };
                    match error.table {
                        Some(table) => report.refused(place, table, error.problem.to_string()),
                        None => report.unread(place, error.problem.to_string()),
                    }
                    continue;
                }
            };
            let place = Place { file, line: row.line };
            let read = match row.table {
                "sys_user" => user(&row, place, &mut users).map(|user| directory.users.push(user)),
                "sys_role" => role(&row, place, &mut roles).map(|role| directory.roles.push(role)),
                "sys_permission" => {
                    permission(&row, place, &mut permissions).map(|permission| directory.permissions.push(permission))
                }
                "sys_role_user" => link(&row, place, "user_id").map(|link| {
                    directory.user_roles.entry(link.to.clone()).or_default().push(link);
                }),
                _ => link(&row, place, "permission_id").map(|link| directory.role_permissions.push(link)),
            };
            if let Err(why) = read {
                report.refused(place, row.table, why);
            }
        }
    }
    directory
}

fn user(row: &Row<'_>, place: Place, seen: &mut Seen) -> Result<User, String> {
    let id = id(row, "id")?;
    let name = required(row, "username")?;
    let whose = |why: String| format!("user {name}: {why}");
    if !name::is_usable(&name) {
        return Err(unusable(&name, "a user"));
    }
    let password = encoding::read(&required(row, "password").map_err(whose)?).map_err(whose)?;
    seen.note(&id).map_err(whose)?;
    Ok(User {
        place,
        id,
        name,
        password,
    })
}

fn role(row: &Row<'_>, place: Place, seen: &mut Seen) -> Result<Role, String> {
    let id = id(row, "id")?;
    let name = required(row, "name")?;
    if !name::is_usable(&name) {
        return Err(unusable(&name, "a role"));
    }
    seen.note(&id).map_err(|why| format!("role {name}: {why}"))?;
    Ok(Role { place, id, name })
}

fn permission(row: &Row<'_>, place: Place, seen: &mut Seen) -> Result<Permission, String> {
    let text = id(row, "id")?;
    let number = text.parse().ok().filter(|id| *id > 0);
    let number = number.ok_or_else(|| format!("the id {text} is not a whole number from 1 on"))?;
    let name = required(row, "name")?;
    permission_url::check_name(&name)?;
    let whose = |why: String| format!("permission {name}: {why}");
    let url = required(row, "url").map_err(whose)?;
    permission_url::check(&url).map_err(whose)?;
    // For people only: where there is none to read, there is none.
    let description = match row.get("description") {
        Some(_) => row.text("description").map_err(|why| whose(why.to_string()))?,
        None => None,
    };
    let description = description.unwrap_or_default();
    if description.contains('\0') {
        return Err(whose("its description holds a NUL character".into()));
    }
    seen.note(&text).map_err(whose)?;
    Ok(Permission {
        place,
        id: number,
        description: description.to_owned(),
        url,
        name,
    })
}

fn link(row: &Row<'_>, place: Place, to: &'static str) -> Result<Link, String> {
    Ok(Link {
        place,
        role_id: id(row, "role_id")?,
        to: id(row, to)?,
    })
}

/// An id. The original kept some as numbers and some as text.
fn id(row: &Row<'_>, column: &'static str) -> Result<String, String> {
    let id = required(row, column)?;
    let id = id.trim();
    if name::is_usable(id) {
        Ok(id.to_owned())
    } else {
        Err(format!("the {column} cannot be used as one"))
    }
}

fn required(row: &Row<'_>, column: &'static str) -> Result<String, String> {
    match row.text(column) {
        Ok(Some(text)) => Ok(text.to_owned()),
        Ok(None) => Err(format!("its `{column}` is NULL")),
        Err(why) => Err(why.to_string()),
    }
}

fn unusable(name: &str, whose: &str) -> String {
    format!("`{}` cannot be the name of {whose}", name.escape_debug())
}
