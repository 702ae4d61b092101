//! Profiles: the wire contracts of legacy systems. A profile decides only how requests are read and answers written.

pub mod spring;

use std::str::FromStr;

use postern_access::config::{ClaimNames, Expiry, Issuer, Jwks};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::signing::Signing;

/// A wire contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Spring Security OAuth2 with JWTs signed by a shared secret.
    Spring,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 1] = [Self::Spring];

    /// Its name in configuration, commands and the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spring => "spring",
        }
    }

    /// How long an access token lives when its client does not say, in seconds.
    pub fn access_token_validity(self) -> i64 {
        match self {
            Self::Spring => 12 * 60 * 60,
        }
    }

    /// How long a refresh token lives when its client does not say, in seconds.
    pub fn refresh_token_validity(self) -> i64 {
        match self {
            Self::Spring => 30 * 24 * 60 * 60,
        }
    }

    /// The grants that this profile serves, for which a client may be registered. Spring's authorization code grant is not
    /// among them: without an authorization endpoint no code can ever be issued.
    pub fn grants(self) -> &'static [&'static str] {
        match self {
            Self::Spring => &["password", "refresh_token", "client_credentials"],
        }
    }

    /// How the gateways verify and read its tokens.
    pub fn issuer(self, signing: &Signing) -> Issuer {
        match self {
            Self::Spring => Issuer {
                issuer: None,
                audiences: Vec::new(),
                jwks: Jwks::Inline {
                    inline: signing.verifying_keys(self),
                },
                claims: ClaimNames {
                    user_id: "userId".into(),
                    user_name: "user_name".into(),
                    client_id: "client_id".into(),
                    authorities: vec!["authorities".into()],
                    scope: "scope".into(),
                    token_id: "jti".into(),
                },
                // A client with a validity of 0 is given tokens without `exp`.
                expiry: Expiry::Optional,
                required_claims: Vec::new(),
                // A refresh token is signed with the same key; `ati` is what tells it apart.
                forbidden_claims: vec!["ati".into()],
            },
        }
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.name() == name)
            .ok_or_else(|| {
                let known: Vec<_> = Self::ALL.iter().map(|profile| profile.name()).collect();
                format!("unknown profile `{name}`; known are: {}", known.join(", "))
            })
    }
}
