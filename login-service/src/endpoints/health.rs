//! `/health/live` and `/health/ready`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use crate::app::App;
use crate::db::changes;
use crate::error::{Error, JSON};

/// The process runs.
pub async fn live() -> Response {
    up()
}

/// The service can answer: the database can be read, and the service is not stopping.
pub async fn ready(State(app): State<Arc<App>>) -> Result<Response, Error> {
    if app.feed.is_stopping() {
        return Err(Error::Stopping);
    }
    // Asked for again and again: that the database is lost is in the log already.
    let mut connection = app.database.read().await.map_err(|_| Error::DatabaseLost)?;
    let lineage = changes::lineage(&mut connection).await;
    lineage.map(|_| up()).map_err(|_| Error::DatabaseLost)
}

fn up() -> Response {
    ([(CONTENT_TYPE, JSON)], r#"{"status":"UP"}"#).into_response()
}
