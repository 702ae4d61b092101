//! The database: connections, the one writer at a time, and the tables (one module each, SQL beside its row type).
//!
//! Functions on tables take a connection and return `Option` for absence; whoever opens a transaction commits it.

pub mod access_token;
pub mod authorization_code;
pub mod change;
pub mod client;
pub mod imported_client;
pub mod imported_token;
mod location;
pub mod login_session;
pub mod observer;
mod opening;
pub mod refresh_token;
pub mod revocation;
pub mod server;
pub mod signing_key;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Connection as _, Transaction};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

pub use location::Location;
pub use opening::OpenError;
use opening::{connect, could_be_opened, create_privately, migrate, options};

/// How long a connection may take, to be made or to become free.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long a connection that nobody used is believed to be still there. When PostgreSQL ends connections, calls that use
/// one in that moment fail anyway; no others should.
const TRUSTED_FOR: Duration = Duration::from_millis(50);

/// How many turns PostgreSQL has in one process.
const TURNS: usize = 256;

/// So many connections are only ever read with: however many writers wait for others, what they are waited for by (the
/// gateways' feed, checks of tokens) goes on.
const FOR_READERS: u32 = 4;

/// SQLite's lock is polled, at last every 100 ms: whoever writes batch after batch leaves it free for longer than that.
const SQLITE_PAUSE: Duration = Duration::from_millis(150);

/// Connections to the one database of the server.
#[derive(Clone)]
pub struct Database {
    location: Location,
    options: AnyConnectOptions,
    pool: AnyPool,
    /// SQLite takes one writer at a time. It always has the same connection: what that one has read of the file stays
    /// true until the next time.
    writers: AnyPool,
    /// Where writers wait in line. SQLite takes one at a time: to wait here is fair, to wait for its lock is polling. In
    /// PostgreSQL, clients and users share some turns: whoever waits for the same one waits here, not with a connection.
    turns: Arc<[Arc<Semaphore>]>,
    /// A permit for each connection that may be written with.
    may_write: Arc<Semaphore>,
    committed: Arc<Notify>,
}

/// A transaction that has its turn to write, see [`Database::write`]. Dropped without [`Write::commit`], nothing of it
/// happened.
pub struct Write {
    transaction: Transaction<'static, Any>,
    committed: Arc<Notify>,
    _turn: OwnedSemaphorePermit,
    _writer: OwnedSemaphorePermit,
}

/// A connection that has its turn to add what is new, see [`Database::write_new`].
pub struct WriteNew {
    /// For one statement, which is durable when it is done.
    pub connection: PoolConnection<Any>,
    /// Where it is, for the engines say it differently.
    pub location: Location,
    _turn: OwnedSemaphorePermit,
    _writer: OwnedSemaphorePermit,
}

/// What a transaction keeps away from others.
#[derive(Clone, Copy)]
enum Turn {
    /// Everything.
    Alone,
    /// What belongs to a client and a user, see [`pair`].
    Of(i32),
}

impl Database {
    /// Opens the database and migrates it. A SQLite file that is missing is created, readable by its owner only.
    pub async fn open(location: &Location) -> Result<Self, OpenError> {
        let fail = |reason: String| OpenError::new(location, reason);
        if let Location::Sqlite(file) = location {
            create_privately(file).map_err(|error| fail(error.to_string()))?;
        }
        let options = options(location)?;
        // One connection first: it says why it fails, where the pool would only say that it waited.
        let mut first = connect(location, &options).await?;
        migrate(location, &mut first)
            .await
            .map_err(|error| fail(error.to_string()))?;
        // A failure to say goodbye changes nothing.
        let _ = first.close().await;
        let (connections, turns) = match location {
            Location::Sqlite(_) => (8, 1),
            Location::Postgres(_) => (16, TURNS),
        };
        let settings = location.settings();
        let pool_of = |connections| {
            AnyPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(LONGEST_WAIT)
                // A connection that was used a moment ago is good. To ask each one anew costs a round trip per call.
                .test_before_acquire(false)
                .before_acquire(|connection, state| {
                    Box::pin(async move {
                        if state.idle_for > TRUSTED_FOR {
                            connection.ping().await?;
                        }
                        Ok(true)
                    })
                })
                .after_connect(move |connection, _| {
                    Box::pin(async move { sqlx::raw_sql(settings).execute(connection).await.map(drop) })
                })
                .connect_lazy_with(options.clone())
        };
        let pool = pool_of(connections);
        let database = Self {
            location: location.clone(),
            writers: match location {
                Location::Sqlite(_) => pool_of(1),
                Location::Postgres(_) => pool.clone(),
            },
            pool,
            options,
            turns: std::iter::repeat_with(|| Arc::new(Semaphore::new(1)))
                .take(turns)
                .collect(),
            may_write: Arc::new(Semaphore::new((connections - FOR_READERS) as usize)),
            committed: Arc::new(Notify::new()),
        };
        server::create_missing(&database)
            .await
            .map_err(|error| fail(error.to_string()))?;
        Ok(database)
    }

    /// Whether the database could be opened. Changes nothing.
    pub async fn check(location: &Location) -> Result<(), OpenError> {
        match location {
            Location::Sqlite(file) => {
                could_be_opened(file).map_err(|error| OpenError::new(location, error.to_string()))
            }
            Location::Postgres(_) => {
                let connection = connect(location, &options(location)?).await?;
                let _ = connection.close().await;
                Ok(())
            }
        }
    }

