//! `postern-login permission …`

use clap::{Args, Subcommand};

use super::{Error, print, table};
use crate::db::permissions::{EVERY_METHOD, NewPermission, Permission};
use crate::db::{self, Database, Write, permissions};
use crate::{clock, permission_url};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a permission; users get it through a role
    Add(Add),
    /// List permissions
    List,
    /// Remove a permission; whoever has it through a role loses it at once
    Remove {
        /// The id (see `permission list`)
        id: i64,
    },
}

#[derive(Debug, Args)]
pub struct Add {
    /// The authority, as it stands in tokens (ROLE_TEST)
    name: String,
    /// The path it may call: literal segments, `*` for one segment, `**` at the end for any tail
    #[arg(long)]
    url: String,
    /// The HTTP method it may call with [default: every method]
    #[arg(long)]
    method: Option<String>,
    /// For people
    #[arg(long, default_value = "")]
    description: String,
    /// The number by which roles refer to it [default: one more than the highest]
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    id: Option<i64>,
    /// Succeed and change nothing when that id, or the same name, url and method, is already there
    #[arg(long)]
    if_missing: bool,
}

/// Runs one of the commands.
pub async fn run(command: Command, database: &Database) -> Result<(), Error> {
    match command {
        Command::Add(new) => add(database, &new).await,
        Command::List => list(database).await,
        Command::Remove { id } => remove(database, id).await,
    }
}

async fn add(database: &Database, add: &Add) -> Result<(), Error> {
    permission_url::check_name(&add.name).map_err(Error::BadPermission)?;
    permission_url::check(&add.url).map_err(Error::BadPermission)?;
    if let Some(method) = &add.method {
        permission_url::check_method(method).map_err(Error::BadPermission)?;
    }
    let new = NewPermission {
        id: add.id,
        name: &add.name,
        url: &add.url,
        method: add.method.as_deref().unwrap_or(EVERY_METHOD),
        description: &add.description,
    };
    let mut write = database.write().await?;
    if add.if_missing
        && let Some(there) = there(&mut write, new).await?
    {
        println!(
            "permission {} ({} {}) is already there; left as it is",
            there.id, there.name, there.url
        );
        return Ok(());
    }
    let id = permissions::add(&mut write, new, clock::now_ms()).await?;
    db::commit(write).await?;
    println!("added permission {id}: {} may call {}", add.name, add.url);
    Ok(())
}

/// The row that stands in the way of a new one.
async fn there(write: &mut Write, new: NewPermission<'_>) -> Result<Option<Permission>, Error> {
    if let Some(id) = new.id
        && let Some(permission) = permissions::by_id(write, id).await?
    {
        return Ok(Some(permission));
    }
    Ok(permissions::same_as(write, new).await?)
}

async fn list(database: &Database) -> Result<(), Error> {
    let rows: Vec<[String; 5]> = permissions::all(&mut *database.read().await?)
        .await?
        .into_iter()
        .map(|row| [row.id.to_string(), row.name, row.method, row.url, row.description])
        .collect();
    print(&table::lines(["ID", "NAME", "METHOD", "URL", "DESCRIPTION"], &rows))
}

async fn remove(database: &Database, id: i64) -> Result<(), Error> {
    let mut write = database.write().await?;
    if !permissions::remove(&mut write, id, clock::now_ms()).await? {
        return Err(Error::NoPermission(id));
    }
    db::commit(write).await?;
    println!("removed permission {id}");
    Ok(())
}
