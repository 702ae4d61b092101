//! The documents of the two feeds, as the servers write them and the filter reads them.
//!
//! `GET /feed/tokens?after=V&wait=25` (auth server) and `GET /feed/permissions?after=V&wait=25` (login service) answer
//! 200 with one of these documents, or 304 when nothing changed within `wait` seconds. Without `after`, or with a version
//! that the server does not know (another database, a restored backup), the answer is a full snapshot at once.

use serde::{Deserialize, Serialize};

use crate::config::Issuer;
use crate::json;

/// Unix time in seconds at which an entry may be forgotten, because the token it speaks of has expired by itself.
/// `None`: the token never expires, and neither does the entry.
pub type Until = Option<u64>;

/// What the auth server tells the gateways: verifying keys and revocations.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFeed {
    /// Opaque; sent back as `after`.
    pub version: String,
    /// The version that this delta continues. Absent in a full snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// More was to be told than fits into one document: ask again at once. Until the last part is there, a newcomer has
    /// no snapshot to decide by.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Every issuer of the auth server with its keys inline; in a delta absent when unchanged.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "json::some_list"
    )]
    pub issuers: Option<Vec<Issuer>>,
    /// Which tokens only the auth server itself can tell good from bad; in a delta absent when unchanged, in a full
    /// snapshot absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection: Option<Introspection>,
    /// Token ids (`jti`) that are no longer good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked_tokens: Vec<(String, Until)>,
    /// User ids, with the Unix second before which (inclusive) their tokens were issued that are no longer good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked_users: Vec<(String, u64, Until)>,
    /// Client ids, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked_clients: Vec<(String, u64, Until)>,
}

/// The kinds of token that the gateway asks the auth server about (`POST /oauth2/introspect`, RFC 7662), as there is no key
/// to verify them with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Introspection {
    /// Opaque tokens exist.
    pub opaque: bool,
    /// Living JWTs of the system before ours were imported. They are honoured until their own `exp`, but their key is gone:
    /// whatever looks like a JWT and fits no key of ours is asked about before it is refused.
    pub imported: bool,
}

/// What the login service tells the gateways: the permission table and whose permissions changed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermissionFeed {
    /// Opaque; sent back as `after`.
    pub version: String,
    /// The version that this delta continues. Absent in a full snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The whole permission table; in a delta absent, unless too much of it changed to name the rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<Permission>>,
    /// Rows that were added, in a delta without the whole table. One that is there already is no error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<Permission>,
    /// Rows that were removed, likewise. One that is not there is no error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Permission>,
    /// Users whose permissions changed: id, Unix second of the change, and whether the user may still log in. Authorities
    /// in a token of theirs that was not provably issued later are out of date; the filter asks
    /// `/getAllPermissionByUserId` once instead. Tokens of a user who was disabled or removed are not good at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_users: Vec<(String, u64, bool)>,
}

/// One row of the permission table: whoever holds the authority `name` may call `url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// The authority, as it stands in a token (`ROLE_TEST`).
    pub name: String,
    /// A path pattern: literals, `*` (one segment), `**` (any tail).
    pub url: String,
    /// The HTTP method the row speaks of; absent: every method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}
