//! Client authentication: by HTTP Basic or by form parameters (RFC 6749 section 2.3.1).

use std::sync::Arc;

use crate::app::App;
use crate::clock;
use crate::db::client::Client;
use crate::error::Refusal;
use crate::profiles::Profile;

/// What a request presents to authenticate its client, as the profile read it.
pub enum Presented {
    /// HTTP Basic.
    Basic { client_id: String, secret: String },
    /// The parameters `client_id` and `client_secret`.
    Form { client_id: String, secret: String },
}

/// The client that the credentials belong to. A mount serves the clients of its own profile only. A wrong answer may take
/// some seconds, see [`crate::throttle`].
pub async fn authenticate(app: &App, profile: Profile, presented: &Presented) -> Result<Arc<Client>, Refusal> {
    let (client_id, secret, refusal) = match presented {
        Presented::Basic { client_id, secret } => (client_id, secret, Refusal::BadBasicCredentials),
        Presented::Form { client_id, secret } => (client_id, secret, Refusal::BadFormCredentials),
    };
    let client = app.clients.find(client_id).filter(|client| client.profile == profile);
    // An unknown client costs a hash too: its absence does not show in the time. What does show is a client whose secret
    // is still the bcrypt hash of an import, until it has authenticated once.
    let stored = client.as_ref().map_or(&[][..], |client| &client.secret_mac);
    let right = app.secret_key.verify(client_id, secret, stored);
    let right = match &client {
        Some(client) if client.imported_secret.is_some() => app.imported_secrets.verify(app, client, secret).await?,
        _ => right,
    };
    match client.filter(|_| right) {
        Some(client) => Ok(client),
        None => {
            tokio::time::sleep(app.throttle.wrong(("client", client_id), clock::now_ms())).await;
            Err(refusal)
        }
    }
}
