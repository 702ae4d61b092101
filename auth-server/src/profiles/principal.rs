//! The wire contract of an authorization server whose tokens carry a `principal`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::spring::claims::Claims;
use crate::db::client::Client;

/// What a `principal` may say: the original put the whole row of the user in it, the hash of the password among it.
const ALLOWED: [&str; 5] = ["id", "username", "type", "chineseName", "userInfoDTO"];
const ALLOWED_USER_INFO: [&str; 8] = [
    "username",
    "userType",
    "chineseName",
    "orgId",
    "orgName",
    "orgType",
    "phone",
    "email",
];

/// The claims of a token, in the order of the sample.
pub fn payload(claims: &Claims, client: &Client) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Payload<'a> {
        principal: Map<String, Value>,
        scope: &'a [String],
        #[serde(skip_serializing_if = "Option::is_none")]
        exp: Option<i64>,
        jti: &'a str,
        client_id: &'a str,
    }
    let mut principal = allowed(client.additional_information.get("principal"), &ALLOWED);
    if let Some(user_info) = principal.get_mut("userInfoDTO") {
        *user_info = Value::Object(allowed(Some(user_info), &ALLOWED_USER_INFO));
    }
    if !claims.authorities.is_empty() {
        principal.insert("authorities".into(), claims.authorities.clone().into());
    }
    serde_json::to_string(&Payload {
        principal,
        scope: &claims.scope,
        exp: claims.exp,
        jti: &claims.jti,
        client_id: &claims.client_id,
    })
}

fn allowed(object: Option<&Value>, names: &[&str]) -> Map<String, Value> {
    let object = object.and_then(Value::as_object);
    let member = |name: &&str| Some(((*name).to_owned(), object?.get(*name)?.clone()));
    names.iter().filter_map(member).collect()
}
