//! Calling a service with a token, and what is answered when there is none, when it is bad, or when it may not.

use postern_e2e::{
    client::{Request, Response},
    visit::{Visit, on_each_host},
};

const UNAUTHORIZED: &str =
    r#"{"error":"unauthorized","error_description":"Full authentication is required to access this resource"}"#;

/// The answer of the contract to a permission that is missing, byte for byte but for the time.
pub fn assert_forbidden(response: &Response, path: &str) {
    assert_eq!(response.status, 403, "{response:?}");
    let timestamp = &response.json()["timestamp"];
    assert!(
        timestamp.as_u64().is_some_and(|ms| ms > 1_500_000_000_000),
        "{response:?}"
    );
    assert_eq!(
        response.text(),
        format!(
            r#"{{"timestamp":{timestamp},"status":403,"error":"Forbidden","message":"No message available","path":"{path}"}}"#
        )
    );
}

/// The answer of the contract to a token that is not good, byte for byte; the token stands nowhere but in the body.
pub fn assert_invalid_token(response: &Response, token: &str) {
    assert_eq!(response.status, 401, "{response:?}");
    assert_eq!(
        response.text(),
        format!(r#"{{"error":"invalid_token","error_description":"{token}"}}"#)
    );
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let challenge = response.header("www-authenticate").unwrap_or_default();
    assert!(
        challenge.starts_with(r#"Bearer realm="oauth2-resource", error="invalid_token""#),
        "{response:?}"
    );
    assert!(
        response.headers.iter().all(|(_, value)| !value.contains(token)),
        "{response:?}"
    );
}

#[test]
fn with_a_token() {
    on_each_host(|visit| {
        let user = visit.user("call", &["tester"]);
        let token = visit.log_in(&user).access;
        for path in ["/service/demo/test", "/demo/test", "/service/demo/test?a=b&c=%2F"] {
            for scheme in ["bearer", "Bearer", "BEARER"] {
                let request = Request::get(path).header("Authorization", &format!("{scheme} {token}"));
                let response = visit.send(&request);
                assert_eq!(
                    (response.status, response.text().as_str()),
                    (200, "ok"),
                    "{path} {response:?}"
                );
            }
        }
    });
}

#[test]
fn without_a_token() {
    on_each_host(|visit| {
        for path in ["/service/demo/test", "/demo/test2", "/nowhere", "/"] {
            let response = visit.send(&Request::get(path));
            assert_eq!(response.status, 401, "{path} {response:?}");
            assert_eq!(response.text(), UNAUTHORIZED);
            assert_eq!(response.header("cache-control"), Some("no-store"));
            assert_eq!(
                response.header("www-authenticate"),
                Some(concat!(
                    r#"Bearer realm="oauth2-resource", error="unauthorized", "#,
                    r#"error_description="Full authentication is required to access this resource""#
                ))
            );
        }
    });
}

#[test]
fn with_a_bad_token() {
    on_each_host(|visit| {
        let given = visit.log_in(&visit.user("bad-token", &["tester"]));
        let (signed, signature) = given.access.rsplit_once('.').expect("a JWT has a signature");
        let (header, claims) = signed.split_once('.').expect("a JWT has claims");
        let other_first = if signature.starts_with('A') { 'B' } else { 'A' };
        let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
        for token in [
            "nonsense".to_owned(),
            "a.b.c".to_owned(),
            format!("{signed}.{other_first}{}", &signature[1..]),
            format!("{signed}."),
            format!("{none}.{claims}."),
            format!("11{header}.{claims}.{signature}"),
            // A refresh token is no access token.
            given.refresh.clone(),
        ] {
            // Also where a good token would not be enough: whether a path exists is nobody's business.
            for path in ["/service/demo/test", "/service/demo/test2", "/nowhere"] {
                assert_invalid_token(&visit.send(&Request::get(path).bearer(&token)), &token);
            }
        }
    });
}

#[test]
fn without_the_permission() {
    on_each_host(|visit| {
        let token = visit.log_in(&visit.user("no-permission", &["tester"])).access;
        for path in ["/service/demo/test2", "/demo/test2", "/service/demo/admin/report"] {
            assert_forbidden(&visit.send(&Request::get(path).bearer(&token)), path);
        }
    });
}

#[test]
fn to_a_url_that_no_permission_names() {
    on_each_host(|visit| {
        let token = visit
            .log_in(&visit.user("unlisted", &["tester", "tester2", "administrator"]))
            .access;
        for path in [
            "/service/demo/other",
            "/service",
            "/service/demo/test/more",
            "/nowhere",
            "/",
        ] {
            assert_forbidden(&visit.send(&Request::get(path).bearer(&token)), path);
        }
        let response = visit.send(&Request::get("/service/demo/admin/report").bearer(&token));
        assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    });
}

#[test]
fn to_a_public_route_with_and_without_a_token() {
    on_each_host(|visit| {
        // The auth server answers, not the filter: the path and the bad token are none of its business.
        for request in [
            Request::get("/login/nothing-here"),
            Request::get("/login/nothing-here").bearer("nonsense"),
        ] {
            assert_eq!(visit.status(&request), 404);
        }
    });
}

#[test]
fn to_what_only_gateways_and_operators_may_see() {
    on_each_host(|visit| {
        let token = visit.log_in(&visit.user("feed-reader", &["tester"])).access;
        assert_closed(visit, &token);
    });
}

#[test]
fn with_several_authorization_headers() {
    on_each_host(|visit| {
        let token = visit.log_in(&visit.user("several-tokens", &["tester"])).access;
        let good = format!("bearer {token}");
        for (first, second) in [
            (good.as_str(), "bearer nonsense"),
            ("bearer nonsense", &good),
            (&good, &good),
        ] {
            let request = Request::get("/service/demo/test").header("Authorization", first);
            assert_eq!(
                visit.status(&request.header("authorization", second)),
                400,
                "{first} and {second}"
            );
        }
    });
}

/// What the auth server has for gateways and operators cannot be reached through the host.
pub fn assert_closed(visit: &Visit<'_>, token: &str) {
    for path in [
        "/login/feed/tokens?wait=0",
        "/login/metrics",
        "/login/health/ready",
        "/login/oauth2/introspect",
        "/oauth2/introspect",
    ] {
        for method in ["GET", "POST"] {
            let call = Request::new(method, path).body("");
            assert_eq!(
                visit.status(&call.clone().basic("gateway", "secret")),
                401,
                "{method} {path}"
            );
            assert_eq!(visit.status(&call.bearer(token)), 403, "{method} {path}");
        }
    }
}
