//! Opaque tokens stay outside: the service behind the host receives a signed JWT in their place, or nothing.

use std::time::Duration;

use postern_e2e::{
    client::{Request, at_once},
    host::{Host, filter_plugin},
    issuer::{FakeIssuer, ISSUER, KEYS},
    servers::Servers,
    upstream::EchoUpstream,
    visit::{Visit, compare_hosts},
};
use serde_json::{Value, json};

use crate::{dpop::now, issuers::start};

const OPAQUE: &str = "op-Zq3T0vLxW8d1hKcPbN5sYfRj2mUaGe7i";

fn issuer() -> Value {
    json!({
        "issuer": ISSUER,
        "jwks": { "cluster": "auth-server", "uri": format!("{ISSUER}/keys") },
        "introspection": { "cluster": "auth-server", "uri": format!("{ISSUER}/introspect"), "credentials": "gw:a b" }
    })
}

fn active() -> Value {
    json!({
        "active": true, "iss": ISSUER, "sub": "ada", "client_id": "web", "authorities": ["clerk"], "exp": 4_102_444_800u64
    })
}

fn signed() -> String {
    let header = json!({ "typ": "token-introspection+jwt", "alg": "ES256", "kid": "first" });
    KEYS[0].sign(
        &header,
        &json!({ "iss": ISSUER, "aud": "gw", "iat": now(), "token_introspection": active() }),
    )
}

/// Waits until the keys of the issuer are there.
fn ready(visit: &Visit<'_>) {
    let jwt = KEYS[0].token("first", &json!({ "authorities": ["clerk"] }));
    visit.wait(Duration::from_secs(20), 200, &Request::get("/demo/test").bearer(&jwt));
}

