//! Follows the change table, whoever writes it: this process, another one of the same database, or a command beside it.
//! Brings what is kept in memory up to date, and only then lets the feed tell it.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::clock;
use crate::db::change::{self, Kind};
use crate::db::observer::Observer;

/// How long to wait before a database that failed is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until the process ends.
pub async fn follow(app: Arc<App>, mut observer: Observer) {
    let mut failing = false;
    loop {
        let observed = observer.changed(&app.database).await;
        // Also when the observer failed: perhaps only its own connection is lost.
        let result = observed.and(catch_up(&app).await);
        match result {
            Ok(()) if failing => tracing::info!("changes are followed in the database again"),
            Ok(()) => {}
            Err(error) => {
                if !failing {
                    tracing::error!(%error, "changes cannot be followed in the database; gateways learn of them late, or not until they can");
                }
                failing = true;
                tokio::time::sleep(PAUSE).await;
                // Connected anew where that helps; what was missed is found by the first look.
                if let Ok(fresh) = Observer::new(&app.database).await {
                    observer = fresh;
                }
                continue;
            }
        }
        failing = false;
    }
}

/// Brings memory and feed to the newest change.
pub async fn catch_up(app: &App) -> sqlx::Result<()> {
    let mut read = app.database.read().await?;
    let told = app.feed.current();
    let (_, newest) = change::range(&mut read).await?;
    if newest <= told {
        return Ok(());
    }
    let changed = change::kinds(&mut read, told, newest).await?;
    let any = |kinds: &[Kind]| changed.iter().any(|kind| kinds.contains(kind));
    if any(&[Kind::ClientAdded, Kind::ClientReplaced, Kind::ClientRevoked]) {
        app.clients.load(&mut read).await?;
    }
    if any(&[Kind::KeysChanged]) {
        app.signing.load(&mut read).await?;
    }
    if any(&[Kind::ImportsChanged]) {
        app.imports.load(&mut read, clock::now_ms()).await?;
    }
    app.feed.publish(newest);
    Ok(())
}
