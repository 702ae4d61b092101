//! Client Credentials, RFC 6749 section 4.4: the client speaks for itself, with its own authorities.

use std::sync::Arc;

use crate::app::App;
use crate::clock;
use crate::db::client::Client;
use crate::error::Refusal;
use crate::issue::{Grantee, Issued, issue};

/// Issues a token to the client itself.
pub async fn grant(app: &App, client: Arc<Client>, scope: Vec<String>) -> Result<Issued, Refusal> {
    let authorities = client.sorted_authorities();
    issue(
        app,
        &Grantee {
            grant: "client_credentials",
            client,
            user: None,
            authorities,
            scope,
        },
        clock::now_ms(),
    )
    .await
}
