//! What goes wrong with a request, and the one place where it becomes an answer.

use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;

use crate::{clock, db, password};

/// The media type of every JSON answer, spelled as Spring does.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json;charset=UTF-8");

/// What went wrong with a request.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A reserved interface was called without a parameter it needs.
    #[error("Required String parameter '{0}' is not present")]
    MissingParameter(&'static str),
    /// A number was expected.
    #[error("`wait` is a whole number of seconds")]
    BadWait,
    /// A form of more than 64 KiB.
    #[error("The request body is too large")]
    BodyTooLarge,
    /// No gateway credentials.
    #[error("Full authentication is required to access this resource")]
    NotAuthenticated,
    /// Gateway credentials that are not in the configuration.
    #[error("Bad credentials")]
    BadCredentials,
    /// No such path.
    #[error("No message available")]
    NotFound,
    /// A path that has no such method.
    #[error("Request method '{0}' not supported")]
    MethodNotAllowed(Method),
    /// As many password checks as allowed are waiting.
    #[error("Too many password checks at once, try again")]
    Saturated,
    /// The service is stopping.
    #[error("Stopping")]
    Stopping,
    /// Not ready: the database cannot be read.
    #[error("The database cannot be read")]
    DatabaseLost,
    /// Our fault: the cause is for the log.
    #[error("No message available")]
    Internal(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Self::MissingParameter(_) | Self::BadWait => StatusCode::BAD_REQUEST,
            Self::NotAuthenticated | Self::BadCredentials => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Saturated | Self::Stopping | Self::DatabaseLost => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The Java class that Spring Boot 1.x names where an exception was thrown.
    fn exception(&self) -> Option<&'static str> {
        match self {
            Self::MissingParameter(_) => Some("org.springframework.web.bind.MissingServletRequestParameterException"),
            Self::MethodNotAllowed(_) => Some("org.springframework.web.HttpRequestMethodNotSupportedException"),
            _ => None,
        }
    }
}

impl From<db::Error> for Error {
    fn from(cause: db::Error) -> Self {
        Self::Internal(Arc::new(cause))
    }
}

impl From<password::Error> for Error {
    fn from(cause: password::Error) -> Self {
        match cause {
            password::Error::Saturated => Self::Saturated,
            cause => Self::Internal(Arc::new(cause)),
        }
    }
}

/// Leaves the body to [`render`], which knows the path.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The error body of Spring Boot, keys in its order.
#[derive(Serialize)]
struct BootError<'a> {
    /// Unix milliseconds.
    timestamp: i64,
    status: u16,
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<&'a str>,
    message: String,
    path: &'a str,
}

/// Gives every error its body and headers.
pub async fn render(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let Some(error) = response.extensions_mut().remove::<Error>() else {
        return response;
    };
    if let Error::Internal(cause) = &error {
        tracing::error!(path, cause = %cause, "a request failed");
    }
    let status = error.status();
    let body = BootError {
        timestamp: clock::now_ms(),
        status: status.as_u16(),
        error: status.canonical_reason().unwrap_or_default(),
        exception: error.exception(),
        message: error.to_string(),
        path: &path,
    };
    let mut response = (
        status,
        [(CONTENT_TYPE, JSON)],
        serde_json::to_vec(&body).unwrap_or_default(),
    )
        .into_response();
    match status {
        StatusCode::UNAUTHORIZED => {
            let challenge = HeaderValue::from_static("Basic realm=\"login-service\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

/// The answer where no route is.
pub async fn not_found() -> Error {
    Error::NotFound
}

/// The answer where a route has no such method.
pub async fn method_not_allowed(method: Method) -> Error {
    Error::MethodNotAllowed(method)
}
