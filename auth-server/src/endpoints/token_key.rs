//! `/oauth/token_key`: the original shows the verifying key to any client that authenticates, although with HS256 that is
//! the signing key. Closed here: profile `spring` has symmetric keys only, and gateways get them by the feed.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::Uri;

use crate::app::App;
use crate::error::Refusal;
use crate::profiles::spring;

/// Never shows a symmetric key, to nobody.
pub async fn token_key(State(app): State<Arc<App>>, uri: Uri) -> Response {
    spring::refuse(&app, uri.path(), Refusal::NotFound)
}