#[test]
fn the_service_receives_the_signed_answer_of_an_issuer() {
    compare_hosts(|kind| {
        let (provider, upstream) = (FakeIssuer::start(), EchoUpstream::start());
        let jwt = signed();
        provider.behave(|provider| {
            let answer = |content_type: &str, body: String| (content_type.to_owned(), body);
            let (media, body) = answer("application/token-introspection+jwt", jwt.clone());
            provider.tokens.push((OPAQUE.into(), media, body));
            let (media, body) = answer("application/json", active().to_string());
            provider.tokens.push(("unsigned".into(), media, body));
        });
        let changes = json!({
            "forward": { "authorization": "jwt" },
            "token": { "cookie": "token", "query": "access_token" }
        });
        let host = start(kind, &provider, &upstream, issuer(), changes);
        let visit = Visit::new(Servers::shared(), &host);
        ready(&visit);
        for answer in at_once(host.port, vec![Request::get("/demo/test").bearer(OPAQUE); 32]) {
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        let asked = provider.requests(&format!("/introspect {OPAQUE}"));
        assert_eq!(asked, 1, "both workers have the answer of one question");
        let question = provider.introspections().pop().expect("a question");
        for told in [
            "accept: application/token-introspection+jwt",
            "authorization: basic z3c6ysuymgi=",
        ] {
            assert!(question.contains(told), "no {told} in {question}");
        }
        let calls = [
            Request::get("/demo/test").bearer(OPAQUE),
            Request::get("/demo/test").header("Cookie", &format!("a=1; token={OPAQUE}")),
            Request::get(format!("/demo/test?a=1&access_token={OPAQUE}")),
        ];
        for call in &calls {
            assert_eq!(visit.send(call).status, 200, "{call:?}");
            let head = upstream.heads().pop().expect("a request came");
            assert!(
                head.contains(&format!("authorization: bearer {}", jwt.to_lowercase())),
                "{head}"
            );
            assert!(!head.contains(&OPAQUE.to_lowercase()), "{head}");
            assert!(
                head.contains("x-user-id: ada") && head.contains("x-authorities: clerk"),
                "{head}"
            );
        }
        assert!(
            upstream
                .heads()
                .iter()
                .any(|head| head.starts_with("get /demo/test?a=1 "))
        );
        assert!(upstream.heads().iter().any(|head| head.contains("cookie: a=1\r")));
        // Without a signature there is nothing to hand on, and nobody passes.
        assert_eq!(visit.send(&Request::get("/demo/test").bearer("unsigned")).status, 503);
        assert_eq!(visit.send(&Request::get("/demo/test").bearer("unknown")).status, 401);
        visit.seen()
    });
}

#[test]
fn the_auth_server_signs_its_answers_for_the_services() {
    compare_hosts(|kind| {
        let servers = Servers::shared();
        let upstream = EchoUpstream::start();
        let stack = servers.for_host_before("phantom", upstream.port);
        let forward = json!({ "authorization": "jwt" });
        let host = Host::start(&stack, kind, &filter_plugin(&stack, &[("forward", forward)]));
        let visit = Visit::new(servers, &host);
        let granted = Request::form("/sso/oauth/token", "grant_type=client_credentials&scope=read")
            .basic("test_client_id_1", "test_client_secret_1")
            .send(host.port);
        let token = granted.json()["access_token"]
            .as_str()
            .expect("an opaque token")
            .to_owned();
        visit.wait(Duration::from_secs(20), 200, &Request::get("/demo/echo").bearer(&token));
        let head = upstream.heads().pop().expect("a request came");
        assert!(!head.contains(&token.to_lowercase()), "{head}");
        assert!(head.contains("authorization: bearer eyj"), "{head}");
        assert_eq!(visit.status(&Request::get("/oauth2/jwks")), 200);
        visit.seen()
    });
}

/// The head of the newest request that reached the service.
fn newest(upstream: &EchoUpstream) -> String {
    upstream.heads().pop().unwrap_or_else(|| panic!("no request came"))
}

#[test]
fn on_public_paths_and_in_shadow_mode_no_unchecked_token_goes_on() {
    compare_hosts(|kind| {
        let mut seen = Vec::new();
        for forwarded in ["remove", "jwt"] {
            let (provider, upstream) = (FakeIssuer::start(), EchoUpstream::start());
            let changes = json!({
                "forward": { "authorization": forwarded },
                "public": ["/demo/open", { "path": "/demo/kept", "authorization": "keep" }],
                "rules": [
                    { "path": "/demo/test", "any_authority": ["clerk"] },
                    { "path": "/demo/tried", "any_authority": ["nobody"], "mode": "shadow" }
                ]
            });
            let host = start(kind, &provider, &upstream, issuer(), changes);
            let visit = Visit::new(Servers::shared(), &host);
            ready(&visit);
            let jwt = KEYS[0].token("first", &json!({ "authorities": ["clerk"] }));
            let forged = format!("{}AAAA", &jwt[..jwt.len() - 4]);
            let to = |path: &str| {
                Request::get(path)
                    .header("X-User-Id", "root")
                    .header("X_User_Name", "root")
            };
            let heads = |request: &Request| {
                assert_eq!(visit.send(request).status, 200, "{request:?}");
                let head = newest(&upstream);
                assert!(!head.contains("root"), "{head}");
                head
            };
            for token in [OPAQUE, &jwt, &forged] {
                let head = heads(&to("/demo/open").bearer(token));
                assert!(!head.contains("authorization:"), "{forwarded}: {head}");
                let head = heads(&to("/demo/kept").bearer(token));
                assert!(
                    head.contains(&format!("authorization: bearer {}", token.to_lowercase())),
                    "{head}"
                );
            }
            let head = heads(&to("/demo/open").basic("demo", "demo-secret"));
            assert!(head.contains("authorization: basic"), "{head}");
            // Who would be refused passes as nobody: without the token, and without the name they gave themselves.
            for token in [OPAQUE, &forged] {
                let head = heads(&to("/demo/tried").bearer(token));
                assert!(
                    !head.contains("authorization:") && !head.contains("x-user-id"),
                    "{forwarded}: {head}"
                );
            }
            // Whose token is good passes as who they are.
            let head = heads(&to("/demo/tried").bearer(&jwt));
            assert!(head.contains("x-user-id: ada"), "{head}");
            assert_eq!(head.contains("authorization: bearer eyj"), forwarded == "jwt", "{head}");
            seen.extend(visit.seen());
        }
        seen
    });
}
