//! `/oauth/check_token` and `/oauth/token_key`.

use std::time::Duration;

use crate::harness::*;

const LOGIN: &str = "grant_type=password&username=u1&password=password";

#[test]
fn a_good_token_is_answered_with_its_claims_in_their_order() {
    let server = Server::start();
    for user in ["u0", "u2"] {
        let tokens = server.log_in(user);
        let token = text(&tokens, "access_token");
        let answer = server.check_token(token);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, payload(token));
        let by_query = format!("/login/oauth/check_token?token={token}&client_id=demo&client_secret=demo-secret");
        assert_eq!(server.get(&by_query, &[]).body, payload(token));
    }
}

#[test]
fn bad_tokens_are_400() {
    let server = Server::with_clients(&[
        "short --secret s --profile spring --grants password --scopes all --access-token-validity 1",
    ]);
    let tokens = server.log_in("u1");
    for token in [text(&tokens, "refresh_token"), "x", ""] {
        let answer = server.check_token(token);
        assert_eq!((answer.status, answer.header("www-authenticate")), (400, None));
        assert_eq!(
            answer.body,
            r#"{"error":"invalid_token","error_description":"Token was not recognised"}"#
        );
    }
    let short = server.post("/oauth/token", ("short", "s"), LOGIN).json();
    std::thread::sleep(Duration::from_millis(1100));
    let answer = server.check_token(text(&short, "access_token"));
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.body,
        r#"{"error":"invalid_token","error_description":"Token has expired"}"#
    );
}

#[test]
fn a_token_of_a_removed_client() {
    let server = Server::with_clients(&["gone --secret s --profile spring --grants password --scopes all"]);
    let tokens = server.post("/oauth/token", ("gone", "s"), LOGIN).json();
    server.succeed(&["client", "remove", "gone"]);
    let answer = server.check_token(text(&tokens, "access_token"));
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.body,
        r#"{"error":"invalid_token","error_description":"Client not valid: gone"}"#
    );
}

#[test]
fn without_the_parameter() {
    let server = Server::start();
    let answer = server.post("/oauth/check_token", DEMO_CLIENT, "");
    assert_eq!(answer.status, 400);
    assert_eq!(
        masked(&answer.body, &[]),
        r#"{"timestamp":<now>,"status":400,"error":"Bad Request","exception":"org.springframework.web.bind.MissingServletRequestParameterException","message":"Required String parameter 'token' is not present","path":"/oauth/check_token"}"#
    );
}

#[test]
fn only_clients_may_ask() {
    let server = Server::start();
    let answer = server.post_form("/oauth/check_token", "token=x");
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.header("www-authenticate"),
        Some(r#"Basic realm="oauth2/client""#)
    );
    assert_eq!(
        server.post("/oauth/check_token", ("demo", "wrong"), "token=x").status,
        401
    );
}

#[test]
fn later_versions_say_active_and_2_5_wants_post() {
    let server = Server::with(Setup {
        compat: r#"{ spring_oauth: "2.5" }"#,
        ..Setup::default()
    });
    let tokens = server.log_in("u1");
    let token = text(&tokens, "access_token");
    let body = server.check_token(token).json();
    assert_eq!(
        keys(&body),
        "user_name, scope, active, exp, userId, authorities, jti, client_id"
    );
    assert_eq!(body["active"], true);
    let get = server.get(
        &format!("/oauth/check_token?token={token}"),
        &[("authorization", &basic(DEMO_CLIENT))],
    );
    assert_eq!(get.status, 405);
}

#[test]
fn a_symmetric_key_is_shown_to_nobody() {
    let server = Server::start();
    let answer = server.get("/oauth/token_key", &[("authorization", &basic(DEMO_CLIENT))]);
    assert_eq!(answer.status, 404);
    assert_eq!(
        masked(&answer.body, &[]),
        r#"{"timestamp":<now>,"status":404,"error":"Not Found","message":"No message available","path":"/oauth/token_key"}"#
    );
}
