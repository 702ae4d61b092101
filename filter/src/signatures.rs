//! Signatures that the host looks at, natively: twenty times faster than here.

use postern_access::jwk::Algorithm;
use postern_access::native::{self, VERIFY_JWS_SIGNATURE, VERIFY_SIGNATURE};
use postern_access::signature::Check;
use postern_access::state::State;

use crate::foreign_functions;

/// Lets the host look at what it shows to be able to.
pub fn adopt_natives(state: &mut State) {
    state.adopt_native(our_gateway);
    state.adopt_native(envoy);
    let names: Vec<_> = state.verifier().native_algorithms().map(Algorithm::name).collect();
    if !names.is_empty() {
        log::info!("the host verifies signatures of {}", names.join(", "));
    }
}

fn our_gateway(check: &Check<'_>) -> Option<bool> {
    native::verified(&foreign_functions::call(
        VERIFY_JWS_SIGNATURE,
        &native::verify_jws_signature(check),
    )?)
}

fn envoy(check: &Check<'_>) -> Option<bool> {
    native::verified(&foreign_functions::call(
        VERIFY_SIGNATURE,
        &native::verify_signature(check)?,
    )?)
}
