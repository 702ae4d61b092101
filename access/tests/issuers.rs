//! Tokens as Keycloak, Auth0, Entra and Spring write them: who they are taken for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use postern_access::policy::{Decision, Policy};
use postern_access::state::State;
use serde_json::{Value, json};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
/// Unix milliseconds.
const NOW: u64 = 1_800_000_000_000;

fn inline() -> Value {
    let key = json!({ "kty": "oct", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(SECRET) });
    json!({ "inline": { "keys": [key] } })
}

fn signed(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET);
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

/// The identity headers for a token of an issuer with these claim names; or why there are none.
fn seen(claims: &Value, token: &Value) -> Result<Value, String> {
    let issuer = json!({ "issuer": token.get("iss"), "jwks": inline(), "claims": claims });
    let config = json!({ "issuers": [issuer], "unmatched": "authenticated" });
    let policy = Policy::parse(config.to_string().as_bytes()).map_err(|error| error.to_string())?;
    let mut state = State::new(policy.config(), 1).unwrap();
    let authorization = format!("Bearer {}", signed(token));
    let headers: [(&[u8], &[u8]); 3] = [
        (b":method", b"GET"),
        (b":path", b"/orders"),
        (b"authorization", authorization.as_bytes()),
    ];
    let request = policy.read(headers.into_iter());
    match policy.decide(&request, &mut state, NOW) {
        Decision::Allow(allowed) => {
            let caller = allowed.caller.unwrap();
            let headers = caller.headers(&policy.config().forward);
            Ok(headers.map(|(name, value)| (name.to_owned(), json!(value))).collect())
        }
        Decision::Deny(denial) => Err(denial.to_string()),
        Decision::Need(need) => Err(format!("{need:?}")),
    }
}

/// Two issuers that call their keys the same: each is believed for its own tokens, with its own key, audience and names.
#[test]
fn several_issuers_keep_to_themselves() {
    const OTHER: &[u8] = b"fedcba9876543210fedcba9876543210";
    let issuer = |name: &str, audience: &str, secret: &[u8], claims: Value| {
        let key = json!({ "kty": "oct", "alg": "HS256", "kid": "1", "k": URL_SAFE_NO_PAD.encode(secret) });
        json!({ "issuer": name, "audiences": [audience], "jwks": { "inline": { "keys": [key] } }, "claims": claims })
    };
    let config = json!({
        "issuers": [
            issuer("https://one.example", "orders", SECRET, json!({ "preset": "keycloak" })),
            issuer("https://two.example", "stock", OTHER, json!({ "preset": "auth0" }))
        ],
        "rules": [{ "path": "/orders", "any_authority": ["clerk"] }]
    });
    let policy = Policy::parse(config.to_string().as_bytes()).unwrap();
    let mut state = State::new(policy.config(), 1).unwrap();
    let mut decide = |issuer: &str, audience: &str, secret: &[u8], roles: (&str, Value)| {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("1".into());
        let mut claims = json!({ "iss": issuer, "aud": audience, "sub": "ada", "exp": NOW / 1000 + 300 });
        claims[roles.0] = roles.1;
        let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap();
        let authorization = format!("Bearer {token}");
        let headers: [(&[u8], &[u8]); 3] = [
            (b":method", b"GET"),
            (b":path", b"/orders"),
            (b"authorization", authorization.as_bytes()),
        ];
        let request = policy.read(headers.into_iter());
        match policy.decide(&request, &mut state, NOW) {
            Decision::Allow(_) => "passes".to_owned(),
            Decision::Deny(denial) => denial.to_string(),
            Decision::Need(need) => panic!("{need:?}"),
        }
    };
    let realm = || ("realm_access", json!({ "roles": ["clerk"] }));
    let permissions = || ("permissions", json!(["clerk"]));
    assert_eq!(decide("https://one.example", "orders", SECRET, realm()), "passes");
    assert_eq!(decide("https://two.example", "stock", OTHER, permissions()), "passes");
    for (issuer, audience, secret, roles, why) in [
        ("https://one.example", "orders", OTHER, realm(), "signature"),
        ("https://two.example", "stock", SECRET, permissions(), "signature"),
        ("https://one.example", "stock", SECRET, realm(), "audience"),
        ("https://two.example", "orders", OTHER, permissions(), "audience"),
        ("https://one.example", "orders", SECRET, permissions(), "not permitted"),
        ("https://two.example", "stock", OTHER, realm(), "not permitted"),
        (
            "https://three.example",
            "orders",
            SECRET,
            realm(),
            "issuer is not known",
        ),
    ] {
        let got = decide(issuer, audience, secret, roles);
        assert!(got.contains(why), "{issuer} {audience}: {got}");
    }
}

