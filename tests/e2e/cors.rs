//! Pages of another origin call through the host, as the legacy jQuery samples do.

use postern_e2e::{
    client::{Request, Response},
    host::{Host, filter_plugin},
    servers::Servers,
    upstream::EchoUpstream,
    visit::{Visit, compare_hosts, on_each_host, password_grant, tokens},
};

use crate::calls::{assert_forbidden, assert_invalid_token};

/// One that the demo's configuration names.
const PAGE: &str = "http://localhost:3000";

/// What a browser asks before it sends a request that a form could not send.
fn preflight(path: &str, origin: &str, method: &str, headers: &str) -> Request {
    Request::new("OPTIONS", path)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", method)
        .header("Access-Control-Request-Headers", headers)
}

/// A page of this origin may read the answer.
fn assert_readable(response: &Response, origin: &str) {
    assert_eq!(
        response.header("access-control-allow-origin"),
        Some(origin),
        "{response:?}"
    );
    assert_eq!(
        response.header("access-control-allow-credentials"),
        None,
        "{response:?}"
    );
    assert_eq!(
        response.header("access-control-expose-headers"),
        Some("www-authenticate"),
        "{response:?}"
    );
}

fn assert_not_readable(response: &Response) {
    let about = |name: &str| name.starts_with("access-control-");
    assert!(!response.headers.iter().any(|(name, _)| about(name)), "{response:?}");
}

#[test]
fn a_page_logs_in_and_calls() {
    on_each_host(|visit| {
        let user = visit.user("jquery", &["tester"]);
        // `Authorization` on the request makes the browser ask first; nobody has a token yet.
        for (path, method, headers) in [
            ("/login/oauth/token", "POST", "authorization"),
            ("/demo/test", "POST", "authorization,content-type"),
            ("/demo/test2", "DELETE", "authorization"),
            ("/nowhere", "PUT", "x-requested-with"),
        ] {
            let answer = visit.send(&preflight(path, PAGE, method, headers));
            assert_eq!((answer.status, answer.text().as_str()), (200, ""), "{path}");
            assert_readable(&answer, PAGE);
            assert_eq!(answer.header("access-control-allow-methods"), Some(method));
            assert_eq!(answer.header("access-control-allow-headers"), Some(headers));
            assert_eq!(answer.header("access-control-max-age"), Some("600"));
        }
        let login = visit.send(&password_grant(&user, "password").header("Origin", PAGE));
        let token = tokens(&login).access;
        assert_readable(&login, PAGE);

        let call = |path: &str| Request::get(path).header("Origin", PAGE);
        let answer = visit.send(&call("/demo/test").bearer(&token));
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        assert_readable(&answer, PAGE);
        assert_eq!(answer.header("vary"), Some("Origin"));
    });
}

#[test]
fn a_page_can_read_why_it_was_refused() {
    on_each_host(|visit| {
        let token = visit.log_in(&visit.user("cors-refused", &["tester"])).access;
        let call = |path: &str| Request::get(path).header("Origin", "http://127.0.0.1:5173");
        let forbidden = visit.send(&call("/demo/test2").bearer(&token));
        assert_forbidden(&forbidden, "/demo/test2");
        let invalid = visit.send(&call("/demo/test").bearer("a.b.c"));
        assert_invalid_token(&invalid, "a.b.c");
        let nowhere = visit.send(&call("/nowhere"));
        assert_eq!(nowhere.status, 401);
        let ambiguous = visit.send(&call("/demo//test"));
        assert_eq!(ambiguous.status, 400);
        // The host's own answer, as no route is there: the path is public.
        let unrouted = visit.send(&call("/sso"));
        for answer in [forbidden, invalid, nowhere, ambiguous, unrouted] {
            assert_readable(&answer, "http://127.0.0.1:5173");
            assert_eq!(answer.header("vary"), Some("Origin"), "{answer:?}");
        }
    });
}

#[test]
fn pages_of_other_origins_learn_nothing() {
    on_each_host(|visit| {
        for origin in [
            "https://evil.org",
            "https://localhost:3000",
            "http://localhost.evil.org",
            "http://localhost:3000.evil.org",
            "http://localhost:",
            "null",
            "*",
        ] {
            // As anybody's OPTIONS: the path is protected, and there is no token.
            let answer = visit.send(&preflight("/demo/test", origin, "POST", "authorization"));
            assert_eq!(answer.status, 401, "{origin}");
            assert_not_readable(&answer);
            let answer = visit.send(&Request::get("/demo/test").header("Origin", origin));
            assert_eq!(answer.status, 401, "{origin}");
            assert_not_readable(&answer);
        }
        let twice = preflight("/demo/test", PAGE, "POST", "authorization").header("Origin", PAGE);
        assert_not_readable(&visit.send(&twice));
        // Without an origin there is no page; a method is not asked for; the method is not OPTIONS.
        let ask = |method: &str| Request::new(method, "/demo/test");
        assert_not_readable(&visit.send(&ask("OPTIONS").header("Access-Control-Request-Method", "POST")));
        assert_eq!(visit.send(&ask("OPTIONS").header("Origin", PAGE)).status, 401);
        let get = ask("GET")
            .header("Origin", PAGE)
            .header("Access-Control-Request-Method", "POST");
        assert_eq!(visit.send(&get).status, 401);
    });
}

#[test]
fn what_a_service_says_itself_does_not_count_beside_the_host() {
    compare_hosts(|kind| {
        let servers = Servers::shared();
        let upstream = EchoUpstream::start();
        let stack = servers.for_host_before("cors", upstream.port);
        let public = serde_json::json!(["/demo/open"]);
        let host = Host::start(&stack, kind, &filter_plugin(&stack, &[("public", public)]));
        let visit = Visit::new(servers, &host);
        let careless = Request::get("/demo/open")
            .header("x-answer", "Access-Control-Allow-Origin: *")
            .header("x-answer", "Access-Control-Expose-Headers: x-secret")
            .header("x-answer", "Access-Control-Allow-Credentials: true");
        assert_readable(&visit.send(&careless.clone().header("Origin", PAGE)), PAGE);
        // For others it stays the service's own affair, but for cookies.
        let stranger = visit.send(&careless.header("Origin", "https://evil.org"));
        assert_eq!(stranger.header("access-control-allow-origin"), Some("*"));
        assert_eq!(stranger.header("access-control-allow-credentials"), None);
        // A preflight of a known origin never gets there, one of another does.
        let before = upstream.heads().len();
        visit.send(&preflight("/demo/open", PAGE, "POST", "x-a"));
        assert_eq!(upstream.heads().len(), before);
        visit.send(&preflight("/demo/open", "https://evil.org", "POST", "x-a"));
        assert_eq!(upstream.heads().len(), before + 1);
        visit.seen()
    });
}
