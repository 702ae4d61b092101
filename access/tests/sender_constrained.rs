//! Tokens that are bound to a key (DPoP, RFC 9449) or to a certificate (RFC 8705), and logins that are not good enough
//! (RFC 9470): what a client sees.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use postern_access::confirmation::{sha256, thumbprint};
use postern_access::denial::Answer;
use postern_access::policy::{Decision, Need, Policy};
use postern_access::replay::Remembered;
use postern_access::request::Certificate;
use postern_access::state::State;
use serde_json::{Map, Value, json};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
/// Unix milliseconds.
const NOW: u64 = 1_800_000_000_000;

/// PKCS #8, and the public coordinates.
const CLIENT: (&str, &str, &str) = (
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXjzqUAo2fU4HrQmczpb12O1HIMqVUDF9gxl2xzdaTRahRANCAAR2T+4jt7V3s8ISApyXs5AzceCYlBHZ7iHHlegaaFUWsqH1S3aAT47ZQNYkHGOfsWgqpMfNxmOkervih53hFDUt",
    "dk_uI7e1d7PCEgKcl7OQM3HgmJQR2e4hx5XoGmhVFrI",
    "ofVLdoBPjtlA1iQcY5-xaCqkx83GY6R6u-KHneEUNS0",
);
const THIEF: (&str, &str, &str) = (
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgcr1pUimOXq3sbI4BEG5f4swo4m5l2B7XXxeg4ZabvcehRANCAAR2dAKg4AFcbXE8lp49mAKR8QJuW/snvtjWNBJsxpjUAe6KfKXhsVQRcEfpd/VugBknC7ImZ1u0FYgOFvN/s92A",
    "dnQCoOABXG1xPJaePZgCkfECblv7J77Y1jQSbMaY1AE",
    "7op8peGxVBFwR-l39W6AGScLsiZnW7QViA4W83-z3YA",
);
const EDWARDS: (&str, &str) = (
    "MC4CAQAwBQYDK2VwBCIEIJyAzSVHR+R0oF7U1eiwSWqOsa5NDXf66unSIrKmVSLe",
    "i1Xa4kCuGDc6p2xBDHGJdpiDTUZf5zFtV8PpAdm1J4c",
);

fn jwk(key: (&str, &str, &str)) -> Value {
    json!({ "kty": "EC", "crv": "P-256", "x": key.1, "y": key.2 })
}

fn jkt(jwk: &Value) -> String {
    URL_SAFE_NO_PAD.encode(thumbprint(jwk.as_object().unwrap()).unwrap())
}

/// A JWS with this header, made by a P-256 key whatever the header says.
fn signed_by(pkcs8: &str, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let der = STANDARD.decode(pkcs8).unwrap();
    let (key, algorithm) = if pkcs8 == EDWARDS.0 {
        (EncodingKey::from_ed_der(&der), Algorithm::EdDSA)
    } else {
        (EncodingKey::from_ec_der(&der), Algorithm::ES256)
    };
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).unwrap();
    format!("{signed}.{signature}")
}

fn token(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = json!({ "sub": "u1", "exp": NOW / 1000 + 600, "scope": "orders" });
    change(&mut claims);
    let key = EncodingKey::from_secret(SECRET);
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

fn bound_to(jwk: &Value) -> String {
    token(|claims| claims["cnf"] = json!({ "jkt": jkt(jwk) }))
}

fn ath(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(token.as_bytes()))
}

/// The proof that the client makes for `GET https://api.example.com/orders/7?x=1` with this token; changed.
fn proof(token: &str, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let mut header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk(CLIENT) });
    let mut claims = json!({
        "jti": "p1", "htm": "GET", "htu": "https://api.example.com/orders/7", "iat": NOW / 1000, "ath": ath(token)
    });
    change(&mut header, &mut claims);
    signed_by(CLIENT.0, &header, &claims)
}

struct World {
    policy: Policy,
    state: State,
    now: u64,
    certificate: Certificate,
}

/// What a client gets.
#[derive(Debug)]
enum Got {
    Passed,
    Refused(String, Answer),
}

