//! Which claims of an issuer's tokens say who somebody is: written out, or by the name of a product whose tokens are known.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json;

/// The claims that say who a token speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Written")]
pub struct ClaimNames {
    /// The user's id (`sub`).
    pub user_id: ClaimPath,
    /// The user's name (`preferred_username`).
    pub user_name: ClaimPath,
    /// The OAuth client (`client_id`).
    pub client_id: ClaimPath,
    /// Authorities: arrays of strings, or strings of words; all of them together (`authorities`).
    pub authorities: Vec<ClaimPath>,
    /// Scopes: an array of strings, or a string of words (`scope`).
    pub scope: ClaimPath,
    /// The token's id, by which it is revoked (`jti`).
    pub token_id: ClaimPath,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            user_id: "sub".into(),
            user_name: "preferred_username".into(),
            client_id: "client_id".into(),
            authorities: vec!["authorities".into()],
            scope: "scope".into(),
            token_id: "jti".into(),
        }
    }
}

/// Where a claim stands.
///
/// As text: the claim of exactly this name or, where there is none, the path that its dots make (`realm_access.roles`). As
/// an array: the path, step by step, each step as it is written (`["resource_access", "my.client", "roles"]`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum ClaimPath {
    /// A name, or a path with dots.
    Text(String),
    /// One name for each level. Not empty.
    Steps(Vec<String>),
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for ClaimPath {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ClaimPath".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "anyOf": [
            { "description": "A claim's name, or a path with dots.", "type": "string", "minLength": 1 },
            { "description": "A path, step by step.", "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] })
    }
}

impl ClaimPath {
    /// The claim, if it is there.
    pub fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        match self {
            Self::Text(name) => by_name(claims, name),
            Self::Steps(steps) => {
                let (first, rest) = steps.split_first()?;
                rest.iter()
                    .try_fold(claims.get(first)?, |value, step| value.as_object()?.get(step))
            }
        }
    }

    /// The same, but a `*` between dots stands for every member, by their names: `resource_access.*.roles`.
    pub fn find_all<'c>(&self, claims: &'c Map<String, Value>) -> Vec<&'c Value> {
        let Self::Text(name) = self else {
            return self.find(claims).into_iter().collect();
        };
        match name.split_once(".*.") {
            Some((outer, inner)) if !claims.contains_key(name) => {
                let members = by_name(claims, outer).and_then(Value::as_object).into_iter().flatten();
                let sorted: BTreeMap<_, _> = members.collect();
                sorted
                    .into_values()
                    .filter_map(|member| by_name(member.as_object()?, inner))
                    .collect()
            }
            _ => by_name(claims, name).into_iter().collect(),
        }
    }
}

impl From<&str> for ClaimPath {
    fn from(name: &str) -> Self {
        Self::Text(name.to_owned())
    }
}

impl From<ClaimPath> for Value {
    fn from(path: ClaimPath) -> Self {
        match path {
            ClaimPath::Text(name) => name.into(),
            ClaimPath::Steps(steps) => steps.into(),
        }
    }
}

impl TryFrom<Value> for ClaimPath {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let message =
            "a claim is named by a text (`sub`, `realm_access.roles`) or by an array with one text for each level";
        let text = |value: Value| match value {
            Value::String(text) if !text.is_empty() => Ok(text),
            _ => Err(message),
        };
        match value {
            Value::Array(steps) if !steps.is_empty() => {
                Ok(Self::Steps(steps.into_iter().map(text).collect::<Result<_, _>>()?))
            }
            value => text(value).map(Self::Text),
        }
    }
}

/// A claim by its whole name or, where there is none, by its path: `realm_access.roles`. Names may have dots themselves.
pub(crate) fn by_name<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        by_name(claims.get(first)?.as_object()?, rest)
    })
}

/// A product whose access tokens are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum Preset {
    Keycloak,
    Auth0,
    Entra,
    Spring,
    SpringLegacy,
}

impl Preset {
    /// The names that the product uses. Keycloak's roles of a client count only where that client is named: those of
    /// another client say nothing about this one.
    fn names(self, client: Option<String>) -> ClaimNames {
        let usual = ClaimNames::default();
        match self {
            Self::Keycloak => {
                let of_client = client.map(|client| {
                    let steps = ["resource_access".into(), client, "roles".into()];
                    ClaimPath::Steps(steps.into())
                });
                ClaimNames {
                    client_id: "azp".into(),
                    authorities: [Some("realm_access.roles".into()), of_client]
                        .into_iter()
                        .flatten()
                        .collect(),
                    ..usual
                }
            }
            Self::Auth0 => ClaimNames {
                client_id: "azp".into(),
                authorities: vec!["permissions".into()],
                ..usual
            },
            Self::Entra => ClaimNames {
                user_id: "oid".into(),
                client_id: "azp".into(),
                authorities: vec!["roles".into()],
                scope: "scp".into(),
                token_id: "uti".into(),
                ..usual
            },
            Self::Spring => ClaimNames {
                user_name: "sub".into(),
                ..usual
            },
            Self::SpringLegacy => ClaimNames {
                user_id: "user_name".into(),
                user_name: "user_name".into(),
                ..usual
            },
        }
    }
}

