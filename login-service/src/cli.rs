//! The command line. Commands that change users, roles and permissions work on the database itself, also while the server
//! runs on it, and reach the gateways at once.

mod import;
mod permission;
mod role;
mod table;
mod user;

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::config::{self, Loaded};
use crate::db::{self, Database};
use crate::logging::{self, LogFormat};
use crate::{import as legacy, name, password, serve};

/// Users, roles and permissions: the login service of Postern.
#[derive(Debug, Parser)]
#[command(name = "postern-login", version, about, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "A user has roles, a role has permissions, and a permission says which authority may call which \
URL. The authorities in a user's tokens are the names of the permissions.\n\n\
Example:\n  \
postern-login permission add ROLE_TEST --url /demo/test\n  \
postern-login role add tester\n  \
postern-login role grant tester 1\n  \
echo password | postern-login user add u1 --password-stdin\n  \
postern-login user grant u1 tester";

#[derive(Debug, Args)]
struct Options {
    /// The configuration
    #[arg(long, global = true, value_name = "FILE", default_value = "login.yaml")]
    config: PathBuf,
    /// How log lines on stderr are written
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// What is logged: off, error, warn, info, debug or trace
    #[arg(long, global = true, value_name = "LEVEL", default_value_t = LevelFilter::INFO)]
    log_level: LevelFilter,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service until SIGTERM
    Serve,
    /// Check the configuration, and that the database could be opened, and exit
    Check,
    /// Print the JSON Schema of the configuration
    Schema,
    /// Users and the roles they have
    #[command(subcommand)]
    User(user::Command),
    /// Roles and the permissions they have
    #[command(subcommand)]
    Role(role::Command),
    /// Permissions: which authority may call which URL
    #[command(subcommand)]
    Permission(permission::Command),
    /// Take users, roles and permissions over from a MySQL dump of a legacy system
    #[command(after_help = import::AFTER_HELP)]
    Import(import::Import),
}

/// Runs one command to its end.
pub fn run(cli: Cli) -> Result<(), Error> {
    logging::start(cli.options.log_format, cli.options.log_level);
    if let Command::Schema = cli.command {
        return print(&format!("{:#}\n", schemars::schema_for!(config::Config).to_value()));
    }
    let loaded = config::load(&cli.options.config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    runtime.block_on(async {
        match cli.command {
            Command::Serve => Ok(serve::serve(loaded).await?),
            Command::Check | Command::Schema => {
                let checked = Database::check(&loaded.database()).await;
                checked.map_err(|cause| unusable(&loaded, cause))?;
                println!("{} is good", loaded.file.display());
                Ok(())
            }
            Command::User(command) => user::run(command, &open(&loaded).await?).await,
            Command::Role(command) => role::run(command, &open(&loaded).await?).await,
            Command::Permission(command) => permission::run(command, &open(&loaded).await?).await,
            Command::Import(import) => import::run(import, &open(&loaded).await?).await,
        }
    })
}

/// Prints what may be long. Who stops reading early, as `head` does, has read enough.
fn print(text: &str) -> Result<(), Error> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Error::Print),
    }
}

async fn open(loaded: &Loaded) -> Result<Database, Error> {
    Database::open(&loaded.database())
        .await
        .map_err(|cause| unusable(loaded, cause))
}

fn unusable(loaded: &Loaded, cause: db::OpenError) -> Error {
    Error::Open {
        key: loaded.database_key(),
        cause,
    }
}

/// Checks a name or id before it is stored.
fn check_name(kind: &'static str, name: &str) -> Result<(), Error> {
    if !name::is_usable(name) {
        return Err(Error::BadName {
            kind,
            name: name.escape_debug().to_string(),
        });
    }
    Ok(())
}

/// Why a command failed: what stands after `error: `.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The service.
    #[error(transparent)]
    Serve(#[from] serve::Error),
    /// The database of the configuration.
    #[error("{key}: {cause}")]
    Open {
        /// `FILE:LINE: KEY`
        key: String,
        /// What is wrong with it.
        cause: db::OpenError,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] db::Error),
    /// A password or a hash.
    #[error(transparent)]
    Password(#[from] password::Error),
    /// `--password-stdin` without a password.
    #[error("--password-stdin: {0}; give the password as one line on standard input")]
    Stdin(&'static str),
    /// A full disk, say.
    #[error("cannot write to standard output: {0}")]
    Print(io::Error),
    /// A name that nobody could type or that would break a line.
    #[error("`{name}` cannot be the {kind}; write 1 to 255 bytes without control characters and spaces around")]
    BadName {
        /// What it was to name.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A permission that could never match.
    #[error("{0}")]
    BadPermission(String),
    /// No such user.
    #[error("there is no user named `{0}`; `postern-login user list` shows those there are")]
    NoUser(String),
    /// No such role.
    #[error("there is no role named `{0}`; `postern-login role list` shows those there are, `role add {0}` adds it")]
    NoRole(String),
    /// No such permission.
    #[error("there is no permission with the id {0}; `postern-login permission list` shows those there are")]
    NoPermission(i64),
    /// An import that ended early.
    #[error(transparent)]
    Import(#[from] legacy::Error),
    /// A file to import.
    #[error("cannot read {}: {cause}", file.display())]
    UnreadableDump {
        /// The file.
        file: PathBuf,
        /// What the operating system says.
        cause: std::io::Error,
    },
    /// Files without a single row to import.
    #[error(
        "there are no rows of sys_user, sys_role, sys_role_user, sys_permission and sys_permission_role to read; dump the database that has these tables"
    )]
    NothingToImport,
    /// No threads.
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] std::io::Error),
}
