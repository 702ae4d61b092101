//! `POST /oauth2/introspect` for a JWT (RFC 9701): signed with a key that everybody may verify with, and nobody else has.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use serde_json::{Value, json};

use crate::harness::http::Answer;
use crate::harness::*;

const MEDIA_TYPE: &str = "application/token-introspection+jwt";

fn asked(server: &Server, token: &str) -> Answer {
    let headers = [
        ("authorization", &*basic(("gateway", "secret"))),
        ("accept", MEDIA_TYPE),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    server.request("POST", "/oauth2/introspect", &headers, &format!("token={token}"))
}

/// The payload, if a key of the set signed it.
fn verified(set: &Value, jwt: &str) -> Option<Value> {
    let part = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let header: Value = serde_json::from_slice(&part(header)).unwrap();
    assert_eq!(
        (&header["typ"], &header["alg"]),
        (&json!("token-introspection+jwt"), &json!("ES256"))
    );
    let key = set["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["kid"] == header["kid"])?;
    let point = [&[4][..], &part(text(key, "x")), &part(text(key, "y"))].concat();
    let key = VerifyingKey::from_sec1_bytes(&point).unwrap();
    let signature = Signature::from_slice(&part(signature)).unwrap();
    key.verify(signed.as_bytes(), &signature).ok()?;
    serde_json::from_slice(&part(payload)).ok()
}

#[test]
fn an_answer_is_signed_where_that_is_asked_for() {
    let mut server = Server::start();
    let token = text(&server.log_in("u1"), "access_token").to_owned();
    let answer = asked(&server, &token);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(MEDIA_TYPE)));
    let set = server.get("/oauth2/jwks", &[]).json();
    let said = verified(&set, &answer.body).unwrap();
    assert_eq!((&said["iss"], &said["aud"]), (&json!("postern"), &json!("services")));
    assert!(said["iat"].is_u64());
    let plain = server.post("/oauth2/introspect", ("gateway", "secret"), &format!("token={token}"));
    assert_eq!(plain.header("content-type"), Some("application/json;charset=UTF-8"));
    assert_eq!(said["token_introspection"], plain.json());
    assert_eq!(said["token_introspection"]["active"], true);

    let unknown = verified(&set, &asked(&server, "nobody's").body).unwrap();
    assert_eq!(unknown["token_introspection"], json!({ "active": false }));
    let (signed, signature) = answer.body.rsplit_once('.').unwrap();
    assert_eq!(verified(&set, &format!("{signed}A.{signature}")), None);

    // Nobody but a gateway is told, and the key stays the same.
    let stranger = server.request("POST", "/oauth2/introspect", &[("accept", MEDIA_TYPE)], "token=x");
    assert_eq!(stranger.status, 401);
    server.restart();
    assert_eq!(server.get("/oauth2/jwks", &[]).json(), set);
}

#[test]
fn everybody_may_have_the_public_key_and_nothing_more() {
    let server = Server::start();
    let set = server.get("/oauth2/jwks", &[]).json();
    let all = set["keys"].as_array().unwrap();
    assert_eq!(all.len(), 1, "no secret of a legacy profile");
    assert_eq!(keys(&all[0]), "kty, crv, use, alg, kid, x, y");
}
