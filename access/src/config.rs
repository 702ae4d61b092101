//! The plugin configuration: the JSON that both hosts hand to the filter, byte for byte the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::claim_names::ClaimNames;
use crate::dpop::Dpop;
use crate::forwarded::{Authorization, Unchecked};
use crate::introspection::IntrospectionEndpoint;
use crate::json;
use crate::key_source::{Jwks, KeysAt};

/// The whole plugin configuration. Every part is optional where a default is safe; unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the feed of keys and revocations comes from.
    #[serde(deserialize_with = "json::optional")]
    pub auth_server: Option<Server>,
    /// Where the feed of permissions comes from.
    #[serde(deserialize_with = "json::optional")]
    pub login_service: Option<Server>,
    /// Issuers beside those of the auth server's feed.
    #[serde(deserialize_with = "json::list")]
    pub issuers: Vec<Issuer>,
    /// What needs no token.
    pub public: Vec<Public>,
    /// What other paths require.
    #[serde(deserialize_with = "json::list")]
    pub rules: Vec<Rule>,
    /// What becomes of a path that no rule, permission or public pattern names.
    #[serde(deserialize_with = "json::word")]
    pub unmatched: Unmatched,
    /// Where the token stands in a request.
    #[serde(deserialize_with = "json::one")]
    pub token: TokenSource,
    /// The identity headers that the upstream receives.
    #[serde(deserialize_with = "json::one")]
    pub forward: Forward,
    /// The shape of refusals.
    #[serde(deserialize_with = "json::word")]
    pub errors: ErrorStyle,
    /// Enforce, or only report.
    #[serde(deserialize_with = "json::word")]
    pub mode: Mode,
    /// Answers that explain themselves to operators; absent: none.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "json::optional")]
    pub debug: Option<Debug>,
    /// How long to go on deciding with the last snapshot of a feed that was lost (`"5m"`).
    pub max_stale: Duration,
    /// How long a request that came before the first snapshots may be held (`"5s"`).
    pub hold: Duration,
    /// Clock tolerance for `exp`, `nbf` and `iat` (`"0s"`).
    pub leeway: Duration,
    /// How DPoP proofs are checked. Tokens that are bound to a key need a proof in any case; what stands here also tells
    /// clients in challenges that they may use DPoP.
    #[serde(deserialize_with = "json::optional")]
    pub dpop: Option<Dpop>,
    /// The address of this resource's metadata (RFC 9728), for challenges.
    pub resource_metadata: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auth_server: None,
            login_service: None,
            issuers: Vec::new(),
            public: Vec::new(),
            rules: Vec::new(),
            unmatched: Unmatched::Deny,
            token: TokenSource::default(),
            forward: Forward::default(),
            errors: ErrorStyle::Rfc6750,
            mode: Mode::Enforce,
            debug: None,
            max_stale: Duration::from_secs(300),
            hold: Duration::from_secs(5),
            leeway: Duration::from_secs(0),
            dpop: None,
            resource_metadata: None,
        }
    }
}

impl Config {
    /// Every cluster of the host that is called, with the key that names it: `issuers[0].jwks.cluster`.
    pub fn clusters(&self) -> impl Iterator<Item = (String, &str)> {
        let servers = [
            ("auth_server", &self.auth_server),
            ("login_service", &self.login_service),
        ];
        let servers = servers
            .into_iter()
            .filter_map(|(key, server)| Some((format!("{key}.cluster"), server.as_ref()?.cluster.as_str())));
        let issuers = self.issuers.iter().enumerate().flat_map(|(index, issuer)| {
            let remote = match &issuer.jwks {
                Some(Jwks::Remote(remote)) => Some(remote),
                _ => None,
            };
            let elsewhere = remote.and_then(|remote| match &remote.at {
                KeysAt::Discovery { keys, .. } => keys.as_ref(),
                KeysAt::Uri(_) => None,
            });
            let named = [
                ("jwks.cluster", remote.map(|remote| &remote.cluster)),
                ("jwks.keys.cluster", elsewhere.map(|keys| &keys.cluster)),
                (
                    "introspection.cluster",
                    issuer.introspection.as_ref().map(|asked| &asked.cluster),
                ),
            ];
            let named = named.into_iter();
            named.filter_map(move |(key, cluster)| Some((format!("issuers[{index}].{key}"), cluster?.as_str())))
        });
        servers.chain(issuers)
    }
}

