//! The least that a filter of the proxy-wasm SDK can do with a request: look at one header and let it pass.
//!
//! The benchmark measures what a host asks for that (`cargo xtask bench filter`).

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

struct Trivial;

impl Context for Trivial {}

impl RootContext for Trivial {
    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Trivial))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl HttpContext for Trivial {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        match self.get_http_request_header_bytes("authorization") {
            Some(value) if value.is_empty() => Action::Pause,
            _ => Action::Continue,
        }
    }
}

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Trivial));
}}
