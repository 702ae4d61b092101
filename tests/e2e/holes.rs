//! The holes of the legacy gateway, by their numbers in `docs/compatibility.md`: each stays closed on both hosts.

use std::{fs, time::Duration};

use postern_e2e::{
    client::Request,
    host::{Host, filter_plugin},
    servers::Servers,
    visit::{Visit, compare_hosts, on_each_host},
};
use xtask::stack::Stack;

use crate::calls::{assert_forbidden, assert_invalid_token};

/// No program behind or in front of the service has written the token down.
fn assert_not_logged(stack: &Stack, token: &str) {
    let logs = stack.folder.join("logs");
    for log in fs::read_dir(&logs).into_iter().flatten().flatten() {
        let text = fs::read(log.path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains(token), "{} holds a token", log.path().display());
    }
}

/// How long a host may take to notice. Generous: the machine may be busy with other tests.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn b1_query_token_is_not_read() {
    on_each_host(|visit| {
        let token = visit.log_in(&visit.user("query-token", &["tester"])).access;
        for path in ["/service/demo/test", "/demo/test2", "/nowhere"] {
            let response = visit.send(&Request::get(format!("{path}?access_token={token}")));
            assert_eq!(response.status, 401, "{path}");
            assert_eq!(response.json()["error"], "unauthorized", "{path}");
            // Nor is it believed beside a header.
            let both = Request::get(format!("{path}?access_token={token}")).bearer("nonsense");
            assert_invalid_token(&visit.send(&both), "nonsense");
        }
        assert_not_logged(&visit.servers.stack, &token);
    });
}

#[test]
fn b1_query_token_where_switched_on_passes_the_same_check() {
    compare_hosts(|kind| {
        let servers = Servers::shared();
        let stack = servers.for_host("query-token");
        let token = serde_json::json!({ "header": "authorization", "query": "access_token" });
        let host = Host::start(&stack, kind, &filter_plugin(&stack, &[("token", token)]));
        let visit = Visit::new(servers, &host);
        let token = visit.log_in(&visit.user("query-token-on", &["tester"])).access;
        let call = |path: &str| Request::get(format!("{path}?access_token={token}"));
        assert_eq!(visit.send(&call("/service/demo/test")).status, 200);
        assert_forbidden(&visit.send(&call("/service/demo/test2")), "/service/demo/test2");
        assert_forbidden(&visit.send(&call("/nowhere")), "/nowhere");
        // Two tokens in one request: a service might take the other one.
        assert_eq!(visit.send(&call("/service/demo/test").bearer(&token)).status, 400);
        let bad = Request::get("/service/demo/test?access_token=nonsense-of-a-token");
        assert_invalid_token(&visit.send(&bad), "nonsense-of-a-token");
        for token in [&token, "nonsense-of-a-token"] {
            assert_not_logged(&stack, token);
            assert_not_logged(&servers.stack, token);
        }
        visit.seen()
    });
}

#[test]
fn b2_opaque_token_passes_the_same_check() {
    on_each_host(|visit| {
        let user = visit.user("opaque", &["tester"]);
        let form = format!(
            "grant_type=password&username={user}&password=password&client_id=test_client_id_1&client_secret=test_client_secret_1"
        );
        let answer = Request::form("/sso/oauth/token", &form).send(visit.host.port);
        let token = answer.json()["access_token"].as_str().unwrap_or_default().to_owned();
        let call = |path: &str| Request::get(path).bearer(&token);
        assert_eq!(visit.send(&call("/demo/test")).status, 200, "{answer:?}");
        assert_forbidden(&visit.send(&call("/demo/test2")), "/demo/test2");
        assert_forbidden(&visit.send(&call("/nowhere")), "/nowhere");
        // Also those that nobody issued, though they have the looks of it.
        for token in [
            "AT-100-ZqT0vLxW8d1hKcPbN5sYfRj2mUaGe7i",
            "2777a567-1c64-4d5b-a03e-37de5d33ca4e",
            "x",
        ] {
            for path in ["/demo/test", "/demo/test2", "/nowhere"] {
                assert_invalid_token(&visit.send(&Request::get(path).bearer(token)), token);
            }
        }
    });
}

#[test]
fn b3_anchored_public_patterns_are_found_at_the_start_and_in_their_own_case_only() {
    on_each_host(|visit| {
        let token = visit.log_in(&visit.user("anchored", &["tester"])).access;
        for path in [
            "/service/secret/login/x",
            "/service/login/oauth/token",
            "/demo/test2/login/",
            "/LOGIN/oauth/token",
            "/Login/oauth/token",
            "/loginx/oauth/token",
            "/xlogin/oauth/token",
            "/demo/test2?/login/x",
            "/demo/oauth2/x",
        ] {
            assert_eq!(visit.send(&Request::get(path)).status, 401, "{path}");
            assert_eq!(visit.send(&Request::get(path).bearer(&token)).status, 403, "{path}");
        }
    });
}

