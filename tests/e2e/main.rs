//! The whole path on real programs. Each scenario runs on host-gateway and on Envoy, and what a client sees must be the
//! same on both.

#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod architecture;
mod calls;
mod challenges;
mod client_certificates;
mod closed_by_default;
mod contracts;
mod cors;
mod crowds;
mod curl;
mod dpop;
mod failed_calls;
mod feeds;
mod forged;
mod holes;
mod identity_headers;
mod imported_tokens;
mod issuers;
mod key_rotation;
mod logout;
mod mistakes;
mod one_vm;
mod opaque_tokens;
mod operators;
mod password_grant;
mod permissions;
mod phantom;
mod phases;
mod properties;
mod provider;
mod real_clients;
mod refresh;
mod replicas;
mod samples;
mod shipped_configuration;
mod signatures;
mod single_sign_on;
mod streaming;
mod trap;
mod upgrades;
mod warm;
