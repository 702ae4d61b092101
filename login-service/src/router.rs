//! Every route.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{any, get};

use crate::app::App;
use crate::endpoints::{feed, health, metrics, reserved};
use crate::error;

/// The whole service.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/login", any(reserved::login))
        .route("/getAllPermission", any(reserved::get_all_permission))
        .route(
            "/getAllPermissionByUserId",
            any(reserved::get_all_permission_by_user_id),
        )
        .route("/feed/permissions", get(feed::permissions))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(from_fn(error::render))
        .with_state(app)
}
