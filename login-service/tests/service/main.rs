//! The real binary, with a folder and a port of its own for each test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, also in what tests share"
)]

mod commands;
mod feed;
mod harness;
mod import;
mod postgres;
mod process;
mod replicas;
mod reserved;
