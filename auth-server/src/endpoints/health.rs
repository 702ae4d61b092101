//! `/health/live` and `/health/ready`.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;

use crate::app::App;

/// The process answers.
pub async fn live() -> &'static str {
    "ok\n"
}

/// The database answers too. (The login service is not asked: without it the feed, refresh and logout still work.)
pub async fn ready(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    let database = async {
        let mut read = app.database.read().await?;
        sqlx::query_scalar::<_, i64>("SELECT 1").fetch_one(&mut *read).await
    };
    match database.await {
        Ok(_) => (StatusCode::OK, "ok\n"),
        Err(error) => {
            tracing::error!(%error, "the database does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n")
        }
    }
}
