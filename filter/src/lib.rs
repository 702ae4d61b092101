//! The proxy-wasm adapter of Postern: reads the host, asks `postern-access`, writes the host.
//!
//! | file | is about |
//! | --- | --- |
//! | `callbacks` | what a host calls for every request, past the crate's bookkeeping |
//! | `root` | the root context: configuration, tick, answers of calls |
//! | `stream` | one request: its headers → `check` → continue, pause or local response |
//! | `gate` | what both share: policy, state, streams that wait |
//! | `feeds` | following the two feeds by long polls |
//! | `keys` | the keys of issuers: fetched here, or by another VM of this host |
//! | `answers` | what another VM of this host has just been told of a token |
//! | `calls` | the HTTP calls that the root context makes, and what each was for |
//! | `proofs` | DPoP proofs that were used, and the client's certificate: what the host knows of a sender |
//! | `headers` | the request headers in one host call |
//! | `clock` | the host's clock |
//! | `foreign_functions` | what some hosts offer beyond the ABI |
//! | `metrics` | what was counted, handed to the host now and then |
//! | `signatures` | signatures that the host looks at |

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod answers;
mod callbacks;
mod calls;
mod clock;
mod feeds;
mod foreign_functions;
mod gate;
mod headers;
mod keys;
mod metrics;
mod proofs;
mod root;
mod signatures;
mod stream;

use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|context_id| Box::new(root::Root::new(context_id)));
}}
