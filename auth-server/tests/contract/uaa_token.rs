//! Profile `uaa`: tokens, and what is said of them.

use std::time::Duration;

use super::import::Form;
use crate::harness::dump::{Dump, Token};
use crate::harness::*;

pub const ADMIN: (&str, &str) = ("admin", "secret");
pub const ADMIN_LOGIN: &str = "client_id=admin&client_secret=secret&grant_type=client_credentials";

/// The mount and the client of the samples, and whatever clients a test has besides.
pub fn server(clients: &'static [&'static str]) -> Server {
    let admin = "admin --secret secret --profile uaa --grants client_credentials --scopes ADMIN";
    Server::with(Setup {
        compat: "{ query_credentials: true }",
        mounts: ", { profile: uaa, path: /uaa, danger_open_check_token: true }",
        clients: Box::leak([&[admin], clients].concat().into_boxed_slice()),
        ..Setup::default()
    })
}

/// A token of the client of the samples.
pub fn admin_token(server: &Server) -> String {
    let answer = server.post_form("/uaa/oauth/token", ADMIN_LOGIN);
    assert_eq!(answer.status, 200, "{answer:?}");
    text(&answer.json(), "access_token").to_owned()
}

fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

#[test]
fn a_token_by_form_and_by_basic() {
    let server = server(&[]);
    let form = server.post_form("/uaa/oauth/token", ADMIN_LOGIN);
    let basic = server.post("/uaa/oauth/token", ADMIN, "grant_type=client_credentials");
    for answer in [&form, &basic] {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("pragma"), Some("no-cache"));
        let body = answer.json();
        let (token, expires_in) = (text(&body, "access_token"), body["expires_in"].as_i64().unwrap());
        assert!(is_uuid(token), "{token}");
        assert!((43_190..=43_199).contains(&expires_in), "{body}");
        assert_eq!(
            answer.body,
            format!(r#"{{"access_token":"{token}","token_type":"bearer","expires_in":{expires_in},"scope":"ADMIN"}}"#)
        );
    }
}

#[test]
fn the_same_token_within_its_validity() {
    let server = server(&[
        "brief --secret s --profile uaa --grants client_credentials --scopes ADMIN --access-token-validity 3",
    ]);
    let token = || {
        server
            .post("/uaa/oauth/token", ("brief", "s"), "grant_type=client_credentials")
            .json()
    };
    let first = token();
    std::thread::sleep(Duration::from_millis(1100));
    let again = token();
    assert_eq!(again["access_token"], first["access_token"]);
    assert!(again["expires_in"].as_i64().unwrap() < first["expires_in"].as_i64().unwrap());
    std::thread::sleep(Duration::from_millis(2000));
    assert_ne!(token()["access_token"], first["access_token"]);
}

#[test]
fn a_wrong_secret_and_an_unknown_client() {
    let server = server(&["demo2 --secret s --profile spring --grants client_credentials --scopes all"]);
    for form in [
        "client_id=admin&client_secret=wrong&grant_type=client_credentials",
        "client_id=nobody&client_secret=secret&grant_type=client_credentials",
        // A client of another contract.
        "client_id=demo2&client_secret=s&grant_type=client_credentials",
    ] {
        let answer = server.post_form("/uaa/oauth/token", form);
        assert_eq!(answer.status, 401, "{form}");
        assert_eq!(
            answer.body,
            r#"{"error":"invalid_client","error_description":"Bad client credentials"}"#
        );
        assert_eq!(
            answer.header("www-authenticate"),
            Some(r#"Form realm="oauth", error="invalid_client", error_description="Bad client credentials""#)
        );
    }
}

#[test]
fn texts_are_not_escaped_and_a_get_is_405_as_in_2_0_7() {
    let server = server(&[]);
    let answer = server.post_form("/uaa/oauth/token", &format!("{ADMIN_LOGIN}&scope=%3Cx%3E'"));
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.body,
        r#"{"error":"invalid_scope","error_description":"Invalid scope: <x>'","scope":"ADMIN"}"#
    );
    let get = server.get("/uaa/oauth/token", &[("authorization", &basic(ADMIN))]);
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    assert_eq!(
        masked(&get.body, &[]),
        r#"{"timestamp":<now>,"status":405,"error":"Method Not Allowed","exception":"org.springframework.web.HttpRequestMethodNotSupportedException","message":"Request method 'GET' not supported","path":"/uaa/oauth/token"}"#
    );
}

