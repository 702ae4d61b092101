//! `GET /oauth2/jwks`: the public keys of the server (RFC 7517), with which services verify signed answers of the
//! introspection. Anybody may have them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::profiles::spring;

/// The set, the newest key first.
pub async fn jwks(State(app): State<Arc<App>>) -> Response {
    spring::json(StatusCode::OK, &app.signing.public_keys())
}
