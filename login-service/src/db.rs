//! The database. SQL stands beside its row type in one file per table, and is the same for both engines; every function
//! that changes what the gateways must know takes a [`Write`] transaction and records the change in it, so that neither can
//! be committed alone.

pub mod changes;
mod folder;
pub mod imported_rows;
pub mod location;
pub mod permissions;
pub mod roles;
pub mod users;
pub mod watch;

use std::io;
use std::path::Path;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Any, AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Executor as _, Transaction};
use tokio::time::timeout;

pub use self::location::Location;

/// Every connection to SQLite: readers beside one writer (WAL), an acknowledged write is never lost (FULL), wait for the
/// other writer instead of failing.
const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON";

/// Every connection to PostgreSQL: wait for the other writer as long as with SQLite; and a writer whose machine is gone
/// does not keep its lock until TCP notices.
const POSTGRES_SETTINGS: &str = "SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s'; \
     SET client_min_messages = warning";

/// PostgreSQL's lock that every write transaction takes: "login" in ASCII.
const WRITE_LOCK: i64 = 0x6c_6f67_696e;

/// How long a server may take to answer before it counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(5);

/// A handle on the database; clones share one pool.
#[derive(Debug, Clone)]
pub struct Database {
    location: Location,
    pool: AnyPool,
    options: AnyConnectOptions,
}

/// A transaction beside which no other one writes, from its start to its end: what it reads stays true, and the numbers of
/// changes are committed in their order.
pub type Write = Transaction<'static, Any>;

impl Database {
    /// Opens the database and brings its tables up to date. A file that is missing is created; a database of PostgreSQL
    /// must be there.
    pub async fn open(location: &Location) -> Result<Self, OpenError> {
        let unusable = |cause| OpenError::new(location, cause);
        let database = Self::new(location).map_err(|cause| unusable(cause.into()))?;
        database.migrate().await.map_err(unusable)?;
        Ok(database)
    }

    /// Whether the database could be opened. Changes nothing.
    pub async fn check(location: &Location) -> Result<(), OpenError> {
        let checked = match location {
            Location::Sqlite(file) => folder::check(file).map_err(Unusable::Io),
            Location::Postgres(_) => match Self::new(location) {
                Ok(database) => database.connect().await.map(drop).map_err(Unusable::from),
                Err(cause) => Err(cause.into()),
            },
        };
        checked.map_err(|cause| OpenError::new(location, cause))
    }

    fn new(location: &Location) -> Result<Self, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let (url, settings, connections) = match location {
            Location::Sqlite(file) => (sqlite_url(file), SQLITE_SETTINGS, 4),
            Location::Postgres(url) => (url.as_str().to_owned(), POSTGRES_SETTINGS, 8),
        };
        let options = url.parse::<AnyConnectOptions>()?.disable_statement_logging();
        let pool = AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(PATIENCE)
            .after_connect(move |connection, _| Box::pin(async move { connection.execute(settings).await.map(drop) }))
            .connect_lazy_with(options.clone());
        Ok(Self {
            location: location.clone(),
            pool,
            options,
        })
    }

    /// A pooled connection for reading.
    pub async fn read(&self) -> Result<sqlx::pool::PoolConnection<Any>, Error> {
        Ok(self.pool.acquire().await?)
    }

    /// A consistent view of several reads.
    pub async fn snapshot(&self) -> Result<Transaction<'static, Any>, Error> {
        let begin = match self.location {
            Location::Sqlite(_) => "BEGIN",
            Location::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        Ok(self.pool.begin_with(begin).await?)
    }

    /// A transaction that writes. The caller commits.
    pub async fn write(&self) -> Result<Write, Error> {
        let mut write = self.pool.begin_with(self.begin_to_write()).await?;
        self.lock(&mut write).await?;
        Ok(write)
    }

    /// A connection of its own, outside the pool.
    async fn connect(&self) -> Result<AnyConnection, sqlx::Error> {
        let connecting = timeout(PATIENCE, self.options.connect()).await;
        let mut connection = connecting.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        connection
            .execute(match self.location {
                Location::Sqlite(_) => SQLITE_SETTINGS,
                Location::Postgres(_) => POSTGRES_SETTINGS,
            })
            .await?;
        Ok(connection)
    }

    /// Closes every pooled connection; SQLite then folds its write-ahead log into the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Applies what is missing of `migrations/`. Many processes may be first at once: the write lock is taken before
    /// looking.
    async fn migrate(&self) -> Result<(), Unusable> {
        // Not from the pool, which tries for a while and then does not say what was wrong.
        let mut connection = self.first_connection().await?;
        let mut transaction = connection.begin_with(self.begin_to_write()).await?;
        self.lock(&mut transaction).await?;
        migrations(&self.location)
            .run_direct(None, &mut *transaction, false)
            .await?;
        transaction.commit().await?;
        Ok(connection.close().await?)
    }

    /// Switching a new file to WAL does not wait for another process that is doing the same, whatever `busy_timeout`
    /// says: try again for a moment.
    async fn first_connection(&self) -> Result<AnyConnection, sqlx::Error> {
        let mut attempts = 0;
        loop {
            match self.connect().await {
                Err(sqlx::Error::Database(error)) if attempts < 50 && error.message().contains("locked") => {
                    attempts += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                other => return other,
            }
        }
    }

    /// SQLite takes its one write lock at once: a transaction that begins as a reader and writes later would fail, without
    /// waiting, when another process wrote in between.
    fn begin_to_write(&self) -> &'static str {
        match self.location {
            Location::Sqlite(_) => "BEGIN IMMEDIATE",
            Location::Postgres(_) => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }

    /// PostgreSQL has no lock for all writers: this is ours, and each statement behind it sees what the last one committed.
    async fn lock(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        if let Location::Postgres(_) = self.location {
            // Text, because the driver for any database knows no `void`.
            sqlx::query("SELECT pg_advisory_xact_lock($1)::text")
                .bind(WRITE_LOCK)
                .execute(connection)
                .await?;
        }
        Ok(())
    }
}