#[test]
fn check_token_answers_anybody_by_get_and_by_post() {
    let server = server(&[]);
    let token = admin_token(&server);
    let post = server.post_form("/uaa/oauth/check_token", &format!("token={token}"));
    let get = server.get(&format!("/uaa/oauth/check_token?token={token}"), &[]);
    for answer in [post, get] {
        assert_eq!(answer.status, 200, "{answer:?}");
        let exp = answer.json()["exp"].as_i64().unwrap();
        assert_eq!(
            answer.body,
            format!(r#"{{"scope":["ADMIN"],"exp":{exp},"client_id":"admin"}}"#)
        );
    }
}

#[test]
fn check_token_of_what_is_no_living_token() {
    let server = server(&[
        "brief --secret s --profile uaa --grants client_credentials --scopes ADMIN --access-token-validity 1",
    ]);
    let brief = server
        .post("/uaa/oauth/token", ("brief", "s"), "grant_type=client_credentials")
        .json();
    let of_spring = server.log_in("u1");
    for token in [
        "2777a567-1c64-4d5b-a03e-37de5d33ca4e",
        text(&of_spring, "access_token"),
        "",
    ] {
        let answer = server.post_form("/uaa/oauth/check_token", &format!("token={token}"));
        assert_eq!(answer.status, 400);
        assert_eq!(
            answer.body,
            r#"{"error":"invalid_token","error_description":"Token was not recognised"}"#
        );
    }
    std::thread::sleep(Duration::from_millis(1100));
    let answer = server.post_form(
        "/uaa/oauth/check_token",
        &format!("token={}", text(&brief, "access_token")),
    );
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.body,
        r#"{"error":"invalid_token","error_description":"Token has expired"}"#
    );
}

#[test]
fn check_token_is_closed_unless_the_mount_opens_it() {
    let server = Server::with(Setup {
        mounts: ", { profile: uaa, path: /uaa }",
        clients: &["admin --secret secret --profile uaa --grants client_credentials --scopes ADMIN"],
        ..Setup::default()
    });
    let form = format!("token={}", admin_token(&server));
    assert_eq!(server.post_form("/uaa/oauth/check_token", &form).status, 401);
    assert_eq!(server.post("/uaa/oauth/check_token", ADMIN, &form).status, 200);
}

#[test]
fn a_client_without_scopes_may_not_ask_for_the_one_that_registers_clients() {
    let server = server(&[]);
    let dump = Dump::default().client_of(&[
        ("client_id", "loose"),
        ("client_secret", "loose-secret"),
        ("authorized_grant_types", "client_credentials"),
    ]);
    // Given by the other system, which let such a client ask for anything.
    let token = Token::opaque("2777a567-1c64-4d5b-a03e-37de5d33ca4e", "ADMIN", 600);
    let dump = dump.access_token(&token, "", "loose", None);
    let report = server.import(&dump, Form::Mysqldump, &["--profile", "uaa"]);
    assert!(
        report.contains("client loose: it has no scopes, and may ask for any but ADMIN; register it anew if it needs"),
        "{report}"
    );
    server.snapshot();
    let ask = |scope: &str| {
        let form = format!("grant_type=client_credentials&scope={scope}");
        server.post("/uaa/oauth/token", ("loose", "loose-secret"), &form)
    };
    assert_eq!(ask("CLIENT").status, 200);
    for scope in ["ADMIN", "CLIENT+ADMIN"] {
        let answer = ask(scope);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (
                400,
                r#"{"error":"invalid_scope","error_description":"Invalid scope: ADMIN","scope":""}"#
            )
        );
    }
    let form = format!("access_token={}&clientId=evil&clientSecret=evil", token.value);
    let answer = server.post_form("/uaa/register", &form);
    assert_eq!(answer.status, 403, "{answer:?}");
}
