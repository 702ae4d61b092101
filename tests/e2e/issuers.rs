//! An issuer beside the auth server: found by discovery, rotating its keys, down for a while, or not who it says.

use std::{fs, net::TcpListener, thread, time::Duration};

use postern_e2e::{
    client::{Request, at_once},
    host::{Host, filter_plugin, kinds},
    issuer::{FakeIssuer, ISSUER, KEYS},
    servers::{Servers, folder},
    upstream::EchoUpstream,
    visit::{Visit, compare_hosts},
};
use serde_json::{Value, json};
use xtask::stack::{HostKind, Plugin, ServerPorts, Stack};

const DISCOVERY: &str = "/.well-known/openid-configuration";
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

        // Both workers have the keys, which one of them fetched.
        let calls = (100..148).map(|n| call(&KEYS[0].token("first", &clerk(n))));
        for answer in at_once(host.port, calls.collect()) {
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        assert_eq!((provider.requests(DISCOVERY), provider.requests(KEY_SET)), (1, 1));

        // Right after the rotation many come at once with the new key, each with a token of its own.
        provider.behave(|provider| provider.keys = KEYS.to_vec());
        let calls = (0..48).map(|n| call(&KEYS[1].token("second", &clerk(n))));
        for answer in at_once(host.port, calls.collect()) {
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        assert_eq!(
            (provider.requests(DISCOVERY), provider.requests(KEY_SET)),
            (1, 2),
            "one more for the rotation"
        );
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
        assert!((1..=10).contains(&fetches), "{fetches} fetches for 192 invented keys");
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

#[test]
fn an_outage_is_told_now_and_then_and_its_end_once() {
    for kind in kinds() {
        let (provider, upstream) = (FakeIssuer::start(), EchoUpstream::start());
        provider.behave(|provider| provider.down = true);
        let stack = Stack {
            folder: folder("outage"),
            ..Servers::shared().stack.clone()
        };
        let configuration = json!({
            "issuers": [ { "issuer": ISSUER, "jwks": { "cluster": "id", "discovery": ISSUER } } ],
            "unmatched": "authenticated", "hold": "300ms"
        });
        let clusters = [("up", upstream.port), ("id", provider.port)];
        let host = Host::start_with_one_vm(&stack, kind, &clusters, &configuration);
        let visit = Visit::new(Servers::shared(), &host);
        let good = call(&KEYS[0].token("first", &clerk(0)));
        assert_eq!(visit.send(&good).status, 503);

        let log = || fs::read_to_string(&host.log).unwrap_or_default();
        let told = |times: usize| {
            let line = format!(
                "the keys of issuer 0 of the configuration ({ISSUER}) could not be fetched ({times} in a row): the server \
                 answered 503"
            );
            log().matches(&line).count()
        };
        for _ in 0..600 {
            if told(4) == 1 {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!([1, 2, 3, 4, 5].map(told), [1, 1, 0, 1, 0], "{}", log());
        provider.behave(|provider| provider.down = false);
        visit.wait(Duration::from_secs(30), 200, &good);
        let again = format!("the keys of issuer 0 of the configuration ({ISSUER}) are there again, after ");
        assert_eq!(log().matches(&again).count(), 1, "{}", log());
    }
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
