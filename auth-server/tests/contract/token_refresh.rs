//! `POST /oauth/token`, grant_type=refresh_token: reuse and rotation, any encoding, narrower scopes, and its failures.

use std::time::Duration;

use crate::harness::*;

const MANY: &str = "many --secret s --profile spring --grants password,refresh_token --scopes write,read,all";
const LOGIN: &str = "grant_type=password&username=u1&password=password";

#[test]
fn a_refresh_gives_a_new_access_token_and_the_same_refresh_token_by_jti() {
    let server = Server::start();
    let first = server.log_in("u1");
    let answer = server.refresh(text(&first, "refresh_token"));
    assert_eq!(answer.status, 200);
    let second = answer.json();
    let values = ["access_token", "refresh_token", "jti"].map(|name| (text(&second, name), name));
    assert_eq!(
        masked(&answer.body, &values),
        r#"{"access_token":"<access_token>","token_type":"bearer","refresh_token":"<refresh_token>","expires_in":43199,"scope":"all","userId":"u1-id","jti":"<jti>"}"#
    );
    assert_ne!(first["jti"], second["jti"]);
    let (before, after) = (
        claims(text(&first, "refresh_token")),
        claims(text(&second, "refresh_token")),
    );
    assert_eq!(before["jti"], after["jti"]);
    assert_eq!(before["exp"], after["exp"]);
    assert_eq!(after["ati"], second["jti"]);
    assert_eq!(
        claims(text(&second, "access_token"))["authorities"].to_string(),
        r#"["ROLE_TEST"]"#
    );
    let asked = server.login.requests();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(
        asked[2].starts_with("GET /getAllPermissionByUserId?userId=u1-id "),
        "{asked:?}"
    );
}

#[test]
fn every_encoding_of_a_refresh_token_is_that_token() {
    let server = Server::start();
    let first = server.log_in("u1");
    let second = server.refresh(text(&first, "refresh_token")).json();
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_eq!(server.refresh(text(&second, "refresh_token")).status, 200);
    assert_eq!(server.refresh(text(&first, "refresh_token")).status, 200);
}

#[test]
fn the_access_token_before_is_taken_back() {
    let server = Server::start();
    let first = server.log_in("u1");
    server.refresh(text(&first, "refresh_token"));
    let body = r#"{"error":"invalid_token","error_description":"Token was not recognised"}"#;
    assert_eq!(server.check_token(text(&first, "access_token")).body, body);
    assert_eq!(server.snapshot()["revoked_tokens"][0][0], first["jti"]);
}

#[test]
fn a_login_after_a_refresh_gives_the_refreshed_token() {
    let server = Server::start();
    let first = server.log_in("u1");
    let second = server.refresh(text(&first, "refresh_token")).json();
    let third = server.log_in("u1");
    assert_eq!(second["access_token"], third["access_token"]);
    assert_eq!(second["refresh_token"], third["refresh_token"]);
}

#[test]
fn without_reuse_the_refresh_token_is_replaced() {
    let server = Server::with(Setup {
        compat: "{ reuse_refresh_token: false }",
        ..Setup::default()
    });
    let first = server.log_in("u1");
    let old = text(&first, "refresh_token");
    let second = server.refresh(old).json();
    assert_ne!(claims(old)["jti"], claims(text(&second, "refresh_token"))["jti"]);
    let answer = server.refresh(old);
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.body,
        format!(r#"{{"error":"invalid_grant","error_description":"Invalid refresh token: {old}"}}"#)
    );
    assert_eq!(server.refresh(text(&second, "refresh_token")).status, 200);
}

#[test]
fn a_scope_may_be_narrowed_but_not_widened() {
    let server = Server::with_clients(&[MANY]);
    let tokens = server
        .post("/oauth/token", ("many", "s"), &format!("{LOGIN}&scope=read+write"))
        .json();
    let refresh = |scope: &str| {
        let form = format!(
            "grant_type=refresh_token&refresh_token={}&scope={scope}",
            text(&tokens, "refresh_token")
        );
        server.post("/oauth/token", ("many", "s"), &form)
    };
    let wider = refresh("all+read");
    assert_eq!(wider.status, 400);
    assert_eq!(
        wider.body,
        r#"{"error":"invalid_scope","error_description":"Unable to narrow the scope of the client authentication to [all, read].","scope":"read write"}"#
    );
    assert_eq!(refresh("read").json()["scope"], "read");
    assert_eq!(refresh("").json()["scope"], "read write");
}