/// One of our servers, reached through a cluster of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The host's name of the cluster.
    pub cluster: String,
    /// The `:authority` of the calls.
    pub authority: String,
    /// `user:password` for HTTP Basic; absent: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
}

/// An issuer of tokens, its keys and how its claims are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The value that `iss` must have. Absent: the tokens carry no `iss` (legacy profiles).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// `aud` must name one of these; absent: `aud` is not looked at.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "json::requirements"
    )]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub audiences: Vec<String>,
    /// The verifying keys.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "json::optional"
    )]
    pub jwks: Option<Jwks>,
    /// Where its opaque tokens are asked about.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "json::optional"
    )]
    pub introspection: Option<IntrospectionEndpoint>,
    /// Which claims say what.
    #[serde(default, deserialize_with = "json::one")]
    pub claims: ClaimNames,
    /// Whether a token without `exp` is refused.
    #[serde(
        default,
        skip_serializing_if = "Expiry::is_required",
        deserialize_with = "json::word"
    )]
    pub expiry: Expiry,
    /// Claims that must be there, beside those the checks need.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "json::requirements"
    )]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub required_claims: Vec<String>,
    /// Claims that mark a token as something other than an access token (`ati`: a Spring refresh token).
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "json::requirements"
    )]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub forbidden_claims: Vec<String>,
    /// The users that its tokens name are not those of the login service, even where their ids are the same: they are
    /// told to the upstream, but nobody is asked what they may do. Only for issuers of the feed: it is always so for one of
    /// the configuration.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub foreign_users: bool,
}

/// Whether a token must say when it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Expiry {
    /// A token without `exp` is refused.
    #[default]
    Required,
    /// A token without `exp` is good until it is revoked (legacy clients with a validity of 0).
    Optional,
}

impl Expiry {
    fn is_required(&self) -> bool {
        *self == Self::Required
    }
}

/// What needs no token: `"/login/**"`, `"GET /health"`, or an object where it is public on some hosts only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Public {
    /// A pattern, optionally after a method.
    Text(String),
    /// The same, in parts.
    Route(PublicRoute),
}

/// A pattern that needs no token for some methods or hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PublicRoute {
    /// The pattern: literals, `*` or `{name}` (one segment), `**` (any tail).
    pub path: String,
    /// The methods it speaks of; absent: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "json::selection")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub methods: Vec<String>,
    /// The hosts it speaks of (`api.example.com`, `*.example.com`); absent: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "json::selection")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub hosts: Vec<String>,
    /// What becomes of tokens here. Absent: `remove`, unless `forward.authorization` is `keep`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "json::optional_word"
    )]
    pub authorization: Option<Unchecked>,
}

// Not derived: of an untagged choice serde would not say which key is wrong.
impl<'de> Deserialize<'de> for Public {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> serde::de::Visitor<'de> for Either {
            type Value = Public;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a pattern such as `GET /health`, or an object with `path`")
            }

            fn visit_str<E>(self, text: &str) -> Result<Public, E> {
                Ok(Public::Text(text.to_owned()))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Public, A::Error> {
                PublicRoute::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Public::Route)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// One rule: a path pattern and what it requires. With nothing required, any good token will do.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What the rule is called in logs and metrics; absent: `rules[3]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The pattern: literals, `*` or `{name}` (one segment), `**` (any tail).
    pub path: String,
    /// The methods it speaks of; absent: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "json::selection")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub methods: Vec<String>,
    /// The hosts it speaks of (`api.example.com`, `*.example.com`); absent: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "json::selection")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub hosts: Vec<String>,
    /// One of these authorities is needed.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "json::requirements"
    )]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub any_authority: Vec<String>,
    /// Every one of these authorities is needed.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "json::requirements"
    )]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub all_authorities: Vec<String>,
    /// Every one of these scopes is needed.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "json::requirements"
    )]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub scopes: Vec<String>,
    /// Claims that must equal a value; `{name}` stands for that segment of the path.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "json::required_texts"
    )]
    #[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1)))]
    pub claims: BTreeMap<String, String>,
    /// How the user must have logged in: one of these values of `acr` (RFC 9470).
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "json::requirements"
    )]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub acr: Vec<String>,
    /// How long ago the user may have logged in, by `auth_time` (`"5m"`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// Nobody may: an exception from a broader pattern. Nothing else may be required beside it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deny: bool,
    /// Enforce, or only report: decide by this rule, log and count, and let pass.
    #[serde(default, skip_serializing_if = "Mode::is_enforce", deserialize_with = "json::word")]
    pub mode: Mode,
}

