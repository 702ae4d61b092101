//! Users, roles and permissions of a legacy system, out of its MySQL dump: the five `sys_*` tables (contract section 11).
//!
//! An import adds and brings up to date; it takes nothing away. What is there already is left as it is, above all the
//! passwords of users, so that importing again is harmless, and an import that was cut short goes on where it stopped.
//! Rows that were imported are remembered: what was removed or taken away here since, they do not bring back.

mod encoding;
mod report;
mod rows;

use std::collections::{HashMap, HashSet};

use self::encoding::Password;
pub use self::report::Report;
use self::rows::{Directory, Link};
use crate::db::permissions::NewPermission;
use crate::db::users::NewUser;
use crate::db::{self, Database, Write, imported_rows, permissions, roles, users};
use crate::{clock, password};

/// The tables, in the order of the report.
const TABLES: &[&str] = &[
    "sys_user",
    "sys_role",
    "sys_role_user",
    "sys_permission",
    "sys_permission_role",
];

const REMOVED: &str = "removed here since it was imported";

/// So many users are stored at a time: some seconds of hashing, and a transaction that nobody waits long for.
const BATCH: usize = 256;

/// A file.
pub struct Dump {
    /// What to call it.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Reads the dumps as one and stores what is in them. `progress` is called with how many users are done, and of how many.
///
/// Permissions, roles and what roles may do are stored in one transaction, then users with their roles in batches: no user
/// is ever there without the roles the files give.
pub async fn import(
    database: &Database,
    dumps: &[Dump],
    mut progress: impl FnMut(usize, usize),
) -> Result<Report, Error> {
    let mut report = Report::new(dumps);
    let Directory {
        mut users,
        roles,
        permissions,
        mut user_roles,
        role_permissions,
    } = rows::read(dumps, &mut report);

    let mut write = database.write().await?;
    let permissions = take_permissions(&mut write, &permissions, &mut report).await?;
    let roles = take_roles(&mut write, &roles, &mut report).await?;
    for link in &role_permissions {
        grant_permission(&mut write, link, &roles, &permissions, &mut report).await?;
    }
    db::commit(write).await?;

    let total = users.len();
    while !users.is_empty() {
        let batch: Vec<rows::User> = users.drain(..users.len().min(BATCH)).collect();
        take_users(database, batch, &mut user_roles, &roles, &mut report).await?;
        progress(total - users.len(), total);
    }
    let mut dangling: Vec<Link> = user_roles.into_values().flatten().collect();
    dangling.sort_by(|one, other| (one.place, &one.to).cmp(&(other.place, &other.to)));
    for link in dangling {
        report.refused(
            link.place,
            "sys_role_user",
            format!("there is no user with the id {}", link.to),
        );
    }
    Ok(report)
}

/// Stores permissions. Returns our ids by theirs.
async fn take_permissions(
    write: &mut Write,
    rows: &[rows::Permission],
    report: &mut Report,
) -> Result<HashMap<i64, i64>, Error> {
    const TABLE: &str = "sys_permission";
    let mut ids = HashMap::new();
    for row in rows {
        let mut new = NewPermission {
            id: Some(row.id),
            name: &row.name,
            url: &row.url,
            method: permissions::EVERY_METHOD,
            description: &row.description,
        };
        let content = text_of(&[&row.name, &row.url, &row.description]);
        let (known, is_known) = known(write, TABLE, row.id.to_string(), &content).await?;
        let Some(there) = permissions::by_id(write, row.id).await? else {
            if let Some(same) = permissions::same_as(write, new).await? {
                report.same(
                    row.place,
                    TABLE,
                    format!("says the same as permission {}, which stands for it", same.id),
                );
                ids.insert(row.id, same.id);
            } else if is_known {
                let why = format!("permission {} was {REMOVED}; `permission add` adds it again", row.id);
                report.refused(row.place, TABLE, why);
                continue;
            } else {
                permissions::add(write, new, clock::now_ms()).await?;
                report.taken(TABLE);
                ids.insert(row.id, row.id);
            }
            known.remember(write, &content).await?;
            continue;
        };
        // They knew no methods: what was set here stays.
        new.method = &there.method;
        if (new.name, new.url, new.description) == (&*there.name, &*there.url, &*there.description) {
            report.unchanged(TABLE);
        } else if is_known {
            // It was changed here; whatever else the dump says of it means another one.
            report.unchanged(TABLE);
            continue;
        } else if let Some(same) = permissions::same_as(write, new).await?.filter(|same| same.id != row.id) {
            report.refused(
                row.place,
                TABLE,
                format!(
                    "permission {} is there already and would become the same as permission {}",
                    row.id, same.id
                ),
            );
            continue;
        } else {
            permissions::update(write, new, &there, clock::now_ms()).await?;
            report.changed(
                row.place,
                TABLE,
                format!(
                    "permission {} is now {} for {}; it was {} for {}",
                    row.id, new.name, new.url, there.name, there.url
                ),
            );
        }
        known.remember(write, &content).await?;
        ids.insert(row.id, row.id);
    }
    Ok(ids)
}

/// Stores roles. Returns their names by id.
async fn take_roles<'r>(
    write: &mut Write,
    rows: &'r [rows::Role],
    report: &mut Report,
) -> Result<HashMap<&'r str, &'r str>, Error> {
    const TABLE: &str = "sys_role";
    let mut names = HashMap::new();
    for row in rows {
        let (known, is_known) = known(write, TABLE, row.id.clone(), &row.name).await?;
        if roles::exists(write, &row.name).await? {
            report.unchanged(TABLE);
        } else if is_known {
            let why = format!("role {} was {REMOVED}; `role add` adds it again", row.name);
            report.refused(row.place, TABLE, why);
            continue;
        } else {
            roles::add(write, &row.name).await?;
            report.taken(TABLE);
        }
        known.remember(write, &row.name).await?;
        names.insert(&*row.id, &*row.name);
    }
    Ok(names)
}

