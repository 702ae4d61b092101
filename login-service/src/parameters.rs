//! Request parameters as a servlet sees them.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use http::header::CONTENT_TYPE;
use http::request::Parts;

use crate::error::Error;

/// No form of ours is anywhere near this many bytes.
const LONGEST_FORM: usize = 64 * 1024;

/// Parameters of the query, then of the form, in order: the query wins, and the first value wins.
// No `Debug`: one of them is a password.
#[derive(Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The parameters of the query alone.
    pub fn of_query(parts: &Parts) -> Self {
        let mut parameters = Self::default();
        parameters.extend(parts.uri.query().unwrap_or_default().as_bytes());
        parameters
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of a parameter, or the 400 that Spring answers without it.
    pub fn require(&self, name: &'static str) -> Result<&str, Error> {
        self.get(name).ok_or(Error::MissingParameter(name))
    }

    fn extend(&mut self, form: &[u8]) {
        self.0.extend(form_urlencoded::parse(form).into_owned());
    }
}

impl<S: Sync> FromRequest<S> for Parameters {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        let mut parameters = Self::of_query(&parts);
        if is_form(&parts) {
            parameters.extend(&read(body).await?);
        }
        Ok(parameters)
    }
}

fn is_form(parts: &Parts) -> bool {
    let media_type = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

async fn read(body: Body) -> Result<bytes::Bytes, Error> {
    to_bytes(body, LONGEST_FORM).await.map_err(|_| Error::BodyTooLarge)
}
