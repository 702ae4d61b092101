//! The real binary, with a folder and a port of its own for each test.

mod commands;
mod feed;
mod harness;
mod process;
mod reserved;
