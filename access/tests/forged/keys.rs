//! A key of each kind, for tokens in tests: here, and in the end-to-end suite.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

const SECRET: [u8; 64] = [0x5a; 64];

// Made for tests; they open nothing.
const RSA_PRIVATE: &str = "MIIEowIBAAKCAQEAwvyA87VmJFCj4v3bnUGmnsk2kyy241wCA5LJEj-9UYLdXNriCO2Sqp1zYpzFRqpyWl0NIufmV_sqN9U_qjgG0W--k0Ih1YOEK3a-uRxUaguQaB4Ct14VLSG0vg2SwLIE5tvruj2aYxQxf6R69RoVHhSTottp4ihO3kz4GoYSm4hz9d6toPR8mWFZRpNYaOMnR6kveLljLaAYo4M48PTieIgaLaWV6knNQJgIIm0dcLbwo4KHaRGuIYxGnqmu2Pr3pHYARl82Wniq_n04wYNwPOu7TJlT8LWRDZ46NwpJoY2rgZWDOpd4MwBcNTqMq4BxrvpXeH-GqaMYpNN9nMXVJwIDAQABAoIBAD-FTuUWBU5zTtCV7sOOLZ-w4SyU9oee47ESUpq1VRGG1mJ3lAdgjdUzMfHALKxWvqYdhjgG4A1tb1V9DR6A3gfApY8HjkombBpUttFLH1zko4inri7aYX-waVc4yMQpulsS7fpgMzlvzKhOhxfuBU8lWOtHG3lntDnLTVAmuU0dVwEVAY-E1zh9FL9-5_BYlJ-UVgxcgeIke_2oV5ARIq0vpnbyzoki41Xk6JLI09q5Qyd-R37vl0ugSZi_CZfdDxJ9jUYdCdERF6rXdQWLoG1FvkSysjKcL4vuPozunQe41JqFWKuMa25bb0vR9h6JvdVvtSOJkfqgJFvr4pja4oECgYEA7Z3RNzluZtSwICN6rRNcg2PL4Q1idaozfSVcnPvbElJRkMHEGjgXM5nA7xkR3V-8EnukY5TMjB2SPmErxSmeE7VLqASbUxFxHRcOiubk97MAOWh2VFRdcssJOzK6THo0yhGkZYlr04rpjgLMMNFS4e7D-34tZF3bpjlNG_yyTaECgYEA0hJc550X1ZQaRTFYaxLBgKjiDx_XAj_XM9gTmfZKoUk4xXB4Trtdi4RyuwiexhpeAf-obx2jwpp89IoITfzi7zX5f2wcw2OQ3LsyiSaPVslM5ptwHIpaidaxXDfJSVy1CWXYqjAEr5UudIQYoGJ9OQtgCCX7co8X0gIyP7T4XccCgYBDP8saihKI3-EI94GcwkIInZHyG8ul6Ymw_YX8l_skcE_NXEmX8g_-9qD4CmxX7uRXhs67sD1D2oqtROsSXfjzMvg6kTM0i1csGH5xKW_b-rkxhjMXItlfx77RFkZLprqSBfQ1GHN_52y6WGhZ2KRQdTbaUpeeNEIaBVWheh8sgQKBgQCd2xyjEyIY5TzEZ-s4MpTjuIR-tv9beludYq6AEFpOTnZxry1IhHUr5PBN6ZFd7excdh-8t7oZ_vsMyzioWfKxrI56mOQYUxZFOAomk6o8nfHCjGU3nSOh1onacTU5goerszOX15N92Y1aEvVqd_f_SLP2C4yirjJJJktaIgRMewKBgH1eoNzXY19D_z8j1xZf-9TrGD_VDb6jL7OyQjG45vChRv8H9bi-y1xWMVvHgB9fMuZQFGUGj1zfpZ9MrbwExymdjg9-5JBFtKGrnGt11nKdlTmqVpilbQSOWrRtIFQTeGlXu_jv7NO0IKcnL6r0tk8pBp_ee3b_i6ArbKKulSwh";
pub const RSA_N: &str = "wvyA87VmJFCj4v3bnUGmnsk2kyy241wCA5LJEj-9UYLdXNriCO2Sqp1zYpzFRqpyWl0NIufmV_sqN9U_qjgG0W--k0Ih1YOEK3a-uRxUaguQaB4Ct14VLSG0vg2SwLIE5tvruj2aYxQxf6R69RoVHhSTottp4ihO3kz4GoYSm4hz9d6toPR8mWFZRpNYaOMnR6kveLljLaAYo4M48PTieIgaLaWV6knNQJgIIm0dcLbwo4KHaRGuIYxGnqmu2Pr3pHYARl82Wniq_n04wYNwPOu7TJlT8LWRDZ46NwpJoY2rgZWDOpd4MwBcNTqMq4BxrvpXeH-GqaMYpNN9nMXVJw";
const P256_PRIVATE: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgI3lRFS9ClLnFIBkJQzbF0MBoyLau_3iWXO5BXfAE3fKhRANCAATPRP7-ArGIfOCIyr71jzbHpg_xk53CmMyZdd7vtHGqoEQLoZh9XHrjsnTXUj0XCxUk9EwMOIpkKGsEuaGLlYmX";
pub const P256_X: &str = "z0T-_gKxiHzgiMq-9Y82x6YP8ZOdwpjMmXXe77RxqqA";
pub const P256_Y: &str = "RAuhmH1ceuOydNdSPRcLFST0TAw4imQoawS5oYuViZc";
const P384_PRIVATE: &str = "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDD2mBHuTc22MvsuOaDg9FdhzxyalH19i5MMIDDt4mCbrGAN3c0VF2El1YxJlRRpNduhZANiAASQ7yj5vKkF76QLcia79vgsRvNog0OUax0uHJR3RqsqWsTd_uEEVKa9JW4TsroSPwmWWufiLdtAxhFICT-ZegtGT6dE6sgYv6egU_Gxj4N50OWrvaVFSDB90ExO19qbyzI";
const P384_X: &str = "kO8o-bypBe-kC3Imu_b4LEbzaINDlGsdLhyUd0arKlrE3f7hBFSmvSVuE7K6Ej8J";
const P384_Y: &str = "llrn4i3bQMYRSAk_mXoLRk-nROrIGL-noFPxsY-DedDlq72lRUgwfdBMTtfam8sy";
const ED25519_PRIVATE: &str = "MC4CAQAwBQYDK2VwBCIEIOvr9CIEa5iz-TU-Kbiz73DdrGjI4yuYwGPtOBw25kG1";
pub const ED25519_X: &str = "K3GE232T9rMQINa9VkwwL_7-LoMfQ6tYWeSM_3FxlBw";

