//! Every route of the server.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{any, get};
use http::Uri;

use crate::app::App;
use crate::endpoints::{check_token, feed_tokens, health, logout, metrics, token, token_key};
use crate::error::Refusal;
use crate::profiles::{Profile, spring};

/// The routes of the server itself and those of every mount.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new()
        .route("/feed/tokens", get(feed_tokens::feed_tokens))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(metrics::metrics));
    for mount in &app.mounts {
        router = router.merge(match mount.profile {
            Profile::Spring => spring_routes(&mount.path.value),
        });
    }
    router.fallback(not_found).with_state(app)
}

/// Which methods are allowed is for the endpoints to say: the wrong one has an answer of its own in the contract.
fn spring_routes(base: &str) -> Router<Arc<App>> {
    Router::new()
        .route(&format!("{base}/oauth/token"), any(token::token))
        .route(&format!("{base}/oauth/check_token"), any(check_token::check_token))
        .route(&format!("{base}/oauth/token_key"), any(token_key::token_key))
        .route(&format!("{base}/logout"), any(logout::logout))
}

async fn not_found(State(app): State<Arc<App>>, uri: Uri) -> Response {
    spring::refuse(&app, uri.path(), Refusal::NotFound)
}
