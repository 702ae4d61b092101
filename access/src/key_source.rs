//! Where an issuer's verifying keys are: in place, at a URL, or where its discovery document says.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::config::Duration;
use crate::json;

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Written", into = "Written")]
pub enum Jwks {
    /// In place: `{ "inline": { "keys": [ … ] } }`, RFC 7517; `oct` keys are accepted here.
    Inline {
        /// The JWK Set.
        inline: Value,
    },
    /// Fetched through a cluster of the host.
    Remote(RemoteJwks),
}

/// A key set that is fetched, and how long it is relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteJwks {
    /// The host's name of the cluster.
    pub cluster: String,
    /// The set, or the issuer that says where it is.
    pub at: KeysAt,
    /// How old the set may grow before it is fetched again.
    pub max_age: Duration,
    /// How long after it was last fetched a set is still relied on, when the issuer does not answer.
    pub max_stale: Duration,
}

/// The address of a key set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysAt {
    /// `https://authority/path` of the JWK Set.
    Uri(String),
    /// The issuer's base address, whose `/.well-known/openid-configuration` names the set (OpenID Connect Discovery 1.0
    /// section 4).
    Discovery {
        /// `https://authority/path` without the well-known part.
        base: String,
        /// Where the set may be beside the base's own authority.
        keys: Option<ElsewhereKeys>,
    },
}

/// Another place than the issuer's own that has its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ElsewhereKeys {
    /// The host's name of the cluster.
    pub cluster: String,
    /// Host and port, as they stand in `jwks_uri`.
    pub authority: String,
}

/// As it stands in a configuration.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Written {
    /// The keys themselves (RFC 7517 section 5).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "json::strict")]
    inline: Option<Value>,
    /// The host's name of the cluster that serves them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    /// Where the key set is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    /// The issuer's address, below which its discovery document is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    discovery: Option<String>,
    /// Where the keys are, if the discovery document sends us to another host.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "elsewhere")]
    keys: Option<ElsewhereKeys>,
    /// After how long they are fetched again (`"5m"`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_age: Option<Duration>,
    /// How long they are good while the issuer cannot be reached (`"24h"`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_stale: Option<Duration>,
}

/// `keys` is what a key set is called too.
fn elsewhere<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ElsewhereKeys>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::Array(_) => Err(D::Error::custom(
            "a key set in place stands under `inline`: write `{ \"inline\": { \"keys\": [ … ] } }`",
        )),
        value => serde_json::from_value(value).map(Some).map_err(D::Error::custom),
    }
}

/// How old a set may grow before it is fetched again.
const MAX_AGE: Duration = Duration::from_secs(300);

/// How long a set is relied on when its issuer does not answer.
const MAX_STALE: Duration = Duration::from_secs(24 * 3600);

impl TryFrom<Written> for Jwks {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let remote = |cluster, at| {
            let max_age = written.max_age.unwrap_or(MAX_AGE);
            let max_stale = written.max_stale.unwrap_or(MAX_STALE);
            if max_age.millis < 1000 || max_stale < max_age {
                return Err("`max_age` is at least 1s, and `max_stale` no less than `max_age`".to_owned());
            }
            Ok(Self::Remote(RemoteJwks {
                cluster,
                at,
                max_age,
                max_stale,
            }))
        };
        let alone = written.keys.is_none() && written.max_age.is_none() && written.max_stale.is_none();
        match (written.inline, written.cluster, written.uri, written.discovery) {
            (Some(inline), None, None, None) if alone => Ok(Self::Inline { inline }),
            (None, Some(cluster), Some(uri), None) if written.keys.is_none() => {
                Url::parse(&uri)?;
                remote(cluster, KeysAt::Uri(uri))
            }
            (None, Some(cluster), None, Some(base)) => {
                if Url::parse(&base)?.path.contains('?') {
                    return Err(format!("`{base}` has a query; write the issuer's own address"));
                }
                let keys = written.keys;
                remote(cluster, KeysAt::Discovery { base, keys })
            }
            _ => Err(
                "write `inline` alone, or `cluster` and `uri`, or `cluster` and `discovery`, the latter with `keys` if \
                      they are elsewhere; `max_age` and `max_stale` go with a cluster"
                    .to_owned(),
            ),
        }
    }
}

