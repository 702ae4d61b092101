//! Authorization Code, RFC 6749 section 4.1, at a legacy token endpoint. The legacy profiles served here have no
//! authorization endpoint, so no code was ever issued and every one that is presented is invalid.

use crate::error::{Presented, Refusal};

/// Refuses the code, in the original's order of checks.
pub fn refuse(code: Option<&str>) -> Refusal {
    match code {
        None => Refusal::MissingCode,
        Some(code) => Refusal::InvalidCode(Presented(code.to_owned())),
    }
}