#[test]
fn unknown_refresh_tokens() {
    let server = Server::start();
    let tokens = server.log_in("u1");
    let access = text(&tokens, "access_token");
    let forged = format!("{}A", text(&tokens, "refresh_token"));
    for token in [access, forged.as_str(), "x", "a.b.c"] {
        let answer = server.refresh(token);
        assert_eq!(answer.status, 400);
        assert_eq!(answer.header("www-authenticate"), None);
        let body = format!(r#"{{"error":"invalid_grant","error_description":"Invalid refresh token: {token}"}}"#);
        assert_eq!(answer.body, body);
    }
    let missing = server.token("grant_type=refresh_token");
    assert_eq!(
        missing.body,
        r#"{"error":"invalid_grant","error_description":"Invalid refresh token: null"}"#
    );
}

#[test]
fn a_refresh_token_of_another_client() {
    let server = Server::with_clients(&[MANY]);
    let tokens = server.log_in("u1");
    let token = text(&tokens, "refresh_token");
    let form = format!("grant_type=refresh_token&refresh_token={token}");
    let answer = server.post("/oauth/token", ("many", "s"), &form);
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.body,
        format!(r#"{{"error":"invalid_grant","error_description":"Wrong client for this refresh token: {token}"}}"#)
    );
    assert_eq!(server.refresh(token).status, 200, "it stays good for its own client");
}

#[test]
fn an_expired_refresh_token_is_401_and_gone() {
    let server = Server::with_clients(&[
        "short --secret s --profile spring --grants password,refresh_token --scopes all --refresh-token-validity 1",
    ]);
    let tokens = server.post("/oauth/token", ("short", "s"), LOGIN).json();
    let token = text(&tokens, "refresh_token");
    std::thread::sleep(Duration::from_millis(1100));
    let form = format!("grant_type=refresh_token&refresh_token={token}");
    let answer = server.post("/oauth/token", ("short", "s"), &form);
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.body,
        format!(r#"{{"error":"invalid_token","error_description":"Invalid refresh token (expired): {token}"}}"#)
    );
    assert_eq!(
        answer.header("www-authenticate"),
        Some(r#"Bearer error="invalid_token", error_description="Invalid refresh token (expired)""#)
    );
    let again = server.post("/oauth/token", ("short", "s"), &form);
    assert_eq!(again.status, 400, "the row is deleted");
    let revoked = server.snapshot()["revoked_tokens"][0][0].clone();
    assert_eq!(revoked, tokens["jti"], "and the access token beside it with it");
}

#[test]
fn a_new_login_brings_the_authorities_of_now_into_the_next_refresh() {
    let server = Server::start();
    server.log_in("u1");
    server.login.set_permissions("u1", vec!["ROLE_NEW"]);
    let again = server.log_in("u1");
    assert_eq!(
        claims(text(&again, "access_token"))["authorities"][0],
        "ROLE_TEST",
        "the same token while valid"
    );
    let refreshed = server.refresh(text(&again, "refresh_token")).json();
    assert_eq!(
        claims(text(&refreshed, "access_token"))["authorities"].to_string(),
        r#"["ROLE_NEW"]"#
    );
}

#[test]
fn what_was_taken_away_since_the_login_is_not_in_the_refreshed_token() {
    for compat in ["{}", "{ reuse_refresh_token: false }"] {
        let server = Server::with(Setup {
            compat,
            ..Setup::default()
        });
        let authorities = |tokens: &serde_json::Value| {
            ["access_token", "refresh_token"].map(|name| claims(text(tokens, name))["authorities"].to_string())
        };
        let first = server.log_in("u2");
        assert_eq!(authorities(&first), [r#"["ROLE_TEST","ROLE_TEST2"]"#; 2]);
        server.login.set_permissions("u2", vec!["ROLE_TEST"]);
        let second = server.refresh(text(&first, "refresh_token")).json();
        assert_eq!(authorities(&second), [r#"["ROLE_TEST"]"#; 2]);
        server.login.set_permissions("u2", vec![]);
        let third = server.refresh(text(&second, "refresh_token")).json();
        assert_eq!(authorities(&third), ["null"; 2]);
        server.login.set_permissions("u2", vec!["ROLE_NEW"]);
        let fourth = server.refresh(text(&third, "refresh_token")).json();
        assert_eq!(authorities(&fourth), [r#"["ROLE_NEW"]"#; 2]);
    }
}

#[test]
fn a_refused_refresh_asks_no_login_service() {
    let server = Server::with_clients(&[MANY]);
    let tokens = server.log_in("u1");
    let token = text(&tokens, "refresh_token");
    let asked = server.login.requests().len();
    let form = format!("grant_type=refresh_token&refresh_token={token}");
    assert_eq!(server.post("/oauth/token", ("many", "s"), &form).status, 400);
    assert_eq!(server.refresh("x").status, 400);
    assert_eq!(server.login.requests().len(), asked);
}

#[test]
fn a_refresh_token_outlives_a_rotation_of_keys() {
    let server = Server::start();
    let tokens = server.log_in("u1");
    server.succeed(&["keys", "rotate", "--profile", "spring"]);
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(server.refresh(text(&tokens, "refresh_token")).status, 200);
    assert_eq!(
        server.snapshot()["issuers"][0]["jwks"]["inline"]["keys"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_refresh_token_of_a_user_who_is_gone_is_refused_as_an_unknown_one() {
    let server = Server::start();
    let tokens = server.log_in("u1");
    let presented = text(&tokens, "refresh_token");
    server.login.disable("u1-id");
    let answer = server.refresh(presented);
    assert_eq!(
        (answer.status, answer.body),
        (
            400,
            format!(r#"{{"error":"invalid_grant","error_description":"Invalid refresh token: {presented}"}}"#)
        )
    );
    server.login.enable("u1-id");
    assert_eq!(
        server.refresh(presented).status,
        200,
        "what the user had before comes back with them"
    );
}
