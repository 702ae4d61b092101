//! The client of the login service: who a user is, and what the user may do. Only its three reserved interfaces are used,
//! so a team may put its own service behind them.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{config, form};

/// The header by which a login service tells whether the user it was asked about is there and enabled. The legacy ones do
/// not send it: their users stay.
const ACTIVE: &str = "x-user-active";

/// No answer of the login service has reason to be longer, in bytes.
const LONGEST_ANSWER: usize = 4 << 20;

/// The login service, over HTTP with kept-alive connections.
pub struct LoginService {
    base: String,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What became of a login.
#[derive(Debug, PartialEq, Eq)]
pub enum Login {
    /// Name and password are right: the user's id.
    Accepted(String),
    /// They are not: the login service's words for the user.
    Refused(String),
}

/// Why the login service gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Its password checks are saturated; the number of seconds after which to try again, as it said.
    #[error("the login service is saturated")]
    Saturated(Option<String>),
    /// It took too long.
    #[error("the login service did not answer in time")]
    Timeout,
    /// It could not be reached, or broke off.
    #[error("the login service cannot be reached: {0}")]
    Unreachable(String),
    /// It answered something else.
    #[error("the login service answered {0} to {1}")]
    Status(StatusCode, &'static str),
    /// Its answer does not have the agreed shape.
    #[error("the login service's answer to {0} cannot be read: {1}")]
    Shape(&'static str, serde_json::Error),
}

impl LoginService {
    /// Prepares calls; connects with the first of them.
    pub fn new(config: &config::LoginService) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            base: config.url.value.trim_end_matches('/').to_owned(),
            authorization: config.credentials.as_ref().map(|credentials| credentials.header()),
            timeout: Duration::from_millis(config.timeout.millis),
            client: Client::builder(TokioExecutor::new())
                .pool_idle_timeout(Duration::from_secs(15))
                .build(connector),
        }
    }

    /// `POST /login` with `username` and `password` in a form.
    pub async fn login(&self, user_name: &str, password: &str) -> Result<Login, LoginError> {
        let form = form::encode([("username", user_name), ("password", password)]);
        let (_, answer): (bool, LoginAnswer) = self.call("/login", Method::POST, "/login", form).await?;
        Ok(match answer {
            LoginAnswer {
                user_id: Some(Id::Text(id)),
                ..
            } => Login::Accepted(id),
            LoginAnswer {
                user_id: Some(Id::Number(id)),
                ..
            } => Login::Accepted(id.to_string()),
            LoginAnswer { user_id: None, message } => {
                Login::Refused(message.unwrap_or_else(|| "Bad credentials".into()))
            }
        })
    }

    /// `GET /getAllPermissionByUserId`: the distinct names of the user's permissions, sorted. These are the authorities
    /// in a token. `None`: there is no such user any more, or they may not log in, as [`ACTIVE`] says.
    pub async fn authorities(&self, user_id: &str) -> Result<Option<Vec<String>>, LoginError> {
        let path = format!("/getAllPermissionByUserId?{}", form::encode([("userId", user_id)]));
        let (is_active, rows): (bool, Vec<PermissionRow>) = self
            .call("/getAllPermissionByUserId", Method::GET, &path, String::new())
            .await?;
        if !is_active {
            return Ok(None);
        }
        // The original's SQL gives a user without permissions one row of nulls.
        let mut names: Vec<String> = rows.into_iter().filter_map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        Ok(Some(names))
    }

    /// Whether the user is active, and the body.
    async fn call<T: DeserializeOwned>(
        &self,
        interface: &'static str,
        method: Method,
        path: &str,
        form: String,
    ) -> Result<(bool, T), LoginError> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if !form.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request
            .body(Full::from(form))
            .map_err(|error| LoginError::Unreachable(error.to_string()))?;
        let answer = tokio::time::timeout(self.timeout, self.exchange(interface, request));
        let (is_active, body) = answer.await.map_err(|_| LoginError::Timeout)??;
        let body = serde_json::from_slice(&body).map_err(|error| LoginError::Shape(interface, error))?;
        Ok((is_active, body))
    }

    async fn exchange(
        &self,
        interface: &'static str,
        request: Request<Full<Bytes>>,
    ) -> Result<(bool, Bytes), LoginError> {
        let unreachable = |error: &dyn std::error::Error| LoginError::Unreachable(with_sources(error));
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| unreachable(&error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::SERVICE_UNAVAILABLE => {
                let retry_after = response
                    .headers()
                    .get(header::RETRY_AFTER)
                    .and_then(|value| value.to_str().ok());
                return Err(LoginError::Saturated(retry_after.map(str::to_owned)));
            }
            status => return Err(LoginError::Status(status, interface)),
        }
        let is_active = response.headers().get(ACTIVE).is_none_or(|value| value == "true");
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
        let body = body.map_err(|error| LoginError::Unreachable(error.to_string()))?;
        Ok((is_active, body.to_bytes()))
    }
}

#[derive(Deserialize)]
struct LoginAnswer {
    #[serde(rename = "userId")]
    user_id: Option<Id>,
    #[serde(rename = "errorMsg")]
    message: Option<String>,
}

/// The original writes ids as strings, a service that reads them from SQL may write numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(i64),
}

#[derive(Deserialize)]
struct PermissionRow {
    name: Option<String>,
}

/// A hyper error says little without its sources ("client error (Connect)").
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_be_a_number() {
        let answer: LoginAnswer = serde_json::from_str(r#"{"userId":7}"#).unwrap();
        assert!(matches!(answer.user_id, Some(Id::Number(7))));
    }
}
