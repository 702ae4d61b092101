//! Whether a token that is bound to somebody comes from whom it is bound to.

use super::{Need, Policy, Refused, TokenError, bad_token};
use crate::denial::Denial;
use crate::dpop::{self, ProofError, Scheme};
use crate::principal::Principal;
use crate::replay::UsedProof;
use crate::request::{Certificate, Found, Place, Request};
use crate::state::State;

impl Policy {
    /// Whether the sender is whom the token is bound to, if it is: by the key of a proof, by the certificate of the
    /// connection, or by both.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one request, taken apart by its only caller"
    )]
    pub(super) fn check_sender(
        &self,
        request: &Request<'_>,
        method: &str,
        path: &str,
        token: &[u8],
        dpop: bool,
        principal: &Principal,
        state: &State,
        now: u64,
    ) -> Result<Option<UsedProof>, Refused> {
        let bad = |reason| bad_token(reason, &String::from_utf8_lossy(token));
        let Some(bound) = &principal.claims.bound else {
            return if dpop { Err(bad(TokenError::NotBound)) } else { Ok(None) };
        };
        // Elsewhere than in its header it stands as a plain bearer token would (RFC 9449 section 7.1).
        if self.place(request) != Place::Header {
            return Err(bad(match bound.key {
                Some(_) => TokenError::BoundToKey,
                None => TokenError::BoundToCertificate,
            }));
        }
        if let Some(expected) = bound.certificate {
            match request.certificate {
                Certificate::Unasked => return Err(Refused::Need(Need::ClientCertificate)),
                Certificate::Hash(shown) if shown == expected => {}
                _ => return Err(bad(TokenError::BoundToCertificate)),
            }
        }
        let key = match (&bound.key, dpop) {
            (None, false) => return Ok(None),
            (None, true) => return Err(bad(TokenError::NotBound)),
            (Some(_), false) => return Err(bad(TokenError::BoundToKey)),
            (Some(key), true) => key,
        };
        let refused = |reason| {
            let nonce = (reason == ProofError::Nonce).then(|| state.nonces.current(now).into());
            Refused::Deny(Denial::BadProof { reason, nonce })
        };
        let proof = match request.proof {
            Found::Once(proof) => proof,
            Found::Nothing => return Err(refused(ProofError::Missing)),
            Found::Several => return Err(refused(ProofError::Several)),
        };
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| refused(ProofError::Address));
        let expected = dpop::Expected {
            method,
            scheme: match self.dpop.scheme {
                Scheme::Host => text(request.scheme)?,
                Scheme::Https => "https",
                Scheme::Http => "http",
                Scheme::XForwardedProto => match request.forwarded_proto {
                    Found::Once(scheme) => text(scheme)?,
                    _ => return Err(refused(ProofError::Address)),
                },
            },
            authority: match request.authority {
                Found::Once(authority) => text(authority)?,
                _ => return Err(refused(ProofError::Address)),
            },
            path,
            token,
            key,
            nonces: self.dpop.nonce.then_some(&state.nonces),
            used: state.used_proofs(),
            now,
            max_age: self.dpop.max_age.millis,
            leeway: self.config.leeway.millis,
            verifier: &state.verifier,
        };
        dpop::verify(proof, &expected).map(Some).map_err(refused)
    }
}
