//! What `cargo xtask` does, and what the end-to-end suite shares with it: the demo's configuration and data, and how
//! programs are started, watched and stopped.

pub mod bench;
pub mod clock;
pub mod demo;
pub mod envoy;
pub mod filter;
pub mod fuzz;
pub mod health;
pub mod program;
pub mod progress;
pub mod real_clients;
pub mod stack;
pub mod test;
pub mod workspace;