impl World {
    fn new(change: impl FnOnce(&mut Value)) -> Self {
        let key = json!({ "kty": "oct", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(SECRET) });
        let mut config = json!({
            "issuers": [{ "jwks": { "inline": { "keys": [key] } } }],
            "rules": [{ "path": "/orders/**" }, { "path": "/reports", "scopes": ["reports"] }]
        });
        change(&mut config);
        let policy = Policy::parse(config.to_string().as_bytes()).unwrap();
        let mut state = State::new(policy.config(), 1).unwrap();
        state.set_nonce_secret(policy.config(), b"random");
        Self {
            policy,
            state,
            now: NOW,
            certificate: Certificate::None,
        }
    }

    fn get(&mut self, headers: &[(&str, &str)]) -> Got {
        self.get_at("/orders/7?x=1", headers)
    }

    /// As the shell asks: the certificate when it is needed, and whether the proof was used before.
    fn get_at(&mut self, path: &str, headers: &[(&str, &str)]) -> Got {
        let pseudo = [
            (":method", "GET"),
            (":path", path),
            (":scheme", "https"),
            (":authority", "api.example.com"),
        ];
        let all = pseudo.iter().chain(headers);
        let mut request = self
            .policy
            .read(all.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let mut decision = self.policy.decide(&request, &mut self.state, self.now);
        if let Decision::Need(Need::ClientCertificate) = decision {
            request.certificate = self.certificate;
            decision = self.policy.decide(&request, &mut self.state, self.now);
        }
        match decision {
            Decision::Allow(allowed) => match allowed.proof.map(|proof| self.state.remember(&proof, self.now)) {
                None | Some(Remembered::New(_)) => Got::Passed,
                Some(other) => panic!("{other:?}"),
            },
            Decision::Deny(denial) => {
                let answer = self.policy.answer(&denial, &request, self.now);
                Got::Refused(denial.to_string(), answer)
            }
            Decision::Need(need) => panic!("{need:?}"),
        }
    }

    fn dpop(&mut self, token: &str, proof: &str) -> Got {
        self.get(&[("authorization", &format!("DPoP {token}")), ("dpop", proof)])
    }
}

impl Got {
    fn passed(&self) -> bool {
        matches!(self, Got::Passed)
    }

    fn reason(&self) -> &str {
        match self {
            Got::Passed => "",
            Got::Refused(reason, _) => reason,
        }
    }

    fn answer(&self) -> &Answer {
        match self {
            Got::Passed => panic!("it passed"),
            Got::Refused(_, answer) => answer,
        }
    }

