//! What a client learns from a refusal: that its user must log in again, by which scheme to come, and where the resource
//! is described.

use postern_e2e::{
    client::{Request, Response},
    issuer::{FakeIssuer, ISSUER, KEYS},
    servers::Servers,
    upstream::EchoUpstream,
    visit::{Visit, compare_hosts},
};
use serde_json::{Value, json};

use crate::{dpop::now, issuers::start};

const METADATA: &str = "https://api.example.com/.well-known/oauth-protected-resource";

fn challenges(answer: &Response) -> Vec<&str> {
    let named = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("www-authenticate");
    answer
        .headers
        .iter()
        .filter(named)
        .map(|(_, value)| value.as_str())
        .collect()
}

#[test]
fn a_refusal_says_how_to_log_in_and_where_the_resource_is_described() {
    compare_hosts(|kind| {
        let (provider, upstream) = (FakeIssuer::start(), EchoUpstream::start());
        let mut key = KEYS[0].public();
        key["kid"] = json!("first");
        let issuer = json!({ "issuer": ISSUER, "jwks": { "inline": { "keys": [key] } } });
        let changes = json!({
            "rules": [ { "path": "/demo/test", "acr": ["urn:example:mfa"], "max_age": "5m" } ],
            "resource_metadata": METADATA, "dpop": {}
        });
        let host = start(kind, &provider, &upstream, issuer, changes);
        let visit = Visit::new(Servers::shared(), &host);
        let call = |claims: Value| visit.send(&Request::get("/demo/test").bearer(&KEYS[0].token("first", &claims)));
        assert_eq!(
            call(json!({ "acr": "urn:example:mfa", "auth_time": now() })).status,
            200
        );
        for claims in [
            json!({}),
            json!({ "acr": "urn:example:mfa", "auth_time": now() - 600 }),
            json!({ "acr": "urn:example:pwd", "auth_time": now() }),
        ] {
            let answer = call(claims);
            let challenge = format!(
                r#"Bearer error="insufficient_user_authentication", error_description="The user must log in again, or by other means", acr_values="urn:example:mfa", max_age="300", resource_metadata="{METADATA}""#
            );
            assert_eq!((answer.status, challenges(&answer)), (401, vec![challenge.as_str()]));
        }
        let nobody = visit.send(&Request::get("/demo/test"));
        let offered = challenges(&nobody);
        assert_eq!(nobody.status, 401);
        assert_eq!(offered[0], format!(r#"Bearer resource_metadata="{METADATA}""#));
        assert!(
            offered[1].starts_with("DPoP algs=") && offered[1].ends_with(&format!(r#"resource_metadata="{METADATA}""#)),
            "{offered:?}"
        );
        visit.seen()
    });
}
