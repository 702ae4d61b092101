//! How a request shows its client, and what is checked of it, one by one: the order shows in which error a wrong request
//! gets.

use std::sync::Arc;

use crate::app::App;
use crate::client_auth::{self, Presented};
use crate::credentials;
use crate::db::client::Client;
use crate::error::Refusal;
use crate::profiles::tkey::{is_client_id, optional};
use crate::servlet::Request;

/// The client's id and secret; blank is absent.
pub struct ShownClient {
    client_id: Option<String>,
    secret: Option<String>,
}

impl ShownClient {
    /// From HTTP Basic (not URL-decoded), which wins, or from the parameters. An `Authorization` that is no readable Basic
    /// counts as none.
    pub fn read(request: &Request) -> Self {
        let filled = |text: &str| (!text.trim().is_empty()).then(|| text.to_owned());
        let basic = credentials::basic(&request.headers).and_then(Result::ok);
        let basic = basic.and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some((client_id, secret)) = basic.as_deref().and_then(|text| text.split_once(':')) {
            return Self {
                client_id: filled(client_id),
                secret: filled(secret),
            };
        }
        Self {
            client_id: optional(request, "client_id").map(str::to_owned),
            secret: optional(request, "client_secret").map(str::to_owned),
        }
    }

    /// The client that is named, whether it shows its secret or not.
    pub async fn known(&self, app: &App, request: &Request) -> Result<Arc<Client>, Refusal> {
        known_client(app, request, self.client_id.as_deref()).await
    }

    /// Whether there is a secret, right or wrong.
    pub fn secret(&self) -> Result<&str, Refusal> {
        self.secret.as_deref().ok_or(Refusal::MissingParameter("client_secret"))
    }

    /// The client, authenticated: its secret is compared exactly, where the original did not tell upper from lower case.
    pub async fn authenticate(&self, app: &App, request: &Request) -> Result<Arc<Client>, Refusal> {
        let known = self.known(app, request).await?;
        let presented = Presented::Form {
            client_id: known.client_id.clone(),
            secret: self.secret()?.to_owned(),
        };
        client_auth::authenticate(app, request.mount.profile, &presented).await
    }
}

/// The client of that id.
pub async fn known_client(app: &App, request: &Request, client_id: Option<&str>) -> Result<Arc<Client>, Refusal> {
    let client_id = client_id.ok_or(Refusal::MissingParameter("client_id"))?;
    if !is_client_id(client_id) {
        return Err(Refusal::Malformed("client_id"));
    }
    let profile = request.mount.profile;
    let client = app.clients.of_profile(&app.database, profile, client_id).await?;
    client.ok_or(Refusal::UnknownClient)
}

/// The redirect URI of a request: one that the client is registered with, character by character.
pub fn registered_redirect_uri<'a>(request: &'a Request, client: &Client) -> Result<&'a str, Refusal> {
    let redirect_uri = optional(request, "redirect_uri").ok_or(Refusal::MissingParameter("redirect_uri"))?;
    if client.redirect_uris.iter().any(|registered| registered == redirect_uri) {
        Ok(redirect_uri)
    } else {
        Err(Refusal::UnregisteredRedirectUri)
    }
}
