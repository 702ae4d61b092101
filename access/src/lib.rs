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

mod challenge;
pub mod claim_names;
pub mod claims;
pub mod config;
mod config_check;
pub mod config_text;
pub mod confirmation;
pub mod counters;
mod credentials;
pub mod denial;
mod der;
pub mod dpop;
mod equal;
pub mod forwarded;
pub mod host;
pub mod introspection;
pub mod json;
pub mod jwk;
pub mod jws;
pub mod key_source;
mod known_answers;
pub mod native;
mod parameters;
pub mod path;
pub mod permission;
pub mod policy;
pub mod principal;
pub mod remote_keys;
pub mod replay;
pub mod report;
pub mod request;
pub mod revocation;
pub mod route;
pub mod shared_answers;
pub mod shared_keys;
pub mod signature;
pub mod signed_answer;
pub mod snapshot;
pub mod state;
mod streamed;
mod table;
pub mod token_cache;
pub mod waiting;
