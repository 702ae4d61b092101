//! The plugin host against guests written for one purpose each, without a proxy around it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod harness;

mod bodies;
mod compat;
mod contexts;
mod failures;
mod fields;
mod foreign_functions;
mod grpc_calls;
mod hostile;
mod http_calls;
mod isolation;
mod local_responses;
mod metrics;
mod pauses;
mod properties;
mod shared_data;
mod shared_queues;
mod sharing;
mod start;
mod stubs;
mod timers;
mod wasi;
