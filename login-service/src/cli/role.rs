//! `postern-login role …`

use std::collections::HashMap;

use clap::Subcommand;

use super::{Error, check_name, print, table};
use crate::clock;
use crate::db::{self, Database, Write, permissions, roles};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a role without permissions
    Add {
        /// The role
        name: String,
        /// Succeed and change nothing when there is already a role of that name
        #[arg(long)]
        if_missing: bool,
    },
    /// List roles and their permissions
    List,
    /// Remove a role; whoever has it loses its permissions at once
    Remove {
        /// The role
        name: String,
    },
    /// Give a role a permission
    Grant {
        /// The role
        role: String,
        /// The id of the permission (see `permission list`)
        permission_id: i64,
    },
    /// Take a permission from a role
    Revoke {
        /// The role
        role: String,
        /// The id of the permission (see `permission list`)
        permission_id: i64,
    },
}

/// Runs one of the commands.
pub async fn run(command: Command, database: &Database) -> Result<(), Error> {
    match command {
        Command::Add { name, if_missing } => add(database, &name, if_missing).await,
        Command::List => list(database).await,
        Command::Remove { name } => remove(database, &name).await,
        Command::Grant { role, permission_id } => grant(database, &role, permission_id).await,
        Command::Revoke { role, permission_id } => revoke(database, &role, permission_id).await,
    }
}

async fn add(database: &Database, name: &str, if_missing: bool) -> Result<(), Error> {
    check_name("name of a role", name)?;
    let mut write = database.write().await?;
    if if_missing && roles::exists(&mut write, name).await? {
        println!("role {name} is already there; left as it is");
        return Ok(());
    }
    roles::add(&mut write, name).await?;
    db::commit(write).await?;
    println!("added role {name}");
    Ok(())
}

async fn list(database: &Database) -> Result<(), Error> {
    let mut view = database.snapshot().await?;
    let mut permissions: HashMap<String, Vec<String>> = HashMap::new();
    for (role, id) in roles::all_permissions(&mut view).await? {
        permissions.entry(role).or_default().push(id.to_string());
    }
    let rows: Vec<[String; 2]> = roles::all(&mut view)
        .await?
        .into_iter()
        .map(|role| {
            let permissions = permissions.remove(&role).unwrap_or_default().join(", ");
            [role, permissions]
        })
        .collect();
    print(&table::lines(["NAME", "PERMISSIONS"], &rows))
}

async fn remove(database: &Database, name: &str) -> Result<(), Error> {
    let mut write = database.write().await?;
    if !roles::remove(&mut write, name, clock::now_ms()).await? {
        return Err(Error::NoRole(name.into()));
    }
    db::commit(write).await?;
    println!("removed role {name}");
    Ok(())
}

async fn grant(database: &Database, role: &str, permission_id: i64) -> Result<(), Error> {
    let mut write = database.write().await?;
    require(&mut write, role, permission_id).await?;
    let changed = roles::grant(&mut write, role, permission_id, clock::now_ms()).await?;
    db::commit(write).await?;
    println!(
        "role {role} {} the permission {permission_id}",
        if changed { "now has" } else { "already has" }
    );
    Ok(())
}

async fn revoke(database: &Database, role: &str, permission_id: i64) -> Result<(), Error> {
    let mut write = database.write().await?;
    require(&mut write, role, permission_id).await?;
    let changed = roles::revoke(&mut write, role, permission_id, clock::now_ms()).await?;
    db::commit(write).await?;
    println!(
        "role {role} {} the permission {permission_id}",
        if changed { "no longer has" } else { "does not have" }
    );
    Ok(())
}

async fn require(write: &mut Write, role: &str, permission_id: i64) -> Result<(), Error> {
    if !roles::exists(write, role).await? {
        return Err(Error::NoRole(role.into()));
    }
    if permissions::by_id(write, permission_id).await?.is_none() {
        return Err(Error::NoPermission(permission_id));
    }
    Ok(())
}
