//! Logging in by name and password.

use postern_e2e::{
    client::{Request, Response},
    token,
    visit::{on_each_host, password_grant, tokens},
};

/// The headers of every answer of the token endpoint.
pub fn assert_token_headers(response: &Response) {
    assert_eq!(
        response.header("content-type"),
        Some("application/json;charset=UTF-8"),
        "{response:?}"
    );
    assert_eq!(response.header("cache-control"), Some("no-store"), "{response:?}");
    assert_eq!(response.header("pragma"), Some("no-cache"), "{response:?}");
}

/// The body of a success, byte for byte but for the values that must differ.
pub fn assert_token_body(response: &Response, user_id: &str) {
    let body = response.json();
    let given = tokens(response);
    let expires_in = body["expires_in"].as_u64().unwrap_or_default();
    assert!((43_190..=43_200).contains(&expires_in), "{body}");
    let access_id = body["jti"].as_str().unwrap_or_default();
    assert_eq!(
        response.text(),
        format!(
            r#"{{"access_token":"{}","token_type":"bearer","refresh_token":"{}","expires_in":{expires_in},"scope":"all","userId":"{user_id}","jti":"{access_id}"}}"#,
            given.access, given.refresh
        )
    );
    let (access, refresh) = (token::claims(&given.access), token::claims(&given.refresh));
    assert_eq!(access["jti"], access_id);
    assert_eq!(refresh["ati"], access_id);
    assert_ne!(refresh["jti"], access_id);
    for claims in [&access, &refresh] {
        assert_eq!(claims["userId"], user_id);
        assert_eq!(claims["client_id"], "demo");
        assert_eq!(claims["scope"], serde_json::json!(["all"]));
    }
    for jwt in [&given.access, &given.refresh] {
        assert_eq!(token::header(jwt), r#"{"alg":"HS256","typ":"JWT"}"#);
    }
}

#[test]
fn a_token_by_password() {
    on_each_host(|visit| {
        let user = visit.user("password-grant", &["tester", "tester2"]);
        let response = visit.send(&password_grant(&user, "password"));
        assert_eq!(response.status, 200, "{response:?}");
        assert_token_headers(&response);
        assert_token_body(&response, &user);

        let given = tokens(&response);
        let access = token::claims(&given.access);
        assert_eq!(
            token::keys(&access),
            ["user_name", "scope", "exp", "userId", "authorities", "jti", "client_id"]
        );
        assert_eq!(access["authorities"], serde_json::json!(["ROLE_TEST", "ROLE_TEST2"]));
        let refresh = token::claims(&given.refresh);
        let order = [
            "user_name",
            "scope",
            "ati",
            "exp",
            "userId",
            "authorities",
            "jti",
            "client_id",
        ];
        assert_eq!(token::keys(&refresh), order);
    });
}

#[test]
fn a_user_without_roles_has_the_claims_in_the_older_order() {
    on_each_host(|visit| {
        let user = visit.user("no-roles", &[]);
        let given = visit.log_in(&user);
        let access = token::claims(&given.access);
        assert_eq!(
            token::keys(&access),
            ["exp", "userId", "user_name", "jti", "client_id", "scope"]
        );
        let refresh = token::claims(&given.refresh);
        assert_eq!(
            token::keys(&refresh),
            ["user_name", "scope", "ati", "exp", "userId", "jti", "client_id"]
        );
    });
}

#[test]
fn the_same_token_while_it_is_valid() {
    on_each_host(|visit| {
        let user = visit.user("same-token", &["tester"]);
        let (first, second) = (visit.log_in(&user), visit.log_in(&user));
        assert_eq!(first.access, second.access);
        assert_eq!(first.refresh, second.refresh);
    });
}

#[test]
fn a_wrong_password() {
    on_each_host(|visit| {
        let user = visit.user("wrong-password", &["tester"]);
        for request in [
            password_grant(&user, "wrong"),
            password_grant("nobody-of-this-name", "password"),
        ] {
            let response = visit.send(&request);
            assert_eq!(response.status, 400, "{response:?}");
            assert_token_headers(&response);
            assert_eq!(
                response.text(),
                r#"{"error":"invalid_grant","error_description":"password invalid"}"#
            );
        }
    });
}

#[test]
fn a_client_with_a_wrong_secret() {
    on_each_host(|visit| {
        let request = Request::form(
            "/login/oauth/token",
            "grant_type=password&username=u1&password=password",
        );
        let response = visit.send(&request.basic("demo", "wrong"));
        assert_eq!(response.status, 401, "{response:?}");
        assert_eq!(
            response.header("www-authenticate"),
            Some(r#"Basic realm="oauth2/client""#)
        );
        assert_eq!(response.json()["message"], "Bad credentials");
    });
}