/// What an issuer signs with the same key, for the same audience, and is no access token.
#[test]
fn id_tokens_and_refresh_tokens_are_no_access_tokens() {
    let good = json!({ "iss": "https://id.example", "sub": "ada", "exp": NOW / 1000 + 300, "scope": "openid" });
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        seen(&json!({}), &claims)
    };
    for (name, value) in [
        ("typ", json!("Bearer")),
        ("typ", json!("DPoP")),
        ("token_use", json!("access")),
        // Beside a scope: some products put it into access tokens too.
        ("nonce", json!("n")),
    ] {
        assert!(with(name, value.clone()).is_ok(), "{name}: {value}");
    }
    for (name, value) in [
        ("typ", json!("ID")),
        ("typ", json!("Refresh")),
        ("typ", json!("Offline")),
        ("typ", json!("Logout")),
        ("token_use", json!("id")),
        ("token_use", json!(1)),
        ("at_hash", json!("x")),
        ("c_hash", json!("x")),
        (
            "events",
            json!({ "http://schemas.openid.net/event/backchannel-logout": {} }),
        ),
    ] {
        let why = with(name, value.clone()).unwrap_err();
        assert!(why.contains("not an access token"), "{name}: {value}: {why}");
    }
    let id_token = json!({ "iss": "https://id.example", "sub": "ada", "exp": NOW / 1000 + 300, "nonce": "n" });
    assert!(seen(&json!({}), &id_token).is_err());
}

/// An issuer of the auth server that the configuration names too: its revocations hold, and both must be content.
#[test]
fn an_entry_for_an_issuer_of_the_auth_server_only_asks_for_more() {
    let entry =
        |audiences: Value| json!({ "issuer": "https://auth.example", "audiences": audiences, "jwks": inline() });
    let decide = |revoked: Value, audience: &str| {
        let config = json!({
            "auth_server": { "cluster": "auth", "authority": "auth" },
            "issuers": [entry(json!(["orders"]))],
            "unmatched": "authenticated"
        });
        let policy = Policy::parse(config.to_string().as_bytes()).unwrap();
        let mut state = State::new(policy.config(), 1).unwrap();
        let mut of_feed = entry(Value::Null);
        of_feed.as_object_mut().unwrap().remove("audiences");
        let feed = json!({ "version": "a-1", "issuers": [of_feed], "revoked_tokens": revoked });
        state.apply_tokens(feed.to_string().as_bytes(), NOW).unwrap();
        let claims = json!({ "iss": "https://auth.example", "aud": audience, "sub": "ada", "jti": "t1", "exp": NOW / 1000 + 300 });
        let authorization = format!("Bearer {}", signed(&claims));
        let headers: [(&[u8], &[u8]); 3] = [
            (b":method", b"GET"),
            (b":path", b"/orders"),
            (b"authorization", authorization.as_bytes()),
        ];
        match policy.decide(&policy.read(headers.into_iter()), &mut state, NOW) {
            Decision::Allow(_) => "passes".to_owned(),
            Decision::Deny(denial) => denial.to_string(),
            Decision::Need(need) => panic!("{need:?}"),
        }
    };
    assert_eq!(decide(json!([]), "orders"), "passes");
    assert!(decide(json!([["t1", null]]), "orders").contains("revoked"));
    assert!(decide(json!([]), "stock").contains("audience"));
}

