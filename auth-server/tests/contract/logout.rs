//! `/logout`: what the samples send, and what a client gets afterwards.

use crate::harness::*;

const MULTIPART: &str = "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW";

#[test]
fn the_multipart_samples_with_and_without_a_body() {
    let server = Server::start();
    let body = "------WebKitFormBoundary7MA4YWxkTrZu0gW\r\nContent-Disposition: form-data; name=\"userId\"\r\n\r\nu1\r\n------WebKitFormBoundary7MA4YWxkTrZu0gW--";
    for (path, body) in [("/logout", body), ("/login/logout", "")] {
        let tokens = server.log_in("u1");
        let token = format!("bearer {}", text(&tokens, "access_token"));
        let headers = [
            ("authorization", token.as_str()),
            ("content-type", MULTIPART),
            ("cache-control", "no-cache"),
        ];
        let answer = server.request("POST", path, &headers, body);
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        assert_eq!(server.check_token(text(&tokens, "access_token")).status, 400);
    }
}

#[test]
fn afterwards_neither_token_is_good() {
    let server = Server::start();
    let tokens = server.log_in("u1");
    let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
    server.log_out(access);
    let unknown = r#"{"error":"invalid_token","error_description":"Token was not recognised"}"#;
    assert_eq!(server.check_token(access).body, unknown);
    let invalid = format!(r#"{{"error":"invalid_grant","error_description":"Invalid refresh token: {refresh}"}}"#);
    assert_eq!(server.refresh(refresh).body, invalid);
    assert_ne!(server.log_in("u1")["jti"], tokens["jti"]);
    assert_eq!(server.log_out(access).status, 200, "a second time does no harm");
}

#[test]
fn any_method_and_any_case_of_the_scheme() {
    let server = Server::start();
    for (method, scheme) in [("GET", "Bearer"), ("PUT", "BEARER"), ("DELETE", "bearer")] {
        let tokens = server.log_in("u1");
        let token = format!("{scheme} {}", text(&tokens, "access_token"));
        assert_eq!(
            server
                .request(method, "/logout", &[("authorization", &token)], "")
                .status,
            200
        );
        assert_eq!(server.check_token(text(&tokens, "access_token")).status, 400);
    }
}

#[test]
fn an_unknown_jwt_is_logged_out_already() {
    assert_eq!(Server::start().log_out("a.b.c").status, 200);
}

#[test]
fn a_missing_header_is_401() {
    let server = Server::start();
    for headers in [&[][..], &[("authorization", "Basic ZGVtbzpkZW1v")]] {
        let answer = server.request("POST", "/logout", headers, "");
        assert_eq!(answer.status, 401);
        assert_eq!(
            answer.body,
            r#"{"error":"unauthorized","error_description":"Full authentication is required to access this resource"}"#
        );
        assert_eq!(
            answer.header("www-authenticate"),
            Some(
                r#"Bearer realm="oauth2-resource", error="unauthorized", error_description="Full authentication is required to access this resource""#
            )
        );
    }
}

#[test]
fn what_is_no_token_of_ours_is_401() {
    let answer = Server::start().log_out("opaque'");
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.body,
        r#"{"error":"invalid_token","error_description":"opaque&#39;"}"#
    );
    let challenge = r#"Bearer realm="oauth2-resource", error="invalid_token""#;
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
}

#[test]
fn an_opaque_token_of_ours_is_taken_back_too() {
    let server = Server::with(Setup {
        mounts: ", { profile: tkey, path: /sso }, { profile: uaa, path: /uaa }, { profile: principal, path: /authorization-server }",
        clients: &[
            "sso --secret s --profile tkey --grants password,refresh_token --scopes all",
            "acme --secret s --profile uaa --grants client_credentials --scopes CLIENT",
            "platform --secret s --profile principal --grants client_credentials --scopes read",
        ],
        ..Setup::default()
    });
    let get = |base: &str, client: &str, form: &str| {
        let answer = server.post(&format!("{base}/oauth/token"), (client, "s"), form);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let is_active = |token: &str| {
        let answer = server.post("/oauth2/introspect", ("gateway", "secret"), &format!("token={token}"));
        answer.json()["active"].as_bool().unwrap()
    };
    let sso = get("/sso", "sso", "grant_type=password&username=u1&password=password");
    let uaa = get("/uaa", "acme", "grant_type=client_credentials");
    let platform = get("/authorization-server", "platform", "grant_type=client_credentials");
    for tokens in [&sso, &uaa, &platform] {
        let token = text(tokens, "access_token");
        assert!(is_active(token));
        let answer = server.log_out(token);
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        assert!(!is_active(token));
    }
    let form = format!("grant_type=refresh_token&refresh_token={}", text(&sso, "refresh_token"));
    assert_eq!(server.post("/sso/oauth/token", ("sso", "s"), &form).status, 400);
}

#[test]
fn a_forged_token_with_the_id_of_a_living_one_takes_nothing_back() {
    let server = Server::start();
    let tokens = server.log_in("u1");
    let access = text(&tokens, "access_token");
    let (signed, signature) = access.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let other_signature = signature.chars().rev().collect::<String>();
    for forged in [
        format!("{signed}.{other_signature}"),
        format!("{signed}."),
        format!("eyJhbGciOiJub25lIn0.{payload}.{signature}"),
        format!("{header}.{payload}=.{signature}"),
    ] {
        let checked = server.check_token(&forged);
        assert_eq!(
            (checked.status, &checked.json()["error"]),
            (400, &"invalid_token".into()),
            "{forged}"
        );
        let asked = server.post("/oauth2/introspect", ("gateway", "secret"), &format!("token={forged}"));
        assert_eq!(asked.body, r#"{"active":false}"#, "{forged}");
        // Whatever is no good (any more) counts as logged out.
        assert_eq!(server.log_out(&forged).status, 200, "{forged}");
        assert_eq!(server.check_token(access).status, 200, "{forged}");
    }
    assert!(server.snapshot().get("revoked_tokens").is_none());
}
