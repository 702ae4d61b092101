//! A request as a servlet sees it: that is how every legacy system read its own.

mod parameters;

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::FromRequest;
use axum::response::Response;
use http::{HeaderMap, Method, header};

use crate::app::App;
use crate::config::Mount;
use crate::error::Refusal;
use crate::profiles::spring;
pub use parameters::Parameters;

/// Longer bodies are refused, in bytes. The longest honest one carries a refresh token of a few kilobytes.
const LONGEST_BODY: usize = 1 << 20;

/// A request as a servlet sees it.
pub struct Request {
    /// The contract at this place.
    pub mount: Arc<Mount>,
    /// The method.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// Query and body, merged.
    pub parameters: Parameters,
}

impl FromRequest<Arc<App>> for Request {
    type Rejection = Response;

    async fn from_request(request: axum::extract::Request, app: &Arc<App>) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let mount = parts.extensions.get::<Arc<Mount>>().cloned();
        let path = parts.uri.path().to_owned();
        let mount = mount.ok_or_else(|| spring::refuse(app, &path, Refusal::NotFound))?;
        let body = to_bytes(body, LONGEST_BODY)
            .await
            .map_err(|_| mount.profile.refuse(app, &path, Refusal::BodyTooLarge))?;
        let content_type = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        Ok(Self {
            mount,
            parameters: Parameters::read(parts.uri.query(), content_type, &body),
            method: parts.method,
            headers: parts.headers,
            path,
        })
    }
}

impl Request {
    /// The answer when the request is refused, in the words of its profile.
    pub fn refuse(&self, app: &App, refusal: Refusal) -> Response {
        self.mount.profile.refuse(app, &self.path, refusal)
    }
}
