//! `cors`: which pages of other origins may call through the gateway.

use http::{HeaderName, Method};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{Duration, Origin, truth};

/// Which pages of other origins may call through the gateway (the CORS protocol of the Fetch standard).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// `https://app.example.com`, or `http://localhost:*` where the port may be any.
    #[schemars(with = "Vec<String>")]
    pub origins: Spanned<Vec<Origin>>,
    /// Methods that a page may use (default: those it asks for).
    #[schemars(with = "Option<Vec<String>>")]
    pub methods: Option<Vec<MethodName>>,
    /// Header fields that a page may send (default: those it asks for).
    #[schemars(with = "Option<Vec<String>>")]
    pub headers: Option<Vec<FieldName>>,
    /// Header fields of answers that a page may read, beside those that every page may.
    #[serde(default = "default_expose_headers")]
    #[schemars(with = "Vec<String>")]
    pub expose_headers: Vec<FieldName>,
    /// Whether calls may carry cookies and saved passwords. A token that the page itself sends needs none of this.
    #[serde(default, deserialize_with = "truth::read")]
    pub allow_credentials: bool,
    /// How long a browser may remember the answer to a preflight.
    #[serde(default = "default_max_age")]
    pub max_age: Duration,
}

/// `GET`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct MethodName(pub Method);

/// `x-request-id`; case does not matter.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct FieldName(pub HeaderName);

impl TryFrom<String> for MethodName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let capital = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase());
        match text.parse() {
            Ok(method) if capital => Ok(Self(method)),
            _ => Err(format!(
                "`{text}` is no method: write it in capital letters, such as GET"
            )),
        }
    }
}

impl TryFrom<String> for FieldName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.parse() {
            // For a browser `*` is any field; here a list is meant.
            Ok(name) if text != "*" => Ok(Self(name)),
            _ => Err(format!(
                "`{text}` is no name of a header field: write one such as authorization"
            )),
        }
    }
}

/// What says why a token was refused.
fn default_expose_headers() -> Vec<FieldName> {
    vec![FieldName(http::header::WWW_AUTHENTICATE)]
}

fn default_max_age() -> Duration {
    Duration::from_secs(600)
}
