//! Calls of browsers from pages of other origins (the CORS protocol of the Fetch standard, section 3.2). Only configured
//! origins are answered; for everybody else nothing changes. Cookies are never allowed along: the legacy clients send
//! their credentials themselves.

mod origin;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, Method, header};

use crate::app::App;
pub use origin::Origin;

/// What the endpoints of a mount are called with.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE");
/// Seconds a browser may remember the answer to a preflight request.
const MAX_AGE: HeaderValue = HeaderValue::from_static("1800");

/// A layer over all mounts: answers preflight requests of configured origins, and lets their pages read every answer,
/// errors too.
pub async fn cors(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if app.cors_origins.is_empty() {
        return next.run(request).await;
    }
    let origin = request.headers().get(header::ORIGIN);
    let allowed = |origin: &&HeaderValue| {
        let text = origin.to_str().unwrap_or_default();
        app.cors_origins.iter().any(|configured| configured.matches(text))
    };
    let origin = origin.filter(allowed).cloned();
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && origin.is_some();
    let mut response = if preflight {
        preflight_answer(request.headers())
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    // Also on the answers to others: a cache must not hand them to a page of a configured origin, or the other way round.
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}

fn preflight_answer(asked: &HeaderMap) -> Response {
    let mut response = ().into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    let vary = "Access-Control-Request-Method, Access-Control-Request-Headers";
    headers.append(header::VARY, HeaderValue::from_static(vary));
    response
}
