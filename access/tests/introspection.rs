//! Opaque tokens of issuers beside the auth server, and what the upstream receives in their place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use postern_access::introspection::{AnswerError, Asked};
use postern_access::policy::{Decision, Need, Policy};
use postern_access::state::State;
use serde_json::{Value, json};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
/// Unix milliseconds.
const NOW: u64 = 1_800_000_000_000;

struct World {
    policy: Policy,
    state: State,
    now: u64,
}

fn jwks() -> Value {
    let key = json!({ "kty": "oct", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(SECRET) });
    json!({ "inline": { "keys": [key] } })
}

/// An issuer that is asked, with what a test adds.
fn issuer(change: Value) -> Value {
    let mut issuer = json!({
        "issuer": "https://id", "claims": { "preset": "keycloak" },
        "introspection": { "cluster": "id", "uri": "https://id/introspect", "credentials": "gw:s" }
    });
    issuer
        .as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());
    issuer
}

fn config(issuers: Value) -> Value {
    json!({ "issuers": issuers, "unmatched": "authenticated", "public": ["/open"] })
}

impl World {
    fn new(config: &Value) -> Self {
        let policy = Policy::parse(config.to_string().as_bytes()).unwrap();
        let state = State::new(policy.config(), 1).unwrap();
        Self {
            policy,
            state,
            now: NOW,
        }
    }

