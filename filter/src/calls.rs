//! The HTTP calls of the root context. A call in flight is a value that says what its answer is for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postern_access::config::{Config, Issuer, Server};
use postern_access::introspection::Question;
use postern_access::key_source::Url;
use proxy_wasm::hostcalls;

/// How long a fetch of keys, a lookup of a user or a question about a token may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// What a call is for.
pub enum Call {
    TokenFeed,
    PermissionFeed,
    /// The key set of the issuer with this index.
    Keys(usize),
    /// Where the issuer with this index has its key set.
    Discovery(usize),
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
    /// For the introspection of each issuer, by its index.
    pub issuers: Vec<Option<String>>,
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
            issuers: config.issuers.iter().map(client_credentials).collect(),
        }
    }
}

/// A client's credentials, each part encoded as in a form (RFC 6749 section 2.3.1).
fn client_credentials(issuer: &Issuer) -> Option<String> {
    let credentials = issuer.introspection.as_ref()?.credentials.as_ref()?;
    let (client, secret) = credentials.split_once(':').unwrap_or((credentials, ""));
    let credentials = format!("{}:{}", query_value(client), query_value(secret));
    Some(format!("Basic {}", STANDARD.encode(credentials)))
}

/// `GET path` from a cluster of the host. `None`: the host would not make the call.
pub fn get(cluster: &str, authority: &str, path: &str, authorization: Option<&str>, timeout: Duration) -> Option<u32> {
    let headers = head("GET", authority, path, authorization);
    dispatch(cluster, headers, None, timeout)
}

/// `POST` of a form to an `http` or `https` address by a cluster of the host, for an answer of this type. `None`: the host
/// would not make the call.
pub fn post(
    cluster: &str,
    url: Url<'_>,
    form: &str,
    authorization: Option<&str>,
    accept: &str,
    timeout: Duration,
) -> Option<u32> {
    let mut headers = head("POST", url.authority, url.target(), authorization);
    set(&mut headers, ":scheme", url.scheme);
    set(&mut headers, "accept", accept);
    headers.push(("content-type", "application/x-www-form-urlencoded"));
    dispatch(cluster, headers, Some(form.as_bytes()), timeout)
}

/// `GET` of an `http` or `https` address from a cluster of the host. `None`: likewise.
pub fn fetch(cluster: &str, uri: &str, timeout: Duration) -> Option<u32> {
    let url = Url::parse(uri).ok()?;
    let mut headers = head("GET", url.authority, url.target(), None);
    // The scheme that the other side is to see; whether the way there is encrypted is up to the cluster.
    set(&mut headers, ":scheme", url.scheme);
    dispatch(cluster, headers, None, timeout)
}

fn set<'a>(headers: &mut [(&'a str, &'a str)], name: &str, value: &'a str) {
    for header in headers.iter_mut().filter(|(known, _)| *known == name) {
        header.1 = value;
    }
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
        Ok(id) => {
            refused_in_a_row(cluster, false);
            Some(id)
        }
        Err(status) => {
            let refused = refused_in_a_row(cluster, true);
            // The first time, the second, the fourth…: what stays wrong is not to fill the log.
            if refused.is_power_of_two() {
                log::warn!(
                    "a call to cluster {cluster} could not be made ({refused} in a row): {status:?}; is the cluster configured \
                     in the host?"
                );
            }
            None
        }
    }
}

/// Counts the calls to a cluster that the host refused, one after another.
fn refused_in_a_row(cluster: &str, refused: bool) -> u32 {
    thread_local! {
        static REFUSED: RefCell<BTreeMap<String, u32>> = const { RefCell::new(BTreeMap::new()) };
    }
    REFUSED.with_borrow_mut(|counts| {
        if !refused {
            counts.remove(cluster);
            return 0;
        }
        let count = counts.entry(cluster.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count
    })
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
