//! Secrets in the query (contract section 12): refused, unless `compat.query_credentials` is on.

use crate::harness::*;

const OPEN: Setup = Setup {
    mounts: "",
    compat: "{ query_credentials: true }",
    clients: &["robot --secret robot-secret --profile spring --grants client_credentials --scopes all"],
    more: "",
};

#[test]
fn a_secret_in_the_query_is_refused_by_name() {
    let server = Server::start();
    let authorization = basic(DEMO_CLIENT);
    let headers = [("authorization", authorization.as_str())];
    for (path, query, name) in [
        (
            "/oauth/token",
            "grant_type=password&username=u1&password=passw0rd",
            "password",
        ),
        (
            "/login/oauth/token",
            "client_id=demo&client_secret=passw0rd",
            "client_secret",
        ),
        ("/oauth/token", "client%5Fsecret=passw0rd", "client_secret"),
        (
            "/oauth/token",
            "grant_type=refresh_token&refresh_token=passw0rd",
            "refresh_token",
        ),
        ("/oauth/check_token", "token=passw0rd", "token"),
        ("/login/logout", "access_token=passw0rd", "access_token"),
    ] {
        for method in ["GET", "POST"] {
            let answer = server.request(method, &format!("{path}?{query}"), &headers, "");
            assert_eq!(answer.status, 400, "{query}");
            assert_eq!(
                answer.body,
                format!(
                    r#"{{"error":"invalid_request","error_description":"Parameter {name} is a secret and may not stand in the query"}}"#
                )
            );
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
}

#[test]
fn what_is_no_secret_may_stand_in_the_query() {
    let server = Server::with(Setup { compat: "{}", ..OPEN });
    let query = "/oauth/token?grant_type=client_credentials&scope=all&client_id=robot&username=x&code=c";
    let answer = server.post(query, ("robot", "robot-secret"), "");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("referrer-policy"), None);
}

#[test]
fn switched_on_the_query_counts_as_a_servlet_counts_it() {
    let server = Server::with(OPEN);
    let both = server.post(
        "/oauth/token?username=u1&username=u2&password=password",
        DEMO_CLIENT,
        "username=u2&password=wrong&grant_type=password",
    );
    assert_eq!(
        both.json()["userId"],
        "u1-id",
        "the query first, and of several values the first"
    );
    let all = "/oauth/token?grant_type=client_credentials&client_id=robot&client_secret=robot-secret";
    let answer = server.request("POST", all, &[], "");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let token = answer.json();
    let path = format!("/oauth/check_token?token={}", text(&token, "access_token"));
    let answer = server.get(&path, &[("authorization", &basic(DEMO_CLIENT))]);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    let body = server.token("grant_type=password&username=u1&password=password");
    assert_eq!(
        body.header("referrer-policy"),
        None,
        "there is nothing in this URL to keep"
    );
}
