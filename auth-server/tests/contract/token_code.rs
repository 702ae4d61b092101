//! `POST /oauth/token`, grant_type=authorization_code: redemption and its failures.

use std::collections::HashSet;

use crate::harness::http::Answer;
use crate::harness::*;

const CLIENTS: &[&str] = &[
    "page --secret s --profile spring --grants authorization_code,refresh_token --scopes write,read --redirect-uris http://localhost:3000/cb,http://localhost:3000/other",
    "single --secret s --profile spring --grants authorization_code --scopes all --redirect-uris http://localhost:3000/cb",
];
const REDIRECT: &str = "redirect_uri=http://localhost:3000/cb";
// RFC 7636 appendix B
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";

fn server() -> Server {
    Server::with_clients(CLIENTS)
}

/// A code for user `u1`.
fn code(server: &Server, client: &str, more: &str) -> String {
    let path = format!("/login/oauth/authorize?response_type=code&client_id={client}&{more}");
    let answer = server.post_form(&path, "username=u1&password=password");
    let location = answer.header("location").unwrap_or_else(|| panic!("{answer:?}"));
    let (_, code) = location.split_once("code=").unwrap();
    code.to_owned()
}

fn redeem(server: &Server, client: &str, form: &str) -> Answer {
    server.post(
        "/login/oauth/token",
        (client, "s"),
        &format!("grant_type=authorization_code&{form}"),
    )
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, error: &str, description: &str) {
    let body = format!(r#"{{"error":"{error}","error_description":"{description}"}}"#);
    assert_eq!((answer.status, answer.body.as_str()), (status, body.as_str()));
    let challenge = format!(r#"Bearer error="{error}", error_description="{description}""#);
    let challenge = (status == 401).then_some(challenge);
    assert_eq!(answer.header("www-authenticate"), challenge.as_deref());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
}

#[test]
fn a_code_is_exchanged_for_the_tokens_of_its_user() {
    let server = server();
    let code = code(&server, "page", &format!("{REDIRECT}&scope=read"));
    let answer = redeem(&server, "page", &format!("code={code}&{REDIRECT}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    let values = ["access_token", "refresh_token", "jti"].map(|name| (text(&body, name), name));
    assert_eq!(
        masked(&answer.body, &values),
        r#"{"access_token":"<access_token>","token_type":"bearer","refresh_token":"<refresh_token>","expires_in":43199,"scope":"read","userId":"u1-id","jti":"<jti>"}"#
    );
    let claims = claims(text(&body, "access_token"));
    assert_eq!(
        keys(&claims),
        "user_name, scope, exp, userId, authorities, jti, client_id"
    );
    assert_eq!(claims["authorities"].to_string(), r#"["ROLE_TEST"]"#);
    assert_eq!(answer.header("deprecation"), None);
    let refresh = format!(
        "grant_type=refresh_token&refresh_token={}",
        text(&body, "refresh_token")
    );
    assert_eq!(server.post("/oauth/token", ("page", "s"), &refresh).status, 200);
}

#[test]
fn without_a_redirect_uri_in_the_request_none_is_needed() {
    let server = server();
    let code = code(&server, "single", "");
    assert_eq!(redeem(&server, "single", &format!("code={code}")).status, 200);
}

#[test]
fn without_a_redirect_uri_in_the_request_the_one_that_was_used_may_be_named() {
    let server = server();
    let code = code(&server, "single", "");
    let other = redeem(
        &server,
        "single",
        &format!("code={code}&redirect_uri=http://localhost:3000/other"),
    );
    assert_refused(&other, 400, "invalid_grant", "Redirect URI mismatch.");
    assert_eq!(
        redeem(&server, "single", &format!("code={code}&{REDIRECT}")).status,
        200
    );
}

#[test]
fn code_missing() {
    let answer = redeem(&server(), "page", REDIRECT);
    assert_refused(
        &answer,
        400,
        "invalid_request",
        "An authorization code must be supplied.",
    );
}

#[test]
fn code_invalid() {
    let server = server();
    let answer = redeem(&server, "page", &format!("code=c&{REDIRECT}"));
    assert_refused(&answer, 400, "invalid_grant", "Invalid authorization code: c");
}

#[test]
fn code_uri_mismatch() {
    let server = server();
    let code = code(&server, "page", REDIRECT);
    for form in [
        format!("code={code}&redirect_uri=http://localhost:3000/other"),
        format!("code={code}&redirect_uri=http://localhost:3000/cb/"),
        format!("code={code}"),
    ] {
        assert_refused(
            &redeem(&server, "page", &form),
            400,
            "invalid_grant",
            "Redirect URI mismatch.",
        );
    }
}

#[test]
fn code_client_mismatch() {
    let server = server();
    let code = code(&server, "page", REDIRECT);
    let answer = redeem(&server, "single", &format!("code={code}&{REDIRECT}"));
    assert_refused(&answer, 401, "invalid_client", "Client ID mismatch");
    // The URI is looked at first.
    let other = format!("code={code}&redirect_uri=http://localhost:3000/other");
    let answer = redeem(&server, "single", &other);
    assert_refused(&answer, 400, "invalid_grant", "Redirect URI mismatch.");
}

#[test]
fn a_code_is_good_once_and_a_later_second_use_takes_back_what_it_gave() {
    let server = server();
    let code = code(&server, "page", REDIRECT);
    let form = format!("code={code}&{REDIRECT}");
    let tokens = redeem(&server, "page", &form).json();
    let access = text(&tokens, "access_token");
    assert_eq!(server.check_token(access).status, 200);
    for (seconds, status) in [(0, 200), (9, 200), (2, 400)] {
        redeemed_earlier(&server, seconds);
        let again = redeem(&server, "page", &form);
        assert_refused(
            &again,
            400,
            "invalid_grant",
            &format!("Invalid authorization code: {code}"),
        );
        assert_eq!(server.check_token(access).status, status);
    }
}

#[test]
fn pkce_is_optional_and_binding() {
    let server = server();
    let bound = code(&server, "page", &format!("{REDIRECT}&{CHALLENGE}"));
    for verifier in ["", "&code_verifier=wrong", "&code_verifier="] {
        let answer = redeem(&server, "page", &format!("code={bound}&{REDIRECT}{verifier}"));
        assert_refused(&answer, 400, "invalid_grant", "Invalid code verifier");
    }
    let right = format!("code={bound}&{REDIRECT}&code_verifier={VERIFIER}");
    assert_eq!(redeem(&server, "page", &right).status, 200);
    // A challenge that somebody took out of the request is missed.
    let unbound = code(&server, "page", REDIRECT);
    let answer = redeem(
        &server,
        "page",
        &format!("code={unbound}&{REDIRECT}&code_verifier={VERIFIER}"),
    );
    assert_refused(&answer, 400, "invalid_grant", "Invalid code verifier");
}

#[test]
fn codes_are_long_and_random() {
    let server = server();
    let codes: HashSet<String> = (0..8).map(|_| code(&server, "page", REDIRECT)).collect();
    assert_eq!(codes.len(), 8);
    assert!(codes.iter().all(|code| code.len() == 64), "{codes:?}");
}

#[test]
fn a_client_without_the_grant_is_told_so_before_its_code_is_looked_at() {
    let answer = server().token("grant_type=authorization_code");
    assert_refused(
        &answer,
        401,
        "invalid_client",
        "Unauthorized grant type: authorization_code",
    );
}
