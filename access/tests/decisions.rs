//! Request × token × state → decision, as a table: what a client of the filter sees.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use postern_access::config::ErrorStyle;
use postern_access::denial::{Denial, Unavailable};
use postern_access::introspection::{MAX_OPAQUE, MAX_OPEN, Question};
use postern_access::policy::{Decision, Need, Policy, Shadowed};
use postern_access::state::State;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const OTHER: &[u8] = b"another-secret-of-32-bytes-------";
/// Unix milliseconds.
const NOW: u64 = 1_800_000_000_000;

/// A configuration as the demo has it, and the documents of both feeds.
struct World {
    policy: Policy,
    state: State,
    now: u64,
}

impl World {
    fn new(change: impl FnOnce(&mut Value)) -> Self {
        let mut config = json!({
            "auth_server": { "cluster": "auth", "authority": "auth" },
            "login_service": { "cluster": "login", "authority": "login" },
            "public": ["/login/**", "GET /health"],
            "rules": [
                { "path": "/echo" },
                { "path": "/orders/{tenant}/**", "methods": ["GET"], "scopes": ["orders.read"], "claims": { "tenant": "{tenant}" } },
                { "path": "/both", "all_authorities": ["ROLE_A", "ROLE_B"] },
                { "path": "/login/feed/**", "deny": true }
            ],
            "errors": "spring"
        });
        change(&mut config);
        let policy = Policy::parse(config.to_string().as_bytes()).unwrap();
        let state = State::new(policy.config(), 1).unwrap();
        let mut world = Self {
            policy,
            state,
            now: NOW,
        };
        world
            .tokens(&json!({ "version": "a-1", "issuers": [issuer(SECRET)] }))
            .unwrap();
        world
            .permissions(&json!({ "version": "p-1", "permissions": [
                { "name": "ROLE_TEST", "url": "/demo/test" },
                { "name": "ROLE_TEST2", "url": "/demo/test2" },
                { "name": "ROLE_ADMIN", "url": "/demo/**" },
                { "name": "ROLE_POST", "url": "/demo/post", "method": "POST" },
                { "name": "ROLE_POST", "url": "/demo/things:delete" }
            ] }))
            .unwrap();
        world
    }

    fn tokens(&mut self, document: &Value) -> Result<(), String> {
        self.state
            .apply_tokens(document.to_string().as_bytes(), self.now)
            .map_err(|error| error.to_string())
    }

    fn permissions(&mut self, document: &Value) -> Result<(), String> {
        self.state
            .apply_permissions(document.to_string().as_bytes(), self.now)
            .map(|refused| assert!(refused.is_empty()))
            .map_err(|error| error.to_string())
    }

    fn decide(&mut self, method: &str, path: &str, token: Option<&str>) -> Decision {
        let authorization = token.map(|token| format!("bearer {token}"));
        let mut headers: Vec<(&[u8], &[u8])> = vec![(b":method", method.as_bytes()), (b":path", path.as_bytes())];
        headers.extend(
            authorization
                .as_deref()
                .map(|value| (b"authorization".as_slice(), value.as_bytes())),
        );
        let request = self.policy.read(headers.into_iter());
        self.policy.decide(&request, &mut self.state, self.now)
    }

    /// The status a client gets; 200 stands for passing.
    fn status(&mut self, method: &str, path: &str, token: Option<&str>) -> u16 {
        match self.decide(method, path, token) {
            Decision::Allow(_) => 200,
            Decision::Deny(denial) => {
                denial
                    .answer(self.policy.config().errors, self.now, path.as_bytes())
                    .status
            }
            Decision::Need(need) => panic!("{method} {path} needs {need:?}"),
        }
    }

    /// A world whose auth server says which tokens to ask it about.
    fn introspecting(opaque: bool, imported: bool) -> Self {
        let mut world = Self::new(|_| {});
        let kinds = json!({ "opaque": opaque, "imported": imported });
        world
            .tokens(&json!({ "version": "i-1", "issuers": [issuer(SECRET)], "introspection": kinds }))
            .unwrap();
        world
    }

    /// The question that a request with this token raises.
    fn question(&mut self, token: &str) -> Question {
        let decision = self.decide("GET", "/echo", Some(token));
        let Decision::Need(need) = decision else {
            panic!("{decision:?}")
        };
        let Need::Introspection(unknown) = &need else {
            panic!("{need:?}")
        };
        self.state.want_introspection(unknown);
        let question = self.state.introspections_due(NOW).pop().unwrap();
        assert_eq!((question.token(), question.need()), (token, need));
        question
    }

    /// Answers the question that a request with this token raises.
    fn introspect(&mut self, token: &str, answer: &Value) {
        let question = self.question(token);
        let answer = answer.to_string();
        self.policy
            .introspected(&question, answer.as_bytes(), &mut self.state, self.now)
            .unwrap();
    }

