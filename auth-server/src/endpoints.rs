//! The endpoints, one file each, read downwards.

pub mod authorize;
pub mod check_token;
pub mod delete_client;
pub mod feed_tokens;
pub mod health;
pub mod introspect;
pub mod jwks;
pub mod logout;
pub mod metrics;
pub mod register;
pub mod tkey;
pub mod token;
pub mod token_key;
