//! Tells of changes by any process, this one among them.

use std::io;
use std::time::Duration;

use sqlx::AnyConnection;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::changes::{self, Stamp};
use super::location::Url;
use super::{Database, Error, Location};

/// How often SQLite is asked whether anybody wrote.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// How long PostgreSQL may be silent before it is asked all the same: a notification may be lost with a connection that
/// nobody has noticed to be dead.
const LONGEST_SILENCE: Duration = Duration::from_secs(1);

/// How long an answer may take before the connection is taken for dead.
const PATIENCE: Duration = Duration::from_secs(5);

/// The channel of the trigger on `changes`.
const CHANNEL: &str = "postern_login_changes";

/// The eye of one reader on the log of changes.
#[derive(Debug)]
pub struct Watch {
    connection: AnyConnection,
    signal: Signal,
}

#[derive(Debug)]
enum Signal {
    /// SQLite: a number that moves when another connection has committed.
    DataVersion { ticks: Interval, seen: Option<i64> },
    /// PostgreSQL: notifications. The first look waits for none.
    Notifications { listener: PgListener, looked: bool },
}

impl Database {
    /// Opens an eye on the log of changes, with connections of its own.
    pub async fn watch(&self) -> Result<Watch, Error> {
        let signal = match &self.location {
            Location::Sqlite(_) => {
                let mut ticks = interval(ASK_EVERY);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                Signal::DataVersion { ticks, seen: None }
            }
            Location::Postgres(url) => Signal::Notifications {
                listener: listen(url).await?,
                looked: false,
            },
        };
        Ok(Watch {
            connection: self.connect().await?,
            signal,
        })
    }
}

impl Watch {
    /// The newest change of the log: at once at first, then when there may be a newer one. An error is the end: only
    /// another watch will see what comes.
    pub async fn newest(&mut self) -> Result<Stamp, Error> {
        match &mut self.signal {
            Signal::DataVersion { ticks, seen } => loop {
                ticks.tick().await;
                let version = changes::data_version(&mut self.connection).await?;
                if seen.replace(version) != Some(version) {
                    break;
                }
            },
            Signal::Notifications { looked: false, .. } => {}
            Signal::Notifications { listener, .. } => {
                // A lost connection is not opened again here: what was told meanwhile would go unheard.
                if let Ok(heard) = timeout(LONGEST_SILENCE, listener.try_recv()).await
                    && heard?.is_none()
                {
                    return Err(sqlx::Error::Io(io::ErrorKind::ConnectionAborted.into()).into());
                }
            }
        }
        if let Signal::Notifications { looked, .. } = &mut self.signal {
            *looked = true;
        }
        patiently(changes::newest(&mut self.connection)).await
    }

    /// Whether this change is one of the database's past, and still kept.
    pub async fn knows(&mut self, stamp: Stamp) -> Result<bool, Error> {
        patiently(changes::knows(&mut self.connection, stamp)).await
    }
}

/// An answer that takes too long will not come.
async fn patiently<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| sqlx::Error::Io(io::ErrorKind::TimedOut.into());
    timeout(PATIENCE, answer).await.map_err(late)?
}

async fn listen(url: &Url) -> Result<PgListener, Error> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(PATIENCE)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_lazy(url.as_str())?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}