impl From<Jwks> for Written {
    fn from(jwks: Jwks) -> Self {
        let nothing = Self {
            inline: None,
            cluster: None,
            uri: None,
            discovery: None,
            keys: None,
            max_age: None,
            max_stale: None,
        };
        match jwks {
            Jwks::Inline { inline } => Self {
                inline: Some(inline),
                ..nothing
            },
            Jwks::Remote(remote) => {
                let (uri, discovery, keys) = match remote.at {
                    KeysAt::Uri(uri) => (Some(uri), None, None),
                    KeysAt::Discovery { base, keys } => (None, Some(base), keys),
                };
                Self {
                    cluster: Some(remote.cluster),
                    uri,
                    discovery,
                    keys,
                    max_age: Some(remote.max_age),
                    max_stale: Some(remote.max_stale),
                    ..nothing
                }
            }
        }
    }
}

/// The parts of an `http` or `https` address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Url<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port.
    pub authority: &'a str,
    /// Path and query, from the slash on; empty if there are none.
    pub path: &'a str,
}

impl<'a> Url<'a> {
    /// Takes an address apart; or says what is wrong with it.
    pub fn parse(url: &'a str) -> Result<Self, String> {
        let wrong = || {
            // What stands before an `@` may be a password.
            let shown = url.rsplit_once('@').map_or(url, |(_, shown)| shown);
            format!("`{shown}` is not an address; write it as in `https://id.example.com/keys`")
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let plain = |byte: u8| matches!(byte, b'!'..=b'~') && !matches!(byte, b'@' | b'#' | b'\\' | b'"');
        if !matches!(scheme, "http" | "https")
            || authority.is_empty()
            || path.starts_with('?')
            || !rest.bytes().all(plain)
        {
            return Err(wrong());
        }
        Ok(Self {
            scheme,
            authority,
            path,
        })
    }

    /// Path and query of a request to it.
    pub fn target(&self) -> &'a str {
        if self.path.is_empty() { "/" } else { self.path }
    }
}

/// Why a discovery document says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// Not a strict JSON object.
    #[error("the discovery document is not a JSON object")]
    NotAnObject,
    /// OpenID Connect Discovery 1.0 section 4.3: it must be the configured one, letter for letter.
    #[error("the discovery document is that of another issuer than the configured one")]
    Issuer,
    /// Missing, or no address.
    #[error("the discovery document has no usable `jwks_uri`")]
    NoKeys,
    /// Whoever could point us elsewhere could make us believe any token.
    #[error("`jwks_uri` of the discovery document is elsewhere; name that cluster and authority as `jwks.keys`")]
    Elsewhere,
}

/// The address of the discovery document below a base.
pub fn discovery_uri(base: &str) -> String {
    format!("{}/.well-known/openid-configuration", base.trim_end_matches('/'))
}

