//! `/metrics`, for Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use crate::app::App;

/// The counters of the service.
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    let page = app.metrics.page(app.feed.number(), app.feed.pollers());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], page).into_response()
}
