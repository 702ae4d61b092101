//! Every route of the server.

use std::sync::Arc;

use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{any, get, post};
use axum::{Extension, Router};
use http::Uri;

use crate::app::App;
use crate::cors::cors;
use crate::endpoints::{
    authorize, check_token, delete_client, feed_tokens, health, introspect, jwks, logout, metrics, register, token,
    token_key,
};
use crate::error::Refusal;
use crate::profiles::{Profile, spring, tkey};
use crate::query_credentials::query_credentials;

/// The routes of the server itself and those of every mount.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new()
        .route("/feed/tokens", get(feed_tokens::feed_tokens))
        .route("/oauth2/introspect", post(introspect::introspect))
        .route("/oauth2/jwks", get(jwks::jwks))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(metrics::metrics));
    for mount in &app.mounts {
        let base = &mount.path.value;
        let routes = match mount.profile {
            Profile::Spring => spring_routes(base),
            Profile::Tkey => tkey_routes(base),
            Profile::Uaa => uaa_routes(base),
            Profile::Principal => principal_routes(base),
        };
        // The last of these sees a request first.
        let routes = routes
            .layer(from_fn_with_state(Arc::clone(&app), query_credentials))
            .layer(from_fn_with_state(Arc::clone(&app), cors))
            // What the handlers know of the place they are called at.
            .layer(Extension(Arc::clone(mount)));
        router = router.merge(routes);
    }
    router.fallback(not_found).with_state(app)
}

/// Which methods are allowed is for the endpoints to say: the wrong one has an answer of its own in the contract.
fn spring_routes(base: &str) -> Router<Arc<App>> {
    Router::new()
        .route(&format!("{base}/oauth/token"), any(token::token))
        .route(&format!("{base}/oauth/check_token"), any(check_token::check_token))
        .route(&format!("{base}/oauth/token_key"), any(token_key::token_key))
        .route(
            &format!("{base}/oauth/authorize"),
            get(authorize::show).post(authorize::log_in),
        )
        .route(&format!("{base}/logout"), any(logout::logout))
}

fn tkey_routes(base: &str) -> Router<Arc<App>> {
    use crate::endpoints::tkey::{authorize, introspect, logout, token, userinfo};
    Router::new()
        .route(&format!("{base}/oauth/token"), get(token::token).post(token::token))
        .route(
            &format!("{base}/oauth/userinfo"),
            get(userinfo::userinfo).post(userinfo::userinfo),
        )
        .route(&format!("{base}/oauth/introspect"), post(introspect::introspect))
        .route(
            &format!("{base}/oauth/authorize"),
            get(authorize::show).post(authorize::log_in),
        )
        .route(&format!("{base}/oauth/logout"), get(logout::logout))
        .route(&format!("{base}/logout"), get(logout::logout))
        .method_not_allowed_fallback(tkey::method_not_allowed)
}

fn uaa_routes(base: &str) -> Router<Arc<App>> {
    Router::new()
        .route(&format!("{base}/register"), any(register::register))
        .route(
            &format!("{base}/delete/{{client_id}}"),
            any(delete_client::delete_client),
        )
        .route(&format!("{base}/oauth/token"), any(token::token))
        .route(&format!("{base}/oauth/check_token"), any(check_token::check_token))
}

fn principal_routes(base: &str) -> Router<Arc<App>> {
    Router::new().route(&format!("{base}/oauth/token"), any(token::token))
}

async fn not_found(State(app): State<Arc<App>>, uri: Uri) -> Response {
    spring::refuse(&app, uri.path(), Refusal::NotFound)
}
