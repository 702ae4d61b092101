//! Tokens that are bound to a key or a certificate: worth nothing without it, on every worker of both hosts.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use postern_e2e::{
    client::{Request, Response, at_once},
    host::Host,
    issuer::{FakeIssuer, ISSUER, KEYS, KeyPair},
    servers::Servers,
    upstream::EchoUpstream,
    visit::{Visit, compare_hosts},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use xtask::stack::HostKind;

use crate::issuers::start;

/// The client's key; the issuer signs with the other one.
const CLIENT: KeyPair = KEYS[1];

fn sha256(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

fn bound_token() -> String {
    let jkt = sha256(&CLIENT.public().to_string());
    KEYS[0].token("first", &json!({ "authorities": ["clerk"], "cnf": { "jkt": jkt } }))
}

/// Unix seconds.
pub fn now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a client signs by its clock")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A new proof for `GET http://localhost:8081/demo/test`; changed.
fn proof(key: &KeyPair, token: &str, change: impl FnOnce(&mut Value)) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let jti = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let mut claims = json!({
        "jti": jti, "htm": "GET", "htu": "http://localhost:8081/demo/test", "iat": now(), "ath": sha256(token)
    });
    change(&mut claims);
    let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": key.public() });
    key.sign(&header, &claims)
}

fn call(token: &str, proof: &str) -> Request {
    Request::get("/demo/test")
        .header("Authorization", &format!("DPoP {token}"))
        .header("DPoP", proof)
}

fn started(kind: HostKind, provider: &FakeIssuer, upstream: &EchoUpstream, dpop: Value) -> Host {
    let jwks = json!({ "cluster": "auth-server", "uri": format!("{ISSUER}/keys") });
    let issuer = json!({ "issuer": ISSUER, "jwks": jwks });
    let host = start(kind, provider, upstream, issuer, json!({ "dpop": dpop }));
    let plain = KEYS[0].token("first", &json!({ "authorities": ["clerk"] }));
    Visit::new(Servers::shared(), &host).wait(Duration::from_secs(20), 200, &Request::get("/demo/test").bearer(&plain));
    host
}

/// A rule that only reports would refuse for another reason; whoever replays the proof is not told to be its owner.
#[test]
fn a_proof_is_good_once_under_a_rule_in_shadow_mode_too() {
    compare_hosts(|kind| {
        let (provider, upstream) = (FakeIssuer::start(), EchoUpstream::start());
        let jwks = json!({ "cluster": "auth-server", "uri": format!("{ISSUER}/keys") });
        let issuer = json!({ "issuer": ISSUER, "jwks": jwks });
        let rules = json!([
            { "path": "/demo/test", "any_authority": ["nobody"], "mode": "shadow" }, { "path": "/demo/any" }
        ]);
        let host = start(
            kind,
            &provider,
            &upstream,
            issuer,
            json!({ "dpop": {}, "rules": rules }),
        );
        let visit = Visit::new(Servers::shared(), &host);
        let plain = KEYS[0].token("first", &json!({ "authorities": ["clerk"] }));
        visit.wait(Duration::from_secs(20), 200, &Request::get("/demo/any").bearer(&plain));
        let token = bound_token();
        let stolen = call(&token, &proof(&CLIENT, &token, |_| {}));
        let before = upstream.heads().len();
        for _ in 0..8 {
            assert_eq!(visit.status(&stolen), 200);
        }
        let told: Vec<_> = upstream.heads()[before..]
            .iter()
            .map(|head| head.contains("x-user-id: ada"))
            .collect();
        assert_eq!(told, [true, false, false, false, false, false, false, false]);
        visit.seen()
    });
}

fn challenge(answer: &Response) -> &str {
    answer.header("www-authenticate").unwrap_or_default()
}

