//! The database. SQL stands beside its row type in one file per table; every function that changes what the gateways
//! must know takes a [`Write`] transaction and records the change in it, so that neither can be committed alone.

pub mod changes;
pub mod folder;
pub mod permissions;
pub mod roles;
pub mod users;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Executor as _, Transaction};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// Every connection: readers beside one writer (WAL), an acknowledged write is never lost (FULL), wait for the other
/// writer instead of failing.
const SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON";

/// A handle on the database; clones share one pool.
#[derive(Debug, Clone)]
pub struct Database {
    pool: AnyPool,
    options: AnyConnectOptions,
}

/// A transaction that holds the write lock from its start: one that begins as a reader and writes later would fail at
/// once, without waiting, when another process wrote in between.
pub type Write = Transaction<'static, Any>;

impl Database {
    /// Opens the database in `file`, creates it where it is missing, and brings its tables up to date.
    pub async fn open(file: &Path) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let unusable = |cause: sqlx::Error| Error::Unusable {
            file: file.into(),
            cause,
        };
        let options: AnyConnectOptions = url(file).parse().map_err(unusable)?;
        let pool = AnyPoolOptions::new()
            .max_connections(4)
            .after_connect(|connection, _| Box::pin(async move { connection.execute(SETTINGS).await.map(drop) }))
            .connect_lazy_with(options.clone());
        let database = Self { pool, options };
        database.migrate().await.map_err(|cause| match cause {
            sqlx::migrate::MigrateError::Execute(cause) => unusable(cause),
            other => Error::Migration {
                file: file.into(),
                cause: other,
            },
        })?;
        Ok(database)
    }

    /// A pooled connection for reading.
    pub async fn read(&self) -> Result<sqlx::pool::PoolConnection<Any>, Error> {
        Ok(self.pool.acquire().await?)
    }

    /// A consistent view of several reads.
    pub async fn snapshot(&self) -> Result<Transaction<'static, Any>, Error> {
        Ok(self.pool.begin().await?)
    }

    /// The write lock. The caller commits.
    pub async fn write(&self) -> Result<Write, Error> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// A connection of its own, outside the pool.
    pub async fn connect(&self) -> Result<AnyConnection, Error> {
        let mut connection = self.options.connect().await?;
        connection.execute(SETTINGS).await?;
        Ok(connection)
    }

    /// Closes every pooled connection, which folds the write-ahead log into the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Applies what is missing of `migrations/`. The command line and the server may both be first: the write lock is
    /// taken before looking.
    async fn migrate(&self) -> Result<(), sqlx::migrate::MigrateError> {
        let mut connection = self.first_connection().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        MIGRATIONS.run_direct(None, &mut *transaction, false).await?;
        Ok(transaction.commit().await?)
    }

    /// Switching a new file to WAL does not wait for another process that is doing the same, whatever `busy_timeout`
    /// says: try again for a moment.
    async fn first_connection(&self) -> Result<sqlx::pool::PoolConnection<Any>, sqlx::Error> {
        let mut attempts = 0;
        loop {
            match self.pool.acquire().await {
                Err(sqlx::Error::Database(error)) if attempts < 50 && error.message().contains("locked") => {
                    attempts += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                other => return other,
            }
        }
    }
}

/// Makes a transaction last.
pub async fn commit(write: Write) -> Result<(), Error> {
    Ok(write.commit().await?)
}

/// The file as a URL for sqlx, which percent-decodes it and would take `?` for the start of its parameters.
fn url(file: &Path) -> String {
    let path = file
        .to_string_lossy()
        .replace('%', "%25")
        .replace('?', "%3F")
        .replace('#', "%23");
    let slashes = if file.is_absolute() { "//" } else { "" };
    format!("sqlite:{slashes}{path}?mode=rwc")
}

/// Whether a statement failed because `column` of `table` must be unique.
fn taken(error: &sqlx::Error, table: &str, column: &str) -> bool {
    // SQLite has no name for the constraint, it lists the columns: "UNIQUE constraint failed: users.name".
    error
        .as_database_error()
        .is_some_and(|error| error.is_unique_violation() && error.message().contains(&format!("{table}.{column}")))
}

/// What can go wrong at the database, as its callers tell it apart.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or is no database.
    #[error("cannot use the database {}: {cause}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What SQLite says.
        cause: sqlx::Error,
    },
    /// The file or its folder is not there or may not be written to.
    #[error("cannot use the database {}: {cause}", file.display())]
    Unreachable {
        /// The file.
        file: PathBuf,
        /// What the operating system says.
        cause: std::io::Error,
    },
    /// The file belongs to another version of this program.
    #[error("cannot bring the database {} up to date: {cause}", file.display())]
    Migration {
        /// The file.
        file: PathBuf,
        /// Which migration.
        cause: sqlx::migrate::MigrateError,
    },
    /// A second user of that name.
    #[error(
        "there is already a user named `{0}`; choose another name, or pass --if-missing to leave that one as it is"
    )]
    UserNameTaken(String),
    /// A second user of that id.
    #[error("there is already a user with the id `{0}`; choose another with --id")]
    UserIdTaken(String),
    /// A second role of that name.
    #[error("there is already a role named `{0}`; pass --if-missing to leave it as it is")]
    RoleTaken(String),
    /// A second permission of that id.
    #[error("there is already a permission with the id {0}; leave --id out to get a free one, or pass --if-missing")]
    PermissionIdTaken(i64),
    /// The same permission again.
    #[error("there is already a permission {name} for {url} with that method; pass --if-missing to leave it as it is")]
    PermissionTaken {
        /// The authority.
        name: String,
        /// The pattern.
        url: String,
    },
    /// Anything else: a full disk, a lock held for seconds.
    #[error("the database failed: {0}")]
    Failed(#[from] sqlx::Error),
}
