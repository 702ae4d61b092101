//! The database: connections, the one writer at a time, and the tables (one module each, SQL beside its row type).
//!
//! Functions on tables take a connection and return `Option` for absence; whoever opens a transaction commits it.

pub mod access_token;
pub mod change;
pub mod client;
pub mod refresh_token;
pub mod revocation;
pub mod server;
pub mod signing_key;

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, ConnectOptions as _, Transaction};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Every connection starts with these. `synchronous=FULL`: an acknowledged write is never lost.
const PRAGMAS: &str =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=5000;";

/// Connections to the one database of the server.
#[derive(Clone)]
pub struct Database {
    options: AnyConnectOptions,
    pool: AnyPool,
    /// SQLite takes one writer at a time: waiting in line here is fair, waiting for its lock is polling.
    writer: Arc<Semaphore>,
    committed: Arc<Notify>,
}

/// A connection that holds the write lock. Dropped without [`Write::commit`], nothing of it happened.
pub struct Write {
    transaction: Transaction<'static, Any>,
    committed: Arc<Notify>,
    _turn: OwnedSemaphorePermit,
}

impl Database {
    /// Opens the SQLite file, creates it when it is missing (readable by its owner only), and migrates it.
    pub async fn open(file: &Path) -> Result<Self, OpenError> {
        let fail = |reason: String| OpenError {
            file: file.display().to_string(),
            reason,
        };
        create_privately(file).map_err(|error| fail(error.to_string()))?;
        sqlx::any::install_default_drivers();
        let options = sqlite_url(file)
            .parse::<AnyConnectOptions>()
            .map_err(|error| fail(error.to_string()))?;
        let options = options.disable_statement_logging();
        let pool = AnyPoolOptions::new()
            .max_connections(8)
            .after_connect(|connection, _| {
                Box::pin(async move { sqlx::raw_sql(PRAGMAS).execute(connection).await.map(drop) })
            })
            .connect_with(options.clone())
            .await
            .map_err(|error| fail(error.to_string()))?;
        sqlx::migrate!("./migrations")
            .run(&pool)
            .await
            .map_err(|error| fail(error.to_string()))?;
        let database = Self {
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

    /// A transaction that has the write lock from its first statement on, so that what it reads stays true until it
    /// commits. Short by rule: no network call while it is open.
    pub async fn write(&self) -> sqlx::Result<Write> {
        let turn = self
            .writer
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| sqlx::Error::PoolClosed)?;
        let transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Write {
            transaction,
            committed: self.committed.clone(),
            _turn: turn,
        })
    }

    /// A connection of its own, outside the pool: `PRAGMA data_version` speaks of what *other* connections wrote.
    pub async fn observer(&self) -> sqlx::Result<AnyConnection> {
        let mut connection = self.options.connect().await?;
        sqlx::raw_sql(PRAGMAS).execute(&mut connection).await?;
        Ok(connection)
    }

    /// Resolves when a write of this process was committed since the last call.
    pub async fn committed(&self) {
        self.committed.notified().await;
    }

    /// Closes every connection, so that the write-ahead log is folded back into the file.
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
#[error("database {file}: {reason}; check that its folder exists and can be written to")]
pub struct OpenError {
    file: String,
    reason: String,
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