    fn challenges(&self) -> Vec<&str> {
        let headers = self.answer().headers.iter();
        headers
            .filter(|(name, _)| *name == "www-authenticate")
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

#[test]
fn a_bound_token_passes_with_its_proof_and_in_no_other_way() {
    let mut world = World::new(|_| {});
    let token = bound_to(&jwk(CLIENT));
    let good = proof(&token, |_, _| {});
    for _ in 0..2 {
        // Seen before or not: the binding is asked each time.
        let bearer = world.get(&[("authorization", &format!("Bearer {token}"))]);
        assert_eq!(bearer.reason(), "the token is bound to a key and is no bearer token");
        assert!(
            bearer.challenges()[0].starts_with(r#"DPoP error="invalid_token""#),
            "{bearer:?}"
        );
        let with_proof = world.get(&[("authorization", &format!("Bearer {token}")), ("dpop", &good)]);
        assert_eq!(
            with_proof.reason(),
            "the token is bound to a key and is no bearer token"
        );
    }
    assert!(world.dpop(&token, &good).passed());
    let none = world.get(&[("authorization", &format!("DPoP {token}"))]);
    assert_eq!(none.reason(), "the request has no DPoP proof");
    let two = world.get(&[
        ("authorization", &format!("DPoP {token}")),
        ("dpop", &good),
        ("dpop", &good),
    ]);
    assert_eq!(two.reason(), "the request has more than one DPoP proof");
    let joined = world.dpop(&token, &format!("{good}, {good}"));
    assert_eq!(joined.reason(), "the DPoP proof is not well-formed");
    // A token that is bound to nothing gains nothing by the word.
    let plain = self::token(|_| {});
    let said = world.dpop(&plain, &proof(&plain, |_, _| {}));
    assert_eq!(
        said.reason(),
        "the token is not bound to a key, and DPoP would prove nothing"
    );
    assert_eq!(said.answer().status, 401);
    assert!(world.get(&[("authorization", &format!("Bearer {plain}"))]).passed());
}

#[test]
fn bound_tokens_in_a_cookie_or_a_query_are_refused() {
    let mut world = World::new(|config| config["token"] = json!({ "cookie": "t", "query": "access_token" }));
    let token = bound_to(&jwk(CLIENT));
    let good = proof(&token, |_, _| {});
    let refused = "the token is bound to a key and is no bearer token";
    let cookie = world.get(&[("cookie", &format!("t={token}")), ("dpop", &good)]);
    assert_eq!(cookie.reason(), refused);
    let query = world.get_at(&format!("/orders/7?access_token={token}"), &[("dpop", &good)]);
    assert_eq!(query.reason(), refused);
    let hash = sha256(b"certificate");
    world.certificate = Certificate::Hash(hash);
    let token = self::token(|claims| claims["cnf"] = json!({ "x5t#S256": URL_SAFE_NO_PAD.encode(hash) }));
    assert!(!world.get(&[("cookie", &format!("t={token}"))]).passed());
}

/// What is done to the header and the claims of a good proof.
type Change = fn(&mut Value, &mut Value);

#[test]
fn every_part_of_a_proof_counts() {
    let mut world = World::new(|_| {});
    let token = bound_to(&jwk(CLIENT));
    let cases: &[(&str, Change)] = &[
        ("", |_, c| c["jti"] = json!("other")),
        ("", |h, c| {
            (h["typ"], c["jti"]) = (json!("application/DPOP+jwt"), json!("2"))
        }),
        ("", |_, c| {
            (c["htu"], c["jti"]) = (json!("HTTPS://API.example.com:443/orders/7?y#z"), json!("3"))
        }),
        ("", |_, c| (c["iat"], c["jti"]) = (json!(NOW / 1000 - 60), json!("4"))),
        ("", |_, c| (c["iat"], c["jti"]) = (json!(NOW / 1000 + 10), json!("5"))),
        ("", |_, c| (c["iat"], c["jti"]) = (json!(1_799_999_999.5), json!("6"))),
        ("", |h, c| (h["kid"], c["jti"]) = (json!("x"), json!("7"))),
        ("", |h, c| (h["jwk"]["alg"], c["jti"]) = (json!("ES256"), json!("8"))),
        ("type", |h, _| h["typ"] = json!("JWT")),
        ("type", |h, _| h["typ"] = json!("at+jwt")),
        ("type", |h, _| drop(h.as_object_mut().unwrap().remove("typ"))),
        ("accepted", |h, _| h["alg"] = json!("none")),
        ("accepted", |h, _| h["alg"] = json!("HS256")),
        ("accepted", |h, _| h["alg"] = json!("ES512")),
        ("accepted", |h, _| h["alg"] = json!(1)),
        ("accepted", |h, _| h["jwk"]["alg"] = json!("ES384")),
        ("public key", |h, _| h["alg"] = json!("ES384")),
        ("public key", |h, _| h["alg"] = json!("RS256")),
        ("extension", |h, _| h["crit"] = json!(["exp"])),
        ("extension", |h, _| h["jku"] = json!("https://evil.example")),
        ("extension", |h, _| h["x5u"] = json!("https://evil.example")),
        ("public key", |h, _| drop(h.as_object_mut().unwrap().remove("jwk"))),
        ("public key", |h, _| h["jwk"] = json!("x")),
        ("public key", |h, _| h["jwk"]["d"] = json!("AQAB")),
        ("another key", |h, _| h["jwk"] = json!({ "kty": "oct" })),
        ("public key", |h, _| {
            h["jwk"] = json!({ "kty": "oct", "k": "MDEyMzQ1Njc4OWFiY2RlZg" })
        }),
        ("another key", |h, _| h["jwk"] = jwk(THIEF)),
        ("another key", |h, _| h["jwk"]["crv"] = json!("P-384")),
        ("public key", |h, _| h["jwk"]["use"] = json!("enc")),
        ("not complete", |_, c| drop(c.as_object_mut().unwrap().remove("jti"))),
        ("not complete", |_, c| c["jti"] = json!("")),
        ("not complete", |_, c| c["jti"] = json!(7)),
        ("another method", |_, c| c["htm"] = json!("POST")),
        ("another method", |_, c| c["htm"] = json!("get")),
        ("not complete", |_, c| drop(c.as_object_mut().unwrap().remove("htm"))),
        ("another address", |_, c| {
            c["htu"] = json!("http://api.example.com/orders/7")
        }),
        ("another address", |_, c| {
            c["htu"] = json!("https://api.example.com/orders/8")
        }),
        ("another address", |_, c| {
            c["htu"] = json!("https://other.example.com/orders/7")
        }),
        ("not complete", |_, c| drop(c.as_object_mut().unwrap().remove("htu"))),
        ("too old", |_, c| c["iat"] = json!(NOW / 1000 - 61)),
        ("too old", |_, c| c["iat"] = json!(NOW / 1000 + 11)),
        ("too old", |_, c| c["exp"] = json!(NOW / 1000)),
        ("too old", |_, c| c["nbf"] = json!(NOW / 1000 + 60)),
        ("not complete", |_, c| c["iat"] = json!("now")),
        ("not complete", |_, c| drop(c.as_object_mut().unwrap().remove("iat"))),
        ("another token", |_, c| c["ath"] = json!(ath("other"))),
        ("another token", |_, c| c["ath"] = json!("")),
        ("not complete", |_, c| drop(c.as_object_mut().unwrap().remove("ath"))),
    ];
    for (why, change) in cases {
        let proof = proof(&token, *change);
        let got = world.dpop(&token, &proof);
        match *why {
            "" => assert!(got.passed(), "{got:?} {:?}", decoded(&proof)),
            why => {
                assert!(got.reason().contains(why), "{why}: {got:?} {:?}", decoded(&proof));
                assert_eq!(got.answer().status, 401);
                assert_eq!(
                    got.challenges(),
                    [
                        r#"DPoP error="invalid_dpop_proof", error_description="The DPoP proof is missing, invalid or used before", algs="ES256 ES384 EdDSA PS256 PS384 PS512 RS256 RS384 RS512""#
                    ]
                );
            }
        }
    }
    let good = proof(&token, |_, _| {});
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let twice = URL_SAFE_NO_PAD.encode(r#"{"jti":"a","jti":"b"}"#);
    for (why, bad) in [
        ("well-formed", "x".to_owned()),
        ("well-formed", format!("{signed}.")),
        ("well-formed", format!("{good}=")),
        ("well-formed", format!("{good}.x")),
        ("well-formed", format!("{header}.{twice}.{signature}")),
        ("well-formed", "A".repeat(9000)),
        ("signature", format!("{signed}.{}", URL_SAFE_NO_PAD.encode([1; 64]))),
        ("signature", format!("{signed}.AAAA")),
        ("signature", {
            let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk(CLIENT) });
            let claims = json!({
                "jti": "p1", "htm": "GET", "htu": "https://api.example.com/orders/7", "iat": NOW / 1000, "ath": ath(&token)
            });
            signed_by(THIEF.0, &header, &claims)
        }),
    ] {
        let got = world.dpop(&token, &bad);
        assert!(got.reason().contains(why), "{why}: {got:?} {bad}");
    }
}

fn decoded(proof: &str) -> Vec<String> {
    let parts = proof.split('.').take(2);
    parts
        .map(|part| String::from_utf8_lossy(&URL_SAFE_NO_PAD.decode(part).unwrap()).into_owned())
        .collect()
}

#[test]
fn a_proof_may_be_made_by_another_kind_of_key() {
    let mut world = World::new(|_| {});
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": EDWARDS.1 });
    let token = bound_to(&key);
    let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": key });
    let claims = json!({
        "jti": "p1", "htm": "GET", "htu": "https://api.example.com/orders/7", "iat": NOW / 1000, "ath": ath(&token)
    });
    assert!(world.dpop(&token, &signed_by(EDWARDS.0, &header, &claims)).passed());
}

/// The request of RFC 9449 section 7.1, figure 12: its proof is for this token, whose hash its `ath` is.
#[test]
fn the_ath_of_rfc_9449() {
    let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    assert_eq!(ath(token), "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
}

#[test]
fn a_proof_is_good_once_also_when_another_worker_saw_it() {
    let mut world = World::new(|_| {});
    let token = bound_to(&jwk(CLIENT));
    let authorization = format!("DPoP {token}");
    let proof = proof(&token, |_, _| {});
    let headers: [(&[u8], &[u8]); 6] = [
        (b":method", b"GET"),
        (b":path", b"/orders/7"),
        (b":scheme", b"https"),
        (b":authority", b"api.example.com"),
        (b"authorization", authorization.as_bytes()),
        (b"dpop", proof.as_bytes()),
    ];
    let request = world.policy.read(headers.into_iter());
    let mut used = || {
        let Decision::Allow(allowed) = world.policy.decide(&request, &mut world.state, NOW) else {
            panic!()
        };
        allowed.proof.unwrap()
    };
    let (first, second) = (used(), used());
    assert_eq!(first, second);
    let Remembered::New(bucket) = first.remember(b"", NOW) else {
        panic!()
    };
    assert_eq!(second.remember(&bucket, NOW), Remembered::Already);
    assert!(matches!(world.state.remember(&first, NOW), Remembered::New(_)));
    assert_eq!(world.state.remember(&second, NOW + 60_000), Remembered::Already);
}

/// Whatever would have become of the request: the upstream is told who called, so the proof is used up.
#[test]
fn a_proof_is_used_up_in_shadow_mode_too() {
    let shadow = json!({ "path": "/reports", "scopes": ["reports"], "mode": "shadow" });
    for (whole, rules) in [
        (false, json!([shadow])),
        (true, json!([{ "path": "/reports", "scopes": ["reports"] }])),
        (true, json!([])),
    ] {
        let mut world = World::new(|config| {
            config["rules"] = rules.clone();
            config["mode"] = json!(if whole { "shadow" } else { "enforce" });
        });
        let token = bound_to(&jwk(CLIENT));
        let authorization = format!("DPoP {token}");
        let proof = proof(&token, |_, claims| {
            claims["htu"] = json!("https://api.example.com/reports")
        });
        let headers = [
            (":method", "GET"),
            (":path", "/reports"),
            (":scheme", "https"),
            (":authority", "api.example.com"),
            ("authorization", &authorization),
            ("dpop", &proof),
        ];
        let request = world
            .policy
            .read(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let Decision::Allow(allowed) = world.policy.decide(&request, &mut world.state, NOW) else {
            panic!("{rules}")
        };
        assert!(allowed.shadowed.is_some() && allowed.caller.is_some(), "{rules}");
        assert!(allowed.proof.is_some(), "{rules}");
    }
}

#[test]
fn a_nonce_is_asked_for_where_configured() {
    let mut world = World::new(|config| config["dpop"] = json!({ "nonce": true }));
    let token = bound_to(&jwk(CLIENT));
    let got = world.dpop(&token, &proof(&token, |_, _| {}));
    assert_eq!(got.answer().status, 401);
    assert!(
        got.challenges()[0].starts_with(r#"DPoP error="use_dpop_nonce""#),
        "{got:?}"
    );
    let nonce = |got: &Got| {
        let mut headers = got.answer().headers.iter();
        headers.find(|(name, _)| *name == "dpop-nonce").unwrap().1.clone()
    };
    let given = nonce(&got);
    assert!(
        world
            .dpop(&token, &proof(&token, |_, c| c["nonce"] = json!(given)))
            .passed()
    );
    for wrong in [json!("x"), json!(7), json!(null)] {
        let got = world.dpop(&token, &proof(&token, |_, c| c["nonce"] = wrong.clone()));
        assert_eq!(nonce(&got), given, "{wrong}");
    }
    // Another worker of the same host takes it too; in time it is not good any more.
    world.state = State::new(world.policy.config(), 2).unwrap();
    world.state.set_nonce_secret(world.policy.config(), b"random");
    let later = |world: &mut World, seconds: u64| {
        world.now = NOW + seconds * 1000;
        let fresh = proof(&token, |_, c| {
            c["nonce"] = json!(given);
            c["iat"] = json!(NOW / 1000 + seconds);
            c["jti"] = json!(seconds.to_string());
        });
        world.dpop(&token, &fresh).passed()
    };
    assert!(later(&mut world, 299));
    assert!(!later(&mut world, 600));
}

#[test]
fn the_scheme_of_the_address_is_known_from_where_the_operator_says() {
    let token = bound_to(&jwk(CLIENT));
    let http: Change = |_, claims| claims["htu"] = json!("http://api.example.com/orders/7");
    let https: Change = |_, _| {};
    for (scheme, forwarded, change, passes) in [
        ("host", None, https, true),
        ("host", None, http, false),
        ("host", Some("http"), http, false),
        ("http", None, http, true),
        ("https", Some("http"), https, true),
        ("x-forwarded-proto", Some("http"), http, true),
        ("x-forwarded-proto", Some("https"), https, true),
        ("x-forwarded-proto", Some("http"), https, false),
        ("x-forwarded-proto", None, https, false),
    ] {
        let mut world = World::new(|config| config["dpop"] = json!({ "scheme": scheme }));
        let (authorization, proof) = (format!("DPoP {token}"), proof(&token, change));
        let mut headers = vec![("authorization", authorization.as_str()), ("dpop", proof.as_str())];
        headers.extend(forwarded.map(|forwarded| ("x-forwarded-proto", forwarded)));
        let got = world.get(&headers);
        assert_eq!(got.passed(), passes, "{scheme} {forwarded:?}: {got:?}");
    }
}

#[test]
fn a_token_that_is_bound_to_a_certificate_is_good_on_its_connection_only() {
    let mut world = World::new(|_| {});
    let hash = sha256(b"certificate");
    let token = token(|claims| claims["cnf"] = json!({ "x5t#S256": URL_SAFE_NO_PAD.encode(hash) }));
    let authorization = format!("Bearer {token}");
    let refused = "the token is bound to a client certificate that this connection does not have";
    for certificate in [
        Certificate::None,
        Certificate::Unasked,
        Certificate::Hash(sha256(b"another")),
    ] {
        world.certificate = certificate;
        if certificate == Certificate::Unasked {
            continue;
        }
        let got = world.get(&[("authorization", &authorization)]);
        assert_eq!(got.reason(), refused);
        assert!(
            got.challenges()[0].starts_with(r#"Bearer error="invalid_token""#),
            "{got:?}"
        );
    }
    world.certificate = Certificate::Hash(hash);
    assert!(world.get(&[("authorization", &authorization)]).passed());
    assert_eq!(
        world.dpop(&token, &proof(&token, |_, _| {})).reason(),
        "the token is not bound to a key, and DPoP would prove nothing"
    );
    // Bound to both: both are needed.
    let both = self::token(|claims| {
        claims["cnf"] = json!({ "x5t#S256": URL_SAFE_NO_PAD.encode(hash), "jkt": jkt(&jwk(CLIENT)) });
    });
    assert!(!world.get(&[("authorization", &format!("Bearer {both}"))]).passed());
    assert!(world.dpop(&both, &proof(&both, |_, _| {})).passed());
    world.certificate = Certificate::None;
    assert_eq!(world.dpop(&both, &proof(&both, |_, _| {})).reason(), refused);
}

#[test]
fn a_binding_of_an_unknown_kind_makes_a_token_useless() {
    let mut world = World::new(|_| {});
    for cnf in [
        json!(null),
        json!({}),
        json!({ "jwk": jwk(CLIENT) }),
        json!({ "kid": "x" }),
        json!({ "jkt": "x" }),
    ] {
        let token = token(|claims| claims["cnf"] = cnf.clone());
        for authorization in [format!("Bearer {token}"), format!("DPoP {token}")] {
            let proof = proof(&token, |_, _| {});
            let got = world.get(&[("authorization", &authorization), ("dpop", &proof)]);
            assert_eq!(got.answer().status, 401, "{cnf}");
            assert!(got.reason().contains("not known here"), "{cnf}: {got:?}");
        }
    }
}

#[test]
fn a_login_that_is_not_good_enough_is_asked_for_again() {
    let mut world = World::new(|config| {
        config["rules"] = json!([
            { "path": "/orders/**", "acr": ["urn:mfa", "urn:hwk"], "max_age": "5m" },
            { "path": "/reports", "scopes": ["reports"], "acr": ["urn:mfa"] }
        ]);
    });
    let seconds = NOW / 1000;
    let mut get = |path: &str, claims: Value| {
        let token = token(|all| all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone()));
        world.get_at(path, &[("authorization", &format!("Bearer {token}"))])
    };
    assert!(get("/orders/7", json!({ "acr": "urn:hwk", "auth_time": seconds - 300 })).passed());
    for claims in [
        json!({ "acr": "urn:hwk", "auth_time": seconds - 301 }),
        json!({ "acr": "urn:pwd", "auth_time": seconds }),
        json!({ "acr": "urn:hwk" }),
        json!({ "auth_time": seconds }),
        json!({ "acr": ["urn:hwk"], "auth_time": seconds }),
    ] {
        let got = get("/orders/7", claims.clone());
        assert_eq!(got.answer().status, 401, "{claims}");
        assert_eq!(
            got.challenges(),
            [
                r#"Bearer error="insufficient_user_authentication", error_description="The user must log in again, or by other means", acr_values="urn:mfa urn:hwk", max_age="300""#
            ]
        );
    }
    // Who may not do it in any case is not sent to log in.
    let got = get("/reports", json!({ "acr": "urn:pwd" }));
    assert_eq!(got.answer().status, 403);
    let got = get("/reports", json!({ "acr": "urn:pwd", "scope": "reports" }));
    assert_eq!(
        got.challenges(),
        [
            r#"Bearer error="insufficient_user_authentication", error_description="The user must log in again, or by other means", acr_values="urn:mfa""#
        ]
    );
}

#[test]
fn challenges_say_how_to_come_and_where_the_resource_is_described() {
    let metadata = "https://api.example.com/.well-known/oauth-protected-resource";
    let mut world = World::new(|config| {
        config["resource_metadata"] = json!(metadata);
        config["dpop"] = json!({});
    });
    let algs = r#"algs="ES256 ES384 EdDSA PS256 PS384 PS512 RS256 RS384 RS512""#;
    assert_eq!(
        world.get(&[]).challenges(),
        [
            format!(r#"Bearer resource_metadata="{metadata}""#),
            format!(r#"DPoP {algs}, resource_metadata="{metadata}""#)
        ]
    );
    let bad = world.get(&[("authorization", "Bearer x.y.z")]);
    assert!(bad.challenges()[0].starts_with("Bearer error"), "{bad:?}");
    assert!(
        bad.challenges()[0].ends_with(&format!(r#", resource_metadata="{metadata}""#)),
        "{bad:?}"
    );
    // The scheme of the challenge is that of the request.
    let token = bound_to(&jwk(CLIENT));
    let proof = proof(&token, |_, c| c["htu"] = json!("https://api.example.com/reports"));
    let scope = world.get_at(
        "/reports",
        &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)],
    );
    assert_eq!(scope.answer().status, 403);
    assert_eq!(
        scope.challenges(),
        [format!(
            r#"DPoP error="insufficient_scope", scope="reports", {algs}, resource_metadata="{metadata}""#
        )]
    );
    for config in [
        json!({ "resource_metadata": "api" }),
        json!({ "dpop": { "max_age": "0s" } }),
        json!({ "dpop": { "max_age": "301s" } }),
        json!({ "dpop": { "nonce_secret": "short" } }),
        json!({ "dpop": { "scheme": "any" } }),
        json!({ "dpop": { "nonces": true } }),
    ] {
        let key = config.as_object().map(Map::keys).unwrap().next().unwrap();
        let error = Policy::parse(config.to_string().as_bytes()).unwrap_err();
        assert!(error.key.starts_with(key), "{config}: {error}");
    }
}