/// The key set that a discovery document names, if it is of this issuer and the set is where keys may be.
pub fn discovered(
    document: &[u8],
    issuer: Option<&str>,
    base: &str,
    keys: Option<&ElsewhereKeys>,
) -> Result<String, DiscoveryError> {
    let document: Map<String, Value> = json::object(document).map_err(|_| DiscoveryError::NotAnObject)?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    if issuer.is_none() || text("issuer") != issuer {
        return Err(DiscoveryError::Issuer);
    }
    let uri = text("jwks_uri").ok_or(DiscoveryError::NoKeys)?;
    let (url, base) = match (Url::parse(uri), Url::parse(base)) {
        (Ok(url), Ok(base)) => (url, base),
        _ => return Err(DiscoveryError::NoKeys),
    };
    let same = |authority: &str| url.authority.eq_ignore_ascii_case(authority);
    // From https there is no way back to http.
    if (base.scheme == "https" && url.scheme != "https")
        || !(same(base.authority) || keys.is_some_and(|keys| same(&keys.authority)))
    {
        return Err(DiscoveryError::Elsewhere);
    }
    Ok(uri.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_source_is_one_of_three() {
        for good in [
            json!({ "inline": { "keys": [] } }),
            json!({ "cluster": "id", "uri": "https://id/keys", "max_age": "60s", "max_stale": "60s" }),
            json!({ "cluster": "id", "discovery": "https://id/realms/shop", "max_age": "60s", "max_stale": "3600s" }),
            json!({ "cluster": "id", "discovery": "https://id", "keys": { "cluster": "k", "authority": "keys.id" },
                "max_age": "300s", "max_stale": "86400s" }),
        ] {
            let jwks: Jwks = serde_json::from_value(good.clone()).unwrap();
            assert_eq!(serde_json::to_value(&jwks).unwrap(), good);
        }
        for bad in [
            json!({}),
            json!({ "cluster": "id" }),
            json!({ "uri": "https://id/keys" }),
            json!({ "cluster": "id", "uri": "https://id/keys", "discovery": "https://id" }),
            json!({ "inline": {}, "cluster": "id" }),
            json!({ "inline": {}, "max_age": "1m" }),
            json!({ "cluster": "id", "uri": "id/keys" }),
            json!({ "cluster": "id", "uri": "ftp://id/keys" }),
            json!({ "cluster": "id", "uri": "https://me@id/keys" }),
            json!({ "cluster": "id", "uri": "https:///keys" }),
            json!({ "cluster": "id", "discovery": "https://id/?a=b" }),
            json!({ "cluster": "id", "uri": "https://id/keys", "keys": { "cluster": "k", "authority": "a" } }),
            json!({ "cluster": "id", "uri": "https://id/keys", "max_age": "10m", "max_stale": "5m" }),
            json!({ "cluster": "id", "uri": "https://id/keys", "max_age": "0s" }),
            json!({ "cluster": "id", "uri": "https://id/keys", "kid": "x" }),
        ] {
            assert!(serde_json::from_value::<Jwks>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_discovery_document_counts_for_its_issuer_and_its_own_keys_only() {
        let keys = ElsewhereKeys {
            cluster: "k".into(),
            authority: "www.keys.example".into(),
        };
        let read = |document: &str, base: &str, keys: Option<&ElsewhereKeys>| {
            discovered(document.as_bytes(), Some("https://id.example"), base, keys)
        };
        let own = r#"{"issuer":"https://id.example","jwks_uri":"https://ID.example/keys?v=1"}"#;
        let base = "https://id.example";
        assert_eq!(read(own, base, None), Ok("https://ID.example/keys?v=1".into()));
        let elsewhere = r#"{"issuer":"https://id.example","jwks_uri":"https://www.keys.example/certs"}"#;
        assert_eq!(read(elsewhere, base, None), Err(DiscoveryError::Elsewhere));
        assert_eq!(
            read(elsewhere, base, Some(&keys)),
            Ok("https://www.keys.example/certs".into())
        );
        for (document, why) in [
            (
                r#"{"issuer":"https://id.example/","jwks_uri":"https://id.example/k"}"#,
                DiscoveryError::Issuer,
            ),
            (r#"{"jwks_uri":"https://id.example/k"}"#, DiscoveryError::Issuer),
            (r#"{"issuer":"https://id.example"}"#, DiscoveryError::NoKeys),
            (
                r#"{"issuer":"https://id.example","jwks_uri":"/keys"}"#,
                DiscoveryError::NoKeys,
            ),
            (
                r#"{"issuer":"https://id.example","jwks_uri":"http://id.example/k"}"#,
                DiscoveryError::Elsewhere,
            ),
            (
                r#"{"issuer":"https://id.example","jwks_uri":"https://id.example@evil/k"}"#,
                DiscoveryError::NoKeys,
            ),
            (
                r#"{"issuer":"https://id.example","jwks_uri":"https://id.example.evil/k"}"#,
                DiscoveryError::Elsewhere,
            ),
            (
                r#"{"issuer":"https://id.example","issuer":"x"}"#,
                DiscoveryError::NotAnObject,
            ),
            ("<html>", DiscoveryError::NotAnObject),
        ] {
            assert_eq!(read(document, base, None), Err(why), "{document}");
        }
        assert_eq!(
            discovered(own.as_bytes(), None, base, None),
            Err(DiscoveryError::Issuer)
        );
        assert_eq!(
            discovery_uri("https://id/realms/x/"),
            "https://id/realms/x/.well-known/openid-configuration"
        );
    }
}
