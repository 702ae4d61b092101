//! `/register` of profile `uaa`: a token of scope ADMIN registers a client.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{Method, StatusCode};
use serde::Serialize;

use crate::app::App;
use crate::clock;
use crate::db::client::{self, Client};
use crate::error::{Presented, Refusal};
use crate::profiles::spring;
use crate::profiles::uaa;
use crate::servlet::Request;
use crate::{bearer_auth, registration};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    client_id: &'a str,
    client_secret: &'a str,
    scope: &'a str,
}

/// Registers the client `clientId` with the secret `clientSecret`, and repeats both, this once.
pub async fn register(State(app): State<Arc<App>>, request: Request) -> Response {
    match register_client(&app, &request).await {
        Ok((client_id, client_secret)) => {
            let scope = uaa::REGISTERED_SCOPE;
            spring::json(
                StatusCode::OK,
                &Answer {
                    client_id,
                    client_secret,
                    scope,
                },
            )
        }
        Err(refusal) => request.refuse(&app, refusal),
    }
}

async fn register_client<'a>(app: &App, request: &'a Request) -> Result<(&'a str, &'a str), Refusal> {
    bearer_auth::authorize(app, request, uaa::ADMIN_SCOPE).await?;
    if ![Method::GET, Method::POST].contains(&request.method) {
        return Err(Refusal::NeitherGetNorPost(request.method.to_string()));
    }
    let required = |name| {
        let value = request.parameters.get(name).filter(|value| !value.is_empty());
        value.ok_or(Refusal::MissingParameter(name))
    };
    let (client_id, secret) = (required("clientId")?, required("clientSecret")?);
    if let Some(why) = registration::unusable(client_id) {
        return Err(Refusal::UnusableClientId(why));
    }
    let client = Client {
        client_id: client_id.to_owned(),
        profile: request.mount.profile,
        secret_mac: app.secret_key.mac(client_id, secret),
        imported_secret: None,
        grants: vec!["client_credentials".to_owned()],
        scopes: vec![uaa::REGISTERED_SCOPE.to_owned()],
        authorities: Vec::new(),
        resource_ids: Vec::new(),
        redirect_uris: Vec::new(),
        response_types: Vec::new(),
        additional_information: serde_json::Map::new(),
        access_token_validity: None,
        refresh_token_validity: None,
    };
    let mut write = app.database.write().await?;
    if client::exists(&mut write, client_id).await? {
        return Err(Refusal::ClientExists(Presented(client_id.to_owned())));
    }
    registration::register(&mut write, &client, clock::now_ms()).await?;
    write.commit().await?;
    // Known here before it is answered: the new client's first request may follow at once.
    app.clients.load(&mut *app.database.read().await?).await?;
    Ok((client_id, secret))
}
