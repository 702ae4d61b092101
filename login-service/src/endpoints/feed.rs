//! `GET /feed/permissions?after=V&wait=25`: the feed of the gateways.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::app::App;
use crate::authn::Gateway;
use crate::error::Error;
use crate::parameters::Parameters;

/// Seconds a poll is held when it does not say, and at most.
const WAIT: u64 = 25;
const LONGEST_WAIT: u64 = 60;

/// 200 with a `PermissionFeed` document, or 304 when nothing changed within `wait` seconds.
pub async fn permissions(State(app): State<Arc<App>>, _: Gateway, request: Request) -> Result<Response, Error> {
    let parameters = Parameters::of_query(&request.into_parts().0);
    let wait = match parameters.get("wait") {
        Some(text) => text.parse().map_err(|_| Error::BadWait)?,
        None => WAIT,
    };
    let wait = Duration::from_secs(wait.min(LONGEST_WAIT));
    let Some(document) = app.feed.poll(parameters.get("after"), wait).await? else {
        app.metrics.polls_unchanged.add();
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    };
    app.metrics.polls_changed.add();
    Ok((
        [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")],
        document,
    )
        .into_response())
}
