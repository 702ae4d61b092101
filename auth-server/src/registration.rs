//! Registering clients: what is registered is told to every process in the same transaction.

use crate::db::change::{self, Kind};
use crate::db::client::{self, Client};
use crate::db::{Write, revocation};

/// What keeps a text from being a client's id; `None`: nothing does.
pub fn unusable(client_id: &str) -> Option<&'static str> {
    match client_id {
        "" => Some("is empty"),
        id if id.trim() != id => Some("begins or ends with a blank"),
        // HTTP Basic parts id and secret with it (RFC 7617 section 2).
        id if id.contains(':') => Some("contains a colon"),
        id if id.contains(char::is_control) => Some("contains a control character"),
        // As in the legacy tables.
        id if id.chars().count() > 255 => Some("is longer than 255 characters"),
        _ => None,
    }
}

/// Registers a client whose id is free.
pub async fn register(write: &mut Write, client: &Client, now_ms: i64) -> sqlx::Result<()> {
    let id = &client.client_id;
    client::insert(write, client, now_ms).await?;
    let kind = if revocation::replace_client(write, id, now_ms).await? {
        Kind::ClientReplaced
    } else {
        Kind::ClientAdded
    };
    change::append(write, kind, id, now_ms, None).await?;
    Ok(())
}