    /// A connection to read with.
    pub async fn read(&self) -> sqlx::Result<PoolConnection<Any>> {
        self.pool.acquire().await
    }

    /// A transaction that no other one runs beside, so that what it reads stays true until it commits. Short by rule: no
    /// network call while it is open.
    pub async fn write(&self) -> sqlx::Result<Write> {
        self.begin(Turn::Alone).await
    }

    /// A transaction that no other one for the same client and user runs beside, nor one of [`Database::write`]. It may
    /// touch only what belongs to the two, and append changes. An empty user: what is the client's own.
    pub async fn write_for(&self, client_id: &str, user_name: &str) -> sqlx::Result<Write> {
        self.begin(Turn::Of(pair(client_id, user_name))).await
    }

    /// A connection for one statement that is a transaction of its own, and that only adds tokens nobody knows yet. Those
    /// for the same client, user and scope must be kept apart by the table itself.
    pub async fn write_new(&self) -> sqlx::Result<WriteNew> {
        let (turn, writer) = self.wait_for_turn(0).await?;
        Ok(WriteNew {
            connection: self.writers.acquire().await?,
            location: self.location.clone(),
            _turn: turn,
            _writer: writer,
        })
    }

    async fn wait_for_turn(&self, line: usize) -> sqlx::Result<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let turn = self.turns[line].clone().acquire_owned().await;
        let turn = turn.map_err(|_| sqlx::Error::PoolClosed)?;
        let writer = tokio::time::timeout(LONGEST_WAIT, self.may_write.clone().acquire_owned()).await;
        let writer = writer.map_err(|_| sqlx::Error::PoolTimedOut)?;
        Ok((turn, writer.map_err(|_| sqlx::Error::PoolClosed)?))
    }

    async fn begin(&self, turn_of: Turn) -> sqlx::Result<Write> {
        let line = match turn_of {
            Turn::Of(pair) => pair.cast_unsigned() as usize % self.turns.len(),
            Turn::Alone => 0,
        };
        let (turn, writer) = self.wait_for_turn(line).await?;
        // In a task of its own, for who asks may hang up: cut off while it begins, sqlx would give a connection back with
        // an open transaction.
        let (pool, location) = (self.writers.clone(), self.location.clone());
        let begun = tokio::spawn(async move {
            match location {
                // The write lock from the first statement on: a deferred one would fail, not wait, when it upgrades.
                Location::Sqlite(_) => pool.begin_with("BEGIN IMMEDIATE").await,
                Location::Postgres(_) => {
                    let mut transaction = pool.begin().await?;
                    let turn = match turn_of {
                        Turn::Of(pair) => sqlx::query("SELECT postern_turn_of($1)").bind(pair),
                        Turn::Alone => sqlx::query("SELECT postern_turn_alone()"),
                    };
                    turn.execute(&mut *transaction).await?;
                    Ok(transaction)
                }
            }
        });
        let transaction = begun.await.map_err(|_| sqlx::Error::WorkerCrashed)??;
        Ok(Write {
            transaction,
            committed: self.committed.clone(),
            _turn: turn,
            _writer: writer,
        })
    }

    /// For who writes one batch after the other: gives those who wait to write their turn. PostgreSQL keeps them in line.
    pub async fn let_others_write(&self) {
        if let Location::Sqlite(_) = self.location {
            tokio::time::sleep(SQLITE_PAUSE).await;
        }
    }

    /// Closes every connection. SQLite then folds its write-ahead log back into the file.
    pub async fn close(&self) {
        self.writers.close().await;
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

/// Whose rows are meant.
#[derive(Debug, Clone, Copy)]
pub enum Holder<'a> {
    /// Those of a client, by its id.
    Client(&'a str),
    /// Those of a user, by the name they logged in with.
    UserName(&'a str),
    /// Those of a user, by their id.
    UserId(&'a str),
}

impl<'a> Holder<'a> {
    /// A condition on tables that name their holder so, with the holder as `$1`.
    fn condition(self) -> &'static str {
        match self {
            Self::Client(_) => "client_id = $1",
            Self::UserName(_) => "user_name = $1",
            Self::UserId(_) => "user_id = $1",
        }
    }

    /// The same on access tokens, where a client's are found by two indexes.
    fn access_token_condition(self) -> &'static str {
        match self {
            Self::Client(_) => "((client_id = $1 AND reusable = 1) OR (client_id = $1 AND reusable = 0))",
            Self::UserName(_) | Self::UserId(_) => self.condition(),
        }
    }

    fn value(self) -> &'a str {
        match self {
            Self::Client(value) | Self::UserName(value) | Self::UserId(value) => value,
        }
    }
}

/// The ids of all users who were given something under a name.
pub async fn user_ids(connection: &mut AnyConnection, user_name: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT user_id FROM access_token WHERE user_name = $1 AND user_id <> '' \
         UNION SELECT user_id FROM refresh_token WHERE user_name = $1 AND user_id <> '' \
         UNION SELECT user_id FROM authorization_code WHERE user_name = $1 \
         UNION SELECT user_id FROM login_session WHERE user_name = $1",
    )
    .bind(user_name)
    .fetch_all(connection)
    .await
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
