//! Cross-origin calls from browsers (the CORS protocol of the Fetch standard): which pages may read answers, and the
//! answers to preflights. Done by the host, as a preflight has no token and every answer needs the fields, also a plugin's
//! refusal.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, request};

use crate::config;

/// The policy, with its field values ready.
#[derive(Debug)]
pub struct Cors {
    origins: Vec<config::Origin>,
    methods: Allowed,
    headers: Allowed,
    expose_headers: Option<HeaderValue>,
    allow_credentials: bool,
    max_age: HeaderValue,
}

/// What a page may use.
#[derive(Debug)]
enum Allowed {
    /// What it asks for.
    Asked,
    /// These; `None`: nothing beyond what every page may.
    List(Option<HeaderValue>),
}

/// From where a request was sent.
#[derive(Debug)]
pub enum Caller {
    /// Not by a page, or by one of our own origin with a simple method.
    NoOrigin,
    /// By a page that is not among the configured origins.
    Stranger,
    /// By a page of this configured origin.
    Known(HeaderValue),
}

impl Cors {
    /// For a configuration that was checked.
    pub fn new(config: &config::Cors) -> Self {
        Self {
            origins: config.origins.value.clone(),
            methods: match &config.methods {
                None => Allowed::Asked,
                Some(methods) => Allowed::List(list(methods.iter().map(|method| method.0.as_str()))),
            },
            headers: match &config.headers {
                None => Allowed::Asked,
                Some(names) => Allowed::List(list(names.iter().map(|name| name.0.as_str()))),
            },
            expose_headers: list(config.expose_headers.iter().map(|name| name.0.as_str())),
            allow_credentials: config.allow_credentials,
            max_age: HeaderValue::from(config.max_age.get().as_secs()),
        }
    }

    /// From where a request was sent.
    pub fn caller(&self, headers: &HeaderMap) -> Caller {
        let Some(origin) = headers.get(ORIGIN) else {
            return Caller::NoOrigin;
        };
        let known = |text: &str| self.origins.iter().any(|known| known.matches(text));
        let several = headers.get_all(ORIGIN).iter().nth(1).is_some();
        if !several && origin.to_str().is_ok_and(known) {
            Caller::Known(origin.clone())
        } else {
            Caller::Stranger
        }
    }

    /// The fields of the answer to a preflight by a known caller, which need no [`Cors::mark`]; any other request has none.
    pub fn preflight(&self, caller: &Caller, head: &request::Parts) -> Option<HeaderMap> {
        let Caller::Known(origin) = caller else { return None };
        if head.method != Method::OPTIONS {
            return None;
        }
        let method = head.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        if method.is_empty() {
            return None;
        }
        let mut fields = HeaderMap::new();
        let mut allow = |name, allowed: &Allowed, asked: Option<&HeaderValue>| {
            let value = match allowed {
                Allowed::Asked => asked.cloned(),
                Allowed::List(list) => list.clone(),
            };
            if let Some(value) = value {
                fields.insert(name, value);
            }
        };
        allow(ACCESS_CONTROL_ALLOW_METHODS, &self.methods, Some(method));
        let headers = head.headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
        allow(ACCESS_CONTROL_ALLOW_HEADERS, &self.headers, headers);
        fields.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        self.admit(origin.clone(), &mut fields);
        Some(fields)
    }

    /// Marks an answer for the browser, whoever gave it.
    pub fn mark(&self, caller: Caller, headers: &mut HeaderMap) {
        // Also when nobody asked from elsewhere: a cache must not hand such an answer to a page that does (Fetch standard,
        // "CORS protocol and HTTP caches").
        if !headers.get_all(VARY).iter().any(names_origin) {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if matches!(caller, Caller::NoOrigin) {
            return;
        }
        if !self.allow_credentials {
            // An upstream may say so to everybody, which means nothing beside its own `*`; beside our origin it would.
            headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
        }
        if let Caller::Known(origin) = caller {
            self.admit(origin, headers);
        }
    }

    /// Says that pages of this origin may read the answer.
    fn admit(&self, origin: HeaderValue, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.allow_credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(names) = &self.expose_headers {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names.clone());
        }
    }
}

/// Whether a service has said already that its answer depends on the origin.
fn names_origin(vary: &HeaderValue) -> bool {
    let mut names = vary.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    names.any(|name| name.eq_ignore_ascii_case(b"origin"))
}

/// Names in one field value; `None` if there are none.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> Option<HeaderValue> {
    let names = names.collect::<Vec<_>>().join(",");
    // Tokens and commas are a header value.
    HeaderValue::from_str(&names).ok().filter(|names| !names.is_empty())
}
