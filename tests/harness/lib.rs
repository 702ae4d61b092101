//! The end-to-end suite's harness: it says how, so that the scenarios can say what.
//!
//! Everything is real: the programs as `cargo xtask demo` starts them, the shipped filter, and both hosts.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test harness: what cannot be set up or read is the failure of the test, with its reason"
)]

pub mod auth_server;
pub mod client;
pub mod foreign_issuer;
pub mod host;
pub mod issuer;
pub mod ports;
pub mod processes;
pub mod real_client;
pub mod recorder;
pub mod rpc;
pub mod servers;
pub mod spread;
pub mod token;
pub mod transcript;
pub mod upstream;
pub mod visit;
pub mod wire;