    fn decide(&mut self, headers: &[(&str, &str)], target: &str) -> Decision {
        let pseudo = [(":method", "GET"), (":path", target)];
        let all = pseudo.iter().chain(headers);
        let request = self
            .policy
            .read(all.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        self.policy.decide(&request, &mut self.state, self.now)
    }

    fn bearer(&mut self, token: &str) -> Decision {
        self.decide(&[("authorization", &format!("Bearer {token}"))], "/orders")
    }

    /// Who is asked about the token; `answer` is what is said.
    fn answer(&mut self, token: &str, answer: &str) -> Result<Asked, AnswerError> {
        let decision = self.bearer(token);
        let Decision::Need(Need::Introspection(unknown)) = decision else {
            panic!("{decision:?}")
        };
        self.state.want_introspection(&unknown);
        let question = self.state.introspections_due(NOW).pop().unwrap();
        self.policy
            .introspected(&question, answer.as_bytes(), &mut self.state, self.now)
            .map(|()| question.asked())
    }

    fn passes(&mut self, token: &str) -> bool {
        matches!(self.bearer(token), Decision::Allow(_))
    }

    fn refusal(&mut self, token: &str) -> String {
        match self.bearer(token) {
            Decision::Deny(denial) => denial.to_string(),
            other => format!("{other:?}"),
        }
    }

    /// The headers and the target that the upstream receives instead of these.
    fn changes(&mut self, headers: &[(&str, &str)], target: &str) -> (Vec<(String, Option<String>)>, Option<String>) {
        let pseudo = [(":method", "GET"), (":path", target)];
        let all = pseudo.iter().chain(headers);
        let request = self
            .policy
            .read(all.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let Decision::Allow(allowed) = self.policy.decide(&request, &mut self.state, self.now) else {
            panic!()
        };
        let changes = self.policy.token_changes(&request, &allowed);
        let text = |value: Vec<u8>| String::from_utf8(value).unwrap();
        let headers = changes.headers.into_iter();
        (
            headers
                .map(|(name, value)| (name.to_owned(), value.map(text)))
                .collect(),
            changes.target,
        )
    }
}

/// As Keycloak answers.
fn active(change: Value) -> String {
    let mut answer = json!({
        "active": true, "iss": "https://id", "sub": "ada-1", "username": "ada", "client_id": "web", "azp": "web",
        "realm_access": { "roles": ["clerk"] }, "scope": "openid", "exp": NOW / 1000 + 3600
    });
    answer
        .as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());
    answer.to_string()
}

fn signed(answer: &str, change: impl FnOnce(&mut Header, &mut Value)) -> String {
    let mut header = Header::new(Algorithm::HS256);
    header.typ = Some("token-introspection+jwt".into());
    let answer: Value = serde_json::from_str(answer).unwrap();
    let mut claims = json!({ "iss": "https://id", "aud": "gw", "iat": NOW / 1000, "token_introspection": answer });
    change(&mut header, &mut claims);
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

#[test]
fn an_issuer_is_asked_about_its_opaque_tokens_and_read_by_its_names() {
    let mut world = World::new(&config(json!([issuer(json!({}))])));
    assert_eq!(world.answer("opaque", &active(json!({}))), Ok(Asked::Issuer(0)));
    let Decision::Allow(allowed) = world.bearer("opaque") else {
        panic!()
    };
    let caller = allowed.caller.unwrap();
    let headers: Vec<_> = caller.headers(&world.policy.config().forward).collect();
    assert_eq!(
        headers,
        [
            ("x-user-id", "ada-1"),
            ("x-user-name", "ada"),
            ("x-client-id", "web"),
            ("x-scope", "openid"),
            ("x-authorities", "clerk")
        ]
    );
    // It has no keys, so it has no JWTs.
    let claims = json!({ "iss": "https://id", "exp": NOW / 1000 + 60 });
    let jwt = jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &claims,
        &EncodingKey::from_secret(SECRET),
    );
    assert_eq!(
        world.refusal(&jwt.unwrap()),
        "the issuer has no key that fits the token"
    );
}

#[test]
fn what_an_issuer_says_must_fit_its_configuration() {
    for (change, said, why) in [
        (
            json!({}),
            json!({ "active": false }),
            "the auth server does not know the token",
        ),
        (
            json!({}),
            json!({ "iss": "https://other" }),
            "not an access token of this kind",
        ),
        (
            json!({}),
            json!({ "token_use": "refresh_token" }),
            "not an access token of this kind",
        ),
        (
            json!({}),
            json!({ "token_type": "refresh_token" }),
            "not an access token of this kind",
        ),
        (
            json!({}),
            json!({ "token_type": 7 }),
            "not an access token of this kind",
        ),
        (
            json!({ "audiences": ["orders"] }),
            json!({ "aud": "stock" }),
            "another audience",
        ),
        (
            json!({ "required_claims": ["tenant"] }),
            json!({}),
            "not an access token of this kind",
        ),
        (
            json!({ "forbidden_claims": ["ati"] }),
            json!({ "ati": "x" }),
            "not an access token of this kind",
        ),
        (json!({}), json!({ "exp": NOW / 1000 }), "expired"),
        (json!({}), json!({ "cnf": { "kid": "x" } }), "not known here"),
        (
            json!({}),
            json!({ "cnf": { "jkt": URL_SAFE_NO_PAD.encode([1; 32]) } }),
            "bound to a key",
        ),
        (json!({}), json!({ "token_type": "DPoP" }), "not known here"),
    ] {
        let mut world = World::new(&config(json!([issuer(change)])));
        assert_eq!(world.answer("opaque", &active(said.clone())), Ok(Asked::Issuer(0)));
        let refusal = world.refusal("opaque");
        assert!(refusal.contains(why), "{said}: {refusal}");
    }
    for said in [
        json!({ "token_type": "Bearer" }),
        json!({ "token_type": "access_token" }),
        json!({ "aud": "x" }),
    ] {
        let mut world = World::new(&config(json!([issuer(json!({}))])));
        world.answer("opaque", &active(said.clone())).unwrap();
        assert!(world.passes("opaque"), "{said}");
    }
}

#[test]
fn an_answer_is_relied_on_for_a_while_and_then_asked_for_again() {
    let endpoint = json!({ "introspection": { "cluster": "id", "uri": "https://id/introspect", "max_age": "30s" } });
    let mut world = World::new(&config(json!([issuer(endpoint)])));
    world.answer("long", &active(json!({}))).unwrap();
    world
        .answer("short", &active(json!({ "exp": NOW / 1000 + 5 })))
        .unwrap();
    let mut without = serde_json::from_str::<Value>(&active(json!({}))).unwrap();
    without.as_object_mut().unwrap().remove("exp");
    world.answer("endless", &without.to_string()).unwrap();
    let state = |world: &mut World, seconds: u64| {
        world.now = NOW + seconds * 1000;
        ["long", "short", "endless"].map(|token| match world.bearer(token) {
            Decision::Allow(_) => "passes",
            Decision::Need(_) => "is asked about",
            Decision::Deny(_) => "is refused",
        })
    };
    assert_eq!(state(&mut world, 4), ["passes"; 3]);
    assert_eq!(state(&mut world, 9), ["passes", "is refused", "passes"]);
    assert_eq!(state(&mut world, 10)[2], "is asked about");
    assert_eq!(state(&mut world, 29)[0], "passes");
    assert_eq!(state(&mut world, 30)[0], "is asked about");
}

#[test]
fn an_answer_that_is_good_for_no_time_is_refused_at_load() {
    for (max_age, good) in [("0s", false), ("999ms", false), ("1s", true)] {
        let endpoint = json!({ "introspection": { "cluster": "id", "uri": "https://id/i", "max_age": max_age } });
        let text = config(json!([issuer(endpoint)])).to_string();
        let error = Policy::parse(text.as_bytes()).map(drop).map_err(|error| error.key);
        let expected = if good {
            Ok(())
        } else {
            Err("issuers[0].introspection.max_age".to_owned())
        };
        assert_eq!(error, expected, "{max_age}");
    }
}

/// What servers say is remembered in bounded memory, however much they say of each token.
#[test]
fn long_answers_take_the_room_of_others_and_too_long_ones_say_nothing() {
    let mut world = World::new(&config(json!([issuer(json!({}))])));
    let long = |bytes: usize| {
        let spare = bytes - active(json!({ "scope": "" })).len();
        active(json!({ "scope": "s".repeat(spare) }))
    };
    assert_eq!(
        world.answer("too-long", &long(64 * 1024 + 1)),
        Err(AnswerError::TooLong)
    );
    for n in 0..100 {
        world.answer(&format!("t{n}"), &long(64 * 1024)).unwrap();
        assert!(world.passes(&format!("t{n}")));
    }
    // Of 8 MiB, twice 64 KiB for each: once as a scope and once in a header.
    assert!(!world.passes("t0") && world.passes("t99"));
}

#[test]
fn a_token_is_shown_to_one_server_only() {
    let with = |prefix: &str| {
        issuer(json!({ "issuer": prefix,
            "introspection": { "cluster": "id", "uri": "https://id/introspect", "prefix": prefix } }))
    };
    let mut world = World::new(&config(json!([with("a_"), with("a_b_"), issuer(json!({}))])));
    for (token, asked) in [("a_1", 0), ("a_b_1", 1), ("b_1", 2), ("A_1", 2)] {
        assert_eq!(
            world.answer(token, r#"{"active":false}"#),
            Ok(Asked::Issuer(asked)),
            "{token}"
        );
    }
    // Without an issuer for the rest, nobody sees it.
    let mut world = World::new(&config(json!([with("a_")])));
    assert!(world.refusal("b_1").contains("not a compact JWS"));
    let server = json!({ "cluster": "auth", "authority": "auth" });
    let mut empty = with("");
    empty["issuer"] = json!("https://id");
    let mut beside = config(json!([issuer(json!({}))]));
    beside["auth_server"] = server;
    for bad in [
        config(json!([with("a_"), with("a_")])),
        config(json!([issuer(json!({})), issuer(json!({}))])),
        config(json!([empty])),
        beside,
    ] {
        let error = Policy::parse(bad.to_string().as_bytes()).unwrap_err();
        assert!(error.key.ends_with("introspection.prefix"), "{error}");
    }
}

/// RFC 8037 appendix A.2.
const POINT: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

#[test]
fn new_keys_of_an_issuer_concern_nobody_else() {
    let asked = |name: &str, prefix: &str| {
        issuer(json!({ "issuer": name, "introspection": {
            "cluster": "id", "uri": format!("{name}/introspect"), "prefix": prefix
        } }))
    };
    let mut fetched = asked("https://fetched", "f_");
    fetched["jwks"] = json!({ "cluster": "id", "uri": "https://fetched/keys" });
    let mut world = World::new(&config(json!([fetched, asked("https://other", "o_")])));
    let key = |id: &str| json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": POINT });
    let fetch = |world: &mut World, keys: &[Value]| {
        world.now += 4000;
        world.state.keys_due(world.now);
        let set = json!({ "keys": keys }).to_string();
        world.state.set_keys(0, set.as_bytes(), world.now).unwrap();
    };
    fetch(&mut world, &[key("a"), key("b")]);
    world
        .answer("f_1", &active(json!({ "iss": "https://fetched" })))
        .unwrap();
    world.answer("o_1", &active(json!({ "iss": "https://other" }))).unwrap();
    let ask = |world: &mut World, token: &str| {
        let Decision::Need(Need::Introspection(unknown)) = world.bearer(token) else {
            panic!()
        };
        world.state.want_introspection(&unknown);
        world.state.introspections_due(NOW).pop().unwrap()
    };
    let (of_fetched, of_other) = (ask(&mut world, "f_2"), ask(&mut world, "o_2"));
    // The same keys in another order are no news to anybody.
    fetch(&mut world, &[key("b"), key("a")]);
    assert!(world.passes("f_1") && world.passes("o_1"));
    // Others are, to those who bring tokens of that issuer.
    fetch(&mut world, &[key("c")]);
    assert_eq!((world.passes("f_1"), world.passes("o_1")), (false, true));
    for (question, iss) in [(&of_fetched, "https://fetched"), (&of_other, "https://other")] {
        let answer = active(json!({ "iss": iss }));
        let taken = world
            .policy
            .introspected(question, answer.as_bytes(), &mut world.state, world.now);
        assert_eq!(taken, Ok(()), "{iss}");
    }
    assert_eq!((world.passes("f_2"), world.passes("o_2")), (false, true));
}

#[test]
fn the_upstream_receives_the_signed_answer_and_never_the_opaque_token() {
    let mut all = config(json!([issuer(json!({ "jwks": jwks() }))]));
    all["forward"] = json!({ "authorization": "jwt" });
    all["token"] = json!({ "cookie": "t", "query": "access_token" });
    let mut world = World::new(&all);
    let jwt = signed(&active(json!({})), |_, _| {});
    world.answer("opaque", &jwt).unwrap();
    let bearer = ("authorization".to_owned(), Some(format!("Bearer {jwt}")));
    let none = |name: &str| (name.to_owned(), None);
    assert_eq!(
        world.changes(&[("authorization", "Bearer opaque")], "/orders?x=1"),
        (vec![bearer.clone()], None)
    );
    assert_eq!(
        world.changes(&[("cookie", "a=1; t=opaque"), ("cookie", "tt=2")], "/orders"),
        (vec![("cookie".into(), Some("a=1; tt=2".into())), bearer.clone()], None)
    );
    assert_eq!(
        world.changes(&[("cookie", "t=opaque")], "/orders"),
        (vec![none("cookie"), bearer.clone()], None)
    );
    assert_eq!(
        world.changes(&[], "/orders?a=1&access_token=opaque&b=2"),
        (vec![bearer.clone()], Some("/orders?a=1&b=2".into()))
    );
    assert_eq!(
        world.changes(&[], "/orders?access_token=opaque").1,
        Some("/orders".into())
    );
    // A token that is a JWT itself goes as it is, from wherever it came.
    let own = json!({ "iss": "https://id", "exp": NOW / 1000 + 60 });
    let own = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &own, &EncodingKey::from_secret(SECRET)).unwrap();
    assert_eq!(
        world.changes(&[("authorization", &format!("bearer {own}"))], "/orders"),
        (vec![], None)
    );
    assert_eq!(
        world.changes(&[("cookie", &format!("t={own}"))], "/orders").0,
        [none("cookie"), ("authorization".into(), Some(format!("Bearer {own}")))]
    );
    // An answer that is not signed by the issuer is none.
    for bad in [
        active(json!({})),
        signed(&active(json!({})), |header, _| header.typ = Some("JWT".into())),
        signed(&active(json!({})), |_, claims| claims["iss"] = json!("https://other")),
        signed(&active(json!({})), |_, claims| {
            drop(claims.as_object_mut().unwrap().remove("token_introspection"))
        }),
        signed(&active(json!({})), |header, _| header.kid = Some("x".into())),
        format!("{}A", jwt),
        jwt.replacen("eyJ", "eyK", 1),
    ] {
        assert!(world.answer("another", &bad).is_err(), "{bad}");
        assert!(!world.passes("another"));
    }
    world.answer("gone", &signed(r#"{"active":false}"#, |_, _| {})).unwrap();
    assert!(world.refusal("gone").contains("does not know"));
}

/// Nobody looks at the signature where there are no keys. What is handed on in a header is a JWT all the same.
#[test]
fn a_signed_answer_has_one_spelling_also_where_nobody_has_its_key() {
    let mut all = config(json!([issuer(json!({}))]));
    all["forward"] = json!({ "authorization": "jwt" });
    let mut world = World::new(&all);
    let jwt = signed(&active(json!({})), |_, _| {});
    let (unsigned, signature) = jwt.rsplit_once('.').unwrap();
    let bearer = ("authorization".to_owned(), Some(format!("Bearer {jwt}")));
    for bad in [
        "x\r\nx-user-id: root",
        "",
        "A",
        "AAAA AAAA",
        "AAAA\0",
        "AAAAé",
        "AB",
        "AA==",
        "AA+/",
        &format!("{signature}.AAAA"),
        &format!("{signature}="),
    ] {
        let bad = format!("{unsigned}.{bad}");
        assert_eq!(world.answer("opaque", &bad), Err(AnswerError::Signed), "{bad:?}");
        assert!(!world.passes("opaque"), "{bad:?}");
    }
    world.answer("opaque", &format!("{jwt}\r\n")).unwrap();
    assert_eq!(
        world.changes(&[("authorization", "Bearer opaque")], "/orders").0,
        [bearer]
    );
}

#[test]
fn a_signed_answer_is_of_now_and_for_this_gateway() {
    let endpoint = json!({ "introspection": {
        "cluster": "id", "uri": "https://id/introspect", "audience": "gw"
    } });
    let mut all = config(json!([issuer(endpoint)]));
    all["leeway"] = json!("10s");
    let now = NOW / 1000;
    for (said, error) in [
        (json!({}), None),
        (json!({ "aud": ["other", "gw"] }), None),
        (json!({ "iat": now - 300 }), None),
        (json!({ "iat": now + 310, "exp": now - 9 }), None),
        (json!({ "aud": "other" }), Some(AnswerError::Audience)),
        (json!({ "aud": ["gw2"] }), Some(AnswerError::Audience)),
        (json!({ "aud": null }), Some(AnswerError::Audience)),
        (json!({ "iat": null }), Some(AnswerError::Signed)),
        (json!({ "iat": "now" }), Some(AnswerError::Signed)),
        (json!({ "exp": "soon" }), Some(AnswerError::Signed)),
        (json!({ "iat": now - 311 }), Some(AnswerError::Time)),
        (json!({ "iat": now + 311 }), Some(AnswerError::Time)),
        (json!({ "exp": now - 10 }), Some(AnswerError::Time)),
    ] {
        let mut world = World::new(&all);
        let answer = signed(&active(json!({})), |_, claims| {
            let claims = claims.as_object_mut().unwrap();
            claims.extend(said.as_object().unwrap().clone());
            claims.retain(|_, value| !value.is_null());
        });
        assert_eq!(world.answer("opaque", &answer).err(), error, "{said}");
        assert_eq!(world.passes("opaque"), error.is_none(), "{said}");
    }
}

/// As of a token: there is no trying of one key after another.
#[test]
fn a_signed_answer_is_verified_with_one_key() {
    let key = |id: &str, secret: &[u8]| json!({ "kty": "oct", "alg": "HS256", "kid": id, "k": URL_SAFE_NO_PAD.encode(secret) });
    let two = json!({ "inline": { "keys": [key("a", SECRET), key("b", &[7; 32])] } });
    let all = config(json!([issuer(json!({ "jwks": two }))]));
    for (id, good) in [(Some("a"), true), (Some("b"), false), (None, false)] {
        let mut world = World::new(&all);
        let answer = signed(&active(json!({})), |header, _| header.kid = id.map(str::to_owned));
        assert_eq!(world.answer("opaque", &answer).is_ok(), good, "{id:?}");
        assert_eq!(world.passes("opaque"), good, "{id:?}");
    }
}

#[test]
fn the_token_is_taken_off_where_configured() {
    let mut all = config(json!([issuer(json!({ "jwks": jwks() }))]));
    all["forward"] = json!({ "authorization": "remove" });
    all["token"] = json!({ "header": "x-token", "cookie": "t" });
    let mut world = World::new(&all);
    let own = json!({ "iss": "https://id", "exp": NOW / 1000 + 60 });
    let own = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &own, &EncodingKey::from_secret(SECRET)).unwrap();
    let none = |name: &str| (name.to_owned(), None);
    assert_eq!(
        world.changes(&[("x-token", &own), ("authorization", "Basic abc")], "/orders"),
        (vec![none("x-token")], None)
    );
    assert_eq!(
        world.changes(&[("cookie", &format!("t={own}; a=b"))], "/orders"),
        (vec![("cookie".into(), Some("a=b".into()))], None)
    );
    all["forward"] = json!({});
    let mut world = World::new(&all);
    assert_eq!(world.changes(&[("x-token", &own)], "/orders"), (vec![], None));
}

/// A caller's own JWT.
fn own_token() -> String {
    let own = json!({ "iss": "https://id", "exp": NOW / 1000 + 60, "realm_access": { "roles": ["clerk"] } });
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &own, &EncodingKey::from_secret(SECRET)).unwrap()
}

/// On a public path nobody is asked whose a token is, so nothing can take its place.
#[test]
fn on_a_public_path_no_token_goes_on_where_tokens_are_replaced() {
    let none = |name: &str| (name.to_owned(), None);
    let own = own_token();
    for (forwarded, goes_on) in [("keep", true), ("remove", false), ("jwt", false)] {
        let mut all = config(json!([issuer(json!({ "jwks": jwks() }))]));
        all["forward"] = json!({ "authorization": forwarded });
        all["token"] = json!({ "cookie": "t", "query": "access_token" });
        all["public"] = json!([
            "/open", { "path": "/kept", "authorization": "keep" }, { "path": "/bare", "authorization": "remove" }
        ]);
        let mut world = World::new(&all);
        for token in ["opaque", own.as_str(), "not even a token"] {
            let bearer = format!("bearer {token}");
            let came = [("authorization", bearer.as_str())];
            assert_eq!(world.changes(&came, "/kept"), (vec![], None));
            assert_eq!(world.changes(&came, "/bare"), (vec![none("authorization")], None));
            let taken = if goes_on { vec![] } else { vec![none("authorization")] };
            assert_eq!(world.changes(&came, "/open"), (taken, None), "{forwarded} {token}");
        }
        if goes_on {
            continue;
        }
        for (headers, target, changes) in [
            // How a client comes to the token endpoint, and what else is no token.
            (
                vec![("authorization", "Basic YTpi")],
                "/open?a=access_token",
                (vec![], None),
            ),
            (
                vec![("cookie", "a=t; tt=1"), ("dpop", "proof")],
                "/open",
                (vec![], None),
            ),
            (
                vec![("authorization", "DPoP opaque"), ("dpop", "proof")],
                "/open",
                (vec![none("authorization"), none("dpop")], None),
            ),
            (
                vec![("authorization", "Basic YTpi"), ("authorization", "Bearer opaque")],
                "/open",
                (vec![none("authorization")], None),
            ),
            (
                vec![("authorization", "BEARER\topaque")],
                "/open",
                (vec![none("authorization")], None),
            ),
            (
                vec![("authorization", "bearer:opaque"), ("cookie", "a=b;t=opaque")],
                "/open",
                (vec![none("authorization"), ("cookie".into(), Some("a=b".into()))], None),
            ),
            (
                vec![("cookie", "t = opaque")],
                "/open?a=1&access_token=opaque&access%5ftoken=opaque&b",
                (vec![none("cookie")], Some("/open?a=1&b".into())),
            ),
        ] {
            assert_eq!(world.changes(&headers, target), changes, "{headers:?} {target}");
        }
    }
}

#[test]
fn in_shadow_mode_a_token_that_nobody_vouches_for_does_not_go_on() {
    let none = |name: &str| (name.to_owned(), None);
    let own = own_token();
    for forwarded in ["remove", "jwt"] {
        for whole in [false, true] {
            let mut all = config(json!([issuer(json!({ "jwks": jwks() }))]));
            all["forward"] = json!({ "authorization": forwarded });
            all["rules"] = json!([{ "path": "/orders", "any_authority": ["nobody"], "mode": "shadow" }]);
            all["mode"] = json!(if whole { "shadow" } else { "enforce" });
            let mut world = World::new(&all);
            // Opaque, malformed, forged: nothing is known of whose they are.
            for token in ["opaque", "a,b", &format!("{own}x")] {
                let bearer = format!("Bearer {token}");
                let changes = world.changes(&[("authorization", &bearer)], "/orders");
                assert_eq!(changes, (vec![none("authorization")], None), "{forwarded} {token}");
            }
            // The caller is known, though the rule would refuse: as if it had passed.
            let bearer = format!("Bearer {own}");
            let changes = world.changes(&[("authorization", &bearer)], "/orders").0;
            let expected = if forwarded == "jwt" {
                vec![]
            } else {
                vec![none("authorization")]
            };
            assert_eq!(changes, expected, "{forwarded}");
        }
    }
}

/// The proof was for us, and so was its scheme.
#[test]
fn a_proven_token_goes_on_as_a_bearer_token() {
    let mut all = config(json!([issuer(json!({ "jwks": jwks() }))]));
    all["forward"] = json!({ "authorization": "jwt" });
    all["rules"] = json!([{ "path": "/orders", "mode": "shadow" }]);
    let mut world = World::new(&all);
    // Without a key it is bound to, `DPoP` is refused: not even in shadow mode does it go on.
    let own = own_token();
    let changes = world.changes(&[("authorization", &format!("DPoP {own}")), ("dpop", "x")], "/orders");
    assert_eq!(
        changes.0,
        [("authorization".to_owned(), None), ("dpop".to_owned(), None)]
    );
}