/// What becomes of a path that nothing names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unmatched {
    /// Refused, also with a good token.
    Deny,
    /// Any good token will do.
    Authenticated,
}

/// Where the token stands. Exactly one of the configured places may hold one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TokenSource {
    /// A header with `Bearer <token>`; `null`: none.
    pub header: Option<String>,
    /// A cookie with the bare token; `null`: none.
    pub cookie: Option<String>,
    /// A query parameter with the bare token; `null`: none. Tokens in URLs leak into logs: off by default.
    pub query: Option<String>,
}

impl Default for TokenSource {
    fn default() -> Self {
        Self {
            header: Some("authorization".into()),
            cookie: None,
            query: None,
        }
    }
}

/// The identity headers; `null` forwards nothing of that kind. A client's own headers of these names are always removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Forward {
    /// The user's id.
    pub user_id: Option<String>,
    /// The user's name.
    pub user_name: Option<String>,
    /// The OAuth client.
    pub client_id: Option<String>,
    /// Authorities, comma-separated.
    pub authorities: Option<String>,
    /// Scopes, space-separated.
    pub scope: Option<String>,
    /// What the upstream receives of the token itself.
    #[serde(deserialize_with = "json::word")]
    pub authorization: Authorization,
}

impl Default for Forward {
    fn default() -> Self {
        Self {
            user_id: Some("x-user-id".into()),
            user_name: Some("x-user-name".into()),
            client_id: Some("x-client-id".into()),
            authorities: Some("x-authorities".into()),
            scope: Some("x-scope".into()),
            authorization: Authorization::Keep,
        }
    }
}

/// The shape of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorStyle {
    /// The bodies of Spring Security OAuth and Spring Boot, byte for byte.
    Spring,
    /// RFC 6750 challenges with small JSON bodies.
    Rfc6750,
}

/// Enforce, or only report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Refuse what the policy refuses.
    #[default]
    Enforce,
    /// Decide, log and count, and let pass.
    Shadow,
}

impl Mode {
    fn is_enforce(&self) -> bool {
        *self == Self::Enforce
    }
}

/// Answers that explain themselves: a request that carries the secret in this header gets the reason, the rule and the
/// time of its decision in a header of the same name. The request header never reaches the upstream.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Debug {
    /// The header's name (`x-postern-debug`).
    #[serde(default = "debug_header")]
    pub header: String,
    /// What it must hold: at least 16 characters.
    pub secret: String,
}

fn debug_header() -> String {
    "x-postern-debug".into()
}

impl std::fmt::Debug for Debug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Debug")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// A length of time as it stands in the configuration: a whole number and `ms`, `s`, `m` or `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct Duration {
    /// The length in milliseconds.
    pub millis: u64,
}

impl Duration {
    /// So many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self {
            millis: secs.saturating_mul(1000),
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Duration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$" })
    }
}

// Not derived: of a number it would say only that it is no string.
impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl serde::de::Visitor<'_> for Written {
            type Value = Duration;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a length of time in quotes, as in `\"5m\"`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
                Duration::try_from(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Written)
    }
}

impl TryFrom<&str> for Duration {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let scale = match unit {
            "ms" => Some(1),
            "s" => Some(1000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            _ => None,
        };
        number
            .parse::<u64>()
            .ok()
            .zip(scale)
            .and_then(|(number, scale)| number.checked_mul(scale))
            .map(|millis| Self { millis })
            .ok_or_else(|| {
                format!("`{text}` is not a length of time; write a whole number and ms, s, m or h, as in `5m`")
            })
    }
}

impl From<Duration> for String {
    fn from(value: Duration) -> Self {
        match value.millis {
            ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
            ms => format!("{ms}ms"),
        }
    }
}