async fn grant_permission(
    write: &mut Write,
    link: &Link,
    roles: &HashMap<&str, &str>,
    permissions: &HashMap<i64, i64>,
    report: &mut Report,
) -> Result<(), Error> {
    const TABLE: &str = "sys_permission_role";
    let role = roles.get(&*link.role_id).copied();
    let (known, is_known) = known(
        write,
        TABLE,
        text_of(&[&link.role_id, &link.to]),
        role.unwrap_or_default(),
    )
    .await?;
    if is_known {
        report.unchanged(TABLE);
        return Ok(());
    }
    let Some(role) = role else {
        report.refused(link.place, TABLE, no_role(link));
        return Ok(());
    };
    let Some(permission) = link.to.parse().ok().and_then(|id: i64| permissions.get(&id)) else {
        report.refused(
            link.place,
            TABLE,
            format!("no permission with the id {} was taken", link.to),
        );
        return Ok(());
    };
    if roles::grant(write, role, *permission, clock::now_ms()).await? {
        report.taken(TABLE);
    } else {
        report.unchanged(TABLE);
    }
    known.remember(write, role).await
}

/// Stores users with their roles, whose rows are taken out of `links`.
async fn take_users(
    database: &Database,
    batch: Vec<rows::User>,
    links: &mut HashMap<String, Vec<Link>>,
    roles: &HashMap<&str, &str>,
    report: &mut Report,
) -> Result<(), Error> {
    let hashes = hash_new(database, &batch).await?;
    let mut write = database.write().await?;
    for user in batch {
        let links = links.remove(&user.id).unwrap_or_default();
        let hash = match &user.password {
            Password::Hash(hash) => Some(hash),
            Password::Plain(_) => hashes.get(&user.id),
        };
        if let Err(reason) = take_user(&mut write, &user, hash, report).await? {
            for link in links {
                let reason = format!("the user {} was refused", user.id);
                report.refused(link.place, "sys_role_user", reason);
            }
            report.refused(user.place, "sys_user", format!("user {}: {reason}", user.name));
            continue;
        }
        for link in links {
            grant_role(&mut write, &user.id, &link, roles, report).await?;
        }
    }
    Ok(db::commit(write).await?)
}

async fn grant_role(
    write: &mut Write,
    user_id: &str,
    link: &Link,
    roles: &HashMap<&str, &str>,
    report: &mut Report,
) -> Result<(), Error> {
    const TABLE: &str = "sys_role_user";
    let role = roles.get(&*link.role_id).copied();
    let (known, is_known) = known(
        write,
        TABLE,
        text_of(&[user_id, &link.role_id]),
        role.unwrap_or_default(),
    )
    .await?;
    if is_known {
        report.unchanged(TABLE);
        return Ok(());
    }
    let Some(role) = role else {
        report.refused(link.place, TABLE, no_role(link));
        return Ok(());
    };
    if users::grant(write, user_id, role, clock::now_ms()).await? {
        report.taken(TABLE);
    } else {
        report.unchanged(TABLE);
    }
    known.remember(write, role).await
}