#[test]
fn two_entries_of_one_issuer_are_refused_at_load() {
    let entry = json!({ "issuer": "https://one.example", "jwks": inline() });
    let config = json!({ "issuers": [entry, entry] });
    let error = Policy::parse(config.to_string().as_bytes()).unwrap_err().to_string();
    assert!(
        error.contains("issuers[1].issuer: issuers[0] has the same name"),
        "{error}"
    );
}

fn keycloak() -> Value {
    json!({
        "exp": NOW / 1000 + 300, "iat": NOW / 1000, "jti": "onrtac:0c9b7d46-1f3a-4a44-a0a4-3c2b0c0e7a51",
        "iss": "https://id.example.com/realms/shop", "aud": ["orders", "account"],
        "sub": "5e2b0f5e-8b0a-4a57-93b5-2d6b1d0b8a11", "typ": "Bearer", "azp": "web",
        "sid": "d3b1c0d0-53b0-4b1e-a1a2-5a1f0e9c8d77", "acr": "1", "allowed-origins": ["https://shop.example.com"],
        "realm_access": { "roles": ["default-roles-shop", "offline_access", "customer"] },
        "resource_access": {
            "orders": { "roles": ["orders-reader"] },
            "account": { "roles": ["manage-account", "admin"] },
            "my.app": { "roles": ["dotted"] }
        },
        "scope": "openid profile email", "email_verified": true, "preferred_username": "ada"
    })
}

#[test]
fn keycloak_roles_of_the_realm_and_of_one_client() {
    let user = json!({
        "x-user-id": "5e2b0f5e-8b0a-4a57-93b5-2d6b1d0b8a11", "x-user-name": "ada", "x-client-id": "web",
        "x-scope": "openid profile email"
    });
    for (claims, authorities) in [
        (
            json!({ "preset": "keycloak" }),
            "customer,default-roles-shop,offline_access",
        ),
        (
            json!({ "preset": "keycloak", "client": "orders" }),
            "customer,default-roles-shop,offline_access,orders-reader",
        ),
        (
            json!({ "preset": "keycloak", "client": "my.app" }),
            "customer,default-roles-shop,dotted,offline_access",
        ),
        // Of a client that the token does not speak of.
        (
            json!({ "preset": "keycloak", "client": "stock" }),
            "customer,default-roles-shop,offline_access",
        ),
        // What stands beside the preset comes before it.
        (
            json!({ "preset": "keycloak", "authorities": ["resource_access.*.roles"] }),
            "admin,dotted,manage-account,orders-reader",
        ),
        (
            json!({ "preset": "keycloak", "authorities": [["resource_access", "my.app", "roles"]] }),
            "dotted",
        ),
    ] {
        let mut expected = user.clone();
        expected["x-authorities"] = json!(authorities);
        assert_eq!(seen(&claims, &keycloak()), Ok(expected), "{claims}");
    }
}

#[test]
fn auth0_permissions_and_claims_with_a_namespace() {
    let token = json!({
        "iss": "https://shop.eu.auth0.com/", "sub": "auth0|64f0c0ffee", "aud": ["https://api.example.com"],
        "iat": NOW / 1000, "exp": NOW / 1000 + 86_400, "azp": "q0Zb3", "scope": "openid read:orders",
        "permissions": ["read:orders"], "https://example.com/roles": ["clerk"], "https://example.com/name": "Ada"
    });
    let user = json!({ "x-user-id": "auth0|64f0c0ffee", "x-client-id": "q0Zb3", "x-scope": "openid read:orders" });
    let mut expected = user.clone();
    expected["x-authorities"] = json!("read:orders");
    assert_eq!(seen(&json!({ "preset": "auth0" }), &token), Ok(expected));
    let mut expected = user;
    expected["x-user-name"] = json!("Ada");
    expected["x-authorities"] = json!("clerk,read:orders");
    for namespaced in [json!("https://example.com/roles"), json!(["https://example.com/roles"])] {
        let claims = json!({
            "preset": "auth0", "user_name": "https://example.com/name", "authorities": ["permissions", namespaced]
        });
        assert_eq!(seen(&claims, &token), Ok(expected.clone()), "{claims}");
    }
}

