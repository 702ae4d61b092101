//! Opaque tokens when the auth server is slow, wrong or flooded: it is asked no more than needed, and in doubt nobody
//! passes.

use std::{thread, time::Duration};

use postern_e2e::{
    auth_server::{FakeAuthServer, Introspected},
    client::{Request, at_once},
    host::{Host, filter_plugin},
    servers::{Servers, folder},
    upstream::EchoUpstream,
    visit::{Visit, compare_hosts},
};
use xtask::stack::{HostKind, ServerPorts, Stack};

use crate::calls::{assert_forbidden, assert_invalid_token};

/// A host has two workers, each with a VM of its own.
const VMS: usize = 2;

/// How many questions a VM may have open (`docs/filter.md`).
const MOST_OPEN: usize = 64;

/// A host between an auth server that we make up and an echo.
fn start(kind: HostKind, auth: &FakeAuthServer, upstream: &EchoUpstream) -> Host {
    let servers = Servers::shared();
    let ports = ServerPorts {
        auth: auth.port,
        service: upstream.port,
        ..servers.stack.ports
    };
    let stack = Stack {
        folder: folder("opaque-tokens"),
        ports,
        ..servers.stack.clone()
    };
    let host = Host::start(&stack, kind, &filter_plugin(&stack, &[]));
    // Both workers have their first snapshot.
    Visit::new(servers, &host).wait(
        Duration::from_secs(20),
        401,
        &Request::get("/demo/test").bearer("a.b.c"),
    );
    host
}

/// Somebody whom the login service has never heard of, and so nothing new of.
fn active() -> Introspected {
    let body = r#"{"active":true,"client_id":"sso","username":"张三","sub":"sso-7","scope":"read write","exp":4102444800,
        "iat":1500000000,"jti":"opaque-1","authorities":["ROLE_TEST"],"token_type":"Bearer"}"#;
    Introspected::Body(body.into())
}

fn inactive() -> Introspected {
    Introspected::Body(r#"{"active":false}"#.into())
}

#[test]
fn many_requests_with_a_new_token_share_one_question() {
    compare_hosts(|kind| {
        let auth = FakeAuthServer::start(|_| {
            // Long enough for all requests to be there.
            thread::sleep(Duration::from_millis(500));
            active()
        });
        let upstream = EchoUpstream::start();
        let host = start(kind, &auth, &upstream);
        let visit = Visit::new(Servers::shared(), &host);
        let token = "AT-1-ZqT0vLxW8d1hKcPbN5sYfRj2mUaGe7i";
        let call = Request::get("/demo/test").bearer(token);
        for answer in at_once(host.port, vec![call.clone(); 48]) {
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        assert_eq!(auth.questions(token), 1, "both workers have the answer of one question");

        visit.wait(Duration::from_secs(20), 200, &call);
        let asked = auth.questions(token);
        assert_forbidden(&visit.send(&Request::get("/demo/test2").bearer(token)), "/demo/test2");
        assert_eq!(auth.questions(token), asked, "who the token speaks of is known");
        let head = upstream.heads().pop().expect("a request came");
        for told in [
            "x-user-id: sso-7",
            "x-user-name: %e5%bc%a0%e4%b8%89",
            "x-client-id: sso",
            "x-scope: read write",
            "x-authorities: role_test",
        ] {
            assert!(head.contains(told), "no {told} in {head}");
        }
        visit.seen()
    });
}

#[test]
fn when_the_auth_server_cannot_say_nobody_passes() {
    compare_hosts(|kind| {
        let auth = FakeAuthServer::start(|token| match token {
            "garbled" => Introspected::Body("<html>".into()),
            "vague" => Introspected::Body("{}".into()),
            "without-id" => Introspected::Body(r#"{"active":true,"token_type":"Bearer"}"#.into()),
            "failing" => Introspected::Status(500),
            "refused" => Introspected::Status(401),
            "redirected" => Introspected::Status(302),
            "slow" => {
                thread::sleep(Duration::from_secs(10));
                active()
            }
            "refresh" => Introspected::Body(r#"{"active":true,"jti":"r","sub":"sso-7"}"#.into()),
            "bound" => Introspected::Body(r#"{"active":true,"jti":"b","token_type":"DPoP","cnf":{"jkt":"x"}}"#.into()),
            "good" => active(),
            _ => inactive(),
        });
        let host = start(kind, &auth, &EchoUpstream::start());
        let visit = Visit::new(Servers::shared(), &host);
        for token in [
            "garbled",
            "vague",
            "without-id",
            "failing",
            "refused",
            "redirected",
            "slow",
        ] {
            let answer = visit.send(&Request::get("/demo/test").bearer(token));
            assert_eq!(answer.status, 503, "{token}: {answer:?}");
            assert_eq!(answer.json()["status"], 503, "{token}: {answer:?}");
            assert!(answer.header("retry-after").is_some(), "{token}: {answer:?}");
        }
        // A token that is known not to be good is no reason to ask the next time.
        for token in ["unknown", "refresh", "bound"] {
            for _ in 0..8 {
                assert_invalid_token(&visit.send(&Request::get("/demo/test").bearer(token)), token);
            }
            assert!(auth.questions(token) <= VMS, "{token}");
        }
        assert_eq!(visit.send(&Request::get("/demo/test").bearer("good")).status, 200);
        visit.seen()
    });
}

#[test]
fn garbage_cannot_flood_the_auth_server() {
    compare_hosts(|kind| {
        let auth = FakeAuthServer::start(|_| {
            thread::sleep(Duration::from_secs(1));
            inactive()
        });
        let host = start(kind, &auth, &EchoUpstream::start());
        let visit = Visit::new(Servers::shared(), &host);
        let long = "x".repeat(2049);
        for token in ["a=b", "t%20oken", "{}", "a.b.c", "<script>", &long] {
            assert_eq!(visit.status(&Request::get("/demo/test").bearer(token)), 401, "{token}");
        }
        assert_eq!(auth.all_questions(), (0, 0));

        let garbage = (0..4 * MOST_OPEN).map(|n| Request::get("/demo/test").bearer(&format!("garbage-{n}")));
        let answers = at_once(host.port, garbage.collect());
        for answer in &answers {
            match answer.status {
                401 => {}
                503 => assert!(answer.header("retry-after").is_some(), "{answer:?}"),
                _ => panic!("{answer:?}"),
            }
        }
        let (_, most_open) = auth.all_questions();
        assert!(most_open <= VMS * MOST_OPEN, "{most_open} questions at the same time");
        visit.seen()
    });
}