/// Ways around a check of `/service/demo/test2`, written by somebody who may call `/service/demo/test`.
const AMBIGUOUS: &[&[u8]] = &[
    b"/service//demo/test",
    b"//service/demo/test",
    b"/service/demo/test//",
    b"/service/./demo/test",
    b"/service/demo/test/.",
    b"/service/demo/x/../test",
    b"/service/demo/test/..",
    b"/service/demo/%2e/test",
    b"/service/demo/test/%2e%2e/test2",
    b"/service/demo/test/%2E%2e/test2",
    b"/service/demo/.%2e/demo/test",
    b"/service/demo%2ftest",
    b"/service/demo%2Ftest",
    b"/service/demo/test%2f..%2ftest2",
    b"/service/demo\\test",
    b"/service/demo%5ctest",
    b"/service/demo/test;x",
    b"/service/demo;x=y/test",
    b"/service/demo/test%3bx",
    b"/service/demo/test%00",
    b"/service/demo/test%00/../test2",
    b"/service/demo/test%0d%0a",
    b"/service/demo/test%252e",
    b"/service/demo/%252e%252e/test2",
    b"/service/demo/test%",
    b"/service/demo/test%2",
    b"/service/demo/test%zz",
    // Overlong forms of `.` and `/`, and bytes that are no UTF-8 at all.
    b"/service/demo/%c0%ae%c0%ae/test2",
    b"/service/demo%c0%aftest",
    b"/service/demo/test%ff",
];

#[test]
fn b4_raw_uri_ambiguous_paths_are_refused_with_and_without_a_token() {
    on_each_host(|visit| {
        let token = visit
            .log_in(&visit.user("ambiguous-path", &["tester", "tester2"]))
            .access;
        let mut wrong = Vec::new();
        for path in AMBIGUOUS {
            for request in [Request::get(path).bearer(&token), Request::get(path)] {
                let status = visit.status(&request);
                if status != 400 {
                    wrong.push(format!("{} is answered {status}", String::from_utf8_lossy(path)));
                }
            }
        }
        assert!(wrong.is_empty(), "not 400: {wrong:#?}");
    });
}

#[test]
fn b4_raw_uri_other_spellings_are_other_paths() {
    on_each_host(|visit| {
        let token = visit.log_in(&visit.user("other-path", &["tester"])).access;
        for (path, status) in [
            ("/service/demo/test", 200),
            // An escape of a letter is that letter (RFC 3986 section 6.2.2.2).
            ("/service/demo/%74est", 200),
            ("/service/demo/test?x=//%2e%2e;%00", 200),
            ("/service/demo/test/", 403),
            ("/service/demo/Test", 403),
            ("/SERVICE/demo/test", 403),
            // Some servers cut blanks off.
            ("/service/demo/test%20", 400),
            ("/service/demo/test%c2%a0", 400),
            ("/service/demo/%e2%80%8btest", 400),
            ("/servicedemo/test", 403),
        ] {
            assert_eq!(visit.status(&Request::get(path).bearer(&token)), status, "{path}");
        }
    });
}

#[test]
fn b5_method_of_a_permission_is_asked_for() {
    on_each_host(|visit| {
        let name = visit.user("method", &["tester"]);
        let path = format!("/service/demo/{name}");
        let call = |method: &str| Request::new(method, &path);
        let token = visit.log_in(&name).access;
        let id = if name.ends_with("envoy") { "911" } else { "912" };
        visit.servers.login(&format!(
            "permission add ROLE_TEST --url {path} --method POST --id {id}"
        ));
        // Allowed, and then the demo service has no such page.
        let post = call("POST").bearer(&token).body("");
        visit.until("a permission for one method", 404, &post);
        for method in ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"] {
            assert_eq!(visit.status(&call(method).bearer(&token)), 403, "{method}");
        }
        // What says that another method is meant is not looked at.
        let overridden = call("GET").bearer(&token).header("X-HTTP-Method-Override", "POST");
        assert_eq!(visit.status(&overridden), 403);
        visit.servers.login(&format!("permission remove {id}"));
    });
}

#[test]
fn b6_fail_closed_when_the_login_service_cannot_say_what_a_user_may_do() {
    compare_hosts(|kind| {
        let servers = Servers::start_without_auth("fail-closed");
        servers.start_auth();
        let plugin = filter_plugin(&servers.stack, &[("max_stale", "10s".into())]);
        let host = Host::start(&servers.stack, kind, &plugin);
        let visit = Visit::new(&servers, &host);
        let [rich, poor, witness] = ["rich", "poor", "witness"].map(|name| visit.user(name, &["tester"]));
        servers.login(&format!("user grant {rich} tester2"));
        let token = |user: &str| visit.log_in(user).access;
        let (rich, poor_token, seen) = (token(&rich), token(&poor), token(&witness));
        let call = |token: &str, path: &str| Request::get(path).bearer(token);
        visit.wait(SOON, 200, &call(&rich, "/demo/test2"));

        // What the poor user may do changes, and before anybody asks what it is now, nobody can say any more. The change
        // has arrived everywhere once a later one has.
        servers.login(&format!("user revoke {poor} tester"));
        servers.login(&format!("user revoke {witness} tester"));
        visit.wait(SOON, 403, &call(&seen, "/demo/test"));
        servers.kill_login();
        for _ in 0..4 {
            assert_eq!(visit.send(&call(&rich, "/demo/test2")).status, 200);
            // Neither what was right before, nor what is right for the one who asked last.
            for path in ["/demo/test", "/demo/test2"] {
                let refused = visit.send(&call(&poor_token, path));
                assert_eq!(refused.status, 503, "{refused:?}");
                assert!(refused.header("retry-after").is_some(), "{refused:?}");
            }
        }
        // What is known grows too old at last.
        visit.wait(SOON, 503, &call(&rich, "/demo/test2"));
        servers.start_login();
        visit.wait(SOON, 200, &call(&rich, "/demo/test2"));
        visit.wait(SOON, 403, &call(&poor_token, "/demo/test"));
        visit.seen()
    });
}