#[test]
fn entra_of_a_user_and_of_an_application() {
    let user = json!({
        "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3", "iss": "https://login.microsoftonline.com/72f988bf/v2.0",
        "iat": NOW / 1000, "nbf": NOW / 1000, "exp": NOW / 1000 + 3600, "azp": "04b07795", "azpacr": "0",
        "name": "Ada", "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "preferred_username": "ada@example.com",
        "roles": ["Orders.Read"], "scp": "access_as_user orders", "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
        "tid": "72f988bf", "uti": "fqiBqXLPj0eQa82S-IYFAA", "ver": "2.0"
    });
    let claims = json!({ "preset": "entra" });
    assert_eq!(
        seen(&claims, &user),
        Ok(json!({
            "x-user-id": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "x-user-name": "ada@example.com",
            "x-client-id": "04b07795", "x-scope": "access_as_user orders", "x-authorities": "Orders.Read"
        }))
    );
    // An older token of the same tenant: other names for the client and the user.
    let application = json!({
        "aud": "api://orders", "iss": "https://sts.windows.net/72f988bf/", "iat": NOW / 1000, "exp": NOW / 1000 + 3600,
        "appid": "11bb", "idtyp": "app", "oid": "aa-bb", "roles": ["Orders.Read.All"], "sub": "aa-bb", "ver": "1.0"
    });
    let claims = json!({ "preset": "entra", "client_id": "appid", "user_name": "upn" });
    assert_eq!(
        seen(&claims, &application),
        Ok(json!({ "x-user-id": "aa-bb", "x-client-id": "11bb", "x-authorities": "Orders.Read.All" }))
    );
}

#[test]
fn spring_of_today_and_of_yesterday() {
    let today = json!({
        "iss": "http://localhost:9000", "sub": "ada", "aud": "web", "nbf": NOW / 1000, "iat": NOW / 1000,
        "exp": NOW / 1000 + 300, "scope": ["openid", "orders"], "authorities": ["ROLE_USER"], "jti": "b1"
    });
    assert_eq!(
        seen(&json!({ "preset": "spring" }), &today),
        Ok(json!({
            "x-user-id": "ada", "x-user-name": "ada", "x-scope": "openid orders", "x-authorities": "ROLE_USER"
        }))
    );
    let yesterday = json!({
        "user_name": "ada", "scope": ["all"], "exp": NOW / 1000 + 300, "authorities": ["ROLE_USER"], "jti": "b2",
        "client_id": "web"
    });
    let issuer = json!({ "jwks": inline(), "claims": { "preset": "spring_legacy" } });
    let config = json!({ "issuers": [issuer], "unmatched": "authenticated" });
    assert!(Policy::parse(config.to_string().as_bytes()).is_ok());
    assert_eq!(
        seen(&json!({ "preset": "spring_legacy" }), &yesterday),
        Ok(json!({
            "x-user-id": "ada", "x-user-name": "ada", "x-client-id": "web", "x-scope": "all",
            "x-authorities": "ROLE_USER"
        }))
    );
}

#[test]
fn a_wrong_name_is_refused_at_load_with_its_place() {
    for (claims, place) in [
        (json!({ "preset": "okta" }), "issuers[0].claims"),
        (json!({ "user_id": 7 }), "issuers[0].claims.user_id"),
        (json!({ "authorities": [[]] }), "issuers[0].claims.authorities[0]"),
        (json!({ "rolls": "x" }), "issuers[0].claims"),
    ] {
        let error = seen(&claims, &keycloak()).unwrap_err();
        assert!(error.contains(place), "{claims}: {error}");
    }
}
