//! Deletes what nobody needs any more.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::clock;
use crate::db::change::{self, Kind};
use crate::db::{
    Database, access_token, authorization_code, imported_token, login_session, refresh_token, revocation, signing_key,
};
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
    let imported = imported_token::delete_expired(&mut write, now_ms - EXPIRED_MS).await?;
    if imported > 0 {
        change::append(&mut write, Kind::ImportsChanged, "", now_ms, None).await?;
    }
    rows += imported;
    rows += authorization_code::delete_expired(&mut write, now_ms).await?;
    rows += login_session::delete_expired(&mut write, now_ms).await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Location;
    use crate::db::access_token::AccessToken;
    use crate::db::refresh_token::RefreshToken;
    use crate::db::signing_key::SigningKey;
    use crate::signing;

    /// A database with one key, and a login whose access token expires at 500 and whose refresh token expires at 1000.
    async fn database(folder: &tempfile::TempDir) -> (Database, String) {
        let database = Database::open(&Location::Sqlite(folder.path().join("auth.db")))
            .await
            .unwrap();
        let key_id = signing::rotate(&database, Profile::Spring, 0).await.unwrap();
        let text = || "x".to_owned();
        let mut write = database.write().await.unwrap();
        let refresh = RefreshToken {
            token_id: "refresh".into(),
            token_hash: None,
            profile: text(),
            client_id: text(),
            user_id: text(),
            user_name: text(),
            authorities: "[]".into(),
            scope: text(),
            grant_type: text(),
            first_key_id: key_id.clone(),
            issued_at_ms: 0,
            expires_at_ms: Some(1000),
        };
        refresh_token::insert(&mut write, &refresh).await.unwrap();
        let access = AccessToken {
            token_id: "access".into(),
            token_hash: None,
            authentication_id: text(),
            profile: text(),
            client_id: text(),
            user_id: text(),
            user_name: text(),
            scope: text(),
            grant_type: text(),
            claims: text(),
            refresh_id: Some("refresh".into()),
            refresh_claims: None,
            key_id: key_id.clone(),
            issued_at_ms: 0,
            expires_at_ms: Some(500),
            reusable: 1,
            revoked_with_client: 0,
        };
        access_token::insert(&mut write, &access).await.unwrap();
        write.commit().await.unwrap();
        (database, key_id)
    }

    async fn keys(database: &Database) -> Vec<String> {
        let keys = signing_key::all(&mut database.read().await.unwrap()).await.unwrap();
        keys.into_iter().map(|key: SigningKey| key.key_id).collect()
    }

    async fn access_token_is_there(database: &Database) -> bool {
        let mut read = database.read().await.unwrap();
        access_token::expiry(&mut read, "access").await.unwrap().is_some()
    }

    #[tokio::test]
    async fn an_expired_access_token_stays_as_long_as_its_refresh_token() {
        let folder = tempfile::tempdir().unwrap();
        let (database, _) = database(&folder).await;
        clean_once(&database, 500 + EXPIRED_MS + 1).await.unwrap();
        assert!(access_token_is_there(&database).await);
        clean_once(&database, 1000 + EXPIRED_MS + 1).await.unwrap();
        assert!(!access_token_is_there(&database).await);
        assert!(
            refresh_token::find(&mut database.read().await.unwrap(), "refresh")
                .await
                .unwrap()
                .is_none()
        );
    }

    #[tokio::test]
    async fn a_retired_key_stays_until_its_last_token_has_expired() {
        let folder = tempfile::tempdir().unwrap();
        let (database, old) = database(&folder).await;
        let new = signing::rotate(&database, Profile::Spring, 10).await.unwrap();
        clean_once(&database, 999).await.unwrap();
        assert_eq!(keys(&database).await, [old, new.clone()]);
        // The new key signs from a second after it was drawn; before that, the old one is the active one.
        clean_once(&database, 1009).await.unwrap();
        assert_eq!(keys(&database).await.len(), 2);
        clean_once(&database, 1010).await.unwrap();
        assert_eq!(keys(&database).await, [new]);
    }

    #[tokio::test]
    async fn the_newest_change_is_never_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let (database, _) = database(&folder).await;
        signing::rotate(&database, Profile::Spring, 10).await.unwrap();
        clean_once(&database, 999).await.unwrap();
        let before = change::range(&mut database.read().await.unwrap()).await.unwrap();
        assert_eq!(before, (1, 2));
        clean_once(&database, 20 + CHANGES_MS).await.unwrap();
        let after = change::range(&mut database.read().await.unwrap()).await.unwrap();
        assert_eq!(
            after,
            (2, 3),
            "the newest stayed; that the retired key went is a change itself"
        );
    }
}
