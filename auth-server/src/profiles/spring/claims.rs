//! The claims of Spring's tokens, in the order in which its `HashMap` put them on the wire.
//!
//! The original fills a `java.util.HashMap` and writes it in bucket order. A user's map starts small and doubles when it
//! outgrows three quarters of its table, so that six keys stand in eight buckets and seven in sixteen; a client's own
//! starts with sixteen.

use serde::{Deserialize, Serialize, Serializer};

/// What an access or refresh token says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Claims {
    /// The user's name; absent in a client's own token.
    pub user_name: Option<String>,
    /// The user's id.
    #[serde(rename = "userId")]
    pub user_id: Option<String>,
    /// Sorted; absent when empty.
    #[serde(default)]
    pub authorities: Vec<String>,
    /// Always an array here, where the token answer has a string.
    pub scope: Vec<String>,
    /// The token's own id.
    pub jti: String,
    /// In a refresh token: the id of the access token it was given with.
    pub ati: Option<String>,
    /// Unix seconds; absent: never.
    pub exp: Option<i64>,
    /// The client.
    pub client_id: String,
    /// The client's resource ids; absent when empty.
    #[serde(default)]
    pub aud: Vec<String>,
    /// Only in the answer of check_token, only since 2.1.1.
    #[serde(skip)]
    pub active: Option<bool>,
}

impl Claims {
    /// The payload of a token.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    fn keys(&self) -> usize {
        let options = [
            self.user_name.is_some(),
            self.user_id.is_some(),
            self.ati.is_some(),
            self.exp.is_some(),
        ];
        let lists = [
            !self.authorities.is_empty(),
            !self.aud.is_empty(),
            self.active.is_some(),
        ];
        // scope, jti and client_id are always there
        3 + options.iter().chain(&lists).filter(|present| **present).count()
    }
}

impl Serialize for Claims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            user_name,
            user_id,
            authorities,
            scope,
            jti,
            ati,
            exp,
            client_id,
            aud,
            active,
        } = self;
        if user_name.is_some() && self.keys() <= 6 {
            EightBuckets {
                aud,
                active,
                exp,
                user_id,
                user_name,
                authorities,
                jti,
                client_id,
                scope,
                ati,
            }
            .serialize(serializer)
        } else {
            SixteenBuckets {
                aud,
                user_name,
                scope,
                ati,
                active,
                exp,
                user_id,
                authorities,
                jti,
                client_id,
            }
            .serialize(serializer)
        }
    }
}

#[derive(Serialize)]
struct EightBuckets<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    aud: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    active: &'a Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: &'a Option<i64>,
    #[serde(rename = "userId", skip_serializing_if = "Option::is_none")]
    user_id: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: &'a Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    authorities: &'a [String],
    jti: &'a str,
    client_id: &'a str,
    scope: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    ati: &'a Option<String>,
}

#[derive(Serialize)]
struct SixteenBuckets<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    aud: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: &'a Option<String>,
    scope: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    ati: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active: &'a Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: &'a Option<i64>,
    #[serde(rename = "userId", skip_serializing_if = "Option::is_none")]
    user_id: &'a Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    authorities: &'a [String],
    jti: &'a str,
    client_id: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> Claims {
        Claims {
            user_name: Some("ufuck".into()),
            user_id: Some("ufuck-uid".into()),
            authorities: Vec::new(),
            scope: vec!["all".into()],
            jti: "91d3070d-7e9b-4de1-a811-dc753d51e7ac".into(),
            ati: None,
            exp: Some(1514311482),
            client_id: "fuck".into(),
            aud: Vec::new(),
            active: None,
        }
    }

    fn client() -> Claims {
        Claims {
            user_name: None,
            user_id: None,
            ..user()
        }
    }

    fn keys(claims: &Claims) -> String {
        let value: serde_json::Value = serde_json::from_str(&claims.to_json().unwrap()).unwrap();
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .join(", ")
    }

    #[test]
    fn the_sample_of_2017_comes_out_byte_for_byte() {
        let sample = r#"{"exp":1514311482,"userId":"ufuck-uid","user_name":"ufuck","jti":"91d3070d-7e9b-4de1-a811-dc753d51e7ac","client_id":"fuck","scope":["all"]}"#;
        assert_eq!(user().to_json().unwrap(), sample);
        assert_eq!(serde_json::from_str::<Claims>(sample).unwrap(), user());
    }

    #[test]
    fn the_order_is_that_of_the_contract_for_every_shape() {
        let authorities = vec!["ROLE_TEST".to_owned()];
        let ati = Some("a".to_owned());
        let aud = vec!["demo".to_owned()];
        for (order, claims) in [
            ("exp, userId, user_name, jti, client_id, scope", user()),
            (
                "user_name, scope, ati, exp, userId, jti, client_id",
                Claims {
                    ati: ati.clone(),
                    ..user()
                },
            ),
            (
                "user_name, scope, exp, userId, authorities, jti, client_id",
                Claims {
                    authorities: authorities.clone(),
                    ..user()
                },
            ),
            (
                "user_name, scope, ati, exp, userId, authorities, jti, client_id",
                Claims {
                    authorities: authorities.clone(),
                    ati,
                    ..user()
                },
            ),
            (
                "aud, user_name, scope, exp, userId, jti, client_id",
                Claims {
                    aud: aud.clone(),
                    ..user()
                },
            ),
            (
                "user_name, scope, active, exp, userId, jti, client_id",
                Claims {
                    active: Some(true),
                    ..user()
                },
            ),
            (
                "userId, user_name, authorities, jti, client_id, scope",
                Claims {
                    exp: None,
                    authorities: authorities.clone(),
                    ..user()
                },
            ),
            ("scope, exp, jti, client_id", client()),
            (
                "scope, exp, authorities, jti, client_id",
                Claims {
                    authorities,
                    ..client()
                },
            ),
            ("aud, scope, exp, jti, client_id", Claims { aud, ..client() }),
        ] {
            assert_eq!(keys(&claims), order);
        }
    }
}
