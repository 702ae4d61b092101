//! HTTP/1.1 reverse proxy that hosts proxy-wasm plugins.
//!
//! One OS thread per core, each with its own single-threaded runtime, listening sockets, upstream connections and plugin
//! VMs: no lock and no thread hop on the request path. [`proxy`] is the life of one request; everything else stands
//! around it.

mod abi;
pub mod access_log;
pub mod admin;
mod callout;
pub mod check;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod cors;
pub mod envoy;
pub mod error;
pub mod health;
pub mod listener;
pub mod logging;
pub mod metrics;
pub mod plugin;
pub mod proxy;
pub mod route;
pub mod run;
mod stream;
mod tcp;
mod tunnels;
mod vm;
pub mod worker;
