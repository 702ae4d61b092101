//! Notices that something may have changed in the database, whoever wrote it.

use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{AnyConnection, ConnectOptions as _};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use crate::db::{Database, Location, PRAGMAS};

/// How often SQLite is asked whether another process wrote. Reading the counter costs some microseconds.
const EVERY: Duration = Duration::from_millis(20);

/// PostgreSQL tells by itself. Should it ever fail to, a look this often finds it.
const AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// Its migration notifies this channel.
const CHANNEL: &str = "postern_auth_change";

/// An observer of one database, on a connection of its own.
pub struct Observer(Engine);

enum Engine {
    /// `PRAGMA data_version` speaks of what *other* connections wrote.
    Sqlite {
        connection: AnyConnection,
        seen: Option<i64>,
        ticks: Interval,
    },
    Postgres {
        listener: PgListener,
        /// The first look needs no news.
        looked: bool,
    },
}

impl Observer {
    /// Connects.
    pub async fn new(database: &Database) -> sqlx::Result<Self> {
        Ok(Self(match &database.location {
            Location::Sqlite(_) => {
                let mut connection = database.options.connect().await?;
                sqlx::raw_sql(PRAGMAS).execute(&mut connection).await?;
                let mut ticks = interval(EVERY);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                Engine::Sqlite {
                    connection,
                    seen: None,
                    ticks,
                }
            }
            Location::Postgres(url) => {
                let mut listener = PgListener::connect(url).await?;
                listener.listen(CHANNEL).await?;
                Engine::Postgres {
                    listener,
                    looked: false,
                }
            }
        }))
    }

    /// Resolves when there may be something new since the last call.
    pub async fn changed(&mut self, database: &Database) -> sqlx::Result<()> {
        match &mut self.0 {
            Engine::Sqlite {
                connection,
                seen,
                ticks,
            } => loop {
                let committed_here = tokio::select! {
                    _ = ticks.tick() => false,
                    () = database.committed.notified() => true,
                };
                let version: i64 = sqlx::query_scalar("PRAGMA data_version")
                    .fetch_one(&mut *connection)
                    .await?;
                if seen.replace(version) != Some(version) || committed_here {
                    return Ok(());
                }
            },
            Engine::Postgres {
                looked: looked @ false, ..
            } => {
                *looked = true;
                Ok(())
            }
            // A lost connection is made anew by the next call; what was missed meanwhile, the look that follows finds.
            Engine::Postgres { listener, .. } => tokio::select! {
                told = listener.try_recv() => told.map(drop),
                () = database.committed.notified() => Ok(()),
                () = sleep(AT_LEAST_EVERY) => Ok(()),
            },
        }
    }
}
