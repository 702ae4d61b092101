//! Follows the change table, whoever writes it: this process, another one of the same database, or a command beside it.
//! Brings what is kept in memory up to date, and only then lets the feed tell it.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::db::change::{self, Kind};
use crate::db::observer::Observer;

/// How long to wait before a database that failed is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until the process ends.
pub async fn follow(app: Arc<App>, mut observer: Observer) {
    let mut failing = false;
    loop {
        let result = match observer.changed(&app.database).await {
            Ok(()) => look(&app).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) if failing => tracing::info!("changes can be read from the database again"),
            Ok(()) => {}
            Err(error) => {
                if !failing {
                    tracing::error!(%error, "changes cannot be read from the database; gateways are told nothing until they can");
                }
                tokio::time::sleep(PAUSE).await;
                // Connected anew where that helps; what was missed is found by the first look.
                if let Ok(fresh) = Observer::new(&app.database).await {
                    observer = fresh;
                }
                failing = true;
                continue;
            }
        }
        failing = false;
    }
}

async fn look(app: &App) -> sqlx::Result<()> {
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
    app.feed.publish(newest);
    Ok(())
}
