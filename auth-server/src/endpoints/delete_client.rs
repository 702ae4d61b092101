//! `/delete/{clientId}` of profile `uaa`: a token of scope ADMIN removes a client.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::Method;

use crate::app::App;
use crate::clock;
use crate::db::client;
use crate::error::{Presented, Refusal};
use crate::profiles::uaa;
use crate::servlet::Request;
use crate::{bearer_auth, revoke};

/// Removes a client of the mount's profile and takes back everything it was given.
pub async fn delete_client(
    State(app): State<Arc<App>>,
    client_id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let Ok(Path(client_id)) = client_id else {
        return request.refuse(&app, Refusal::NotFound);
    };
    match delete(&app, &request, &client_id).await {
        Ok(()) => uaa::deleted(&app.compat, &client_id),
        Err(refusal) => request.refuse(&app, refusal),
    }
}

async fn delete(app: &App, request: &Request, client_id: &str) -> Result<(), Refusal> {
    bearer_auth::authorize(app, request, uaa::ADMIN_SCOPE).await?;
    if ![Method::GET, Method::POST].contains(&request.method) {
        return Err(Refusal::NeitherGetNorPost(request.method.to_string()));
    }
    let unknown = || Refusal::NoSuchClient(Presented(client_id.to_owned()));
    let mut write = app.database.write().await?;
    // Clients of other contracts are none of this mount's.
    let found = client::profile_of(&mut write, client_id).await?;
    found
        .filter(|profile| profile == request.mount.profile.name())
        .ok_or_else(unknown)?;
    revoke::client(&mut write, client_id, clock::now_ms()).await?;
    write.commit().await?;
    // Gone here before it is answered.
    app.clients.load(&mut *app.database.read().await?).await?;
    Ok(())
}
