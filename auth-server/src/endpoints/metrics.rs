//! `/metrics`: Prometheus text.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};

use crate::app::App;
use crate::clock;
use crate::db::revocation;

/// Writes every counter, and counts the living revocations.
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    let living = async {
        let mut read = app.database.read().await?;
        revocation::count_living(&mut read, clock::now_ms()).await
    };
    match living.await {
        Ok(living) => {
            let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            (
                [(header::CONTENT_TYPE, text)],
                app.metrics.render(app.feed.pollers(), living),
            )
                .into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the revocations cannot be counted");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
