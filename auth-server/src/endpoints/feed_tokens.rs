//! `GET /feed/tokens?after=V&wait=25`: keys and revocations for the gateways, held until there is something new.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::app::App;
use crate::reader_auth;

/// Seconds a request is held when it does not say.
const WAIT: u64 = 25;
/// And at most.
const LONGEST_WAIT: u64 = 60;

/// 200 with a document, 304 when nothing changed, 401 for a stranger, 400 for a `wait` that is no number.
pub async fn feed_tokens(State(app): State<Arc<App>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    if let Err(refused) = reader_auth::authenticate(&app, &headers).await {
        return refused;
    }
    let query = query.unwrap_or_default();
    let parameter = |name: &str| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
            .filter(|value| !value.is_empty())
    };
    let Ok(wait) = parameter("wait").map_or(Ok(WAIT), str::parse) else {
        return (StatusCode::BAD_REQUEST, "wait is a number of seconds\n").into_response();
    };
    let mut after = parameter("after").and_then(|version| app.feed.position(version));
    if after.is_none() && parameter("after").is_some() {
        // Perhaps another replica has told of a change that is not known here yet.
        if let Err(error) = app.current.reach().await {
            return unreadable(&error);
        }
        after = parameter("after").and_then(|version| app.feed.position(version));
    }
    if let Some(after) = after
        && !app
            .feed
            .wait_beyond(after, Duration::from_secs(wait.min(LONGEST_WAIT)))
            .await
    {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    match app.feed.document(&app, after).await {
        Ok(document) => {
            let head = [
                (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            (head, document).into_response()
        }
        Err(error) => unreadable(&error),
    }
}

fn unreadable(error: &sqlx::Error) -> Response {
    tracing::error!(%error, "the feed cannot be read from the database");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
