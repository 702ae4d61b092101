//! One file per family of endpoints; `router.rs` says which path is which.

pub mod feed;
pub mod health;
pub mod metrics;
pub mod reserved;
