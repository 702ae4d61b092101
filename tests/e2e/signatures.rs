//! Signatures of every algorithm, some verified by the host and some by the filter: both hosts decide alike.

use std::fs;

use postern_e2e::{
    client::Request,
    foreign_issuer::{forge, jwks, sign},
    host::{Host, filter_plugin},
    servers::Servers,
    visit::{Visit, compare_hosts},
};
use serde_json::json;
use xtask::stack::{HostKind, Stack};

use crate::{calls::assert_invalid_token, forged::table::ALGORITHMS};

#[test]
fn good_ones_pass_and_forged_ones_do_not() {
    let issuer = "https://signatures.example";
    let claims =
        |user: &str| json!({ "iss": issuer, "sub": user, "exp": 4_102_444_800_u64, "authorities": ["ROLE_TEST"] });
    // Made once, as some signatures are different each time.
    let tokens = ALGORITHMS.map(|algorithm| {
        (
            algorithm,
            sign(algorithm, &claims("u1")),
            sign(algorithm, &claims("u2")),
        )
    });
    compare_hosts(|kind| {
        let servers = Servers::shared();
        let stack = servers.for_host("signatures");
        let issuers = json!([{ "issuer": issuer, "jwks": { "inline": jwks(&ALGORITHMS) } }]);
        let host = Host::start(&stack, kind, &filter_plugin(&stack, &[("issuers", issuers)]));
        let visit = Visit::new(servers, &host);
        for (algorithm, good, other) in &tokens {
            let (forged, cut) = (forge(good, other), &good[..good.len() - 4]);
            // Twice: the second time the answer is remembered.
            for _ in 0..2 {
                let call = |token: &str| Request::get("/demo/test").bearer(token);
                assert_eq!(visit.status(&call(good)), 200, "{algorithm:?}");
                assert_invalid_token(&visit.send(&call(&forged)), &forged);
                assert_invalid_token(&visit.send(&call(cut)), cut);
                assert_eq!(visit.status(&call(other)), 200, "{algorithm:?}");
            }
        }
        assert_told(&stack, kind);
        visit.seen()
    });
}

/// The filter says whose work the signatures are.
fn assert_told(stack: &Stack, kind: HostKind) {
    let expected = match kind {
        HostKind::Gateway => {
            "the host verifies signatures of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA"
        }
        HostKind::Envoy => "the host verifies signatures of RS256, RS384, RS512, ES256, ES384",
    };
    let logs = fs::read_dir(stack.folder.join("logs")).into_iter().flatten().flatten();
    let told = logs
        .map(|log| fs::read_to_string(log.path()).unwrap_or_default())
        .any(|text| text.contains(expected));
    assert!(told, "{kind:?}: no log says: {expected}");
}
