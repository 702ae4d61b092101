//! Follows the change table, whoever writes it: this process, or a command beside it on the same file. Brings what is
//! kept in memory up to date, and only then lets the feed tell it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::AnyConnection;

use crate::app::App;
use crate::db::change::{self, Kind};

/// How often another process's writes are looked for. Reading the counter costs some microseconds.
const EVERY: Duration = Duration::from_millis(20);

/// Runs until the process ends.
pub async fn follow(app: Arc<App>, mut observer: AnyConnection) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen = None;
    loop {
        let committed_here = tokio::select! {
            _ = ticks.tick() => false,
            () = app.database.committed() => true,
        };
        if let Err(error) = look(&app, &mut observer, &mut seen, committed_here).await {
            tracing::error!(%error, "changes cannot be read from the database; gateways are told nothing until they can");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn look(
    app: &App,
    observer: &mut AnyConnection,
    seen: &mut Option<i64>,
    committed_here: bool,
) -> sqlx::Result<()> {
    let version: i64 = sqlx::query_scalar("PRAGMA data_version")
        .fetch_one(&mut *observer)
        .await?;
    if *seen == Some(version) && !committed_here {
        return Ok(());
    }
    let told = app.feed.current();
    let (_, newest) = change::range(observer).await?;
    let changed = change::kinds(observer, told, newest).await?;
    let any = |kinds: &[Kind]| changed.iter().any(|kind| kinds.contains(kind));
    if any(&[Kind::ClientAdded, Kind::ClientReplaced, Kind::ClientRevoked]) {
        app.clients.load(observer).await?;
    }
    if any(&[Kind::KeysChanged]) {
        app.signing.load(observer).await?;
    }
    app.feed.publish(newest);
    *seen = Some(version);
    Ok(())
}
