//! Opening the database: a first connection, the tables brought up to date, and why that cannot be.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use sqlx::any::AnyConnectOptions;
use sqlx::migrate::MigrateError;
use sqlx::{AnyConnection, ConnectOptions as _, Connection as _};

use super::{LONGEST_WAIT, Location};

/// A database that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("database {place}: {reason}; {remedy}")]
pub struct OpenError {
    place: String,
    reason: String,
    remedy: &'static str,
}

impl OpenError {
    pub(super) fn new(location: &Location, reason: String) -> Self {
        Self {
            place: location.to_string(),
            reason: reason.replace('\n', " "),
            remedy: match location {
                Location::Sqlite(_) => "check that its folder exists and can be written to",
                Location::Postgres(_) => "check that the server runs, and the user, password and name under `database`",
            },
        }
    }
}

/// Errors of this are said without their cause, which could repeat the URL.
pub(super) fn options(location: &Location) -> Result<AnyConnectOptions, OpenError> {
    sqlx::any::install_default_drivers();
    let url = match location {
        Location::Sqlite(file) => sqlite_url(file),
        Location::Postgres(url) => url.clone(),
    };
    let options = url.parse::<AnyConnectOptions>();
    let options = options.map_err(|_| OpenError::new(location, "its URL cannot be read".into()))?;
    Ok(options.disable_statement_logging())
}

/// A connection outside the pool.
pub(super) async fn connect(location: &Location, options: &AnyConnectOptions) -> Result<AnyConnection, OpenError> {
    let fail = |reason: String| OpenError::new(location, reason);
    let mut attempts = 0;
    loop {
        let connecting = async {
            let mut connection = options.connect().await?;
            sqlx::raw_sql(location.settings()).execute(&mut connection).await?;
            Ok(connection)
        };
        match tokio::time::timeout(LONGEST_WAIT, connecting).await {
            Ok(Ok(connection)) => return Ok(connection),
            // SQLite switches a new file to its write-ahead log without waiting for another process that does the same.
            Ok(Err(sqlx::Error::Database(error))) if attempts < 100 && error.message().contains("locked") => {
                attempts += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(Err(error)) => return Err(fail(error.to_string())),
            Err(_) => return Err(fail(format!("no answer within {} s", LONGEST_WAIT.as_secs()))),
        }
    }
}

/// Brings the tables up to date. Many may start at once, and commands run beside servers: on PostgreSQL they wait for
/// sqlx's own lock, on SQLite for the write lock, which is taken before looking.
pub(super) async fn migrate(location: &Location, connection: &mut AnyConnection) -> Result<(), MigrateError> {
    match location {
        Location::Sqlite(_) => {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            let migrations = sqlx::migrate!("./migrations/sqlite");
            migrations.run_direct(None, &mut *transaction, false).await?;
            Ok(transaction.commit().await?)
        }
        Location::Postgres(_) => {
            let migrations = sqlx::migrate!("./migrations/postgres");
            migrations.run_direct(None, connection, false).await
        }
    }
}

/// Whether a SQLite file could be opened, or created where it is missing: as the operating system sees it, permissions
/// and read-only file systems. SQLite keeps files beside the database, so its folder must be writable too.
pub(super) fn could_be_opened(file: &Path) -> std::io::Result<()> {
    let allowed = |path: &Path, access| accessat(CWD, path, access, AtFlags::EACCESS);
    // With the dot, what is no folder is refused, and no folder at all is the current one.
    let folder = file.parent().unwrap_or(Path::new("")).join(".");
    allowed(&folder, Access::WRITE_OK | Access::EXEC_OK)?;
    match std::fs::metadata(file) {
        Ok(found) if found.is_dir() => Err(std::io::ErrorKind::IsADirectory.into()),
        Ok(_) => {
            allowed(file, Access::READ_OK | Access::WRITE_OK)?;
            begins_as_a_database(file)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// A new database is an empty file; any other begins with 16 bytes that SQLite's file format names.
fn begins_as_a_database(file: &Path) -> std::io::Result<()> {
    let mut first = Vec::new();
    std::fs::File::open(file)?.take(16).read_to_end(&mut first)?;
    if first.is_empty() || first == *b"SQLite format 3\0" {
        Ok(())
    } else {
        Err(std::io::Error::other("this file is no SQLite database"))
    }
}

/// The file holds signing keys: nobody but its owner may read it, from its first moment on.
pub(super) fn create_privately(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(file)
        .map(drop)
}

fn sqlite_url(file: &Path) -> String {
    let encoded = file
        .display()
        .to_string()
        .replace('%', "%25")
        .replace('?', "%3F")
        .replace('#', "%23");
    format!("sqlite:{encoded}?mode=rwc")
}
