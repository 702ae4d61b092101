//! Follows the change table, also while nobody calls: what is new reaches memory, and the feed tells it.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::db::observer::Observer;

/// How long to wait before a database that failed is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until the process ends.
pub async fn follow(app: Arc<App>, mut observer: Observer) {
    let mut failing = false;
    loop {
        let observed = observer.changed(&app.database).await;
        // Also when the observer failed: perhaps only its own connection is lost.
        let reached = app.current.reach().await;
        let result = observed.map_err(Arc::new).and(reached.map(drop));
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