/// What signs tokens of this algorithm.
pub fn key(algorithm: Algorithm) -> EncodingKey {
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("a constant");
    match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => EncodingKey::from_secret(&SECRET),
        Algorithm::ES256 => EncodingKey::from_ec_der(&decode(P256_PRIVATE)),
        Algorithm::ES384 => EncodingKey::from_ec_der(&decode(P384_PRIVATE)),
        Algorithm::EdDSA => EncodingKey::from_ed_der(&decode(ED25519_PRIVATE)),
        _ => EncodingKey::from_rsa_der(&decode(RSA_PRIVATE)),
    }
}

/// What verifies them; `kid` is the algorithm's name.
pub fn jwk(algorithm: Algorithm) -> Value {
    let mut jwk = match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET) })
        }
        Algorithm::ES256 => json!({ "kty": "EC", "crv": "P-256", "x": P256_X, "y": P256_Y }),
        Algorithm::ES384 => json!({ "kty": "EC", "crv": "P-384", "x": P384_X, "y": P384_Y }),
        Algorithm::EdDSA => json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X }),
        _ => json!({ "kty": "RSA", "n": RSA_N, "e": "AQAB" }),
    };
    jwk["alg"] = format!("{algorithm:?}").into();
    jwk["kid"] = jwk["alg"].clone();
    jwk["use"] = "sig".into();
    jwk
}
