//! Deletes what nobody needs any more.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::clock;
use crate::db::change::{self, Kind};
use crate::db::{Database, access_token, refresh_token, revocation, signing_key};
use crate::profiles::Profile;

const EVERY: Duration = Duration::from_secs(60);

/// An expired token stays for a day: whoever still uses it is told that it expired, not that it never was.
const EXPIRED_MS: i64 = 24 * 60 * 60 * 1000;
/// A revocation outlives its token by the clock tolerance a gateway may have.
const REVOCATION_MS: i64 = 10 * 60 * 1000;
/// A gateway that was away longer than this starts again from a full snapshot.
const CHANGES_MS: i64 = 60 * 60 * 1000;

/// Runs until the process ends.
pub async fn clean(app: Arc<App>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match clean_once(&app.database, clock::now_ms()).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "expired rows deleted"),
            Err(error) => tracing::error!(%error, "expired rows cannot be deleted; trying again in a minute"),
        }
    }
}

/// Returns how many rows are gone.
async fn clean_once(database: &Database, now_ms: i64) -> sqlx::Result<u64> {
    let mut write = database.write().await?;
    let mut rows = refresh_token::delete_expired(&mut write, now_ms - EXPIRED_MS).await?;
    rows += access_token::delete_expired(&mut write, now_ms - EXPIRED_MS).await?;
    rows += revocation::delete_expired(&mut write, now_ms - REVOCATION_MS).await?;
    rows += change::prune(&mut write, now_ms - CHANGES_MS).await?;
    for profile in Profile::ALL {
        let keys = signing_key::delete_unneeded(&mut write, profile.name(), now_ms).await?;
        if keys > 0 {
            change::append(&mut write, Kind::KeysChanged, profile.name(), now_ms, None).await?;
        }
        rows += keys;
    }
    write.commit().await?;
    Ok(rows)
}
