//! The wire contract of an authorization server whose tokens carry a `principal`.
//!
//! The original put the whole row of the user into it, the hash of the password among it. Here a client's principal is
//! what was registered with it, through an allow-list: a member that is not named here is in no token, and what is named
//! is a plain value, so that nothing can hide inside it.

use serde::Serialize;
use serde_json::{Map, Value};

use super::spring::claims::Claims;
use crate::db::client::Client;

/// Where a client's principal stands in its additional information.
pub const MEMBER: &str = "principal";

/// The members before the authorities, in the order of the sample.
const BEFORE: [&str; 4] = ["id", "username", "type", "chineseName"];
/// The one member that is an object, behind the authorities.
const USER_INFO: &str = "userInfoDTO";
const OF_USER_INFO: [&str; 8] = [
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
    let registered = client.additional_information.get(MEMBER).and_then(Value::as_object);
    serde_json::to_string(&Payload {
        principal: principal(registered.unwrap_or(&Map::new()), &claims.authorities),
        scope: &claims.scope,
        exp: claims.exp,
        jti: &claims.jti,
        client_id: &claims.client_id,
    })
}

/// What a token says of a registered principal.
fn principal(registered: &Map<String, Value>, authorities: &[String]) -> Map<String, Value> {
    let mut principal: Map<String, Value> = plain_members(registered, &BEFORE).collect();
    if !authorities.is_empty() {
        principal.insert("authorities".to_owned(), authorities.into());
    }
    match registered.get(USER_INFO) {
        Some(Value::Object(user_info)) => {
            let user_info = plain_members(user_info, &OF_USER_INFO).collect();
            principal.insert(USER_INFO.to_owned(), Value::Object(user_info));
        }
        Some(Value::Null) => {
            principal.insert(USER_INFO.to_owned(), Value::Null);
        }
        _ => {}
    }
    principal
}

/// The members of these names, in this order, that are plain values: null, too.
fn plain_members<'a>(
    object: &'a Map<String, Value>,
    names: &'a [&str],
) -> impl Iterator<Item = (String, Value)> + use<'a> {
    names.iter().filter_map(|name| {
        let value = object.get(*name)?;
        is_plain(value).then(|| ((*name).to_owned(), value.clone()))
    })
}

fn is_plain(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

/// The path of the first member that no token will say; `None`: all of them will be said.
pub fn never_said(registered: &Map<String, Value>) -> Option<String> {
    registered
        .iter()
        .find_map(|(name, value)| match (name.as_str(), value) {
            (USER_INFO, Value::Null) => None,
            (USER_INFO, Value::Object(user_info)) => {
                let unsaid =
                    |(name, value): &(&String, &Value)| !(OF_USER_INFO.contains(&name.as_str()) && is_plain(value));
                let (name, _) = user_info.iter().find(unsaid)?;
                Some(format!("{USER_INFO}.{name}"))
            }
            (name, value) if BEFORE.contains(&name) && is_plain(value) => None,
            (name, _) => Some(name.to_owned()),
        })
}

/// The first of the two names of a user that a filter would refuse in a token: text is taken, whole numbers of 64 bits, and
/// null.
pub fn no_name(registered: &Map<String, Value>) -> Option<&'static str> {
    let is_name = |value: &Value| matches!(value, Value::String(_) | Value::Null) || value.is_u64() || value.is_i64();
    ["id", "username"]
        .into_iter()
        .find(|name| registered.get(*name).is_some_and(|value| !is_name(value)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As much as the original put into a token.
    fn row() -> Map<String, Value> {
        let row = json!({
            "userInfoDTO": {
                "email": null, "phone": null, "orgType": "1", "orgName": "机构", "orgId": 1, "chineseName": "管理员",
                "userType": "1", "username": "admin", "password": "x"
            },
            "id": 1, "username": "admin", "type": "1", "chineseName": "管理员", "phone": null, "email": null,
            "enabled": true, "password": "$2a$10$x", "accountNonExpired": true, "accountNonLocked": true,
            "credentialsNonExpired": true, "authorities": [], "orgDTO": { "id": 1, "password": null }
        });
        row.as_object().unwrap().clone()
    }

    fn written(registered: &Value, authorities: &[String]) -> String {
        Value::Object(principal(registered.as_object().unwrap(), authorities)).to_string()
    }

    #[test]
    fn what_is_allowed_stands_in_the_order_of_the_sample_and_nulls_are_kept() {
        let user_info = r#""userInfoDTO":{"username":"admin","userType":"1","chineseName":"管理员","orgId":1,"orgName":"机构","orgType":"1","phone":null,"email":null}"#;
        let before = r#""id":1,"username":"admin","type":"1","chineseName":"管理员""#;
        assert_eq!(written(&row().into(), &[]), format!("{{{before},{user_info}}}"));
        assert_eq!(
            written(&row().into(), &["ROLE_A".into()]),
            format!(r#"{{{before},"authorities":["ROLE_A"],{user_info}}}"#)
        );
        assert_eq!(
            written(&json!({ "id": 1, "userInfoDTO": null }), &[]),
            r#"{"id":1,"userInfoDTO":null}"#
        );
        assert_eq!(written(&json!({}), &[]), "{}");
    }

    #[test]
    fn a_password_is_said_at_no_depth() {
        let hidden = json!({ "password": "secret" });
        let everywhere = json!({
            "password": "secret", "id": hidden, "username": [hidden], "type": { "a": hidden }, "chineseName": "n",
            "userInfoDTO": { "password": "secret", "orgName": hidden, "email": [["password"]], "phone": "1" }
        });
        let said = written(&everywhere, &[]);
        assert_eq!(said, r#"{"chineseName":"n","userInfoDTO":{"phone":"1"}}"#);
        for user_info in [json!("password"), json!([hidden]), json!(1)] {
            assert_eq!(written(&json!({ "userInfoDTO": user_info }), &[]), "{}");
        }
    }

    #[test]
    fn what_will_not_be_said_is_found() {
        let found = |registered: Value| never_said(registered.as_object().unwrap());
        assert_eq!(found(json!({ "id": 1, "userInfoDTO": { "phone": null } })), None);
        assert_eq!(found(json!({ "id": 1, "userInfoDTO": null })), None);
        assert_eq!(found(json!({ "id": 1, "password": "x" })).as_deref(), Some("password"));
        assert_eq!(found(json!({ "id": { "a": 1 } })).as_deref(), Some("id"));
        assert_eq!(found(json!({ "userInfoDTO": [] })).as_deref(), Some("userInfoDTO"));
        assert_eq!(
            found(json!({ "userInfoDTO": { "phone": "1", "password": "x" } })).as_deref(),
            Some("userInfoDTO.password")
        );
    }
}
