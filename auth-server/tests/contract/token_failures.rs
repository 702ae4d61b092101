//! The failure table of `/oauth/token`: status, challenge and body of every row, and the order of the checks.

use crate::harness::http::Answer;
use crate::harness::login::Day;
use crate::harness::*;

const CLIENTS: &[&str] = &[
    "loose --secret s --profile spring --grants password --scopes ,",
    "robot --secret s --profile spring --grants client_credentials --scopes all",
    "open --secret= --profile spring --grants client_credentials --scopes all",
    "many --secret s --profile spring --grants password,refresh_token --scopes write,read",
];
const USER: &str = "username=u1&password=password";
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
fn in_a_scope_error_only_the_description_is_escaped() {
    let server = Server::with_clients(&["odd --secret s --profile spring --grants password --scopes a&b,c"]);
    let answer = server.post("/oauth/token", ("odd", "s"), &format!("{LOGIN}&scope=%3Cx"));
    let body = r#"{"error":"invalid_scope","error_description":"Invalid scope: &lt;x","scope":"a&b c"}"#;
    assert_refused(&answer, 400, None, body);
}

#[test]
fn empty_scope() {
    let server = server();
    let answer = server.post("/oauth/token", ("loose", "s"), LOGIN);
    let body = r#"{"error":"invalid_scope","error_description":"Empty scope (either the client or the user is not allowed the requested scopes)"}"#;
    assert_refused(&answer, 400, None, body);
    // A client without registered scopes may ask for any.
    let answer = server.post("/oauth/token", ("loose", "s"), &format!("{LOGIN}&scope=x"));
    assert_eq!(answer.json()["scope"], "x");
}

#[test]
fn no_grant_type() {
    let server = server();
    let body = r#"{"error":"invalid_request","error_description":"Missing grant type"}"#;
    for form in ["", "grant_type=", "grant_type=%20", "username=u1&password=password"] {
        assert_refused(&server.token(form), 400, None, body);
    }
    // JSON bodies are not read.
    let authorization = basic(DEMO_CLIENT);
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ];
    let answer = server.request("POST", "/oauth/token", &headers, r#"{"grant_type":"password"}"#);
    assert_refused(&answer, 400, None, body);
}

#[test]
fn unknown_grant() {
    let server = server();
    for (form, shown) in [
        ("grant_type=magic", "magic"),
        ("grant_type=<b>'x'", "&lt;b&gt;&#39;x&#39;"),
    ] {
        let body =
            format!(r#"{{"error":"unsupported_grant_type","error_description":"Unsupported grant type: {shown}"}}"#);
        assert_refused(&server.token(form), 400, None, &body);
    }
}

#[test]
fn implicit() {
    let body =
        r#"{"error":"invalid_grant","error_description":"Implicit grant type not supported from token endpoint"}"#;
    assert_refused(&server().token("grant_type=implicit"), 400, None, body);
}

#[test]
fn grant_not_registered_for_client() {
    let server = server();
    for (client, grant) in [
        (DEMO_CLIENT, "client_credentials"),
        (DEMO_CLIENT, "authorization_code"),
        (("robot", "s"), "password"),
        (("robot", "s"), "refresh_token"),
    ] {
        let text = format!("Unauthorized grant type: {grant}");
        let answer = server.post(
            "/oauth/token",
            client,
            &format!("grant_type={grant}&code=c&refresh_token=x&{USER}"),
        );
        assert_refused(
            &answer,
            401,
            Some(&format!(r#"Bearer error="invalid_client", error_description="{text}""#)),
            &format!(r#"{{"error":"invalid_client","error_description":"{text}"}}"#),
        );
    }
    assert!(server.login.requests().is_empty(), "nobody's password is tried for it");
}

#[test]
fn order_of_checks() {
    let server = server();
    let error = |client: (&str, &str), form: &str| {
        let answer = server.post("/oauth/token", client, form).json();
        answer["error_description"]
            .as_str()
            .or(answer["message"].as_str())
            .unwrap()
            .to_owned()
    };
    // Each request is wrong in every way that is left; what it is told is the first of them.
    for (client, form, first) in [
        (("demo", "wrong"), "client_id=x&scope=x", "Bad credentials"),
        (
            DEMO_CLIENT,
            "client_id=x&scope=x",
            "Given client ID does not match authenticated client",
        ),
        (DEMO_CLIENT, "scope=x", "Invalid scope: x"),
        (DEMO_CLIENT, "scope=x&grant_type=implicit", "Invalid scope: x"),
        (DEMO_CLIENT, "username=u1&password=wrong", "Missing grant type"),
        (
            ("robot", "s"),
            "grant_type=implicit",
            "Implicit grant type not supported from token endpoint",
        ),
        (
            ("robot", "s"),
            "grant_type=password&username=u1&password=wrong",
            "Unauthorized grant type: password",
        ),
        (
            DEMO_CLIENT,
            "grant_type=password&username=u1&password=wrong",
            "password &lt;invalid&gt;",
        ),
    ] {
        assert_eq!(error(client, form), first, "{form}");
    }
}

#[test]
fn an_empty_stored_secret_accepts_the_empty_password() {
    let server = server();
    let form = "grant_type=client_credentials";
    assert_eq!(server.post("/oauth/token", ("open", ""), form).status, 200);
    assert_eq!(
        server
            .post_form("/oauth/token", &format!("client_id=open&{form}"))
            .status,
        200
    );
    assert_eq!(server.post("/oauth/token", ("open", "x"), form).status, 401);
}

#[test]
fn bad_user_or_password_gets_the_words_of_the_login_service() {
    let answer = server().token("grant_type=password&username=u1&password=wrong");
    let body = r#"{"error":"invalid_grant","error_description":"password &lt;invalid&gt;"}"#;
    assert_refused(&answer, 400, None, body);
}

#[test]
fn get_and_other_methods() {
    let server = server();
    let authorization = basic(DEMO_CLIENT);
    let answer = server.get("/oauth/token?grant_type=password", &[("authorization", &authorization)]);
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
fn login_server_down_or_other_exception() {
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
    server.reconfigure(&server.login.url, "http://127.0.0.1:1");
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
