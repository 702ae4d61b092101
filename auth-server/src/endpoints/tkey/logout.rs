//! `GET /oauth/logout` and `/logout` of profile `tkey`: ends the login at our pages. Tokens stay good, as in the original.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, header};

use crate::app::App;
use crate::pages::{self, Language, notice};
use crate::profiles::tkey::{self, optional};
use crate::servlet::Request;
use crate::sso;

/// Forgets the login, and sends the browser where it asked to go, if a client of the profile is registered with that
/// place; otherwise a page says that the user is logged out.
pub async fn logout(State(app): State<Arc<App>>, request: Request) -> Response {
    if let Err(error) = sso::end(&app, &request.headers).await {
        let failure = tkey::note(&app, &request.path, error.into());
        return notice::turn_away(&request.headers, failure.status, &failure);
    }
    let is_registered = |uri: &&str| {
        app.clients.any(|client| {
            client.profile == request.mount.profile && client.redirect_uris.iter().any(|registered| registered == uri)
        })
    };
    let mut response = match optional(&request, "redirect_uri").filter(is_registered) {
        Some(uri) => pages::redirect(uri),
        None => pages::page(StatusCode::OK, notice::logged_out(Language::of(&request.headers)), None),
    };
    let cookie = sso::removed_cookie(&request.mount, &request.headers);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}
