//! The WebAssembly side of a plugin: compiled modules, VMs with their limits, and guest memory.
//!
//! Only this folder and [`crate::abi`] know wasmtime; everybody else sees callbacks that return an action or a failure.

pub(crate) mod cache;
pub(crate) mod deadline;
pub(crate) mod describe;
pub(crate) mod engine;
pub(crate) mod entry;
pub(crate) mod instance;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod module;
pub(crate) mod start;
pub(crate) mod stats;
