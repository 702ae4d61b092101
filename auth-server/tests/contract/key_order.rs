//! The order of JSON keys and JWT claims (contract section 4), byte for byte.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::harness::*;

const CLIENTS: &[&str] = &[
    "robot --secret s --profile spring --grants client_credentials --scopes read,write",
    "trusted --secret s --profile spring --grants client_credentials --scopes read --authorities ROLE_B,ROLE_A",
    "aud --secret s --profile spring --grants password,refresh_token,client_credentials --scopes all --resource-ids demo,other",
];

/// The payload of a token with its times and ids masked.
fn shape(token: &str) -> String {
    let claims = claims(token);
    let mut shown = payload(token);
    for name in ["jti", "ati"] {
        if let Some(id) = claims[name].as_str() {
            assert_eq!(id.len(), 36, "a UUID: {id}");
            shown = shown.replace(id, &format!("<{name}>"));
        }
    }
    match claims["exp"].as_i64() {
        Some(exp) => shown.replace(&format!("\"exp\":{exp}"), "\"exp\":<exp>"),
        None => shown,
    }
}

fn client_token(server: &Server, client: &str) -> Value {
    let answer = server.post("/oauth/token", (client, "s"), "grant_type=client_credentials");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[test]
fn user_access_jwt_no_authorities() {
    let tokens = Server::start().log_in("u0");
    assert_eq!(
        shape(text(&tokens, "access_token")),
        r#"{"exp":<exp>,"userId":"u0-id","user_name":"u0","jti":"<jti>","client_id":"demo","scope":["all"]}"#
    );
}

#[test]
fn user_refresh_jwt_no_authorities() {
    let tokens = Server::start().log_in("u0");
    assert_eq!(
        shape(text(&tokens, "refresh_token")),
        r#"{"user_name":"u0","scope":["all"],"ati":"<ati>","exp":<exp>,"userId":"u0-id","jti":"<jti>","client_id":"demo"}"#
    );
}

#[test]
fn user_access_jwt_with_authorities() {
    let tokens = Server::start().log_in("u2");
    assert_eq!(
        shape(text(&tokens, "access_token")),
        r#"{"user_name":"u2","scope":["all"],"exp":<exp>,"userId":"u2-id","authorities":["ROLE_TEST","ROLE_TEST2"],"jti":"<jti>","client_id":"demo"}"#
    );
}

#[test]
fn user_refresh_jwt_with_authorities() {
    let tokens = Server::start().log_in("u2");
    assert_eq!(
        shape(text(&tokens, "refresh_token")),
        r#"{"user_name":"u2","scope":["all"],"ati":"<ati>","exp":<exp>,"userId":"u2-id","authorities":["ROLE_TEST","ROLE_TEST2"],"jti":"<jti>","client_id":"demo"}"#
    );
}

#[test]
fn client_credentials_jwt() {
    let server = Server::with_clients(CLIENTS);
    for (client, expected) in [
        (
            "robot",
            r#"{"scope":["read","write"],"exp":<exp>,"jti":"<jti>","client_id":"robot"}"#,
        ),
        (
            "trusted",
            r#"{"scope":["read"],"exp":<exp>,"authorities":["ROLE_A","ROLE_B"],"jti":"<jti>","client_id":"trusted"}"#,
        ),
        (
            "aud",
            r#"{"aud":["demo","other"],"scope":["all"],"exp":<exp>,"jti":"<jti>","client_id":"aud"}"#,
        ),
    ] {
        assert_eq!(shape(text(&client_token(&server, client), "access_token")), expected);
    }
}

#[test]
fn aud_stands_first_and_only_with_resource_ids() {
    let server = Server::with_clients(CLIENTS);
    let form = "grant_type=password&username=u0&password=password";
    let tokens = server.post("/oauth/token", ("aud", "s"), form).json();
    assert_eq!(
        shape(text(&tokens, "access_token")),
        r#"{"aud":["demo","other"],"user_name":"u0","scope":["all"],"exp":<exp>,"userId":"u0-id","jti":"<jti>","client_id":"aud"}"#
    );
}

#[test]
fn check_token_body_user_is_that_of_the_access_jwt() {
    let server = Server::start();
    for user in ["u0", "u2"] {
        let tokens = server.log_in(user);
        let token = text(&tokens, "access_token");
        assert_eq!(server.check_token(token).body, payload(token));
    }
}

#[test]
fn check_token_body_client_credentials_is_that_of_the_jwt() {
    let server = Server::with_clients(CLIENTS);
    for client in ["robot", "trusted", "aud"] {
        let tokens = client_token(&server, client);
        let token = text(&tokens, "access_token");
        assert_eq!(server.check_token(token).body, payload(token));
    }
}

#[test]
fn the_jwt_header_is_exactly_this_one() {
    let tokens = Server::start().log_in("u1");
    for name in ["access_token", "refresh_token"] {
        let header = text(&tokens, name).split('.').next().unwrap();
        let header = String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
        assert_eq!(header, r#"{"alg":"HS256","typ":"JWT"}"#);
    }
}

#[test]
fn no_claim_is_there_that_the_original_does_not_have() {
    let tokens = Server::start().log_in("u2");
    for name in ["access_token", "refresh_token"] {
        let claims = claims(text(&tokens, name));
        for absent in ["iss", "iat", "nbf", "sub", "aud"] {
            assert!(claims.get(absent).is_none(), "{absent} in {claims}");
        }
    }
}
