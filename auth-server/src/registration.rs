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

/// What keeps a text from being a redirect URI; `None`: nothing does.
pub fn unusable_redirect_uri(uri: &str) -> Option<&'static str> {
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    let is_scheme = |text: &str| text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.contains(['/', '?']);
    match scheme.filter(|text| is_scheme(text)).as_deref() {
        None => Some("is not absolute, as https://app.example.com/callback is"),
        Some("javascript" | "data" | "vbscript" | "file") => Some("has a scheme to which nothing can be sent"),
        // RFC 6749 section 3.1.2: no fragment; the rest would break the header.
        Some(_) if uri.contains(|c: char| c == '#' || c.is_whitespace() || c.is_control() || !c.is_ascii()) => {
            Some("has a fragment, a blank or a letter that must be percent-encoded")
        }
        Some(_) => None,
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
