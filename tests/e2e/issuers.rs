//! An issuer beside the auth server: found by discovery, rotating its keys, down for a while, or not who it says.

use std::{net::TcpListener, time::Duration};

use postern_e2e::{
    client::{Request, at_once},
    host::{Host, filter_plugin},
    issuer::{FakeIssuer, ISSUER, KEYS},
    servers::{Servers, folder},
    upstream::EchoUpstream,
    visit::{Visit, compare_hosts},
};
use serde_json::{Value, json};
use xtask::stack::{HostKind, Plugin, ServerPorts, Stack};

/// A host has two workers, each with a VM of its own.
const VMS: usize = 2;

const KEY_SET: &str = "/keys";

/// A host between an issuer, which it reaches by the cluster `auth-server`, and an echo. `changes`: beside the issuers.
pub fn start(kind: HostKind, provider: &FakeIssuer, upstream: &EchoUpstream, issuer: Value, changes: Value) -> Host {
    let stack = stack(provider, upstream);
    Host::start(&stack, kind, &plugin(&stack, issuer, changes))
}

/// An issuer in the place of the auth server, and an echo in that of the demo service.
pub fn stack(provider: &FakeIssuer, upstream: &EchoUpstream) -> Stack {
    let servers = Servers::shared();
    let ports = ServerPorts {
        auth: provider.port,
        service: upstream.port,
        ..servers.stack.ports
    };
    Stack {
        folder: folder("issuers"),
        ports,
        ..servers.stack.clone()
    }
}

/// The filter for one issuer, without servers of ours. `changes`: beside the issuers.
pub fn plugin(stack: &Stack, issuer: Value, changes: Value) -> Plugin {
    let mut all = vec![
        ("auth_server", Value::Null),
        ("login_service", Value::Null),
        ("public", json!([])),
        ("issuers", json!([issuer])),
        (
            "rules",
            json!([{ "path": "/demo/test", "any_authority": ["clerk"] }, { "path": "/demo/any" }]),
        ),
        ("errors", json!("rfc6750")),
    ];
    let changes = changes.as_object().cloned().unwrap_or_default();
    all.extend(changes.iter().map(|(key, value)| (key.as_str(), value.clone())));
    filter_plugin(stack, &all)
}

/// As Keycloak writes tokens, with keys by discovery.
fn keycloak(jwks: Value) -> Value {
    let mut all = json!({ "cluster": "auth-server", "discovery": ISSUER });
    if let (Some(all), Some(jwks)) = (all.as_object_mut(), jwks.as_object()) {
        all.extend(jwks.clone());
    }
    json!({
        "issuer": ISSUER, "audiences": ["orders"], "jwks": all, "claims": { "preset": "keycloak", "client": "orders" }
    })
}

fn clerk(n: usize) -> Value {
    json!({ "azp": "web", "jti": n.to_string(), "resource_access": { "orders": { "roles": ["clerk"] } } })
}

fn call(token: &str) -> Request {
    Request::get("/demo/test").bearer(token)
}

