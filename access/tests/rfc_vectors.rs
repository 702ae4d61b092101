//! The signatures of the standards: RFC 7515 appendix A (HS256, RS256, ES256) and RFC 8037 appendix A (EdDSA).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postern_access::jwk::{JwkError, Key, key_set};
use postern_access::jws::{JwsError, Unverified};
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
        let verified = Unverified::parse(&token).unwrap().verify(&key(&jwk)).expect(section);
        assert_eq!(verified.claims["iss"], "joe", "{section}");

        let mut forged = URL_SAFE_NO_PAD.decode(signature).unwrap();
        forged[5] ^= 1;
        let forged = format!("{header}.{CLAIMS}.{}", URL_SAFE_NO_PAD.encode(forged));
        let refused = Unverified::parse(&forged).unwrap().verify(&key(&jwk)).unwrap_err();
        assert_eq!(refused, JwsError::Signature, "{section}");
    }
}

#[test]
fn no_key_verifies_for_another_algorithm() {
    for (section, _, header, signature) in rfc7515() {
        for (other, jwk, ..) in rfc7515() {
            let token = format!("{header}.{CLAIMS}.{signature}");
            let verified = Unverified::parse(&token).unwrap().verify(&key(&jwk));
            assert_eq!(
                verified.is_ok(),
                section == other,
                "a token of {section} with the key of {other}"
            );
        }
    }
}

#[test]
fn rfc_8037_appendix_a4() {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = URL_SAFE_NO_PAD
        .decode("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
        .unwrap();
    assert!(key(&jwk).verifies(signed.as_bytes(), &signature));
    assert!(!key(&jwk).verifies(&signed.as_bytes()[1..], &signature));
    assert!(!key(&jwk).verifies(signed.as_bytes(), &signature[1..]));
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
    assert_eq!(with(&rsa, "e", json!("AQ")), JwkError::Member("e"));
    assert_eq!(with(&ec, "crv", json!("P-521")), JwkError::Kind);
    assert_eq!(with(&ec, "alg", json!("ES384")), JwkError::Kind);
    assert_eq!(
        with(&ec, "x", json!(URL_SAFE_NO_PAD.encode([1; 32]))),
        JwkError::Member("x")
    );
    assert_eq!(with(&ec, "x", json!("AQAB")), JwkError::Member("x"));
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