/// Makes a transaction last.
pub async fn commit(write: Write) -> Result<(), Error> {
    Ok(write.commit().await?)
}

/// What makes the tables. Each engine has its own files, numbered alike.
fn migrations(location: &Location) -> Migrator {
    let mut migrations = match location {
        Location::Sqlite(_) => sqlx::migrate!("migrations/sqlite"),
        Location::Postgres(_) => sqlx::migrate!("migrations/postgres"),
    };
    // Its own lock would come behind ours.
    migrations.set_locking(false);
    migrations
}

/// The file as a URL for sqlx, which percent-decodes it and would take `?` for the start of its parameters.
fn sqlite_url(file: &Path) -> String {
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
    let Some(error) = error.as_database_error().filter(|error| error.is_unique_violation()) else {
        return false;
    };
    match error.constraint() {
        // Named after both in the migrations.
        Some(constraint) => constraint == format!("{table}_{column}"),
        // SQLite has no name for the constraint, it lists the columns: "UNIQUE constraint failed: users.name".
        None => error.message().contains(&format!("{table}.{column}")),
    }
}

/// A database that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the database {location}: {cause}; {}", self.remedy())]
pub struct OpenError {
    location: Location,
    cause: Unusable,
}

/// What is wrong with a database.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    /// What the operating system says.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What the engine or its driver says.
    #[error("{}", said(.0))]
    Sql(#[from] sqlx::Error),
    /// Tables of another version of this program, or of another program.
    #[error("its tables cannot be brought up to date: {0}")]
    Migration(MigrateError),
}

impl From<MigrateError> for Unusable {
    fn from(cause: MigrateError) -> Self {
        match cause {
            // No table was looked at yet, or none of ours: a file that is no database.
            MigrateError::Execute(cause) => Self::Sql(cause),
            cause => Self::Migration(cause),
        }
    }
}

impl OpenError {
    fn new(location: &Location, cause: Unusable) -> Self {
        Self {
            location: location.clone(),
            cause,
        }
    }

    fn remedy(&self) -> &'static str {
        match (&self.cause, &self.location) {
            (Unusable::Migration(_), _) => "give each program and each version of it a database of its own",
            (_, Location::Sqlite(_)) => "check that the folder exists and may be written to",
            (_, Location::Postgres(_)) => {
                "check that PostgreSQL runs there, and the user, the password and the name of the database"
            }
        }
    }
}

/// What an engine says, in its own words alone.
fn said(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

/// What can go wrong at an open database, as its callers tell it apart.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    /// Anything else: a full disk, a lock held for seconds, a server that is gone.
    #[error("the database failed: {0}")]
    Failed(#[from] sqlx::Error),
}
