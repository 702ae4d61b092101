//! The real binary, with a folder and a port of its own for each test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, also in what tests share"
)]

mod commands;
mod feed;
mod harness;
mod process;
mod reserved;