#[test]
fn a_bound_token_needs_a_proof_and_a_proof_is_good_once() {
    compare_hosts(|kind| {
        let (provider, upstream) = (FakeIssuer::start(), EchoUpstream::start());
        let host = started(kind, &provider, &upstream, json!({}));
        let visit = Visit::new(Servers::shared(), &host);
        let token = bound_token();
        assert_eq!(visit.send(&call(&token, &proof(&CLIENT, &token, |_| {}))).status, 200);

        // The same proof on all workers at the same time: one of them takes it.
        let stolen = proof(&CLIENT, &token, |_| {});
        let answers = at_once(host.port, vec![call(&token, &stolen); 32]);
        let passed = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(passed, 1, "{answers:?}");
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(answer.status, 401, "{answer:?}");
            assert!(
                challenge(answer).starts_with(r#"DPoP error="invalid_dpop_proof""#),
                "{answer:?}"
            );
        }

        let refused = [
            Request::get("/demo/test").bearer(&token),
            Request::get("/demo/test")
                .bearer(&token)
                .header("DPoP", &proof(&CLIENT, &token, |_| {})),
            Request::get("/demo/test").header("Authorization", &format!("DPoP {token}")),
            call(&token, &proof(&KEYS[0], &token, |_| {})),
            call(&token, &proof(&CLIENT, "another token", |_| {})),
            call(&token, &proof(&CLIENT, &token, |claims| claims["htm"] = json!("POST"))),
            call(
                &token,
                &proof(&CLIENT, &token, |claims| {
                    claims["htu"] = json!("http://localhost:8081/demo/any")
                }),
            ),
            call(
                &token,
                &proof(&CLIENT, &token, |claims| {
                    claims["htu"] = json!("https://localhost:8081/demo/test")
                }),
            ),
            call(
                &token,
                &proof(&CLIENT, &token, |claims| claims["iat"] = json!(1_700_000_000)),
            ),
            call(&token, &proof(&CLIENT, &token, |_| {})).header("DPoP", &proof(&CLIENT, &token, |_| {})),
        ];
        for (index, request) in refused.iter().enumerate() {
            let answer = visit.send(request);
            assert_eq!(answer.status, 401, "{index}: {answer:?}");
            assert!(challenge(&answer).starts_with("DPoP error="), "{index}: {answer:?}");
        }
        // A token that is bound to nothing proves nothing by DPoP.
        let plain = KEYS[0].token("first", &json!({ "authorities": ["clerk"] }));
        assert_eq!(visit.send(&call(&plain, &proof(&CLIENT, &plain, |_| {}))).status, 401);
        let nobody = visit.status(&Request::get("/demo/test"));
        assert_eq!(nobody, 401);
        visit.seen()
    });
}

#[test]
fn the_service_receives_a_bearer_token_and_no_proof() {
    compare_hosts(|kind| {
        let (provider, upstream) = (FakeIssuer::start(), EchoUpstream::start());
        let jwks = json!({ "cluster": "auth-server", "uri": format!("{ISSUER}/keys") });
        let issuer = json!({ "issuer": ISSUER, "jwks": jwks });
        let changes = json!({ "dpop": {}, "forward": { "authorization": "jwt" } });
        let host = start(kind, &provider, &upstream, issuer, changes);
        let visit = Visit::new(Servers::shared(), &host);
        let plain = KEYS[0].token("first", &json!({ "authorities": ["clerk"] }));
        visit.wait(Duration::from_secs(20), 200, &Request::get("/demo/test").bearer(&plain));
        let token = bound_token();
        assert_eq!(visit.send(&call(&token, &proof(&CLIENT, &token, |_| {}))).status, 200);
        let head = upstream.heads().pop().expect("a request came");
        assert!(
            head.contains(&format!("authorization: bearer {}\r\n", token.to_lowercase())),
            "{head}"
        );
        assert!(!head.contains("dpop"), "{head}");
        assert_eq!(head.matches("authorization:").count(), 1, "{head}");
        visit.seen()
    });
}

#[test]
fn all_workers_give_out_and_take_the_same_nonces() {
    compare_hosts(|kind| {
        let (provider, upstream) = (FakeIssuer::start(), EchoUpstream::start());
        let host = started(kind, &provider, &upstream, json!({ "nonce": true }));
        let visit = Visit::new(Servers::shared(), &host);
        let token = bound_token();
        let answer = visit.send(&call(&token, &proof(&CLIENT, &token, |_| {})));
        assert_eq!(answer.status, 401);
        assert!(
            challenge(&answer).starts_with(r#"DPoP error="use_dpop_nonce""#),
            "{answer:?}"
        );
        let nonce = answer.header("dpop-nonce").expect("a nonce to use");
        for _ in 0..16 {
            let fresh = proof(&CLIENT, &token, |claims| claims["nonce"] = json!(nonce));
            assert_eq!(visit.send(&call(&token, &fresh)).status, 200);
        }
        let invented = proof(&CLIENT, &token, |claims| {
            claims["nonce"] = json!("AAAAAAAAAAAAAAAAAAAAAAAAAAA")
        });
        assert_eq!(visit.send(&call(&token, &invented)).status, 401);
        visit.seen()
    });
}

#[test]
fn without_a_client_certificate_a_token_that_is_bound_to_one_is_refused() {
    compare_hosts(|kind| {
        let (provider, upstream) = (FakeIssuer::start(), EchoUpstream::start());
        let host = started(kind, &provider, &upstream, json!({}));
        let visit = Visit::new(Servers::shared(), &host);
        let cnf = json!({ "x5t#S256": sha256("certificate") });
        let token = KEYS[0].token("first", &json!({ "authorities": ["clerk"], "cnf": cnf }));
        for _ in 0..4 {
            let answer = visit.send(&Request::get("/demo/test").bearer(&token));
            assert_eq!(answer.status, 401, "{answer:?}");
            assert!(
                challenge(&answer).starts_with(r#"Bearer error="invalid_token""#),
                "{answer:?}"
            );
        }
        visit.seen()
    });
}
