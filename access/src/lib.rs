//! Who may do what: the pure decision behind the Postern filter.
//!
//! Nothing in this crate reads a clock, a socket, a file or a random source: time, keys and randomness are arguments.
//! It runs natively and as `wasm32-wasip1`.

pub mod config;
pub mod snapshot;
