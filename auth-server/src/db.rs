//! The database: connections, the one writer at a time, and the tables (one module each, SQL beside its row type).
//!
//! Functions on tables take a connection and return `Option` for absence; whoever opens a transaction commits it.

pub mod access_token;
pub mod authorization_code;
pub mod change;
pub mod client;
pub mod imported_client;
pub mod imported_token;
pub mod login_session;
pub mod observer;
pub mod refresh_token;
pub mod revocation;
pub mod server;
pub mod signing_key;

use std::fmt;
use std::io::Read as _;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use sha2::{Digest as _, Sha256};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::MigrateError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Any, AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Transaction};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Every SQLite connection starts with these. `synchronous=FULL`: an acknowledged write is never lost. What has been
/// written ahead (up to some 32 MB) goes into the file itself seldom: many tokens change the same pages.
const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout=5000; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; \
     PRAGMA wal_autocheckpoint=8000; PRAGMA foreign_keys=ON;";

/// Every PostgreSQL connection starts with these, whatever the server's defaults are. An acknowledged write is never lost
/// (stronger settings than `on` are left alone), and each statement sees what was committed before it: whoever has waited
/// for a turn must see what was done meanwhile. Notices are nobody's business, as the one that a table exists already.
const POSTGRES_SETTINGS: &str = "SET client_min_messages = 'warning'; \
     SET default_transaction_isolation = 'read committed'; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

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

/// What may stand behind the `?` of a URL. The driver would log the value of anything else, which may be a misspelt
/// password.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

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
            ("postgres" | "postgresql", rest) if rest.starts_with("//") => {
                let parameters = text.split_once('?').map_or("", |(_, parameters)| parameters).split('&');
                let mut names = parameters.map(|parameter| parameter.split('=').next().unwrap_or_default());
                let readable = names.all(|name| name.is_empty() || PARAMETERS.contains(&name))
                    && PgConnectOptions::from_str(text).is_ok();
                readable.then(|| Self::Postgres(text.to_owned()))
            }
            _ => None,
        }
    }

    /// Whether the URL, or the variable `PGSSLMODE`, insists on TLS: the driver is built without it.
    pub fn demands_tls(&self) -> bool {
        use PgSslMode::{Require, VerifyCa, VerifyFull};
        let mode = self.postgres().map(|options| options.get_ssl_mode());
        matches!(mode, Some(Require | VerifyCa | VerifyFull))
    }

    /// The host on the network where PostgreSQL is.
    pub fn host(&self) -> Option<String> {
        let options = self.postgres()?;
        let is_folder = options.get_socket().is_some() || options.get_host().starts_with('/');
        (!is_folder).then(|| options.get_host().to_owned())
    }

    fn postgres(&self) -> Option<PgConnectOptions> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(url) => PgConnectOptions::from_str(url).ok(),
        }
    }

    /// What every connection starts with.
    fn settings(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => SQLITE_SETTINGS,
            Self::Postgres(_) => POSTGRES_SETTINGS,
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

/// Errors of this are said without their cause, which could repeat the URL.
fn options(location: &Location) -> Result<AnyConnectOptions, OpenError> {
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
async fn connect(location: &Location, options: &AnyConnectOptions) -> Result<AnyConnection, OpenError> {
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
async fn migrate(location: &Location, connection: &mut AnyConnection) -> Result<(), MigrateError> {
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
fn could_be_opened(file: &Path) -> std::io::Result<()> {
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
        for wrong in [
            "sqlite:",
            "postgres://u:secret@db:port/auth",
            "postgres://u@db/auth?pasword=secret",
        ] {
            assert_eq!(Location::read(wrong), None);
        }
    }

    #[test]
    fn the_host_is_the_one_that_is_reached_over_a_network() {
        for (text, host) in [
            ("postgres://auth@db.example.com/auth", Some("db.example.com")),
            ("postgres://auth@ignored/auth?host=10.0.0.7", Some("10.0.0.7")),
            ("postgres://auth@127.0.0.1:6000/auth", Some("127.0.0.1")),
            ("postgres://auth@%2Frun%2Fpostgresql/auth", None),
            ("sqlite:auth.db", None),
        ] {
            assert_eq!(Location::read(text).unwrap().host().as_deref(), host, "{text}");
        }
    }

    #[test]
    fn only_modes_without_a_way_back_demand_tls() {
        for (mode, demands) in [
            ("disable", false),
            ("prefer", false),
            ("require", true),
            ("verify-ca", true),
        ] {
            let text = format!("postgres://auth@db/auth?sslmode={mode}");
            assert_eq!(Location::read(&text).unwrap().demands_tls(), demands, "{mode}");
        }
    }
}
