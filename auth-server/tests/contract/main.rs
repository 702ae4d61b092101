//! The wire contract of the auth server, row by row, against the real binary; one file per endpoint or subject.
//! All of it runs twice: `contract_postgres` is this program with PostgreSQL instead of SQLite. There, it is a module: one
//! file names another as `super::other`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod authorize;
mod check_token;
mod cli;
mod cors;
mod database;
mod durability;
mod feed;
pub mod harness;
mod import;
mod imported_secrets;
mod imported_tokens;
mod key_order;
mod logout;
mod principal;
mod query_credentials;
mod races;
mod revoke;
mod secrets_in_logs;
mod signed_answers;
mod spring_versions;
mod throttle;
mod tkey_authorize;
mod tkey_browser;
mod tkey_code;
mod tkey_failures;
mod tkey_introspect;
mod tkey_logout;
mod tkey_token;
mod tkey_userinfo;
mod token_code;
mod token_failures;
mod token_password;
mod token_refresh;
mod uaa_clients;
mod uaa_token;