    fn refusal(&mut self, token: &str) -> String {
        match self.decide("GET", "/echo", Some(token)) {
            Decision::Deny(denial) => denial.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

fn issuer(secret: &[u8]) -> Value {
    json!({
        "jwks": { "inline": { "keys": [ { "kty": "oct", "alg": "HS256", "use": "sig", "k": URL_SAFE_NO_PAD.encode(secret) } ] } },
        "claims": { "user_id": "userId", "user_name": "user_name" },
        "forbidden_claims": ["ati"]
    })
}

fn token(authorities: &[&str], change: impl FnOnce(&mut Value)) -> String {
    let mut claims = json!({
        "user_name": "u1", "scope": ["all"], "exp": NOW / 1000 + 60, "userId": "u1",
        "authorities": authorities, "jti": "t1", "client_id": "demo"
    });
    change(&mut claims);
    signed(&claims, SECRET)
}

/// What the auth server says of an opaque token that is good.
fn active(change: impl FnOnce(&mut Value)) -> Value {
    let mut answer = json!({
        "active": true, "client_id": "sso", "username": "u1", "sub": "u1", "scope": "all", "token_type": "Bearer",
        "exp": NOW / 1000 + 60, "iat": NOW / 1000 - 60, "jti": "t1", "authorities": ["ROLE_TEST"]
    });
    change(&mut answer);
    answer
}

/// An opaque token as the legacy profile `tkey` makes them.
const OPAQUE: &str = "AT-100-Zq3T0vLxW8d1hKcPbN5sYfRj2mUaGe7i";

fn signed(claims: &Value, secret: &[u8]) -> String {
    jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        claims,
        &EncodingKey::from_secret(secret),
    )
    .unwrap()
}

#[test]
fn a_segment_is_compared_with_a_claim_as_it_reads() {
    let mut world = World::new(|_| {});
    for (path, tenant, status) in [
        ("/orders/auth0%7C7/1", "auth0|7", 200),
        ("/orders/auth0%7c7/1", "auth0|7", 200),
        ("/orders/auth0%7C8/1", "auth0|7", 403),
        ("/orders/M%c3%bcnchen/1", "M\u{fc}nchen", 200),
        ("/orders/M%C3%BCnchen/1", "M%C3%BCnchen", 403),
    ] {
        let token = token(&[], |claims| {
            claims["tenant"] = json!(tenant);
            claims["scope"] = json!("orders.read");
        });
        assert_eq!(world.status("GET", path, Some(&token)), status, "{path} {tenant}");
    }
}

#[test]
fn who_may_do_what() {
    let mut world = World::new(|_| {});
    let none = token(&[], |_| {});
    let test = token(&["ROLE_TEST"], |_| {});
    let post = token(&["ROLE_POST"], |_| {});
    let admin = token(&["ROLE_ADMIN"], |_| {});
    let both = token(&["ROLE_B", "ROLE_A"], |_| {});
    let acme = token(&[], |claims| {
        claims["tenant"] = json!("acme");
        claims["scope"] = json!("orders.read orders.write");
    });
    for (method, path, token, status) in [
        // Public paths need no token, and do not look at one.
        ("GET", "/login/oauth/token", None, 200),
        ("POST", "/login", None, 200),
        ("GET", "/health", None, 200),
        ("GET", "/health", Some("rubbish"), 200),
        ("POST", "/health", None, 401),
        ("GET", "/login/feed/tokens", None, 401),
        ("GET", "/login/feed/tokens", Some(&both), 403),
        ("GET", "/xlogin/oauth", None, 401),
        ("GET", "/x/login/y", None, 401),
        // Token first, then permission: a bad token is 401 also where nothing is permitted.
        ("GET", "/demo/test", None, 401),
        ("GET", "/nothing/here", None, 401),
        ("GET", "/nothing/here", Some("rubbish"), 401),
        ("GET", "/nothing/here", Some(&test), 403),
        // The permission table: the most specific row decides.
        ("GET", "/demo/test", Some(&test), 200),
        ("POST", "/demo/test?x=1", Some(&test), 200),
        ("GET", "/demo/test2", Some(&test), 403),
        ("GET", "/demo/test", Some(&admin), 403),
        ("GET", "/demo/else", Some(&admin), 200),
        ("GET", "/demo/else", Some(&test), 403),
        ("POST", "/demo/post", Some(&post), 200),
        ("POST", "/demo/post", Some(&admin), 403),
        ("GET", "/demo/post", Some(&admin), 200),
        // One path, one spelling: the broader row for the administrator does not count for it.
        ("GET", "/demo/things:delete", Some(&post), 200),
        ("GET", "/demo/things%3Adelete", Some(&post), 200),
        ("GET", "/demo/things%3adelete", Some(&admin), 403),
        ("GET", "/demo/test/", Some(&test), 403),
        ("GET", "/DEMO/test", Some(&test), 403),
        ("GET", "/%64emo/test", Some(&test), 200),
        // Rules of the configuration.
        ("GET", "/echo", Some(&none), 200),
        ("GET", "/both", Some(&both), 200),
        ("GET", "/both", Some(&test), 403),
        ("GET", "/orders/acme/7", Some(&acme), 200),
        ("GET", "/orders/other/7", Some(&acme), 403),
        ("GET", "/orders/acme/7", Some(&none), 403),
        ("DELETE", "/orders/acme/7", Some(&acme), 403),
        // Ambiguous paths are refused before anything else, public ones too.
        ("GET", "/login/../demo/test", None, 400),
        ("GET", "/login/%2e%2e/demo/test", Some(&test), 400),
        ("GET", "//demo/test", Some(&test), 400),
        ("GET", "/demo/test;a=b", Some(&test), 400),
        ("GET", "/demo%2ftest", Some(&test), 400),
    ] {
        for _ in 0..2 {
            assert_eq!(world.status(method, path, token), status, "{method} {path}");
        }
    }
}

#[test]
fn a_token_must_be_good_in_every_respect() {
    let mut world = World::new(|_| {});
    let good = token(&[], |_| {});
    assert_eq!(world.status("GET", "/echo", Some(&good)), 200);
    let seconds = NOW / 1000;
    for (why, claims) in [
        ("the token has expired", json!({ "exp": seconds })),
        ("the token never expires", json!({ "userId": "u1" })),
        (
            "a claim of the token has the wrong type",
            json!({ "exp": "1900000000" }),
        ),
        ("a claim of the token has the wrong type", json!({ "exp": -1 })),
        ("a claim of the token has the wrong type", json!({ "exp": NOW * 1000 })),
        (
            "the token is not valid yet",
            json!({ "exp": seconds + 60, "nbf": seconds + 1 }),
        ),
        (
            "the token is not valid yet",
            json!({ "exp": seconds + 60, "iat": seconds + 1 }),
        ),
        (
            "the token is not an access token of this kind",
            json!({ "exp": seconds + 60, "ati": "x" }),
        ),
        (
            "the token is bound to its sender in a way that is not known here",
            json!({ "exp": seconds + 60, "cnf": { "jkt": "x" } }),
        ),
        (
            "the token's issuer is not known",
            json!({ "exp": seconds + 60, "iss": "https://elsewhere" }),
        ),
        (
            "a claim of the token has the wrong type",
            json!({ "exp": seconds + 60, "authorities": [1] }),
        ),
        (
            "a claim of the token has the wrong type",
            json!({ "exp": seconds + 60, "authorities": { "a": 1 } }),
        ),
    ] {
        assert_eq!(world.refusal(&signed(&claims, SECRET)), why, "{claims}");
    }
    assert_eq!(
        world.refusal(&signed(&json!({ "exp": seconds + 60 }), OTHER)),
        "the token's signature is not valid"
    );
    let (head, signature) = good.rsplit_once('.').unwrap();
    for (why, bad) in [
        ("the token is not a compact JWS", "a.b".to_owned()),
        ("the token is not a compact JWS", format!("11{good}")),
        ("the token is not a compact JWS", format!("{good}.x")),
        ("the token is not a compact JWS", format!("{head}.")),
        ("the token is not a compact JWS", format!("{good}=")),
        ("the token's signature is not valid", format!("{head}.AAAA")),
        (
            "the token is too long",
            format!("{head}{}.{signature}", "A".repeat(20_000)),
        ),
    ] {
        assert_eq!(world.refusal(&bad), why, "{bad}");
    }
}

#[test]
fn a_token_does_not_choose_how_it_is_verified() {
    let mut world = World::new(|_| {});
    let claims = json!({ "exp": NOW / 1000 + 60 });
    let with_header = |header: &str| {
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let key = EncodingKey::from_secret(SECRET);
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{signed}.{signature}")
    };
    for (header, why) in [
        (r#"{"alg":"HS256"}"#, None),
        (r#"{"alg":"HS256","typ":"at+JWT"}"#, None),
        (r#"{"alg":"none"}"#, Some("the token's algorithm is not accepted")),
        (r#"{"alg":"hs256"}"#, Some("the token's algorithm is not accepted")),
        (r#"{"alg":"RS256"}"#, Some("the issuer has no key that fits the token")),
        (r#"{"alg":"HS512"}"#, Some("the issuer has no key that fits the token")),
        (
            r#"{"alg":"HS256","kid":"x"}"#,
            Some("the issuer has no key that fits the token"),
        ),
        (
            r#"{"alg":"HS256","crit":["exp"]}"#,
            Some("the token's header has a critical extension"),
        ),
        (
            r#"{"alg":"HS256","b64":false}"#,
            Some("the token's header has a critical extension"),
        ),
        (
            r#"{"alg":"HS256","jwk":{"kty":"oct"}}"#,
            Some("the token's header brings a key along"),
        ),
        (
            r#"{"alg":"HS256","jku":"https://evil"}"#,
            Some("the token's header brings a key along"),
        ),
        (
            r#"{"alg":"HS256","typ":"dpop+jwt"}"#,
            Some("the token's type is not that of an access token"),
        ),
        (
            r#"{"alg":"HS256","alg":"HS256"}"#,
            Some("the token's header is not well-formed"),
        ),
        (
            r#"{"alg":"HS256","kid":7}"#,
            Some("the token's header is not well-formed"),
        ),
        (r#"["HS256"]"#, Some("the token's header is not well-formed")),
    ] {
        match why {
            None => assert_eq!(
                world.status("GET", "/echo", Some(&with_header(header))),
                200,
                "{header}"
            ),
            Some(why) => assert_eq!(world.refusal(&with_header(header)), why, "{header}"),
        }
    }
}

#[test]
fn a_revocation_counts_at_once_and_for_a_cached_token_too() {
    let mut world = World::new(|_| {});
    let token = token(&["ROLE_TEST"], |_| {});
    assert_eq!(world.status("GET", "/demo/test", Some(&token)), 200);
    world
        .tokens(&json!({ "version": "a-2", "since": "a-1", "revoked_tokens": [["t1", NOW / 1000 + 60]] }))
        .unwrap();
    assert_eq!(world.status("GET", "/demo/test", Some(&token)), 401);
    // A full snapshot without it lifts it: the server knows best.
    world
        .tokens(&json!({ "version": "b-1", "issuers": [issuer(SECRET)] }))
        .unwrap();
    assert_eq!(world.status("GET", "/demo/test", Some(&token)), 200);
}

#[test]
fn a_token_expires_while_it_is_cached() {
    let mut world = World::new(|_| {});
    let token = token(&["ROLE_TEST"], |_| {});
    world.now = NOW + 59_999;
    world.state.tokens_unchanged(world.now);
    world.state.permissions_unchanged(world.now);
    assert_eq!(world.status("GET", "/demo/test", Some(&token)), 200);
    world.now = NOW + 60_000;
    assert_eq!(world.status("GET", "/demo/test", Some(&token)), 401);
}

#[test]
fn keys_rotate_and_a_removed_key_verifies_no_more() {
    let mut world = World::new(|_| {});
    let old = token(&[], |_| {});
    let new = signed(&json!({ "exp": NOW / 1000 + 60, "jti": "t2" }), OTHER);
    assert_eq!(
        (
            world.status("GET", "/echo", Some(&old)),
            world.status("GET", "/echo", Some(&new))
        ),
        (200, 401)
    );
    let mut both = issuer(SECRET);
    let other = issuer(OTHER)["jwks"]["inline"]["keys"][0].clone();
    both["jwks"]["inline"]["keys"].as_array_mut().unwrap().push(other);
    world
        .tokens(&json!({ "version": "a-2", "since": "a-1", "issuers": [both] }))
        .unwrap();
    assert_eq!(
        (
            world.status("GET", "/echo", Some(&old)),
            world.status("GET", "/echo", Some(&new))
        ),
        (200, 200)
    );
    world
        .tokens(&json!({ "version": "a-3", "since": "a-2", "issuers": [issuer(OTHER)] }))
        .unwrap();
    assert_eq!(
        (
            world.status("GET", "/echo", Some(&old)),
            world.status("GET", "/echo", Some(&new))
        ),
        (401, 200)
    );
}

#[test]
fn rows_of_the_permission_table_come_and_go_by_themselves() {
    let mut world = World::new(|_| {});
    let token = token(&["ROLE_TEST"], |_| {});
    assert_eq!(world.status("GET", "/demo/test", Some(&token)), 200);
    assert_eq!(world.status("GET", "/new", Some(&token)), 403);
    let added = json!([{ "name": "ROLE_TEST", "url": "/new" }, { "name": "ROLE_OTHER", "url": "/new" }]);
    world
        .permissions(&json!({ "version": "p-2", "since": "p-1", "added": added }))
        .unwrap();
    assert_eq!(world.status("GET", "/new", Some(&token)), 200);
    assert_eq!(world.status("GET", "/demo/test", Some(&token)), 200, "the others stay");

    let removed = json!([{ "name": "ROLE_TEST", "url": "/new" }, { "name": "ROLE_NEVER", "url": "/never" }]);
    world
        .permissions(&json!({ "version": "p-3", "since": "p-2", "removed": removed }))
        .unwrap();
    assert_eq!(world.status("GET", "/new", Some(&token)), 403);
    let removed = json!([{ "name": "ROLE_OTHER", "url": "/new" }]);
    world
        .permissions(&json!({ "version": "p-4", "since": "p-3", "removed": removed }))
        .unwrap();
    assert_eq!(
        world.status("GET", "/new", Some(&token)),
        403,
        "a path whose last row went is refused, not open to every good token"
    );
}

#[test]
fn permissions_of_a_living_token_change() {
    let mut world = World::new(|_| {});
    let token = token(&["ROLE_TEST"], |_| {});
    assert_eq!(world.status("GET", "/demo/test", Some(&token)), 200);
    let changed = |world: &mut World, from: &str, to: &str| {
        let delta = json!({ "version": to, "since": from, "changed_users": [["u1", NOW / 1000, true]] });
        world.permissions(&delta).unwrap();
    };
    changed(&mut world, "p-1", "p-2");
    let Decision::Need(Need::Authorities(user)) = world.decide("GET", "/demo/test", Some(&token)) else {
        panic!()
    };
    assert_eq!(user, "u1");
    let change = world.state.change_of("u1").unwrap();
    world.state.set_authorities("u1", change, vec!["ROLE_TEST2".into()]);
    assert_eq!(world.status("GET", "/demo/test", Some(&token)), 403);
    assert_eq!(world.status("GET", "/demo/test2", Some(&token)), 200);
    // An answer to a question from before the next change is dropped, though it is the same second.
    let question = world.state.change_of("u1").unwrap();
    changed(&mut world, "p-2", "p-3");
    world.state.set_authorities("u1", question, vec!["ROLE_TEST".into()]);
    assert!(matches!(
        world.decide("GET", "/demo/test", Some(&token)),
        Decision::Need(_)
    ));
}

#[test]
fn a_token_from_long_enough_after_a_change_is_believed() {
    let mut world = World::new(|_| {});
    let at = NOW / 1000 - 100;
    world
        .permissions(&json!({ "version": "p-2", "since": "p-1", "changed_users": [["u1", at, true]] }))
        .unwrap();
    for (issued_at, believed) in [(at - 1, false), (at + 1, false), (at + 60, true)] {
        let token = token(&["ROLE_TEST"], |claims| claims["iat"] = json!(issued_at));
        let decision = world.decide("GET", "/demo/test", Some(&token));
        assert_eq!(matches!(decision, Decision::Allow(_)), believed, "{decision:?}");
    }
}

#[test]
fn a_user_who_was_disabled_or_removed_is_nobody_until_enabled_again() {
    let mut world = World::new(|_| {});
    let later = token(&["ROLE_TEST"], |claims| claims["iat"] = json!(NOW / 1000));
    let changed = |from: &str, to: &str, active: bool| json!({ "version": to, "since": from, "changed_users": [["u1", NOW / 1000 - 100, active]] });
    world.permissions(&changed("p-1", "p-2", false)).unwrap();
    assert_eq!(world.status("GET", "/echo", Some(&later)), 401);
    world.permissions(&changed("p-2", "p-3", true)).unwrap();
    assert_eq!(world.status("GET", "/echo", Some(&later)), 200);
}

#[test]
fn what_our_servers_say_concerns_our_own_tokens_only() {
    let mut world = World::new(|config| {
        let mut external = issuer(OTHER);
        external["issuer"] = json!("https://ext");
        config["issuers"] = json!([external]);
    });
    let claims =
        json!({ "iss": "https://ext", "exp": NOW / 1000 + 60, "userId": "u1", "jti": "t1", "authorities": [] });
    let external = signed(&claims, OTHER);
    world
        .permissions(&json!({ "version": "p-2", "since": "p-1", "changed_users": [["u1", NOW / 1000, true]] }))
        .unwrap();
    let change = world.state.change_of("u1").unwrap();
    world.state.set_authorities("u1", change, vec!["ROLE_TEST".into()]);
    world
        .tokens(&json!({ "version": "a-2", "since": "a-1", "revoked_tokens": [["t1", null]] }))
        .unwrap();
    assert_eq!(
        world.status("GET", "/echo", Some(&external)),
        200,
        "their t1 was not revoked"
    );
    assert_eq!(
        world.status("GET", "/demo/test", Some(&external)),
        403,
        "their u1 is not our u1"
    );
}

#[test]
fn a_document_of_a_newer_server_is_refused_as_a_whole_and_names_what_is_new() {
    let mut world = World::new(|_| {});
    let good = token(&["ROLE_TEST"], |_| {});
    let newer =
        json!({ "version": "a-2", "since": "a-1", "revoked_tokens": [["t1", null]], "revoked_devices": ["d1"] });
    let why = world.tokens(&newer).unwrap_err();
    assert!(
        why.contains("unknown field `revoked_devices`") && why.contains("newer"),
        "{why}"
    );
    let mut marked = issuer(SECRET);
    marked["only_on_mondays"] = json!(true);
    let why = world
        .tokens(&json!({ "version": "a-2", "issuers": [marked] }))
        .unwrap_err();
    assert!(why.contains("unknown field `only_on_mondays`"), "{why}");
    let newer = json!({ "version": "p-2", "since": "p-1", "removed": [{ "name": "ROLE_TEST", "url": "/demo/test" }],
        "suspended_users": ["u1"] });
    let why = world.permissions(&newer).unwrap_err();
    assert!(why.contains("unknown field `suspended_users`"), "{why}");
    // Until it is too old, the last snapshot decides; then nobody passes.
    assert_eq!(world.status("GET", "/demo/test", Some(&good)), 200);
    world.now = NOW + 301_000;
    assert_eq!(world.status("GET", "/demo/test", Some(&good)), 503);
}

#[test]
fn a_large_snapshot_counts_when_its_last_part_has_come() {
    let mut world = World::new(|_| {});
    let token = token(&["ROLE_TEST"], |_| {});
    world
        .tokens(&json!({ "version": "b-1", "more": true, "issuers": [issuer(SECRET)] }))
        .unwrap();
    assert!(matches!(
        world.decide("GET", "/demo/test", Some(&token)),
        Decision::Need(Need::Snapshots)
    ));
    world
        .tokens(&json!({ "version": "b-2", "since": "b-1", "more": true }))
        .unwrap();
    assert!(matches!(
        world.decide("GET", "/demo/test", Some(&token)),
        Decision::Need(Need::Snapshots)
    ));
    world
        .tokens(&json!({ "version": "b-3", "since": "b-2", "revoked_tokens": [["t1", null]] }))
        .unwrap();
    assert_eq!(world.status("GET", "/demo/test", Some(&token)), 401);
    // Later a delta in parts: what we know stays in force meanwhile.
    world
        .tokens(&json!({ "version": "b-4", "since": "b-3", "more": true }))
        .unwrap();
    assert_eq!(world.status("GET", "/demo/test", Some(&token)), 401);
}

#[test]
fn without_snapshots_only_public_paths_pass() {
    let mut world = World::new(|_| {});
    world.state = State::new(world.policy.config(), 1).unwrap();
    let token = token(&[], |_| {});
    assert_eq!(world.status("GET", "/login/x", None), 200);
    assert_eq!(world.status("GET", "/echo", None), 401);
    assert!(matches!(
        world.decide("GET", "/echo", Some(&token)),
        Decision::Need(Need::Snapshots)
    ));
    world
        .tokens(&json!({ "version": "a-1", "issuers": [issuer(SECRET)] }))
        .unwrap();
    assert!(
        matches!(
            world.decide("GET", "/echo", Some(&token)),
            Decision::Need(Need::Snapshots)
        ),
        "one feed is not both"
    );
    assert!(matches!(Need::Snapshots.unavailable(), Denial::Unavailable(_)));
}

#[test]
fn a_lost_feed_is_trusted_for_max_stale_and_no_longer() {
    let mut world = World::new(|config| config["max_stale"] = json!("30s"));
    let token = token(&[], |_| {});
    world.now = NOW + 30_000;
    assert_eq!(world.status("GET", "/echo", Some(&token)), 200);
    world.now = NOW + 30_001;
    assert_eq!(world.status("GET", "/echo", Some(&token)), 503);
    assert_eq!(world.status("GET", "/login/x", None), 200);
    world.state.tokens_unchanged(world.now);
    assert_eq!(world.status("GET", "/echo", Some(&token)), 503, "both feeds count");
    world.state.permissions_unchanged(world.now);
    assert_eq!(world.status("GET", "/echo", Some(&token)), 200);
}

#[test]
fn documents_of_a_feed_are_taken_whole_or_not_at_all() {
    let mut world = World::new(|_| {});
    let token = token(&["ROLE_TEST"], |_| {});
    for document in [
        json!({ "version": "a-9", "since": "a-7", "revoked_tokens": [["t1", null]] }),
        json!({ "version": "a-9" }),
        json!({ "version": "a-9", "since": "a-1", "revoked_tokens": [["t1", null]], "surprise": 1 }),
        json!({ "version": "a-9", "since": "a-1", "revoked_tokens": [["t1", null]], "issuers": [issuer(b"weak")] }),
        json!([]),
    ] {
        assert!(world.tokens(&document).is_err(), "{document}");
        assert_eq!(world.state.token_version(), Some("a-1"));
        assert_eq!(world.status("GET", "/demo/test", Some(&token)), 200);
    }
    assert!(world.permissions(&json!({ "version": "p-9", "since": "p-7" })).is_err());
    assert!(world.permissions(&json!({ "version": "p-9" })).is_err());
    assert_eq!(world.state.permission_version(), Some("p-1"));
}

#[test]
fn an_opaque_token_is_asked_about_once_and_passes_the_same_checks() {
    let mut world = World::introspecting(true, false);
    world.introspect(OPAQUE, &active(|_| {}));
    for (method, path, status) in [
        ("GET", "/echo", 200),
        ("GET", "/demo/test", 200),
        ("GET", "/demo/test2", 403),
        ("GET", "/demo/else", 403),
        ("GET", "/nothing/here", 403),
        ("GET", "/both", 403),
        ("GET", "/orders/acme/7", 403),
        ("GET", "/login/feed/tokens", 403),
        ("GET", "/demo/../echo", 400),
    ] {
        assert_eq!(world.status(method, path, Some(OPAQUE)), status, "{method} {path}");
    }
    let Decision::Allow(allowed) = world.decide("GET", "/demo/test", Some(OPAQUE)) else {
        panic!()
    };
    let caller = allowed.caller.unwrap();
    let headers: Vec<_> = caller.headers(&world.policy.config().forward).collect();
    assert_eq!(
        headers,
        [
            ("x-user-id", "u1"),
            ("x-user-name", "u1"),
            ("x-client-id", "sso"),
            ("x-scope", "all"),
            ("x-authorities", "ROLE_TEST")
        ]
    );
    // A JWT of ours is still verified here.
    assert_eq!(
        world.status("GET", "/demo/test", Some(&token(&["ROLE_TEST"], |_| {}))),
        200
    );
    // Claims and scopes in rules, and a client's own token, which has no user.
    world.introspect(
        "AT-2",
        &json!({ "active": true, "client_id": "orders", "tenant": "acme", "scope": "orders.read", "jti": "t2",
            "token_type": "bearer" }),
    );
    assert_eq!(world.status("GET", "/orders/acme/7", Some("AT-2")), 200);
    assert_eq!(world.status("GET", "/orders/other/7", Some("AT-2")), 403);
}

#[test]
fn an_opaque_token_that_the_auth_server_does_not_know_is_refused_and_not_asked_about_again_for_a_while() {
    let mut world = World::introspecting(true, false);
    world.introspect(OPAQUE, &json!({ "active": false }));
    assert_eq!(
        world.refusal(OPAQUE),
        "the auth server does not know the token, or not any more"
    );
    let Decision::Deny(denial) = world.decide("GET", "/echo", Some(OPAQUE)) else {
        panic!()
    };
    let answer = denial.answer(world.policy.config().errors, NOW, b"/echo");
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.body,
        format!(r#"{{"error":"invalid_token","error_description":"{OPAQUE}"}}"#)
    );
    world.now += 9_999;
    assert_eq!(world.status("GET", "/nothing/here", Some(OPAQUE)), 401);
    world.now += 1;
    world.introspect(OPAQUE, &active(|_| {}));
    assert_eq!(world.status("GET", "/echo", Some(OPAQUE)), 200);
}

#[test]
fn an_opaque_token_is_revoked_by_its_id_its_user_and_its_client_and_expires() {
    let seconds = NOW / 1000;
    for revocation in [
        json!({ "revoked_tokens": [["t1", null]] }),
        json!({ "revoked_users": [["u1", seconds, null]] }),
        json!({ "revoked_clients": [["sso", seconds, null]] }),
    ] {
        let mut world = World::introspecting(true, false);
        world.introspect(OPAQUE, &active(|_| {}));
        assert_eq!(world.status("GET", "/demo/test", Some(OPAQUE)), 200);
        let mut delta = json!({ "version": "i-2", "since": "i-1" });
        delta
            .as_object_mut()
            .unwrap()
            .extend(revocation.as_object().unwrap().clone());
        world.tokens(&delta).unwrap();
        assert_eq!(world.status("GET", "/demo/test", Some(OPAQUE)), 401, "{revocation}");
        // The answer to a question from before the revocation does not undo it.
        let mut late = World::introspecting(true, false);
        let question = late.question(OPAQUE);
        late.tokens(&delta).unwrap();
        let answer = active(|_| {}).to_string();
        late.policy
            .introspected(&question, answer.as_bytes(), &mut late.state, NOW)
            .unwrap();
        assert_eq!(late.status("GET", "/demo/test", Some(OPAQUE)), 401, "{revocation}");
    }

    let mut world = World::introspecting(true, false);
    world.introspect(OPAQUE, &active(|_| {}));
    world.introspect(
        "for-ever",
        &active(|answer| drop(answer.as_object_mut().unwrap().remove("exp"))),
    );
    world.now = NOW + 59_999;
    assert_eq!(world.status("GET", "/demo/test", Some(OPAQUE)), 200);
    world.now = NOW + 60_000;
    assert!(
        matches!(
            world.decide("GET", "/demo/test", Some(OPAQUE)),
            Decision::Deny(Denial::BadToken { .. })
        ),
        "what was known of it says that it has expired"
    );
    assert_eq!(world.status("GET", "/demo/test", Some("for-ever")), 200);
    // A server whose clock is slow may still call it active.
    world.introspect(OPAQUE, &active(|_| {}));
    assert_eq!(world.refusal(OPAQUE), "the token has expired");
}

#[test]
fn what_the_user_of_an_opaque_token_may_do_changes() {
    let mut world = World::introspecting(true, false);
    world.introspect(OPAQUE, &active(|_| {}));
    world
        .permissions(&json!({ "version": "p-2", "since": "p-1", "changed_users": [["u1", NOW / 1000, true]] }))
        .unwrap();
    assert!(matches!(
        world.decide("GET", "/demo/test", Some(OPAQUE)),
        Decision::Need(Need::Authorities(user)) if user == "u1"
    ));
    let change = world.state.change_of("u1").unwrap();
    world.state.set_authorities("u1", change, vec!["ROLE_TEST2".into()]);
    assert_eq!(world.status("GET", "/demo/test", Some(OPAQUE)), 403);
    assert_eq!(world.status("GET", "/demo/test2", Some(OPAQUE)), 200);
    world
        .permissions(&json!({ "version": "p-3", "since": "p-2", "changed_users": [["u1", NOW / 1000, false]] }))
        .unwrap();
    assert_eq!(world.status("GET", "/echo", Some(OPAQUE)), 401);
}

#[test]
fn nothing_is_asked_about_what_cannot_be_such_a_token() {
    let mut none = World::new(|_| {});
    assert_eq!(
        none.status("GET", "/echo", Some(OPAQUE)),
        401,
        "the feed says that there are none"
    );
    let mut world = World::introspecting(true, false);
    let long = "x".repeat(MAX_OPAQUE + 1);
    let forged = signed(&json!({ "exp": NOW / 1000 + 60 }), OTHER);
    for token in [
        "a b",
        "a=b",
        "=",
        "t\u{f6}ken",
        "{\"a\":1}",
        &long,
        "a.b.c",
        "..",
        &forged,
    ] {
        assert_eq!(world.status("GET", "/echo", Some(token)), 401, "{token}");
    }
    assert_eq!(world.status("GET", "/echo", Some("a,b")), 400);
    assert_eq!(world.question(&long[1..]).token().len(), MAX_OPAQUE);
    // A public path looks at no token, a path that is no path neither.
    assert_eq!(world.status("GET", "/login/x", Some("unknown")), 200);
    assert_eq!(world.status("GET", "//echo", Some("unknown")), 400);
}

#[test]
fn an_answer_that_says_nothing_lets_nobody_pass() {
    let mut world = World::introspecting(true, false);
    let mut without_id = active(|_| {});
    without_id.as_object_mut().unwrap().remove("jti");
    for answer in [
        String::new(),
        "not json".into(),
        json!({}).to_string(),
        json!([active(|_| {})]).to_string(),
        without_id.to_string(),
        active(|answer| answer["authorities"] = json!("ROLE_A, 1"))
            .to_string()
            .replace('}', ""),
    ] {
        let question = world.question(OPAQUE);
        let taken = world
            .policy
            .introspected(&question, answer.as_bytes(), &mut world.state, NOW);
        assert!(taken.is_err(), "{answer}");
        let refused = question.need().unavailable();
        assert_eq!(refused, Denial::Unavailable(Unavailable::Introspection));
        assert_eq!(refused.answer(world.policy.config().errors, NOW, b"/echo").status, 503);
    }
    let question = world.question(OPAQUE);
    world.state.introspection_failed(&question);
    // Nothing is remembered: the next request asks again.
    world.introspect(OPAQUE, &active(|_| {}));
    assert_eq!(world.status("GET", "/echo", Some(OPAQUE)), 200);
    // A refresh token is no access token, and a token bound to a key no bearer token.
    for (token, answer, why) in [
        (
            "refresh",
            active(|answer| drop(answer.as_object_mut().unwrap().remove("token_type"))),
            "the token is not an access token of this kind",
        ),
        (
            "bound",
            active(|answer| answer["cnf"] = json!({ "jkt": "x" })),
            "the token is bound to its sender in a way that is not known here",
        ),
    ] {
        world.introspect(token, &answer);
        assert_eq!(world.refusal(token), why);
    }
}

#[test]
fn many_requests_with_one_token_share_a_question_and_there_are_only_so_many_questions() {
    let mut world = World::introspecting(true, false);
    for n in 0..MAX_OPEN {
        for _ in 0..3 {
            let Decision::Need(Need::Introspection(token)) =
                world.decide("GET", "/echo", Some(&format!("garbage-{n}")))
            else {
                panic!("{n}")
            };
            world.state.want_introspection(&token);
        }
    }
    let questions = world.state.introspections_due(NOW);
    assert_eq!(questions.len(), MAX_OPEN);
    assert!(world.state.introspections_due(NOW).is_empty());
    assert_eq!(world.status("GET", "/echo", Some("one-more")), 503);
    assert_eq!(
        world.status("GET", "/echo", Some(&token(&[], |_| {}))),
        200,
        "a JWT needs no question"
    );
    world.state.introspection_failed(&questions[0]);
    world.introspect("one-more", &active(|_| {}));
    assert_eq!(world.status("GET", "/echo", Some("one-more")), 200);
}

#[test]
fn living_jwts_of_the_system_before_are_asked_about_when_no_key_of_ours_fits() {
    let imported = signed(&json!({ "exp": NOW / 1000 + 60, "userId": "u1", "jti": "old" }), OTHER);
    assert_eq!(
        World::introspecting(true, false).status("GET", "/echo", Some(&imported)),
        401
    );
    let mut world = World::introspecting(false, true);
    world.introspect(&imported, &active(|_| {}));
    assert_eq!(world.status("GET", "/demo/test", Some(&imported)), 200);
    assert_eq!(world.status("GET", "/demo/test2", Some(&imported)), 403);
    // What was not imported is refused, and so is what fits a key of ours but is not good.
    let forged = signed(&json!({ "exp": NOW / 1000 + 60, "userId": "u2" }), OTHER);
    world.introspect(&forged, &json!({ "active": false }));
    assert_eq!(world.status("GET", "/echo", Some(&forged)), 401);
    let expired = token(&[], |claims| claims["exp"] = json!(NOW / 1000));
    assert_eq!(world.status("GET", "/echo", Some(&expired)), 401);
    let named = {
        let mut header = Header::new(Algorithm::HS384);
        header.kid = Some("x".into());
        jsonwebtoken::encode(
            &header,
            &json!({ "exp": NOW / 1000 + 60 }),
            &EncodingKey::from_secret(OTHER),
        )
        .unwrap()
    };
    assert_eq!(
        world.status("GET", "/echo", Some(&named)),
        401,
        "they signed with HS256"
    );
    assert_eq!(
        world.status("GET", "/echo", Some(OPAQUE)),
        401,
        "there are no opaque ones"
    );
    // A JWT that was refused before the import is not held against it.
    let mut world = World::introspecting(false, false);
    assert_eq!(world.status("GET", "/echo", Some(&imported)), 401);
    let delta = json!({ "version": "i-2", "since": "i-1", "introspection": { "imported": true } });
    world.tokens(&delta).unwrap();
    world.introspect(&imported, &active(|_| {}));
    assert_eq!(world.status("GET", "/echo", Some(&imported)), 200);
}

#[test]
fn what_is_known_of_an_opaque_token_lasts_until_keys_or_kinds_change() {
    let mut world = World::introspecting(true, false);
    world.introspect(OPAQUE, &active(|_| {}));
    world
        .tokens(&json!({ "version": "i-2", "since": "i-1", "revoked_tokens": [["other", null]] }))
        .unwrap();
    assert_eq!(
        world.status("GET", "/echo", Some(OPAQUE)),
        200,
        "a delta without keys changes nothing"
    );
    world
        .tokens(&json!({ "version": "i-3", "since": "i-2", "issuers": [issuer(OTHER)] }))
        .unwrap();
    // An answer from before the change does not count; who waits asks again.
    let before = world.question(OPAQUE);
    world
        .tokens(&json!({ "version": "i-4", "since": "i-3", "issuers": [issuer(SECRET)] }))
        .unwrap();
    let answer = active(|_| {}).to_string();
    world
        .policy
        .introspected(&before, answer.as_bytes(), &mut world.state, NOW)
        .unwrap();
    world.introspect(OPAQUE, &active(|_| {}));
    assert_eq!(world.status("GET", "/echo", Some(OPAQUE)), 200);
    world
        .tokens(&json!({ "version": "i-5", "since": "i-4", "introspection": { "opaque": false } }))
        .unwrap();
    assert_eq!(
        world.status("GET", "/echo", Some(OPAQUE)),
        401,
        "there are none any more"
    );
    // A full snapshot says nothing of them when there are none.
    let mut world = World::introspecting(true, false);
    world.introspect(OPAQUE, &active(|_| {}));
    world
        .tokens(&json!({ "version": "j-1", "issuers": [issuer(SECRET)] }))
        .unwrap();
    assert_eq!(world.status("GET", "/echo", Some(OPAQUE)), 401);
}

#[test]
fn a_flood_of_refused_tokens_pushes_out_nobody_who_is_known() {
    let mut world = World::introspecting(true, false);
    world.introspect(OPAQUE, &active(|_| {}));
    let (_, signature) = token(&[], |_| {})
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    for n in 0..20_000 {
        let forged = format!(
            "{}.{}.{signature}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#),
            URL_SAFE_NO_PAD.encode(format!(r#"{{"n":{n}}}"#))
        );
        assert_eq!(world.status("GET", "/echo", Some(&forged)), 401);
    }
    assert_eq!(world.status("GET", "/echo", Some(OPAQUE)), 200);
}

#[test]
fn a_token_of_the_profile_principal_names_its_user_one_level_down() {
    let mut world = World::new(|_| {});
    let mut nested = issuer(OTHER);
    nested["claims"] = json!({
        "user_id": "principal.id", "user_name": "principal.username", "authorities": ["principal.authorities"]
    });
    nested["foreign_users"] = json!(true);
    world
        .tokens(&json!({ "version": "b-1", "issuers": [issuer(SECRET), nested] }))
        .unwrap();
    let claims = json!({
        "principal": { "id": 1, "username": "admin", "authorities": ["ROLE_TEST"], "orgDTO": { "id": 1 } },
        "scope": ["read"], "exp": NOW / 1000 + 60, "jti": "t9", "client_id": "platform"
    });
    let token = signed(&claims, OTHER);
    let Decision::Allow(allowed) = world.decide("GET", "/demo/test", Some(&token)) else {
        panic!()
    };
    let caller = allowed.caller.unwrap();
    let headers: Vec<_> = caller.headers(&world.policy.config().forward).collect();
    assert_eq!(headers[..2], [("x-user-id", "1"), ("x-user-name", "admin")]);
    assert_eq!(world.status("GET", "/demo/test2", Some(&token)), 403);
    // It describes a client: what happens to the login service's user of this id does not concern it.
    for (version, active) in [("p-2", true), ("p-3", false)] {
        world
            .permissions(
                &json!({ "version": version, "permissions": [{ "name": "ROLE_TEST", "url": "/demo/test" }],
                "changed_users": [["1", NOW / 1000, active]] }),
            )
            .unwrap();
        assert_eq!(world.status("GET", "/demo/test", Some(&token)), 200);
        assert_eq!(world.status("GET", "/demo/test2", Some(&token)), 403);
    }
    world
        .tokens(&json!({ "version": "b-2", "since": "b-1", "revoked_users": [["1", NOW / 1000, null]] }))
        .unwrap();
    assert_eq!(world.status("GET", "/demo/test", Some(&token)), 200);
    world
        .tokens(&json!({ "version": "b-3", "since": "b-2", "revoked_tokens": [["t9", null]] }))
        .unwrap();
    assert_eq!(world.status("GET", "/demo/test", Some(&token)), 401);
}

#[test]
fn an_introspected_user_of_others_is_not_ours_of_the_same_id() {
    let mut world = World::introspecting(true, false);
    world.introspect(OPAQUE, &active(|answer| answer["foreign_user"] = json!(true)));
    for (from, to, active) in [("p-1", "p-2", true), ("p-2", "p-3", false)] {
        world
            .permissions(&json!({ "version": to, "since": from, "changed_users": [["u1", NOW / 1000, active]] }))
            .unwrap();
        assert_eq!(world.status("GET", "/demo/test", Some(OPAQUE)), 200);
    }
}

#[test]
fn a_static_policy_needs_no_server() {
    let mut world = World::new(|config| {
        let config = config.as_object_mut().unwrap();
        config.remove("auth_server");
        config.remove("login_service");
        config.insert("issuers".into(), json!([issuer(SECRET)]));
        config.insert("unmatched".into(), json!("authenticated"));
    });
    world.state = State::new(world.policy.config(), 1).unwrap();
    let token = token(&[], |_| {});
    assert_eq!(world.status("GET", "/anything", Some(&token)), 200);
    assert_eq!(world.status("GET", "/anything", None), 401);
}

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

/// A public key, as an issuer publishes it.
fn published(id: &str, seed: u8) -> Value {
    let point = URL_SAFE_NO_PAD.encode(pair(seed).public_key());
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": point })
}

/// A token of `https://id`.
fn of_the_issuer(id: &str, seed: u8, n: u64) -> String {
    let header = json!({ "alg": "EdDSA", "kid": id }).to_string();
    let claims = json!({ "iss": "https://id", "exp": NOW / 1000 + 600, "n": n }).to_string();
    let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let signature = pair(seed).sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn remote_keys_are_asked_for_once_and_an_unknown_key_again_after_a_pause() {
    let mut world = World::new(|config| {
        let mut remote = issuer(SECRET);
        remote["issuer"] = json!("https://id");
        remote["jwks"] = json!({ "cluster": "id", "uri": "https://id/keys" });
        config["issuers"] = json!([remote]);
    });
    let good = of_the_issuer("old", 1, 0);
    assert!(matches!(
        world.decide("GET", "/echo", Some(&good)),
        Decision::Need(Need::Keys(0))
    ));
    assert_eq!(world.state.keys_due(world.now), [0]);
    assert_eq!(world.state.keys_due(world.now), [] as [usize; 0], "one fetch at a time");
    assert_eq!(world.state.keys_request(0, world.now).unwrap().uri, "https://id/keys");
    let set = json!({ "keys": [published("old", 1)] }).to_string();
    world.state.set_keys(0, set.as_bytes(), world.now).unwrap();
    assert_eq!(world.status("GET", "/echo", Some(&good)), 200);

    let (new, invented) = (of_the_issuer("new", 2, 0), of_the_issuer("invented", 2, 0));
    // Nobody is refused before a fetch that began later has shown that there is no such key.
    for token in [&new, &invented, &new] {
        assert!(matches!(
            world.decide("GET", "/echo", Some(token)),
            Decision::Need(Need::Keys(0))
        ));
    }
    assert_eq!(world.state.keys_due(world.now), [] as [usize; 0], "a second apart");
    world.now += 1000;
    assert_eq!(world.state.keys_due(world.now), [0]);
    let rotated = json!({ "keys": [published("old", 1), published("new", 2)] });
    world
        .state
        .set_keys(0, rotated.to_string().as_bytes(), world.now)
        .unwrap();
    assert_eq!(world.status("GET", "/echo", Some(&new)), 200);
    assert_eq!(world.status("GET", "/echo", Some(&good)), 200);
    assert_eq!(world.refusal(&invented), "the issuer has no key that fits the token");

    // The last key is withdrawn: what it signed is not good any more, known or not.
    world.now += 300_000;
    world.state.tokens_unchanged(world.now);
    world.state.permissions_unchanged(world.now);
    assert_eq!(world.state.keys_due(world.now), [0]);
    let why = world.state.set_keys(0, br#"{"keys":[]}"#, world.now).unwrap();
    assert!(why.is_some_and(|why| why.to_string().contains("it is empty")));
    for known in [&good, &of_the_issuer("old", 1, 1)] {
        assert!(matches!(
            world.decide("GET", "/echo", Some(known)),
            Decision::Need(Need::Keys(0))
        ));
    }
    world.now += 1000;
    assert_eq!(world.state.keys_due(world.now), [0]);
    let why = world.state.set_keys(0, br#"{"keys":[]}"#, world.now).unwrap();
    assert!(why.is_none(), "it was said");
    assert_eq!(world.refusal(&good), "the issuer has no key that fits the token");
}

/// A secret that anybody can fetch proves nothing.
#[test]
fn remote_keys_are_public_keys() {
    let mut world = World::new(|config| {
        let mut remote = issuer(SECRET);
        remote["issuer"] = json!("https://id");
        remote["jwks"] = json!({ "cluster": "id", "uri": "https://id/keys" });
        config["issuers"] = json!([remote]);
    });
    let token = signed(&json!({ "iss": "https://id", "exp": NOW / 1000 + 600 }), SECRET);
    world.state.keys_due(world.now);
    let secret = issuer(SECRET)["jwks"]["inline"]["keys"][0].clone();
    let set = json!({ "keys": [secret, published("a", 1)] }).to_string();
    assert_eq!(world.state.set_keys(0, set.as_bytes(), world.now).unwrap(), None);
    assert_eq!(world.status("GET", "/echo", Some(&of_the_issuer("a", 1, 0))), 200);
    assert!(matches!(
        world.decide("GET", "/echo", Some(&token)),
        Decision::Need(Need::Keys(0))
    ));
}

#[test]
fn remote_keys_outlive_an_outage_for_their_max_stale() {
    let mut world = World::new(|config| {
        let mut remote = issuer(SECRET);
        remote["issuer"] = json!("https://id");
        remote["jwks"] = json!({ "cluster": "id", "uri": "https://id/keys", "max_age": "1m", "max_stale": "2m" });
        config["issuers"] = json!([remote]);
    });
    let token = |n: u64| of_the_issuer("a", 1, n);
    assert_eq!(world.state.keys_due(world.now), [0]);
    let set = json!({ "keys": [published("a", 1)] }).to_string();
    world.state.set_keys(0, set.as_bytes(), world.now).unwrap();
    for second in [0, 59, 60, 61, 119, 120] {
        world.now = NOW + second * 1000;
        world.state.tokens_unchanged(world.now);
        world.state.permissions_unchanged(world.now);
        if world.state.keys_due(world.now) == [0] {
            world.state.keys_failed(0, world.now);
        }
        assert_eq!(world.status("GET", "/echo", Some(&token(second))), 200, "{second}");
    }
    world.now = NOW + 120_001;
    world.state.keys_due(world.now);
    for known in [token(0), token(121)] {
        let Decision::Need(need) = world.decide("GET", "/echo", Some(&known)) else {
            panic!()
        };
        assert_eq!(need.unavailable(), Denial::Unavailable(Unavailable::Keys));
    }
}

#[test]
fn rules_for_hosts() {
    let mut world = World::new(|config| {
        config["public"] = json!([{ "path": "/a", "hosts": ["www.example.com"] }]);
        config["rules"] = json!([
            { "path": "/a", "hosts": ["*.example.com"], "any_authority": ["ROLE_A"] },
            { "path": "/a", "deny": true }
        ]);
    });
    let a = token(&["ROLE_A"], |_| {});
    let authorization = format!("Bearer {a}");
    for (hosts, status) in [
        (&[(":authority", "www.example.com")][..], 200),
        (&[(":authority", "WWW.example.com:443")], 200),
        (&[(":authority", "other.example.com.")], 200),
        (&[(":authority", "example.com")], 403),
        (&[(":authority", "example.com.evil.org")], 403),
        (&[("host", "other.example.com")], 200),
        (&[(":authority", "x.example.com"), ("host", "X.example.com")], 200),
        // Nobody can say what these name.
        (&[], 400),
        (&[(":authority", "")], 400),
        (&[(":authority", "x.example.com"), ("host", "example.com")], 400),
        (&[("host", "x.example.com"), ("host", "x.example.com")], 400),
        (&[(":authority", "x@www.example.com")], 400),
        (&[(":authority", "www.example.com,example.com")], 400),
        (&[(":authority", "www%2eexample.com")], 400),
    ] {
        let mut headers: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"GET"),
            (b":path", b"/a"),
            (b"authorization", authorization.as_bytes()),
        ];
        headers.extend(hosts.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let request = world.policy.read(headers.into_iter());
        let got = match world.policy.decide(&request, &mut world.state, NOW) {
            Decision::Allow(_) => 200,
            Decision::Deny(denial) => denial.answer(ErrorStyle::Rfc6750, NOW, b"/a").status,
            Decision::Need(need) => panic!("{need:?}"),
        };
        assert_eq!(got, status, "{hosts:?}");
    }
    // Where no entry is for some hosts only, nobody looks at the host.
    assert_eq!(World::new(|_| {}).status("GET", "/health", None), 200);
}

#[test]
fn methods_have_one_spelling() {
    let mut world = World::new(|_| {});
    let token = token(&[], |_| {});
    for (method, status) in [
        ("GET", 200),
        ("M-SEARCH", 200),
        ("get", 400),
        ("Get", 400),
        ("", 400),
        ("GET ", 400),
    ] {
        assert_eq!(world.status(method, "/echo", Some(&token)), status, "{method}");
    }
}

#[test]
fn a_rule_in_shadow_mode_lets_pass_and_says_what_it_would_have_done() {
    let mut world = World::new(|config| {
        config["rules"] = json!([
            { "path": "/new", "any_authority": ["ROLE_A"], "mode": "shadow" },
            { "path": "/old", "any_authority": ["ROLE_A"] }
        ]);
    });
    let (a, b) = (token(&["ROLE_A"], |_| {}), token(&["ROLE_B"], |_| {}));
    for (path, token, expected) in [
        ("/new", Some(&a), "allowed for u1"),
        ("/new", Some(&b), "allowed for u1 instead of forbidden"),
        ("/new", None, "allowed for nobody instead of no_token"),
        (
            "/new",
            Some(&"rubbish".to_owned()),
            "allowed for nobody instead of bad_token",
        ),
        ("/%6Eew", Some(&b), "allowed for u1 as /new instead of forbidden"),
        ("/old", Some(&b), "forbidden"),
        ("/new//", Some(&a), "path"),
        ("/else", Some(&a), "forbidden"),
    ] {
        assert_eq!(
            shown(world.decide("GET", path, token.map(String::as_str))),
            expected,
            "{path}"
        );
    }
}

#[test]
fn shadow_mode_as_a_whole_never_refuses_and_never_waits() {
    let policy = Policy::parse(
        json!({
            "auth_server": { "cluster": "auth", "authority": "auth" },
            "rules": [ { "path": "/a", "any_authority": ["ROLE_A"] } ],
            "mode": "shadow"
        })
        .to_string()
        .as_bytes(),
    )
    .unwrap();
    let state = State::new(policy.config(), 1).unwrap();
    let mut world = World {
        policy,
        state,
        now: NOW,
    };
    let token = token(&["ROLE_B"], |_| {});
    assert_eq!(
        shown(world.decide("GET", "/a", Some(&token))),
        "allowed for nobody instead of waiting for Snapshots"
    );
    world
        .tokens(&json!({ "version": "a-1", "issuers": [issuer(SECRET)] }))
        .unwrap();
    for (path, token, expected) in [
        ("/a", Some(token.as_str()), "allowed for u1 instead of forbidden"),
        ("/b", Some(token.as_str()), "allowed for u1 instead of forbidden"),
        ("/b", None, "allowed for nobody instead of no_token"),
        ("/a/../b", None, "allowed for nobody instead of path"),
    ] {
        assert_eq!(shown(world.decide("GET", path, token)), expected, "{path}");
    }
}

/// A decision in words.
fn shown(decision: Decision) -> String {
    match decision {
        Decision::Allow(allowed) => {
            let user = allowed
                .caller
                .and_then(|caller| caller.principal.claims.user_id.clone());
            let mut text = format!("allowed for {}", user.as_deref().unwrap_or("nobody"));
            text.extend(allowed.rewritten.map(|path| format!(" as {path}")));
            text.extend(allowed.shadowed.map(|shadowed| match shadowed {
                Shadowed::Denial(denial) => format!(" instead of {}", denial.name()),
                Shadowed::Need(need) => format!(" instead of waiting for {need:?}"),
            }));
            text
        }
        Decision::Deny(denial) => denial.name().to_owned(),
        Decision::Need(need) => format!("waits for {need:?}"),
    }
}

#[test]
fn a_wrong_configuration_names_the_key() {
    for (json, error) in [
        (
            r#"{"publik":[]}"#,
            "plugin configuration: publik: unknown field `publik`",
        ),
        (
            r#"{"public":["nope"]}"#,
            "plugin configuration: public[0]: pattern `nope`",
        ),
        (
            r#"{"public":["get /x"]}"#,
            "plugin configuration: public[0]: `get` is not a method",
        ),
        (
            r#"{"rules":[{"path":"/a"},{"path":"/a/**/b"}]}"#,
            "plugin configuration: rules[1].path: pattern `/a/**/b`: `**`",
        ),
        (
            r#"{"rules":[{"path":"/a"},{"path":"/a"}]}"#,
            "plugin configuration: rules[1].path: the same pattern",
        ),
        (
            r#"{"rules":[{"path":"/{a}","claims":{"x":"{b}"}}]}"#,
            "plugin configuration: rules[0].claims.x: `{b}` is no segment",
        ),
        (
            r#"{"rules":[{"path":"/{a}","claims":{"x":"y-{a}"}}]}"#,
            "plugin configuration: rules[0].claims.x: `y-{a}`: a text, or",
        ),
        (
            r#"{"rules":[{"path":"/a/*"},{"path":"/a/{x}"}]}"#,
            "plugin configuration: rules[1].path: the same pattern, host and method stand in `rules[0]`",
        ),
        (
            r#"{"public":["/b","GET /a"],"rules":[{"path":"/a","methods":["PUT","GET"]}]}"#,
            "plugin configuration: public[1]: the same pattern, host and method stand in `rules[0]`",
        ),
        (
            r#"{"rules":[{"path":"/a","hosts":["x.org","X.org"]}]}"#,
            "plugin configuration: rules[0].path: a host or a method stands there twice",
        ),
        (
            r#"{"rules":[{"path":"/a","hosts":["x.org:80"]}]}"#,
            "plugin configuration: rules[0].hosts[0]: `x.org:80`: hosts are compared without port",
        ),
        (
            r#"{"rules":[{"path":"/a","methods":["GET",""]}]}"#,
            "plugin configuration: rules[0].methods[1]: `` is not a method",
        ),
        (
            r#"{"rules":[{"path":"/a","any_authority":[""]}]}"#,
            "plugin configuration: rules[0].any_authority[0]: it is empty",
        ),
        (
            r#"[]"#,
            "plugin configuration: it must be an object (`{ … }`), not a list",
        ),
        (
            r#"{"forward":[]}"#,
            "plugin configuration: forward: it must be an object (`{ … }`), not a list",
        ),
        (
            r#"{"rules":[["a","/a"]]}"#,
            "plugin configuration: rules[0]: it must be an object (`{ … }`), not a list",
        ),
        (
            r#"{"rules":[{"path":"/a","claims":{"t":"a","t":"b"}}]}"#,
            "plugin configuration: rules[0].claims: `t` stands there twice",
        ),
        (
            r#"{"rules":[{"path":"/a","claims":{"":"a"}}]}"#,
            "plugin configuration: rules[0].claims: a claim has a name",
        ),
        (
            r#"{"issuers":[{"issuer":"x","jwks":{"inline":{"keys":[{"kid":"a","kid":"b"}]}}}]}"#,
            "plugin configuration: issuers[0].jwks.inline",
        ),
        (
            r#"{"issuers":[{"issuer":"","jwks":{"inline":{"keys":[]}}}]}"#,
            "plugin configuration: issuers[0].issuer: it is empty",
        ),
        (
            r#"{"issuers":[{"issuer":"x","audiences":[""],"jwks":{"inline":{"keys":[]}}}]}"#,
            "plugin configuration: issuers[0].audiences: one of them is empty",
        ),
        (
            r#"{"issuers":[{"issuer":"x","jwks":{"cluster":"","uri":"https://x/k"}}]}"#,
            "plugin configuration: issuers[0].jwks.cluster: it is empty",
        ),
        (
            r#"{"issuers":[{"issuer":"x","jwks":{"cluster":"c","uri":"https://x/k"}},{"jwks":{"cluster":"c","uri":"https://x/k"}},{"jwks":{"cluster":"c","uri":"https://x/k"}}]}"#,
            "plugin configuration: issuers[2].issuer: issuers[1] has no name either",
        ),
        (
            r#"{"issuers":[{"issuer":"x","introspection":{"cluster":"c","uri":"https://x/k","credentials":"abc"}}]}"#,
            "plugin configuration: issuers[0].introspection.credentials: write `user:password`",
        ),
        (
            r#"{"token":{"header":":path"}}"#,
            "plugin configuration: token.header: `:path` is not the name of a header",
        ),
        (
            r#"{"token":{"header":"Cookie"}}"#,
            "plugin configuration: token.header: `Cookie` has another meaning already",
        ),
        (
            r#"{"token":{"cookie":"a;b"}}"#,
            "plugin configuration: token.cookie: `a;b` is no name",
        ),
        (
            r#"{"token":{"query":""}}"#,
            "plugin configuration: token.query: `` is no name",
        ),
        (
            r#"{"forward":{"user_id":"authorization"}}"#,
            "plugin configuration: forward.user_id: `authorization` has another meaning already",
        ),
        (
            r#"{"forward":{"user_id":"transfer_encoding"}}"#,
            "plugin configuration: forward.user_id: `transfer_encoding` has another meaning already",
        ),
        (
            r#"{"forward":{"user_id":"x-id","client_id":"X_ID"}}"#,
            "plugin configuration: forward.client_id: `X_ID` is that of `forward.user_id` already",
        ),
        (
            r#"{"forward":{"user_id":"x\r\ny"}}"#,
            "plugin configuration: forward.user_id: `x\\r\\ny` is not the name of a header",
        ),
        (
            r#"{"auth_server":{"cluster":"","authority":"a"}}"#,
            "plugin configuration: auth_server.cluster: it is empty",
        ),
        (
            r#"{"login_service":{"cluster":"a","authority":"http://a/"}}"#,
            "plugin configuration: login_service.authority: `http://a/` is no authority",
        ),
        (
            r#"{"auth_server":{"cluster":"a","authority":"a","credentials":"secret"}}"#,
            "plugin configuration: auth_server.credentials: write `user:password`",
        ),
        (
            r#"{"auth_server":{"cluster":"a","authority":"a"},"max_stale":"0s"}"#,
            "plugin configuration: max_stale: a lost feed is relied on for 1s to 24h",
        ),
        (
            r#"{"public":["/a\nb"]}"#,
            "plugin configuration: public[0]: pattern `/a\\nb`",
        ),
        (
            r#"{"rules":[{"path":"/a","scopes":["a b"]}]}"#,
            "plugin configuration: rules[0].scopes[0]: visible ASCII without spaces",
        ),
        (
            r#"{"rules":[{"path":"/a","name":"3"}]}"#,
            "plugin configuration: rules[0].name: `3`: a name begins with a letter",
        ),
        (
            r#"{"public":[{"path":"/a","method":"GET"}]}"#,
            "plugin configuration: public[0].method: unknown field `method`",
        ),
        (
            r#"{"public":[{"path":"a"}]}"#,
            "plugin configuration: public[0].path: pattern `a`",
        ),
        (
            r#"{"rules":[],"mode":"shadow","rules":[{"path":"/b"}]}"#,
            "plugin configuration: duplicate field `rules`",
        ),
        (
            r#"{"rules":[],"public":[]} x"#,
            "plugin configuration: trailing characters",
        ),
        (
            r#"{"debug":{"secret":"short"}}"#,
            "plugin configuration: debug.secret: at least 16 visible",
        ),
        (
            r#"{"debug":{"header":"X-User-Id","secret":"0123456789abcdef"}}"#,
            "plugin configuration: debug.header: `X-User-Id` is that of `forward.user_id` already",
        ),
        (
            r#"{"max_stale":"5 minutes"}"#,
            "plugin configuration: max_stale: `5 minutes` is not a length of time",
        ),
        (
            r#"{"rules":[{"path":"/a","deny":true,"scopes":["x"]}]}"#,
            "plugin configuration: rules[0].deny: it stands alone",
        ),
        (
            r#"{"errors":"html"}"#,
            "plugin configuration: errors: unknown variant `html`",
        ),
        (
            r#"{"token":{"header":null}}"#,
            "plugin configuration: token: no place is left",
        ),
        (
            r#"{"issuers":[{"issuer":"a"}]}"#,
            "plugin configuration: issuers[0].jwks: there is no way",
        ),
        (
            r#"{"issuers":[{"jwks":{"cluster":"id","uri":"id/keys"}}]}"#,
            "plugin configuration: issuers[0].jwks: `id/keys` is not an address",
        ),
        (
            r#"{"issuers":[{"jwks":{"cluster":"id","discovery":"https://id"}}]}"#,
            "plugin configuration: issuers[0].jwks.discovery: a discovery document",
        ),
        (
            r#"{"issuers":[{"jwks":{"inline":{"keys":[]}}}]}"#,
            "plugin configuration: issuers[0].jwks: no key of the JWK Set",
        ),
        (
            r#"{"issuers":[{"jwks":{"inline":{"keys":[{"kty":"oct","k":"c2hvcnQ"}]}}}]}"#,
            "plugin configuration: issuers[0].jwks",
        ),
    ] {
        let found = Policy::parse(json.as_bytes()).unwrap_err().to_string();
        assert!(found.starts_with(error), "{json}\n  {found}");
    }
}
