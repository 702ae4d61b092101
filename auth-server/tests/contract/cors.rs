//! Calls of browsers from other origins (contract section 12): answered for configured origins only.

use crate::harness::http::Answer;
use crate::harness::*;

const LOGIN: &str = "grant_type=password&username=u1&password=password";
const ALLOW: &str = "access-control-allow-";

fn server() -> Server {
    Server::with(Setup {
        more: "cors: { origins: [ \"https://app.example.com\", \"http://localhost:*\" ] }\n",
        ..Setup::default()
    })
}

fn preflight(server: &Server, path: &str, origin: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,x-requested-with"),
    ];
    server.request("OPTIONS", path, &headers, "")
}

fn allowances(answer: &Answer) -> Vec<&str> {
    let names = answer.headers.iter().map(|(name, _)| name.as_str());
    names.filter(|name| name.starts_with("access-control-")).collect()
}

fn varies(answer: &Answer) -> String {
    let named = answer.headers.iter().filter(|(name, _)| name == "vary");
    named.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", ")
}

#[test]
fn preflight_of_a_configured_origin() {
    let server = server();
    for path in [
        "/oauth/token",
        "/login/oauth/token",
        "/login/logout",
        "/login/oauth/check_token",
    ] {
        for origin in ["https://app.example.com", "http://localhost", "http://localhost:3000"] {
            let answer = preflight(&server, path, origin);
            assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{path} {origin}");
            let header = |name: &str| answer.header(&format!("{ALLOW}{name}")).unwrap();
            assert_eq!(header("origin"), origin);
            assert_eq!(header("methods"), "GET, POST, PUT, DELETE");
            assert_eq!(header("headers"), "authorization,x-requested-with");
            assert_eq!(answer.header("access-control-max-age"), Some("1800"));
            assert_eq!(answer.header("access-control-allow-credentials"), None);
            assert_eq!(
                varies(&answer),
                "Access-Control-Request-Method, Access-Control-Request-Headers, Origin"
            );
        }
    }
}

#[test]
fn preflight_of_another_origin_goes_its_normal_way() {
    let server = server();
    for origin in [
        "https://evil.example.com",
        "null",
        "https://app.example.com.evil.org",
        "https://localhost:3000",
    ] {
        let answer = preflight(&server, "/oauth/token", origin);
        assert_eq!(answer.status, 401, "as every request without client credentials");
        assert_eq!(allowances(&answer), [""; 0]);
    }
    let without = Server::start();
    let answer = preflight(&without, "/oauth/token", "https://app.example.com");
    assert_eq!((answer.status, allowances(&answer)), (401, vec![]));
    assert_eq!(answer.header("vary"), None);
}

#[test]
fn answers_to_a_configured_origin_may_be_read_errors_too() {
    let server = server();
    let authorization = basic(DEMO_CLIENT);
    let post = |authorization: &str, origin: &str, form: &str| {
        let headers = [
            ("authorization", authorization),
            ("content-type", FORM),
            ("origin", origin),
        ];
        server.request("POST", "/login/oauth/token", &headers, form)
    };
    let origin = "https://app.example.com";
    for (authorization, form, status) in [
        (authorization.as_str(), LOGIN, 200),
        (authorization.as_str(), "", 400),
        ("", LOGIN, 401),
    ] {
        let answer = post(authorization, origin, form);
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(varies(&answer), "Origin");
    }
    let query = server.request("POST", "/login/oauth/token?password=x", &[("origin", origin)], "");
    assert_eq!(
        (query.status, query.header("access-control-allow-origin")),
        (400, Some(origin))
    );
    let other = post(&authorization, "https://evil.example.com", LOGIN);
    assert_eq!((other.status, allowances(&other)), (200, vec![]));
    assert_eq!(varies(&other), "Origin", "no cache may hand it to a configured origin");
}

#[test]
fn nothing_but_the_mounts_is_open_to_browsers() {
    let server = server();
    for path in [
        "/feed/tokens",
        "/oauth2/introspect",
        "/health/live",
        "/metrics",
        "/login/nothing",
    ] {
        assert_eq!(
            allowances(&preflight(&server, path, "https://app.example.com")),
            [""; 0],
            "{path}"
        );
    }
}
