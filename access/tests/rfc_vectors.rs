//! The signatures of the standards: RFC 7515 appendix A (HS256, RS256, ES256), RFC 7520 section 4 (RS256, PS384, HS256) and
//! RFC 8037 appendix A (EdDSA).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postern_access::jwk::{JwkError, Key, key_set};
use postern_access::jws::{JwsError, NoKey, Unverified};
use postern_access::signature::Verifier;
use serde_json::{Value, json};

const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

/// Section, JWK, header, signature.
fn rfc7515() -> [(&'static str, Value, &'static str, &'static str); 3] {
    [
        (
            "A.1",
            json!({ "kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow" }),
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        (
            "A.2",
            json!({ "kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" }),
            "eyJhbGciOiJSUzI1NiJ9",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            "A.3",
            json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" }),
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
    ]
}

fn key(jwk: &Value) -> Key {
    Key::from_jwk(jwk.as_object().unwrap()).unwrap()
}

#[test]
fn rfc_7515_appendix_a() {
    for (section, jwk, header, signature) in rfc7515() {
        let token = format!("{header}.{CLAIMS}.{signature}");
        let unverified = Unverified::parse(&token).unwrap();
        let verified = unverified.verify(&key(&jwk), &Verifier::default()).expect(section);
        assert_eq!(verified.claims["iss"], "joe", "{section}");

        let mut forged = URL_SAFE_NO_PAD.decode(signature).unwrap();
        forged[5] ^= 1;
        let forged = format!("{header}.{CLAIMS}.{}", URL_SAFE_NO_PAD.encode(forged));
        let refused = Unverified::parse(&forged)
            .unwrap()
            .verify(&key(&jwk), &Verifier::default())
            .unwrap_err();
        assert_eq!(refused, JwsError::Signature, "{section}");
    }
}

#[test]
fn no_key_verifies_for_another_algorithm() {
    for (section, _, header, signature) in rfc7515() {
        for (other, jwk, ..) in rfc7515() {
            let token = format!("{header}.{CLAIMS}.{signature}");
            let unverified = Unverified::parse(&token).unwrap();
            let verified = unverified.verify(&key(&jwk), &Verifier::default());
            assert_eq!(
                verified.is_ok(),
                section == other,
                "a token of {section} with the key of {other}"
            );
        }
    }
}

/// Appendix A.5 is `none`; A.4 signs with ES512, whose curve is not supported; A.6 and A.7 are JSON serialisations.
#[test]
fn rfc_7515_appendix_a_unsecured_and_other_curves() {
    let refused = |token: &str| Unverified::parse(token).unwrap_err();
    assert_eq!(refused(&format!("eyJhbGciOiJub25lIn0.{CLAIMS}.")), JwsError::Algorithm);
    let es512 = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    assert_eq!(refused(es512), JwsError::Algorithm);
    assert_eq!(refused(r#"{"payload":"","signatures":[]}"#), JwsError::NotCompact);
}

/// Sections 4.1, 4.2 and 4.4; section 4.3 signs with ES512. The RSA key names no algorithm, so it verifies both of its kind.
#[test]
fn rfc_7520_section_4() {
    const PAYLOAD: &str = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";
    let rsa = json!({ "kty": "RSA", "kid": "bilbo.baggins@hobbiton.example", "use": "sig", "e": "AQAB", "n": "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw" });
    let oct = json!({ "kty": "oct", "kid": "018c0ae5-4d9b-471b-bfd6-eef314bc7037", "use": "sig", "alg": "HS256", "k": "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg" });
    let keys = key_set(&json!({ "keys": [rsa, oct] })).unwrap();
    for (section, header, signature) in [
        (
            "4.1",
            "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
            "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
        ),
        (
            "4.2",
            "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
            "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
        ),
        (
            "4.4",
            "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9",
            "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0",
        ),
    ] {
        let verify = |payload: &str| {
            let token = format!("{header}.{payload}.{signature}");
            let unverified = Unverified::parse_any(&token).unwrap();
            unverified.verify_payload(unverified.key(&keys).unwrap(), &Verifier::default())
        };
        let text = String::from_utf8(verify(PAYLOAD).expect(section)).unwrap();
        assert!(
            text.ends_with("no knowing where you might be swept off to."),
            "{section}: {text}"
        );
        assert_eq!(verify(&PAYLOAD[4..]), Err(JwsError::Signature), "{section}");
    }
}

#[test]
fn rfc_8037_appendix_a4() {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let verify = |signed: &str, signature: &str| {
        let token = format!("{signed}.{signature}");
        Unverified::parse_any(&token)?.verify_payload(&key(&jwk), &Verifier::default())
    };
    assert_eq!(verify(signed, signature).unwrap(), b"Example of Ed25519 signing");
    assert_eq!(verify(&signed[..signed.len() - 2], signature), Err(JwsError::Signature));
    assert_eq!(verify(signed, &signature[4..]), Err(JwsError::Signature));
}

#[test]
fn keys_that_must_not_verify_are_refused() {
    let [hmac, rsa, ec] = rfc7515().map(|row| row.1);
    let with = |jwk: &Value, name: &str, value: Value| {
        let mut jwk = jwk.as_object().unwrap().clone();
        jwk.insert(name.into(), value);
        Key::from_jwk(&jwk).unwrap_err()
    };
    assert_eq!(with(&hmac, "k", json!("c2hvcnQ")), JwkError::Weak);
    assert_eq!(with(&hmac, "alg", json!("RS256")), JwkError::Kind);
    assert_eq!(with(&rsa, "alg", json!("HS256")), JwkError::Kind);
    assert_eq!(with(&rsa, "use", json!("enc")), JwkError::Purpose);
    assert_eq!(with(&rsa, "key_ops", json!(["encrypt"])), JwkError::Purpose);
    assert_eq!(
        with(&rsa, "n", json!(URL_SAFE_NO_PAD.encode([0xff; 128]))),
        JwkError::Weak
    );
    assert_eq!(
        with(&rsa, "n", json!(URL_SAFE_NO_PAD.encode([0x7f; 256]))),
        JwkError::Weak
    );
    let even = [vec![0xff; 255], vec![0xfe]].concat();
    assert_eq!(
        with(&rsa, "n", json!(URL_SAFE_NO_PAD.encode(even))),
        JwkError::Member("n")
    );
    assert_eq!(with(&rsa, "n", json!("AQAB=")), JwkError::Member("n"));
    for exponent in ["", "AA", "AQ", "AAAAAQ", "BA", "AQAAAAE", "/w=="] {
        assert_eq!(with(&rsa, "e", json!(exponent)), JwkError::Member("e"), "{exponent}");
    }
    assert_eq!(with(&rsa, "key_ops", json!([])), JwkError::Purpose);
    assert_eq!(with(&rsa, "key_ops", json!(["verify", 1])), JwkError::Member("key_ops"));
    assert_eq!(with(&rsa, "key_ops", json!("verify")), JwkError::Member("key_ops"));
    let twice = json!(["verify", "sign", "verify"]);
    assert_eq!(with(&rsa, "key_ops", twice), JwkError::Member("key_ops"));
    let mut signs = rsa.clone();
    signs["use"] = json!("sig");
    for contradicting in [
        json!(["verify", "encrypt"]),
        json!(["encrypt"]),
        json!(["verify", "wrapKey"]),
    ] {
        assert_eq!(with(&signs, "key_ops", contradicting), JwkError::Member("key_ops"));
    }
    let modulus = URL_SAFE_NO_PAD.decode(rsa["n"].as_str().unwrap()).unwrap();
    for zeros in 2..5 {
        let longer = [vec![0; zeros], modulus.clone()].concat();
        assert_eq!(
            with(&rsa, "n", json!(URL_SAFE_NO_PAD.encode(longer))),
            JwkError::Member("n")
        );
    }
    let shorter = [vec![0], vec![0x7f; 257]].concat();
    assert_eq!(
        with(&rsa, "n", json!(URL_SAFE_NO_PAD.encode(shorter))),
        JwkError::Member("n")
    );
    assert_eq!(
        with(&rsa, "e", json!(URL_SAFE_NO_PAD.encode([0, 0, 1, 0, 1]))),
        JwkError::Member("e")
    );
    assert_eq!(with(&rsa, "use", json!("SIG")), JwkError::Purpose);
    assert_eq!(with(&rsa, "kid", json!(7)), JwkError::Member("kid"));
    assert_eq!(with(&rsa, "alg", json!("RSA-OAEP")), JwkError::Kind);
    assert_eq!(with(&rsa, "crv", json!("P-256")), JwkError::Kind);
    assert_eq!(with(&hmac, "alg", json!("A256KW")), JwkError::Kind);
    assert_eq!(with(&hmac, "alg", json!("none")), JwkError::Kind);
    for (algorithm, least) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
        let jwk = |length: usize| {
            let jwk = json!({ "kty": "oct", "alg": algorithm, "k": URL_SAFE_NO_PAD.encode(vec![7; length]) });
            Key::from_jwk(jwk.as_object().unwrap()).map(drop)
        };
        assert_eq!(
            (jwk(least - 1), jwk(least)),
            (Err(JwkError::Weak), Ok(())),
            "{algorithm}"
        );
    }
    assert_eq!(with(&ec, "crv", json!("P-521")), JwkError::Kind);
    assert_eq!(with(&ec, "alg", json!("ES384")), JwkError::Kind);
    assert_eq!(
        with(&ec, "x", json!(URL_SAFE_NO_PAD.encode([1; 32]))),
        JwkError::Member("x")
    );
    assert_eq!(with(&ec, "x", json!("AQAB")), JwkError::Member("x"));
}

/// What RFC 7518 section 6.3.1.1 and RFC 7517 section 4.3 advise against, and issuers do: taken on purpose.
#[test]
fn keys_as_some_issuers_write_them() {
    let [_, (_, rsa, ..), _] = rfc7515();
    let plain = key(&rsa);
    let zero = |name: &str, zeros: usize| {
        let number = URL_SAFE_NO_PAD.decode(rsa[name].as_str().unwrap()).unwrap();
        json!(URL_SAFE_NO_PAD.encode([vec![0; zeros], number].concat()))
    };
    let all = ["sign", "verify", "wrapKey", "unwrapKey", "encrypt", "decrypt"];
    for (name, value) in [
        ("n", zero("n", 1)),
        ("e", zero("e", 1)),
        ("key_ops", json!(all)),
        ("key_ops", json!(["verify"])),
    ] {
        let mut written = rsa.clone();
        written[name] = value;
        // The same key, also to a host that verifies natively.
        assert_eq!(key(&written).material(), plain.material(), "{name}");
    }
    let mut signs = rsa;
    signs["use"] = json!("sig");
    signs["key_ops"] = json!(["sign", "verify"]);
    assert_eq!(key(&signs).material(), plain.material());
}

#[test]
fn a_set_passes_over_what_it_cannot_use_but_not_over_everything() {
    let [_, (_, rsa, ..), _] = rfc7515();
    let mut encryption = rsa.clone();
    encryption["use"] = json!("enc");
    assert_eq!(key_set(&json!({ "keys": [encryption, rsa] })).unwrap().len(), 1);
    assert!(matches!(
        key_set(&json!({ "keys": [encryption] })),
        Err(JwkError::NoKey(_))
    ));
    assert!(matches!(key_set(&json!({ "keys": [] })), Err(JwkError::NoKey(_))));
    assert!(matches!(key_set(&json!([])), Err(JwkError::NotASet)));
}

/// The points of small order, in which anybody can sign, and encodings that are not canonical (RFC 8032 section 5.1.3).
#[test]
fn ed25519_keys_are_of_the_prime_order_subgroup() {
    let x = |hex: &str| {
        let bytes: Vec<u8> = (0..32)
            .map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap())
            .collect();
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(bytes) });
        Key::from_jwk(jwk.as_object().unwrap()).map(drop).unwrap_err()
    };
    let all = |first: &str, middle: &str, last: &str| format!("{first}{}{last}", middle.repeat(30));
    for (hex, error) in [
        (all("00", "00", "00"), JwkError::Weak),
        (all("00", "00", "80"), JwkError::Weak),
        (all("01", "00", "00"), JwkError::Weak),
        (all("01", "00", "80"), JwkError::Member("x")),
        (all("ec", "ff", "7f"), JwkError::Weak),
        (all("ed", "ff", "7f"), JwkError::Member("x")),
        (all("ee", "ff", "ff"), JwkError::Member("x")),
        (
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a".into(),
            JwkError::Weak,
        ),
        (
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85".into(),
            JwkError::Weak,
        ),
        // On the curve, but with a part of order two: the base point plus (0, -1).
        (
            "9599999999999999999999999999999999999999999999999999999999999919".into(),
            JwkError::Weak,
        ),
    ] {
        assert_eq!(x(&hex), error, "{hex}");
    }
}

/// Which key a token means: the one it names, or the only one.
#[test]
fn there_is_no_falling_back_to_another_key() {
    let [(_, hmac, hs, mac), (_, rsa, rs, signature), _] = rfc7515();
    let with = |jwk: &Value, members: Value| {
        let mut jwk = jwk.clone();
        for (name, value) in members.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        jwk
    };
    let other = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode([1; 64]) });
    let token = |header: &str| format!("{}.{CLAIMS}.{mac}", URL_SAFE_NO_PAD.encode(header));
    let named = token(r#"{"alg":"HS256","kid":"a"}"#);
    let unnamed = format!("{hs}.{CLAIMS}.{mac}");
    let rs_token = format!("{rs}.{CLAIMS}.{signature}");
    let key = |keys: Value, token: &str| {
        let keys = key_set(&json!({ "keys": keys })).unwrap();
        Unverified::parse(token)
            .unwrap()
            .key(&keys)
            .map(|key| key.id().map(str::to_owned))
    };
    let a = |jwk: &Value| with(jwk, json!({ "kid": "a" }));
    let b = |jwk: &Value| with(jwk, json!({ "kid": "b" }));
    assert_eq!(key(json!([a(&hmac), b(&other)]), &named), Ok(Some("a".into())));
    assert_eq!(key(json!([b(&hmac)]), &named), Err(NoKey::Unknown));
    assert_eq!(key(json!([hmac]), &named), Err(NoKey::Unknown));
    assert_eq!(key(json!([a(&hmac), a(&other)]), &named), Err(NoKey::Ambiguous));
    assert_eq!(key(json!([a(&hmac), a(&hmac)]), &named), Err(NoKey::Ambiguous));
    assert_eq!(key(json!([a(&rsa), a(&hmac)]), &named), Ok(Some("a".into())));
    assert_eq!(key(json!([a(&rsa), b(&hmac)]), &named), Err(NoKey::Algorithm));
    let hs512 = with(&a(&hmac), json!({ "alg": "HS512" }));
    assert_eq!(key(json!([hs512]), &named), Err(NoKey::Algorithm));
    assert_eq!(key(json!([hmac, rsa]), &unnamed), Ok(None));
    assert_eq!(key(json!([a(&hmac), rsa]), &unnamed), Ok(Some("a".into())));
    assert_eq!(key(json!([hmac, other]), &unnamed), Err(NoKey::Ambiguous));
    assert_eq!(key(json!([a(&hmac), b(&other)]), &unnamed), Err(NoKey::Ambiguous));
    assert_eq!(key(json!([hmac]), &rs_token), Err(NoKey::Unknown));
}
