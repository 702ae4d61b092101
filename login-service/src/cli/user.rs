//! `postern-login user …`

use std::collections::HashMap;
use std::io::BufRead as _;

use clap::{Args, Subcommand};

use super::{Error, check_name, print, table};
use crate::db::users::{NewUser, User};
use crate::db::{self, Database, Write, roles, users};
use crate::{clock, password};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a user without roles
    Add {
        /// The name to sign in with
        name: String,
        /// The id, as it stands in tokens [default: the name]
        #[arg(long)]
        id: Option<String>,
        #[command(flatten)]
        password: PasswordSource,
        /// Succeed and change nothing when there is already a user of that name
        #[arg(long)]
        if_missing: bool,
    },
    /// List users and their roles
    List,
    /// Remove a user; tokens of theirs are refused at once
    Remove {
        /// The user
        name: String,
    },
    /// Keep a user from signing in; tokens of theirs are refused at once
    Disable {
        /// The user
        name: String,
    },
    /// Let a disabled user sign in again
    Enable {
        /// The user
        name: String,
    },
    /// Change a user's password
    Password {
        /// The user
        name: String,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Give a user a role
    Grant {
        /// The user
        name: String,
        /// The role
        role: String,
    },
    /// Take a role from a user
    Revoke {
        /// The user
        name: String,
        /// The role
        role: String,
    },
}

/// Where a password comes from: exactly one of three.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct PasswordSource {
    /// Read the password as one line from standard input
    #[arg(long)]
    password_stdin: bool,
    /// The password itself; other users of this machine may see it while the command runs
    #[arg(long, value_name = "PASSWORD")]
    password: Option<String>,
    /// An Argon2 hash made elsewhere, as a PHC string ($argon2id$…)
    #[arg(long, value_name = "PHC")]
    password_hash: Option<String>,
}

impl PasswordSource {
    /// The hash to store.
    fn hash(self) -> Result<String, Error> {
        if let Some(hash) = self.password_hash {
            password::check_hash(&hash)?;
            return Ok(hash);
        }
        let password = match self.password {
            Some(password) => password,
            None => read_line()?,
        };
        Ok(password::hash(&password)?)
    }
}

/// The first line of standard input, without its end.
fn read_line() -> Result<String, Error> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|_| Error::Stdin("cannot read text"))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        Err(Error::Stdin("there is no password"))
    } else {
        Ok(password.into())
    }
}

/// Runs one of the commands.
pub async fn run(command: Command, database: &Database) -> Result<(), Error> {
    match command {
        Command::Add {
            name,
            id,
            password,
            if_missing,
        } => add(database, &name, id, password, if_missing).await,
        Command::List => list(database).await,
        Command::Remove { name } => remove(database, &name).await,
        Command::Disable { name } => set_disabled(database, &name, true).await,
        Command::Enable { name } => set_disabled(database, &name, false).await,
        Command::Password { name, password } => set_password(database, &name, password).await,
        Command::Grant { name, role } => grant(database, &name, &role).await,
        Command::Revoke { name, role } => revoke(database, &name, &role).await,
    }
}

async fn add(
    database: &Database,
    name: &str,
    id: Option<String>,
    password: PasswordSource,
    if_missing: bool,
) -> Result<(), Error> {
    let id = id.unwrap_or_else(|| name.to_owned());
    check_name("name of a user", name)?;
    check_name("id of a user", &id)?;
    // Before the password: hashing is slow, and what is already there needs none.
    if if_missing && users::by_name(&mut *database.read().await?, name).await?.is_some() {
        println!("user {name} is already there; left as it is");
        return Ok(());
    }
    let password_hash = password.hash()?;
    let mut write = database.write().await?;
    let new = NewUser {
        id: &id,
        name,
        password_hash: &password_hash,
    };
    users::add(&mut write, new, clock::now_ms()).await?;
    db::commit(write).await?;
    println!("added user {name} with the id {id}");
    Ok(())
}

async fn list(database: &Database) -> Result<(), Error> {
    let mut view = database.snapshot().await?;
    let mut roles: HashMap<String, Vec<String>> = HashMap::new();
    for (id, role) in users::all_roles(&mut view).await? {
        roles.entry(id).or_default().push(role);
    }
    let rows: Vec<[String; 4]> = users::all(&mut view)
        .await?
        .into_iter()
        .map(|user| {
            let roles = roles.remove(&user.id).unwrap_or_default().join(", ");
            let state = if user.is_disabled() { "disabled" } else { "enabled" };
            [user.name, user.id, state.into(), roles]
        })
        .collect();
    print(&table::lines(["NAME", "ID", "STATE", "ROLES"], &rows))
}

async fn remove(database: &Database, name: &str) -> Result<(), Error> {
    let mut write = database.write().await?;
    let user = find(&mut write, name).await?;
    users::remove(&mut write, &user.id, clock::now_ms()).await?;
    db::commit(write).await?;
    println!("removed user {name}");
    Ok(())
}

async fn set_disabled(database: &Database, name: &str, disabled: bool) -> Result<(), Error> {
    let mut write = database.write().await?;
    let user = find(&mut write, name).await?;
    let changed = users::set_disabled(&mut write, &user.id, disabled, clock::now_ms()).await?;
    db::commit(write).await?;
    let state = if disabled { "disabled" } else { "enabled" };
    println!("user {name} is {}{state}", if changed { "now " } else { "already " });
    Ok(())
}

async fn set_password(database: &Database, name: &str, password: PasswordSource) -> Result<(), Error> {
    let password_hash = password.hash()?;
    let mut write = database.write().await?;
    let user = find(&mut write, name).await?;
    users::set_password(&mut write, &user.id, &password_hash).await?;
    db::commit(write).await?;
    println!("changed the password of user {name}");
    Ok(())
}

async fn grant(database: &Database, name: &str, role: &str) -> Result<(), Error> {
    let mut write = database.write().await?;
    let user = find(&mut write, name).await?;
    require_role(&mut write, role).await?;
    let changed = users::grant(&mut write, &user.id, role, clock::now_ms()).await?;
    db::commit(write).await?;
    println!(
        "user {name} {} the role {role}",
        if changed { "now has" } else { "already has" }
    );
    Ok(())
}

async fn revoke(database: &Database, name: &str, role: &str) -> Result<(), Error> {
    let mut write = database.write().await?;
    let user = find(&mut write, name).await?;
    require_role(&mut write, role).await?;
    let changed = users::revoke(&mut write, &user.id, role, clock::now_ms()).await?;
    db::commit(write).await?;
    println!(
        "user {name} {} the role {role}",
        if changed { "no longer has" } else { "does not have" }
    );
    Ok(())
}

async fn find(write: &mut Write, name: &str) -> Result<User, Error> {
    users::by_name(write, name)
        .await?
        .ok_or_else(|| Error::NoUser(name.into()))
}

async fn require_role(write: &mut Write, role: &str) -> Result<(), Error> {
    if roles::exists(write, role).await? {
        Ok(())
    } else {
        Err(Error::NoRole(role.into()))
    }
}