/// Stores a user, or leaves as it is the one who is there. The inner error: why not.
async fn take_user(
    write: &mut Write,
    user: &rows::User,
    hash: Option<&String>,
    report: &mut Report,
) -> Result<Result<(), String>, Error> {
    const TABLE: &str = "sys_user";
    let known = imported_rows::content(write, TABLE, &user.id).await?;
    if let Some(there) = users::by_id(write, &user.id).await? {
        if there.name != user.name {
            return Ok(Err(format!("the id {} is that of the user {}", user.id, there.name)));
        }
        report.unchanged(TABLE);
        if known.is_none() {
            imported_rows::remember(write, TABLE, &user.id, &user.name).await?;
        }
        return Ok(Ok(()));
    }
    if known.is_some() {
        return Ok(Err(format!("was {REMOVED}; `user add` adds such a user again")));
    }
    if let Some(there) = users::by_name(write, &user.name).await? {
        return Ok(Err(format!(
            "there is already a user of that name, with the id {}",
            there.id
        )));
    }
    let Some(hash) = hash else {
        return Ok(Err("was removed while the import ran; import again".into()));
    };
    let new = NewUser {
        id: &user.id,
        name: &user.name,
        password_hash: hash,
    };
    users::add(write, new, clock::now_ms()).await?;
    imported_rows::remember(write, TABLE, &user.id, &user.name).await?;
    report.taken(TABLE);
    Ok(Ok(()))
}

/// Hashes the passwords of those who are not there yet, before anything is locked: hashing is slow on purpose. Returns
/// hashes by user id.
async fn hash_new(database: &Database, batch: &[rows::User]) -> Result<HashMap<String, String>, Error> {
    let mut connection = database.read().await?;
    let (mut ids, mut passwords) = (Vec::new(), Vec::new());
    for user in batch {
        if let Password::Plain(password) = &user.password
            && users::by_id(&mut connection, &user.id).await?.is_none()
            && users::by_name(&mut connection, &user.name).await?.is_none()
            && imported_rows::content(&mut connection, "sys_user", &user.id)
                .await?
                .is_none()
        {
            ids.push(user.id.clone());
            passwords.push(password.clone());
        }
    }
    drop(connection);
    let hashed = tokio::task::spawn_blocking(move || password::hash_all(&passwords)).await;
    let hashes = hashed.map_err(password::Error::Died)??;
    Ok(ids.into_iter().zip(hashes).collect())
}

fn no_role(link: &Link) -> String {
    format!("no role with the id {} was taken", link.role_id)
}

/// A row on its way to be remembered.
struct Known {
    table: &'static str,
    id: String,
    content: Option<String>,
}

/// What is remembered of a row, and whether that is what it says now. An empty content: the row refers to nothing any more,
/// and says what it ever said.
async fn known(write: &mut Write, table: &'static str, id: String, content: &str) -> Result<(Known, bool), Error> {
    let known = imported_rows::content(write, table, &id).await?;
    let is_known = known
        .as_deref()
        .is_some_and(|known| known == content || content.is_empty());
    let known = Known {
        table,
        id,
        content: known,
    };
    Ok((known, is_known))
}

impl Known {
    /// Remembers that the row says this.
    async fn remember(self, write: &mut Write, content: &str) -> Result<(), Error> {
        if self.content.as_deref() != Some(content) {
            imported_rows::remember(write, self.table, &self.id, content).await?;
        }
        Ok(())
    }
}

/// Several texts as one that no others make.
fn text_of(parts: &[&str]) -> String {
    serde_json::Value::from(parts.to_vec()).to_string()
}

/// Ids that a table has given so far, to find those that come again.
#[derive(Default)]
struct Seen(HashSet<String>);

impl Seen {
    /// Notes an id. Fails where it was noted before.
    fn note(&mut self, id: &str) -> Result<(), String> {
        if self.0.insert(id.to_owned()) {
            Ok(())
        } else {
            Err(format!("the id {id} is there twice; its first row counts"))
        }
    }
}

/// Why an import ended early. What was stored until then stays.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error("{0}; what was stored until then stays, and importing again goes on from there")]
    Database(#[from] db::Error),
    /// Hashing.
    #[error(transparent)]
    Password(#[from] password::Error),
}