/// As it stands in a configuration.
#[derive(Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
struct Written {
    /// A product whose tokens are known; the other keys then change single names.
    #[serde(deserialize_with = "json::optional_word")]
    preset: Option<Preset>,
    /// With the preset `keycloak`: the client whose roles count beside those of the realm.
    client: Option<String>,
    /// The user's id (`sub`).
    user_id: Option<ClaimPath>,
    /// The user's name (`preferred_username`).
    user_name: Option<ClaimPath>,
    /// The OAuth client (`client_id`).
    client_id: Option<ClaimPath>,
    /// Authorities (`authorities`): all of these claims together.
    authorities: Option<Vec<ClaimPath>>,
    /// Scopes (`scope`).
    scope: Option<ClaimPath>,
    /// The token's id, by which it is revoked (`jti`).
    token_id: Option<ClaimPath>,
}

impl TryFrom<Written> for ClaimNames {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        if written.client.is_some() && written.preset != Some(Preset::Keycloak) {
            return Err("`client` names the client whose roles count, and goes with the preset `keycloak` only");
        }
        if written.client.as_deref() == Some("") {
            return Err("`client` is empty; leave it out, if only the roles of the realm count");
        }
        let single = [
            &written.user_id,
            &written.user_name,
            &written.client_id,
            &written.scope,
            &written.token_id,
        ];
        let several =
            |path: &ClaimPath| matches!(path, ClaimPath::Text(name) if name.split('.').any(|step| step == "*"));
        if single.into_iter().flatten().any(several) {
            return Err("`*` stands for several members, and goes with `authorities` only");
        }
        let preset = match written.preset {
            Some(preset) => preset.names(written.client),
            None => Self::default(),
        };
        Ok(Self {
            user_id: written.user_id.unwrap_or(preset.user_id),
            user_name: written.user_name.unwrap_or(preset.user_name),
            client_id: written.client_id.unwrap_or(preset.client_id),
            authorities: written.authorities.unwrap_or(preset.authorities),
            scope: written.scope.unwrap_or(preset.scope),
            token_id: written.token_id.unwrap_or(preset.token_id),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(path: Value, claims: &Value) -> Value {
        let path: ClaimPath = serde_json::from_value(path).unwrap();
        json!(path.find_all(claims.as_object().unwrap()))
    }

    #[test]
    fn a_claim_is_found_by_name_by_path_and_step_by_step() {
        let claims = json!({
            "https://example.com/roles": ["a"],
            "resource_access": { "my.client": { "roles": ["b"] }, "other": { "roles": ["c"] }, "third": {} },
            "x": "plain"
        });
        for (path, expected) in [
            (json!("https://example.com/roles"), json!([["a"]])),
            (json!("resource_access.my.client.roles"), json!([])),
            (json!(["resource_access", "my.client", "roles"]), json!([["b"]])),
            (json!("resource_access.other.roles"), json!([["c"]])),
            (json!("resource_access.*.roles"), json!([["b"], ["c"]])),
            (json!(["resource_access", "*", "roles"]), json!([])),
            (json!("x.*.y"), json!([])),
            (json!("x.y"), json!([])),
            (json!(["x", "y"]), json!([])),
        ] {
            assert_eq!(found(path.clone(), &claims), expected, "{path}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        for written in [
            json!({ "user_id": 7 }),
            json!({ "user_id": "" }),
            json!({ "user_id": [] }),
            json!({ "user_id": ["a", 1] }),
            json!({ "authorities": "roles" }),
            json!({ "preset": "okta" }),
            json!({ "client": "orders" }),
            json!({ "preset": "entra", "client": "orders" }),
            json!({ "preset": "keycloak", "client": "" }),
            json!({ "roles": "x" }),
        ] {
            assert!(
                serde_json::from_value::<ClaimNames>(written.clone()).is_err(),
                "{written}"
            );
        }
    }

    #[test]
    fn what_a_server_writes_is_read_again() {
        let names: ClaimNames = serde_json::from_value(json!({ "preset": "keycloak", "client": "a.b" })).unwrap();
        let written = serde_json::to_value(&names).unwrap();
        assert_eq!(written["authorities"][1], json!(["resource_access", "a.b", "roles"]));
        assert_eq!(serde_json::from_value::<ClaimNames>(written).unwrap(), names);
    }
}
