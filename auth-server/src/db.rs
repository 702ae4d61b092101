//! The database: connections, the one writer at a time, and the tables (one module each, SQL beside its row type).
//!
//! Functions on tables take a connection and return `Option` for absence; whoever opens a transaction commits it.

pub mod access_token;
pub mod authorization_code;
pub mod change;
pub mod client;
pub mod imported_token;
pub mod login_session;
pub mod observer;
pub mod refresh_token;
pub mod revocation;
pub mod server;
pub mod signing_key;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, ConnectOptions as _, Transaction};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Every SQLite connection starts with these. `synchronous=FULL`: an acknowledged write is never lost.
const PRAGMAS: &str =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=5000;";

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file: one server.
    Sqlite(PathBuf),
    /// A `postgres://` URL: any number of servers.
    Postgres(String),
}

impl Location {
    /// The location in a configuration: `sqlite:FILE`, or a URL of PostgreSQL.
    pub fn read(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("sqlite", file) if !file.is_empty() => Some(Self::Sqlite(file.into())),
            ("postgres" | "postgresql", rest) if rest.starts_with("//") => Some(Self::Postgres(text.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Location {
    /// Without the password that may stand in a URL, and without its parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => file.display().fmt(f),
            Self::Postgres(url) => {
                let url = url.split('?').next().unwrap_or_default();
                let place = url.rsplit_once('@').map_or(url, |(_, place)| place);
                let place = place.rsplit_once("://").map_or(place, |(_, place)| place);
                write!(f, "postgres://{place}")
            }
        }
    }
}

/// Connections to the one database of the server.
#[derive(Clone)]
pub struct Database {
    location: Location,
    options: AnyConnectOptions,
    pool: AnyPool,
    /// SQLite takes one writer at a time: waiting in line here is fair, waiting for its lock is polling.
    writer: Arc<Semaphore>,
    committed: Arc<Notify>,
}

/// A transaction that has its turn to write, see [`Database::write`]. Dropped without [`Write::commit`], nothing of it
/// happened.
pub struct Write {
    transaction: Transaction<'static, Any>,
    committed: Arc<Notify>,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Database {
    /// Opens the database and migrates it. A SQLite file that is missing is created, readable by its owner only.
    pub async fn open(location: &Location) -> Result<Self, OpenError> {
        let fail = |reason: String| OpenError::new(location, reason);
        let (url, pool) = match location {
            Location::Sqlite(file) => {
                create_privately(file).map_err(|error| fail(error.to_string()))?;
                let pool = AnyPoolOptions::new().max_connections(8).after_connect(|connection, _| {
                    Box::pin(async move { sqlx::raw_sql(PRAGMAS).execute(connection).await.map(drop) })
                });
                (sqlite_url(file), pool)
            }
            Location::Postgres(url) => {
                let pool = AnyPoolOptions::new().max_connections(16);
                (url.clone(), pool.acquire_timeout(Duration::from_secs(10)))
            }
        };
        sqlx::any::install_default_drivers();
        // Errors of these are said without their cause where it could repeat the URL.
        let options = url
            .parse::<AnyConnectOptions>()
            .map_err(|_| fail("its URL cannot be read".into()))?;
        let options = options.disable_statement_logging();
        let pool = pool
            .connect_with(options.clone())
            .await
            .map_err(|error| fail(error.to_string()))?;
        let migrations = match location {
            Location::Sqlite(_) => sqlx::migrate!("./migrations/sqlite"),
            Location::Postgres(_) => sqlx::migrate!("./migrations/postgres"),
        };
        migrations.run(&pool).await.map_err(|error| fail(error.to_string()))?;
        let database = Self {
            location: location.clone(),
            options,
            pool,
            writer: Arc::new(Semaphore::new(1)),
            committed: Arc::new(Notify::new()),
        };
        server::create_missing(&database)
            .await
            .map_err(|error| fail(error.to_string()))?;
        Ok(database)
    }

    /// A connection to read with.
    pub async fn read(&self) -> sqlx::Result<PoolConnection<Any>> {
        self.pool.acquire().await
    }

    /// A transaction that no other one runs beside, so that what it reads stays true until it commits. Short by rule: no
    /// network call while it is open.
    pub async fn write(&self) -> sqlx::Result<Write> {
        self.begin(None).await
    }

    /// A transaction that no other one for the same client and user runs beside, nor one of [`Database::write`]. It may
    /// touch only what belongs to the two, and append changes. An empty user: what is the client's own.
    pub async fn write_for(&self, client_id: &str, user_name: &str) -> sqlx::Result<Write> {
        self.begin(Some(pair(client_id, user_name))).await
    }

    async fn begin(&self, pair: Option<i32>) -> sqlx::Result<Write> {
        let (transaction, turn) = match &self.location {
            Location::Sqlite(_) => {
                let turn = self.writer.clone().acquire_owned().await;
                let turn = turn.map_err(|_| sqlx::Error::PoolClosed)?;
                // The write lock from the first statement on: a deferred one would fail, not wait, when it upgrades.
                (self.pool.begin_with("BEGIN IMMEDIATE").await?, Some(turn))
            }
            Location::Postgres(_) => {
                let mut transaction = self.pool.begin().await?;
                let turn = match pair {
                    Some(pair) => sqlx::query("SELECT postern_turn_of($1)").bind(pair),
                    None => sqlx::query("SELECT postern_turn_alone()"),
                };
                turn.execute(&mut *transaction).await?;
                (transaction, None)
            }
        };
        Ok(Write {
            transaction,
            committed: self.committed.clone(),
            _turn: turn,
        })
    }

    /// Closes every connection. SQLite then folds its write-ahead log back into the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl Write {
    /// Makes everything of this transaction true and tells the followers of the change table.
    pub async fn commit(self) -> sqlx::Result<()> {
        self.transaction.commit().await?;
        self.committed.notify_one();
        Ok(())
    }
}

impl Deref for Write {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.transaction
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}

/// A database that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("database {place}: {reason}; {remedy}")]
pub struct OpenError {
    place: String,
    reason: String,
    remedy: &'static str,
}

impl OpenError {
    fn new(location: &Location, reason: String) -> Self {
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

/// What gives a client and a user their turn; a collision only makes two of them wait for each other.
fn pair(client_id: &str, user_name: &str) -> i32 {
    let hash = Sha256::new()
        .chain_update((client_id.len() as u64).to_be_bytes())
        .chain_update(client_id)
        .chain_update(user_name)
        .finalize();
    i32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// The file holds signing keys: nobody but its owner may read it, from its first moment on.
fn create_privately(file: &Path) -> std::io::Result<()> {
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

/// A list in one column: comma-separated, in order.
pub(crate) fn join(list: &[String]) -> String {
    list.join(",")
}

/// The list that [`join`] wrote, or an operator typed: blanks around the commas do not count.
pub(crate) fn split(list: &str) -> Vec<String> {
    list.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_shows_no_password() {
        let shown = |text: &str| Location::read(text).unwrap().to_string();
        assert_eq!(
            shown("postgres://u:p%40ss@db:5432/auth?sslmode=disable"),
            "postgres://db:5432/auth"
        );
        assert_eq!(shown("postgresql://db/auth"), "postgres://db/auth");
        assert_eq!(shown("sqlite:auth.db"), "auth.db");
        assert_eq!(Location::read("mysql://db/auth"), None);
        assert_eq!(Location::read("sqlite:"), None);
    }
}
