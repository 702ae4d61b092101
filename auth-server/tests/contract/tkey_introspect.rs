//! `/oauth/introspect` of profile `tkey`.

use crate::harness::tkey::*;
use crate::harness::*;

/// The difference of `exp` and `iat`, after a look at the members.
fn lifetime(known: &serde_json::Value) -> i64 {
    assert_eq!(keys(known), "token_type, grant_type, client_id, exp, iat");
    assert_eq!(
        (text(known, "token_type"), text(known, "client_id")),
        ("Bearer", "test_client_id_1")
    );
    known["exp"].as_i64().unwrap() - known["iat"].as_i64().unwrap()
}

#[test]
fn an_access_token() {
    let server = start();
    let tokens = tokens(&server, "grant_type=client_credentials");
    let answer = introspect(&server, pair(&tokens).0, "access_token");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(lifetime(&answer.json()), 57_600);
    assert_eq!(answer.json()["grant_type"], "client_credentials");
    let upper = introspect(&server, pair(&tokens).0, "ACCESS_TOKEN");
    assert_eq!(upper.body, answer.body, "the hint counts in any case");
}

#[test]
fn a_refresh_token() {
    let server = start();
    let tokens = redeem(&server, &code(&server, ""), "").json();
    let known = introspect(&server, pair(&tokens).1, "refresh_token").json();
    assert_eq!(lifetime(&known), 86_400);
    assert_eq!(known["grant_type"], "authorization_code");
}

#[test]
fn an_access_token_is_no_refresh_token() {
    let server = start();
    let tokens = tokens(&server, "grant_type=client_credentials");
    let answer = introspect(&server, pair(&tokens).1, "access_token");
    assert_eq!(answer.body, error("access_token 参数格式不对，必须包含：AT-"));
}

#[test]
fn the_client_is_the_caller() {
    let server = start();
    let tokens = tokens(&server, "grant_type=client_credentials");
    let form = format!(
        "client_id=robot&client_secret=robot-secret&token_type_hint=access_token&token={}",
        pair(&tokens).0
    );
    assert_eq!(post(&server, "/oauth/introspect", &form).json()["client_id"], "robot");
}

#[test]
fn a_token_of_a_removed_client() {
    let server = start();
    let form = "grant_type=client_credentials&client_id=robot&client_secret=robot-secret";
    let tokens = post(&server, "/oauth/token", form).json();
    let access = text(&tokens, "access_token");
    server.succeed(&["client", "remove", "robot"]);
    assert_eq!(introspect(&server, access, "access_token").body, error("token 已失效"));
    assert_eq!(userinfo(&server, access).body, error("access_token 已失效"));
}

#[test]
fn post_only() {
    assert_eq!(start().get("/sso/oauth/introspect", &[]).status, 405);
}
