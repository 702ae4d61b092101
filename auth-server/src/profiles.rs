//! Profiles: the wire contracts of legacy systems. A profile decides only how requests are read and answers written.

pub mod principal;
pub mod spring;
pub mod tkey;
pub mod uaa;

use std::str::FromStr;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use postern_access::claim_names::ClaimNames;
use postern_access::config::{Expiry, Issuer};
use postern_access::key_source::Jwks;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::config::{Compat, EntryPoint, SpringOauth, TokenStore};
use crate::db::client::Client;
use crate::entropy;
use crate::error::Refusal;
use crate::issue::Grantee;
use crate::signing::Signing;
use spring::claims::Claims;

/// A wire contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Spring Security OAuth2 with JWTs signed by a shared secret.
    Spring,
    /// A single sign-on server with opaque tokens (`AT-…`, `RT-…`) and a login page.
    Tkey,
    /// A server of client tokens: opaque UUIDs, and clients that register clients.
    Uaa,
    /// Spring's JWTs for clients, with a `principal` in them.
    Principal,
}

/// How the value of a token comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Signed claims: a gateway verifies them by itself.
    Jwt,
    /// Derived from the token's id with a key: only this server knows what it stands for.
    Opaque,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 4] = [Self::Spring, Self::Tkey, Self::Uaa, Self::Principal];

    /// Its name in configuration, commands and the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spring => "spring",
            Self::Tkey => "tkey",
            Self::Uaa => "uaa",
            Self::Principal => "principal",
        }
    }

    /// How the values of its tokens come to be.
    pub fn format(self) -> Format {
        match self {
            Self::Spring | Self::Principal => Format::Jwt,
            Self::Tkey | Self::Uaa => Format::Opaque,
        }
    }

    /// The switches that hold for it, of those that are configured: some are of one profile only.
    pub fn compat(self, configured: &Compat) -> Compat {
        match self {
            Self::Uaa => Compat {
                spring_oauth: SpringOauth::V2_0_7,
                client_entry_point: EntryPoint::Boot,
                token_store: TokenStore::Jdbc,
                ..*configured
            },
            Self::Spring | Self::Tkey | Self::Principal => *configured,
        }
    }

    /// How long an access token lives when its client does not say, in seconds.
    pub fn access_token_validity(self) -> i64 {
        match self {
            Self::Spring | Self::Uaa => 12 * 60 * 60,
            Self::Tkey => 16 * 60 * 60,
            Self::Principal => 2 * 60 * 60,
        }
    }

    /// How long a refresh token lives when its client does not say, in seconds.
    pub fn refresh_token_validity(self) -> i64 {
        match self {
            Self::Spring | Self::Uaa | Self::Principal => 30 * 24 * 60 * 60,
            Self::Tkey => 24 * 60 * 60,
        }
    }

    /// How long an authorization code is good, in seconds.
    pub fn code_validity(self) -> i64 {
        match self {
            Self::Tkey => 120,
            Self::Spring | Self::Uaa | Self::Principal => 300,
        }
    }

    /// The value of a new authorization code.
    pub fn code_value(self) -> String {
        match self {
            Self::Tkey => tkey::token_value("OC", &entropy::bytes()),
            Self::Spring | Self::Uaa | Self::Principal => entropy::hex(&entropy::bytes::<32>()),
        }
    }

    /// The grants that this profile serves, for which a client may be registered.
    pub fn grants(self) -> &'static [&'static str] {
        match self {
            Self::Spring | Self::Tkey => &["password", "refresh_token", "client_credentials", "authorization_code"],
            Self::Uaa | Self::Principal => &["client_credentials"],
        }
    }

    /// Whether a client that asks again is given the token it has, as long as that lives.
    pub fn repeats(self) -> bool {
        self != Self::Tkey
    }

    /// Whether a new access token comes with a refresh token.
    pub fn gives_refresh_token(self, grantee: &Grantee) -> bool {
        match self {
            Self::Spring => grantee.user.is_some() && grantee.client.may_use("refresh_token"),
            // Also to the client itself.
            Self::Tkey => grantee.grant != tkey::IMPLICIT && grantee.client.may_use("refresh_token"),
            Self::Uaa | Self::Principal => false,
        }
    }

    /// Whether a refresh gives a new refresh token in the place of the presented one.
    pub fn rotates_refresh_tokens(self, compat: &Compat) -> bool {
        self == Self::Spring && !compat.reuse_refresh_token
    }

    /// Whether a refresh takes back the access tokens that were given with the refresh token before.
    pub fn refresh_takes_back(self) -> bool {
        self != Self::Tkey
    }

    /// What is signed, or kept for an opaque token: JSON.
    pub fn payload(self, claims: &Claims, client: &Client) -> serde_json::Result<String> {
        match self {
            Self::Spring | Self::Tkey | Self::Uaa => claims.to_json(),
            Self::Principal => principal::payload(claims, client),
        }
    }

    /// The value of an access token. The same arguments give the same value; `None`: the key is gone.
    pub fn access_token(self, signing: &Signing, key_id: &str, token_id: &str, payload: &str) -> Option<String> {
        match self {
            Self::Spring | Self::Principal => signing.sign(key_id, payload),
            Self::Tkey => signing
                .derive(key_id, "access_token", token_id)
                .map(|bytes| tkey::token_value("AT", &bytes)),
            Self::Uaa => signing
                .derive(key_id, "access_token", token_id)
                .map(|bytes| uaa::token_value(&bytes)),
        }
    }

    /// The value of a refresh token, likewise.
    pub fn refresh_token(self, signing: &Signing, key_id: &str, token_id: &str, payload: &str) -> Option<String> {
        match self {
            Self::Spring | Self::Principal => signing.sign(key_id, payload),
            Self::Tkey | Self::Uaa => signing
                .derive(key_id, "refresh_token", token_id)
                .map(|bytes| tkey::token_value("RT", &bytes)),
        }
    }

    /// The answer to a refused request, in this contract's shape.
    pub fn refuse(self, app: &App, path: &str, refusal: Refusal) -> Response {
        match self {
            Self::Spring | Self::Uaa | Self::Principal => {
                spring::refuse_as(&self.compat(&app.compat), app, path, refusal)
            }
            Self::Tkey => tkey::refuse(app, path, refusal),
        }
    }

    /// How the gateways verify and read its tokens; `None`: they cannot, and ask.
    pub fn issuer(self, signing: &Signing) -> Option<Issuer> {
        let claims = match self {
            Self::Tkey | Self::Uaa => return None,
            Self::Spring => ClaimNames {
                user_id: "userId".into(),
                user_name: "user_name".into(),
                client_id: "client_id".into(),
                authorities: vec!["authorities".into()],
                scope: "scope".into(),
                token_id: "jti".into(),
            },
            Self::Principal => ClaimNames {
                user_id: "principal.id".into(),
                user_name: "principal.username".into(),
                client_id: "client_id".into(),
                authorities: vec!["principal.authorities".into()],
                scope: "scope".into(),
                token_id: "jti".into(),
            },
        };
        Some(Issuer {
            issuer: None,
            audiences: Vec::new(),
            jwks: Some(Jwks::Inline {
                inline: signing.verifying_keys(self),
            }),
            introspection: None,
            claims,
            // A client with a validity of 0 is given tokens without `exp`.
            expiry: Expiry::Optional,
            required_claims: if self == Self::Principal {
                vec!["principal".into()]
            } else {
                Vec::new()
            },
            // A refresh token is signed with the same key; `ati` is what tells it apart.
            forbidden_claims: vec!["ati".into()],
            // A `principal` is what a client is registered with; the login service may have another user of that id.
            foreign_users: self == Self::Principal,
        })
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

/// A JSON answer that no cache keeps, as the servlets wrote it, with a header of the profile beside it.
fn json_beside(beside: (HeaderName, HeaderValue), status: StatusCode, body: &impl Serialize) -> Response {
    let Ok(body) = serde_json::to_vec(body) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(beside.0, beside.1);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json;charset=UTF-8"),
    );
    response
}
