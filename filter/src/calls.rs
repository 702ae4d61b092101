//! The HTTP calls of the root context. A call in flight is a value that says what its answer is for.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postern_access::config::{Config, Server};
use postern_access::introspection::Question;
use proxy_wasm::hostcalls;

/// What a call is for.
pub enum Call {
    TokenFeed,
    PermissionFeed,
    /// The key set of the issuer with this index.
    Keys(usize),
    /// What a user may do now.
    Authorities {
        user: String,
        /// The change that made us ask, as the state numbers it.
        change: u64,
    },
    /// Whether a token is good.
    Introspection(Question),
}

/// The `authorization` values for our two servers, made once.
pub struct Credentials {
    pub auth_server: Option<String>,
    pub login_service: Option<String>,
}

impl Credentials {
    pub fn new(config: &Config) -> Self {
        let basic = |server: &Option<Server>| {
            let credentials = server.as_ref()?.credentials.as_ref()?;
            Some(format!("Basic {}", STANDARD.encode(credentials)))
        };
        Self {
            auth_server: basic(&config.auth_server),
            login_service: basic(&config.login_service),
        }
    }
}

/// `GET path` from a cluster of the host. `None`: the host would not make the call.
pub fn get(cluster: &str, authority: &str, path: &str, authorization: Option<&str>, timeout: Duration) -> Option<u32> {
    let headers = head("GET", authority, path, authorization);
    dispatch(cluster, headers, None, timeout)
}

/// `POST path` of one of our servers, with a form. `None`: the host would not make the call.
pub fn post(server: &Server, path: &str, form: &str, authorization: Option<&str>, timeout: Duration) -> Option<u32> {
    let mut headers = head("POST", &server.authority, path, authorization);
    headers.push(("content-type", "application/x-www-form-urlencoded"));
    dispatch(&server.cluster, headers, Some(form.as_bytes()), timeout)
}

fn head<'a>(
    method: &'a str,
    authority: &'a str,
    path: &'a str,
    authorization: Option<&'a str>,
) -> Vec<(&'a str, &'a str)> {
    let mut headers = vec![
        (":method", method),
        (":path", path),
        (":authority", authority),
        (":scheme", "http"),
        ("accept", "application/json"),
    ];
    headers.extend(authorization.map(|value| ("authorization", value)));
    headers
}

fn dispatch(cluster: &str, headers: Vec<(&str, &str)>, body: Option<&[u8]>, timeout: Duration) -> Option<u32> {
    match hostcalls::dispatch_http_call(cluster, headers, body, Vec::new(), timeout) {
        Ok(id) => Some(id),
        Err(status) => {
            log::warn!(
                "a call to cluster {cluster} could not be made: {status:?}; is the cluster configured in the host?"
            );
            None
        }
    }
}

/// A value for a query string or a form.
pub fn query_value(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
