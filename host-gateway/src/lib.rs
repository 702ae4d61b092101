//! HTTP reverse proxy that hosts proxy-wasm plugins.

mod abi;
mod callout;
pub mod cluster;
pub mod plugin;
mod stream;
mod vm;
