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
    let of_profile = |client: &Arc<Client>| client.profile == profile;
    let known = app.clients.find(client_id);
    if let Some(client) = verified(app, known.clone().filter(of_profile), client_id, secret).await? {
        return Ok(client);
    }
    // Another process may have registered it, or another one of its name, a moment ago.
    let mut read = app.database.read().await?;
    let renewed = app.clients.renewed(&mut read, client_id, known.as_deref()).await?;
    drop(read);
    if let Some(renewed) = renewed.filter(of_profile)
        && let Some(client) = verified(app, Some(renewed), client_id, secret).await?
    {
        return Ok(client);
    }
    tokio::time::sleep(app.throttle.wrong(("client", client_id), clock::now_ms())).await;
    Err(refusal)
}

/// The client, if the secret is its own.
async fn verified(
    app: &App,
    client: Option<Arc<Client>>,
    client_id: &str,
    secret: &str,
) -> Result<Option<Arc<Client>>, Refusal> {
    // An unknown client costs a hash too: its absence does not show in the time. What does show is a client whose secret
    // is still the bcrypt hash of an import, until it has authenticated once.
    let stored = client.as_ref().map_or(&[][..], |client| &client.secret_mac);
    let right = app.secret_key.verify(client_id, secret, stored);
    let right = match &client {
        Some(client) if client.imported_secret.is_some() => app.imported_secrets.verify(app, client, secret).await?,
        _ => right,
    };
    Ok(client.filter(|_| right))
}
