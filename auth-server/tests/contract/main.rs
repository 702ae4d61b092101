//! The wire contract of the auth server, row by row, against the real binary; one file per endpoint or subject.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod check_token;
mod cli;
mod cors;
mod feed;
mod harness;
mod key_order;
mod logout;
mod principal;
mod query_credentials;
mod races;
mod spring_versions;
mod throttle;
mod tkey_authorize;
mod tkey_code;
mod tkey_failures;
mod tkey_introspect;
mod tkey_logout;
mod tkey_token;
mod tkey_userinfo;
mod token_failures;
mod token_password;
mod token_refresh;
mod uaa_clients;
mod uaa_token;
