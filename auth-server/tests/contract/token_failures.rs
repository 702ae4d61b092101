//! The failure table of `/oauth/token`: status, challenge and body of every row, and the order of the checks.

use crate::harness::http::Answer;
use crate::harness::login::Day;
use crate::harness::*;

const CLIENTS: &[&str] = &[
    "loose --secret s --profile spring --grants password --scopes ,",
    "many --secret s --profile spring --grants password,refresh_token --scopes write,read",
];
const LOGIN: &str = "grant_type=password&username=u1&password=password";

fn server() -> Server {
    Server::with_clients(CLIENTS)
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, challenge: Option<&str>, body: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(masked(&answer.body, &[]), body);
    assert_eq!(answer.header("www-authenticate"), challenge);
    assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
}

fn boot_401(message: &str) -> String {
    format!(r#"{{"timestamp":<now>,"status":401,"error":"Unauthorized","message":"{message}","path":"/oauth/token"}}"#)
}

const BASIC: Option<&str> = Some(r#"Basic realm="oauth2/client""#);

#[test]
fn no_client_credentials() {
    let answer = server().post_form("/oauth/token", LOGIN);
    assert_refused(
        &answer,
        401,
        BASIC,
        &boot_401("Full authentication is required to access this resource"),
    );
}

#[test]
fn wrong_secret_or_unknown_client_by_basic() {
    let server = server();
    for client in [("demo", "wrong"), ("nobody", "demo-secret"), ("demo", "")] {
        assert_refused(
            &server.post("/oauth/token", client, LOGIN),
            401,
            BASIC,
            &boot_401("Bad credentials"),
        );
    }
}

#[test]
fn malformed_basic() {
    let server = server();
    for (value, message) in [
        ("Basic %%%", "Failed to decode basic authentication token"),
        ("Basic ZGVtbw==", "Invalid basic authentication token"),
    ] {
        let answer = server.request(
            "POST",
            "/oauth/token",
            &[("authorization", value), ("content-type", FORM)],
            LOGIN,
        );
        assert_refused(&answer, 401, BASIC, &boot_401(message));
    }
}

#[test]
fn wrong_secret_or_unknown_client_by_form() {
    let server = server();
    for client in [
        "client_id=demo&client_secret=wrong",
        "client_id=nobody&client_secret=x",
        "client_id=demo",
    ] {
        assert_refused(
            &server.post_form("/oauth/token", &format!("{client}&{LOGIN}")),
            401,
            Some(r#"Form realm="oauth2/client", error="invalid_client", error_description="Bad client credentials""#),
            r#"{"error":"invalid_client","error_description":"Bad client credentials"}"#,
        );
    }
}

#[test]
fn client_id_of_another_client() {
    assert_refused(
        &server().token(&format!("client_id=many&{LOGIN}")),
        401,
        Some(
            r#"Bearer error="invalid_client", error_description="Given client ID does not match authenticated client""#,
        ),
        r#"{"error":"invalid_client","error_description":"Given client ID does not match authenticated client"}"#,
    );
}

#[test]
fn scope_not_registered() {
    let answer = server().post("/oauth/token", ("many", "s"), &format!("{LOGIN}&scope=read+x"));
    let body = r#"{"error":"invalid_scope","error_description":"Invalid scope: x","scope":"write read"}"#;
    assert_refused(&answer, 400, None, body);
}

#[test]
fn empty_scope() {
    let answer = server().post("/oauth/token", ("loose", "s"), LOGIN);
    let body = r#"{"error":"invalid_scope","error_description":"Empty scope (either the client or the user is not allowed the requested scopes)"}"#;
    assert_refused(&answer, 400, None, body);
}

#[test]
fn grant_types() {
    let server = server();
    for (form, status, challenge, body) in [
        (
            "",
            400,
            None,
            r#"{"error":"invalid_request","error_description":"Missing grant type"}"#,
        ),
        (
            "grant_type=",
            400,
            None,
            r#"{"error":"invalid_request","error_description":"Missing grant type"}"#,
        ),
        (
            "grant_type=magic",
            400,
            None,
            r#"{"error":"unsupported_grant_type","error_description":"Unsupported grant type: magic"}"#,
        ),
        (
            "grant_type=<b>'x'",
            400,
            None,
            r#"{"error":"unsupported_grant_type","error_description":"Unsupported grant type: &lt;b&gt;&#39;x&#39;"}"#,
        ),
        (
            "grant_type=implicit",
            400,
            None,
            r#"{"error":"invalid_grant","error_description":"Implicit grant type not supported from token endpoint"}"#,
        ),
        (
            "grant_type=client_credentials",
            401,
            Some(r#"Bearer error="invalid_client", error_description="Unauthorized grant type: client_credentials""#),
            r#"{"error":"invalid_client","error_description":"Unauthorized grant type: client_credentials"}"#,
        ),
    ] {
        assert_refused(&server.token(form), status, challenge, body);
    }
}

#[test]
fn scope_is_checked_before_the_grant_type() {
    let answer = server().token("scope=x");
    let body = r#"{"error":"invalid_scope","error_description":"Invalid scope: x","scope":"all"}"#;
    assert_refused(&answer, 400, None, body);
}

#[test]
fn bad_user_or_password_gets_the_words_of_the_login_service() {
    let answer = server().token("grant_type=password&username=u1&password=wrong");
    let body = r#"{"error":"invalid_grant","error_description":"password &lt;invalid&gt;"}"#;
    assert_refused(&answer, 400, None, body);
}

#[test]
fn no_client_can_be_registered_for_authorization_codes() {
    let answer = server().token("grant_type=authorization_code&code=c");
    let body = r#"{"error":"invalid_client","error_description":"Unauthorized grant type: authorization_code"}"#;
    let challenge = r#"Bearer error="invalid_client", error_description="Unauthorized grant type: authorization_code""#;
    assert_refused(&answer, 401, Some(challenge), body);
}

#[test]
fn methods_other_than_post() {
    let server = server();
    let authorization = basic(DEMO_CLIENT);
    let answer = server.get(&format!("/oauth/token?{LOGIN}"), &[("authorization", &authorization)]);
    let body = r#"{"error":"method_not_allowed","error_description":"Request method &#39;GET&#39; not supported"}"#;
    assert_refused(&answer, 405, None, body);
    assert_eq!(
        server
            .request("PUT", "/oauth/token", &[("authorization", &authorization)], "")
            .status,
        405
    );
}

#[test]
fn the_login_service_is_down_broken_or_silent() {
    let server = server();
    let body = r#"{"error":"server_error","error_description":"Internal Server Error"}"#;
    let tokens = server.log_in("u1");
    let refresh = text(&tokens, "refresh_token");
    for day in [Day::Broken, Day::Silent] {
        server.login.set_day(day);
        assert_refused(&server.token(LOGIN), 500, None, body);
        assert_refused(&server.refresh(refresh), 500, None, body);
    }
    let kept = server.check_token(text(&tokens, "access_token"));
    assert_eq!(kept.status, 200, "a refresh that failed took nothing back");
    let config = yaml("http://127.0.0.1:1", "{}");
    std::fs::write(server.folder.path().join("auth.yaml"), config).unwrap();
    let mut server = server;
    server.restart();
    assert_refused(&server.token(LOGIN), 500, None, body);
    assert_refused(&server.refresh(refresh), 500, None, body);
}

#[test]
fn a_saturated_login_service_means_try_again_later() {
    let server = server();
    let tokens = server.log_in("u1");
    let refresh = || server.refresh(text(&tokens, "refresh_token"));
    server.login.set_day(Day::Saturated);
    for answer in [server.token(LOGIN), refresh()] {
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), Some("3"));
    }
    server.login.set_day(Day::Good);
    assert_eq!(server.token(LOGIN).status, 200);
    assert_eq!(refresh().status, 200);
}

#[test]
fn a_body_without_end_is_refused() {
    let answer = server().token(&format!("{LOGIN}&x={}", "x".repeat(1 << 20)));
    assert_eq!(answer.status, 413);
}

#[test]
fn the_texts_of_other_versions() {
    let server = Server::with(Setup {
        compat: r#"{ spring_oauth: "2.5" }"#,
        ..Setup::default()
    });
    let body = r#"{"error":"unsupported_grant_type","error_description":"Unsupported grant type"}"#;
    assert_refused(&server.token("grant_type=<b>"), 400, None, body);
    let body = r#"{"error":"invalid_grant","error_description":"password <invalid>"}"#;
    assert_refused(
        &server.token("grant_type=password&username=u1&password=wrong"),
        400,
        None,
        body,
    );

    let server = Server::with(Setup {
        compat: r#"{ spring_oauth: "2.0.7" }"#,
        ..Setup::default()
    });
    let answer = server.get("/oauth/token", &[("authorization", &basic(DEMO_CLIENT))]);
    let body = r#"{"timestamp":<now>,"status":405,"error":"Method Not Allowed","exception":"org.springframework.web.HttpRequestMethodNotSupportedException","message":"Request method 'GET' not supported","path":"/oauth/token"}"#;
    assert_refused(&answer, 405, None, body);
    let answer = server.post_form("/oauth/token", "client_id=x");
    let challenge = r#"Form realm="oauth", error="invalid_client", error_description="Bad client credentials""#;
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
}

#[test]
fn nothing_secret_is_logged() {
    let server = server();
    let tokens = server.log_in("u1");
    let refresh = text(&tokens, "refresh_token");
    server.refresh(refresh);
    server.refresh(&format!("{refresh}x"));
    server.post("/oauth/token", ("demo", "wrong-secret"), LOGIN);
    server.token("grant_type=password&username=u1&password=wrong-password");
    server.log_out(text(&tokens, "access_token"));
    server.log_out("opaque-token");
    let log = server.log_with("BadBearerToken");
    for secret in [
        refresh,
        text(&tokens, "access_token"),
        "wrong-secret",
        "wrong-password",
        "demo-secret",
        "opaque-token",
    ] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
