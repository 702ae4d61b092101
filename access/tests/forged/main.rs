//! The table of forged tokens; each is decided twice, by the code of this crate and by another implementation behind the
//! seam for hosts. The end-to-end suite shows the same table to the hosts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]

mod table;

use jsonwebtoken::Algorithm;
use postern_access::denial::Denial;
use postern_access::policy::{Decision, Policy};
use postern_access::signature::{Check, Native, Verifier};
use postern_access::state::State;
use table::{ALGORITHMS, Row, SUBJECTS, Table, Verdict, jwk, now};

#[test]
fn every_token_of_the_table_meets_its_verdict() {
    for (name, subject) in SUBJECTS {
        let (mut table, mut hosts) = (Table::default(), Hosts::new());
        subject(&mut table);
        assert!(!table.rows.is_empty(), "{name}");
        table.rows.iter().for_each(|row| hosts.meet(name, row));
    }
}

/// Several hosts' worth of state: the code here, another implementation of everything, and one of what Envoy knows.
struct Hosts {
    policy: Policy,
    states: Vec<(&'static str, State)>,
}

impl Hosts {
    fn new() -> Self {
        let config = table::configuration();
        let policy = Policy::parse(config.to_string().as_bytes()).unwrap();
        let state = |native: Option<Native>| {
            let mut state = State::new(policy.config(), 1).unwrap();
            if let Some(native) = native {
                state.adopt_native(native);
            }
            state
        };
        let states = vec![("here", state(None)), ("native", state(Some(native)))];
        let adopted = states[1].1.verifier().native_algorithms().count();
        assert_eq!(
            adopted,
            ALGORITHMS.len(),
            "the other implementation gets the known answers right"
        );
        Self { policy, states }
    }

    /// What becomes of a token, twice: the second time it is remembered.
    fn decide(&mut self, token: &str) -> Vec<(String, Decision)> {
        let value = format!("Bearer {token}");
        let headers = [(":method", "GET"), (":path", "/x"), ("authorization", &value)];
        let headers = || headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let mut decisions = Vec::new();
        for (host, state) in &mut self.states {
            for time in ["first", "again"] {
                let request = self.policy.read(headers());
                decisions.push((
                    format!("{host}, {time}"),
                    self.policy.decide(&request, state, now() * 1000),
                ));
            }
        }
        decisions
    }

    fn meet(&mut self, subject: &str, row: &Row) {
        for (host, decision) in self.decide(&row.token) {
            let right = match (&decision, row.verdict) {
                (Decision::Allow(_), Verdict::Passes) | (Decision::Deny(_), Verdict::IsRefused) => true,
                (Decision::Deny(Denial::BadToken { reason, .. }), Verdict::Refused(expected)) => *reason == expected,
                _ => false,
            };
            assert!(
                right,
                "{subject}: {host}: {}: {:?}, but {decision:?}",
                row.what, row.verdict
            );
        }
    }
}

/// Another implementation, in the place of a host's.
fn native(check: &Check<'_>) -> Option<bool> {
    use ring::{hmac, signature};
    let key = check.key.material();
    // The bit string at the end of a `SubjectPublicKeyInfo`; before it stand as many bytes for every key of a kind.
    let public = |before: usize, algorithm: &'static dyn signature::VerificationAlgorithm| {
        signature::UnparsedPublicKey::new(algorithm, &key[before..])
            .verify(check.message, check.signature)
            .is_ok()
    };
    let secret = |algorithm| hmac::verify(&hmac::Key::new(algorithm, key), check.message, check.signature).is_ok();
    Some(match check.algorithm.name() {
        "HS256" => secret(hmac::HMAC_SHA256),
        "HS384" => secret(hmac::HMAC_SHA384),
        "HS512" => secret(hmac::HMAC_SHA512),
        "RS256" => public(24, &signature::RSA_PKCS1_2048_8192_SHA256),
        "RS384" => public(24, &signature::RSA_PKCS1_2048_8192_SHA384),
        "RS512" => public(24, &signature::RSA_PKCS1_2048_8192_SHA512),
        "PS256" => public(24, &signature::RSA_PSS_2048_8192_SHA256),
        "PS384" => public(24, &signature::RSA_PSS_2048_8192_SHA384),
        "PS512" => public(24, &signature::RSA_PSS_2048_8192_SHA512),
        "ES256" => public(26, &signature::ECDSA_P256_SHA256_FIXED),
        "ES384" => public(23, &signature::ECDSA_P384_SHA384_FIXED),
        "EdDSA" => public(12, &signature::ED25519),
        other => panic!("{other}"),
    })
}

#[test]
fn a_key_that_does_not_fit_is_not_asked() {
    let rsa = postern_access::jwk::Key::from_jwk(jwk(Algorithm::RS256).as_object().unwrap()).unwrap();
    let verifier = Verifier::default();
    assert!(!verifier.verifies(&rsa, postern_access::jwk::Algorithm::PS256, b"", &[0; 256]));
}
