//! Runs the real gateway in front of small upstreams made of threads and plain sockets, so that a test can see and do on
//! the wire what a well-behaved HTTP library would not.

#![allow(
    dead_code,
    unused_imports,
    reason = "every test binary uses its own part of the harness"
)]

mod envoy;
mod gateway;
mod message;
mod stopwatch;
mod upstream;

pub use envoy::Envoy;
pub use gateway::{Finished, Gateway, folder, run, run_limited};
pub use message::{Client, Message};
pub use stopwatch::Stopwatch;
pub use upstream::{Peer, Upstream};
