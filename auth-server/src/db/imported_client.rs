//! Which clients an import has brought, also when they are gone since: another import shall not bring them back.

use std::collections::HashSet;

use sqlx::AnyConnection;

use crate::profiles::Profile;

/// The ids of those that were imported for a profile.
pub async fn ids(connection: &mut AnyConnection, profile: Profile) -> sqlx::Result<HashSet<String>> {
    let ids: Vec<String> = sqlx::query_scalar("SELECT client_id FROM imported_client WHERE profile = $1")
        .bind(profile.name())
        .fetch_all(connection)
        .await?;
    Ok(ids.into_iter().collect())
}

/// Notes one.
pub async fn remember(connection: &mut AnyConnection, profile: Profile, client_id: &str) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO imported_client (profile, client_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(profile.name())
        .bind(client_id)
        .execute(connection)
        .await?;
    Ok(())
}
