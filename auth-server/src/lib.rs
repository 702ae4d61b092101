//! The auth server: OAuth2 clients, grants, tokens and keys, with the wire contracts of legacy systems as profiles.
//!
//! A request walks `router` → `endpoints` → a profile reads it → `client_auth` → `grants` → `issue`, and the profile
//! writes the answer. Every change that gateways must know is a row of the `change` table; `follow` sees it, whoever
//! wrote it, and `feed` hands it out.

pub mod cli;

mod app;
mod bearer_auth;
mod client_auth;
mod clients;
mod clock;
mod config;
mod cookie;
mod cors;
mod credentials;
mod current;
mod db;
mod endpoints;
mod entropy;
mod error;
mod feed;
mod follow;
mod form;
mod grants;
mod import;
mod imported;
mod imported_secret;
mod issue;
mod janitor;
mod known_tokens;
mod login;
mod metrics;
mod new_tokens;
mod pages;
mod profiles;
mod query_credentials;
mod reader_auth;
mod registration;
mod revoke;
mod router;
mod secret;
mod servlet;
mod signing;
mod sso;
mod throttle;
mod user_auth;
