//! Who may do what: the pure decision behind the Postern filter.
//!
//! Nothing in this crate reads a clock, a socket, a file or a random source: time, keys and randomness are arguments.
//! It runs natively and as `wasm32-wasip1`. Start at [`policy::Policy::decide`].

// A panic in the filter would end every stream of its VM, so nothing here can panic.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test may panic"
    )
)]

pub mod claims;
pub mod config;
pub mod counters;
pub mod denial;
mod der;
pub mod host;
pub mod introspection;
pub mod json;
pub mod jwk;
pub mod jws;
mod known_answers;
pub mod native;
pub mod path;
pub mod permission;
pub mod policy;
pub mod principal;
pub mod report;
pub mod request;
pub mod revocation;
pub mod route;
pub mod signature;
pub mod snapshot;
pub mod state;
mod streamed;
mod table;
pub mod token_cache;