#[test]
fn a_rotation_refuses_nobody() {
    compare_hosts(|kind| {
        let (provider, upstream) = (FakeIssuer::start(), EchoUpstream::start());
        let host = start(kind, &provider, &upstream, keycloak(json!({})), json!({}));
        let visit = Visit::new(Servers::shared(), &host);
        let old = call(&KEYS[0].token("first", &clerk(0)));
        visit.wait(Duration::from_secs(20), 200, &old);
        let head = upstream.heads().pop().expect("a request came");
        for told in ["x-user-id: ada", "x-client-id: web", "x-authorities: clerk"] {
            assert!(head.contains(told), "no {told} in {head}");
        }
        let elsewhere = json!({ "aud": "stock", "resource_access": { "orders": { "roles": ["clerk"] } } });
        assert_eq!(visit.send(&call(&KEYS[0].token("first", &elsewhere))).status, 401);
        assert_eq!(visit.send(&call(&KEYS[0].token("first", &json!({})))).status, 403);

        // Right after the rotation many come at once with the new key, each with a token of its own.
        let before = provider.requests(KEY_SET);
        provider.behave(|provider| provider.keys = KEYS.to_vec());
        let calls = (0..48).map(|n| call(&KEYS[1].token("second", &clerk(n))));
        for answer in at_once(host.port, calls.collect()) {
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        let fetches = provider.requests(KEY_SET) - before;
        assert!((1..=2 * VMS).contains(&fetches), "{fetches} fetches for one rotation");
        assert_eq!(visit.send(&old).status, 200);

        // The old key goes away. Who names it is refused once the set has been fetched again.
        provider.behave(|provider| provider.keys = vec![KEYS[1]]);
        assert_eq!(visit.send(&call(&KEYS[1].token("second", &clerk(99)))).status, 200);
        visit.seen()
    });
}

#[test]
fn invented_keys_flood_nobody_and_disturb_nobody() {
    compare_hosts(|kind| {
        let (provider, upstream) = (FakeIssuer::start(), EchoUpstream::start());
        let host = start(kind, &provider, &upstream, keycloak(json!({})), json!({}));
        let visit = Visit::new(Servers::shared(), &host);
        let good = call(&KEYS[0].token("first", &clerk(0)));
        visit.wait(Duration::from_secs(20), 200, &good);
        let before = provider.requests(KEY_SET);
        for round in 0..2 {
            let invented = (0..96).map(|n| call(&KEYS[1].token(&format!("invented-{round}-{n}"), &clerk(n))));
            let known = (0..16).map(|n| call(&KEYS[0].token("first", &clerk(1000 * round + n))));
            let answers = at_once(host.port, invented.chain(known).collect());
            let (invented, known) = answers.split_at(96);
            for answer in invented {
                assert!(matches!(answer.status, 401 | 503), "{answer:?}");
            }
            for answer in known {
                assert_eq!(answer.status, 200, "{answer:?}");
            }
        }
        let fetches = provider.requests(KEY_SET) - before;
        assert!(
            (1..=10 * VMS).contains(&fetches),
            "{fetches} fetches for 192 invented keys"
        );
        visit.seen()
    });
}

#[test]
fn keys_outlive_an_outage_for_max_stale() {
    compare_hosts(|kind| {
        let (provider, upstream) = (FakeIssuer::start(), EchoUpstream::start());
        let issuer = keycloak(json!({ "max_age": "1s", "max_stale": "4s" }));
        let host = start(kind, &provider, &upstream, issuer, json!({ "hold": "300ms" }));
        let visit = Visit::new(Servers::shared(), &host);
        let good = call(&KEYS[0].token("first", &clerk(0)));
        visit.wait(Duration::from_secs(20), 200, &good);
        provider.behave(|provider| provider.down = true);
        assert_eq!(visit.send(&good).status, 200);
        visit.wait(Duration::from_secs(30), 503, &good);
        assert!(visit.send(&good).header("retry-after").is_some());
        provider.behave(|provider| provider.down = false);
        visit.wait(Duration::from_secs(30), 200, &good);
        visit.seen()
    });
}

#[test]
fn a_discovery_document_of_somebody_else_is_not_believed() {
    compare_hosts(|kind| {
        let (provider, upstream) = (FakeIssuer::start(), EchoUpstream::start());
        provider.behave(|provider| provider.issuer = format!("{ISSUER}/"));
        let host = start(
            kind,
            &provider,
            &upstream,
            keycloak(json!({})),
            json!({ "hold": "300ms" }),
        );
        let visit = Visit::new(Servers::shared(), &host);
        let good = call(&KEYS[0].token("first", &clerk(0)));
        assert_eq!(visit.send(&good).status, 503);
        assert_eq!(provider.requests(KEY_SET), 0);
        provider.behave(|provider| provider.issuer = ISSUER.into());
        visit.wait(Duration::from_secs(20), 200, &good);
        visit.seen()
    });
}

/// More streams than the filter lets wait for the keys of one issuer (512), at each of two workers.
const CROWD: usize = 1200;

#[test]
fn a_silent_issuer_takes_no_room_of_others() {
    const SILENT: &str = "http://silent.example.com";
    compare_hosts(|kind| {
        let (provider, upstream) = (FakeIssuer::start(), EchoUpstream::start());
        // It takes connections and never says anything.
        let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut stack = stack(&provider, &upstream);
        stack.ports.login = silent.local_addr().expect("a bound socket has an address").port();
        let jwks = json!({ "cluster": "login-service", "uri": format!("{SILENT}/keys") });
        let issuers = json!([keycloak(json!({})), { "issuer": SILENT, "jwks": jwks }]);
        let plugin = plugin(&stack, Value::Null, json!({ "issuers": issuers }));
        let host = Host::start(&stack, kind, &plugin);
        let visit = Visit::new(Servers::shared(), &host);
        visit.wait(Duration::from_secs(20), 200, &call(&KEYS[0].token("first", &clerk(0))));

        let of_silent = call(&KEYS[0].token("first", &json!({ "iss": SILENT })));
        let mut crowd: Vec<_> = (0..CROWD).map(|_| of_silent.open(host.port, 0)).collect();
        // Others wait for a key too, and get it.
        provider.behave(|provider| provider.keys = KEYS.to_vec());
        let calls = (0..32).map(|n| call(&KEYS[1].token("second", &clerk(n))));
        for answer in at_once(host.port, calls.collect()) {
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        for waiting in &mut crowd {
            assert_eq!(waiting.response().status, 503);
        }
        visit.seen()
    });
}
