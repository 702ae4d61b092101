//! What the database was born with.

use sqlx::AnyConnection;

use crate::db::Database;
use crate::entropy;

const LINEAGE: &str = "lineage";
const CLIENT_SECRET_KEY: &str = "client_secret_key";

/// Draws what a new database needs; leaves what is there.
pub async fn create_missing(database: &Database) -> sqlx::Result<()> {
    // Every command opens the database: only the first has something to write.
    if client_secret_key(&mut *database.read().await?).await.is_ok() {
        return Ok(());
    }
    let mut write = database.write().await?;
    let lineage = entropy::hex(&entropy::bytes::<8>()).into_bytes();
    for (name, value) in [(LINEAGE, lineage), (CLIENT_SECRET_KEY, entropy::bytes::<32>().to_vec())] {
        sqlx::query("INSERT INTO server (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .bind(value)
            .execute(&mut *write)
            .await?;
    }
    write.commit().await
}

/// The random name of this database. Versions of the feed start with it, so that one of another database is noticed.
pub async fn lineage(connection: &mut AnyConnection) -> sqlx::Result<String> {
    value(connection, LINEAGE)
        .await
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The key of the stored client secrets.
pub async fn client_secret_key(connection: &mut AnyConnection) -> sqlx::Result<Vec<u8>> {
    value(connection, CLIENT_SECRET_KEY).await
}

async fn value(connection: &mut AnyConnection, name: &str) -> sqlx::Result<Vec<u8>> {
    sqlx::query_scalar("SELECT value FROM server WHERE name = $1")
        .bind(name)
        .fetch_one(connection)
        .await
}
