//! `/oauth/check_token` and `/oauth/token_key`.

use std::time::Duration;

use crate::harness::http::Answer;
use crate::harness::*;

const LOGIN: &str = "grant_type=password&username=u1&password=password";

#[track_caller]
fn assert_refused(answer: &Answer, description: &str) {
    assert_eq!((answer.status, answer.header("www-authenticate")), (400, None));
    assert_eq!(
        answer.body,
        format!(r#"{{"error":"invalid_token","error_description":"{description}"}}"#)
    );
    assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[test]
fn ok() {
    let server = Server::start();
    let tokens = server.log_in("u2");
    let token = text(&tokens, "access_token");
    let answer = server.check_token(token);
    assert_eq!((answer.status, answer.body.as_str()), (200, payload(token).as_str()));
    assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
    let by_form = format!("token={token}&client_id=demo&client_secret=demo-secret");
    assert_eq!(
        server.post_form("/login/oauth/check_token", &by_form).body,
        payload(token)
    );
}

#[test]
fn unknown_token() {
    let server = Server::start();
    let tokens = server.log_in("u1");
    let forged = format!("{}A", text(&tokens, "access_token"));
    for token in [text(&tokens, "refresh_token"), &forged, "a.b.c", "x", ""] {
        assert_refused(&server.check_token(token), "Token was not recognised");
    }
}

#[test]
fn expired() {
    let server = Server::with_clients(&[
        "short --secret s --profile spring --grants password --scopes all --access-token-validity 1",
    ]);
    let short = server.post("/oauth/token", ("short", "s"), LOGIN).json();
    std::thread::sleep(Duration::from_millis(1100));
    assert_refused(&server.check_token(text(&short, "access_token")), "Token has expired");
}

#[test]
fn bad_signature_and_refresh_token_of_the_jwt_token_store_variants() {
    let server = Server::with(Setup {
        compat: "{ token_store: jwt }",
        ..Setup::default()
    });
    let tokens = server.log_in("u1");
    let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
    assert_eq!(server.check_token(access).status, 200);
    for token in [&format!("{access}A"), "a.b.c", "x", ""] {
        assert_refused(&server.check_token(token), "Cannot convert access token to JSON");
    }
    assert_refused(&server.check_token(refresh), "Encoded token is a refresh token");
    server.log_out(access);
    assert_refused(&server.check_token(access), "Token was not recognised");
}

#[test]
fn client_deleted_meanwhile() {
    let server = Server::with_clients(&["gone --secret s --profile spring --grants password --scopes all"]);
    let tokens = server.post("/oauth/token", ("gone", "s"), LOGIN).json();
    server.succeed(&["client", "remove", "gone"]);
    assert_refused(
        &server.check_token(text(&tokens, "access_token")),
        "Client not valid: gone",
    );
}

#[test]
fn missing_token() {
    let server = Server::start();
    let answer = server.post("/oauth/check_token", DEMO_CLIENT, "");
    assert_eq!(answer.status, 400);
    assert_eq!(
        masked(&answer.body, &[]),
        r#"{"timestamp":<now>,"status":400,"error":"Bad Request","exception":"org.springframework.web.bind.MissingServletRequestParameterException","message":"Required String parameter 'token' is not present","path":"/oauth/check_token"}"#
    );
}

#[test]
fn no_or_bad_client_auth() {
    let server = Server::start();
    let body = |message: &str| {
        format!(
            r#"{{"timestamp":<now>,"status":401,"error":"Unauthorized","message":"{message}","path":"/oauth/check_token"}}"#
        )
    };
    let full = "Full authentication is required to access this resource";
    for (answer, message) in [
        (server.post_form("/oauth/check_token", "token=x"), full),
        (
            server.post("/oauth/check_token", ("demo", "wrong"), "token=x"),
            "Bad credentials",
        ),
        (
            server.post("/oauth/check_token", ("nobody", "x"), "token=x"),
            "Bad credentials",
        ),
    ] {
        assert_eq!((answer.status, masked(&answer.body, &[])), (401, body(message)));
        assert_eq!(
            answer.header("www-authenticate"),
            Some(r#"Basic realm="oauth2/client""#)
        );
    }
    let form = server.post_form("/oauth/check_token", "token=x&client_id=demo&client_secret=wrong");
    assert_eq!(
        (form.status, form.body.as_str()),
        (
            401,
            r#"{"error":"invalid_client","error_description":"Bad client credentials"}"#
        )
    );
}

#[test]
fn open_only_with_the_danger_switch() {
    let mut server = Server::start();
    let tokens = server.log_in("u1");
    let token = text(&tokens, "access_token");
    let file = server.folder.path().join("auth.yaml");
    let config = std::fs::read_to_string(&file).unwrap();
    let open = config.replace("path: /login }", "path: /login, danger_open_check_token: true }");
    assert_ne!(open, config);
    std::fs::write(&file, open).unwrap();
    server.restart();
    let form = format!("token={token}");
    assert_eq!(server.post_form("/login/oauth/check_token", &form).body, payload(token));
    assert_eq!(
        server.post_form("/oauth/check_token", &form).status,
        401,
        "the other mount stays closed"
    );
}

#[test]
fn a_symmetric_key_is_shown_to_nobody() {
    let server = Server::start();
    assert_eq!(server.get("/login/oauth/token_key", &[]).status, 404);
    let answer = server.get("/oauth/token_key", &[("authorization", &basic(DEMO_CLIENT))]);
    assert_eq!(answer.status, 404);
    assert_eq!(
        masked(&answer.body, &[]),
        r#"{"timestamp":<now>,"status":404,"error":"Not Found","message":"No message available","path":"/oauth/token_key"}"#
    );
}

#[test]
fn get_user_is_not_copied() {
    let server = Server::start();
    let tokens = server.log_in("u1");
    let bearer = format!("Bearer {}", text(&tokens, "access_token"));
    assert_eq!(server.get("/login/user", &[("authorization", &bearer)]).status, 404);
}
