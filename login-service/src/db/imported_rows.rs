//! Rows of dumps that were imported, to know them again although what came of them is gone.

use sqlx::AnyConnection;

use super::{Error, Write};

/// What a row of a table said when it was imported last; `None`: it never was.
pub async fn content(connection: &mut AnyConnection, table: &str, id: &str) -> Result<Option<String>, Error> {
    let sql = "SELECT content FROM imported_rows WHERE source = $1 AND id = $2";
    Ok(sqlx::query_scalar(sql)
        .bind(table)
        .bind(id)
        .fetch_optional(connection)
        .await?)
}

/// Notes what a row said. No password may be in it.
pub async fn remember(write: &mut Write, table: &str, id: &str, content: &str) -> Result<(), Error> {
    let sql = "INSERT INTO imported_rows (source, id, content) VALUES ($1, $2, $3) \
               ON CONFLICT (source, id) DO UPDATE SET content = excluded.content";
    sqlx::query(sql)
        .bind(table)
        .bind(id)
        .bind(content)
        .execute(&mut **write)
        .await?;
    Ok(())
}
