//! The body of a request.

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};

use crate::case::case;

#[derive(Default)]
pub struct RequestBody {
    case: String,
    began: bool,
}

impl Context for RequestBody {}

impl HttpContext for RequestBody {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.case = case(self);
        // Envoy does not mend it.
        if !matches!(self.case.as_str(), "mend" | "same-length" | "pass") {
            self.remove_http_request_header("content-length");
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        let waits = ["collect", "replace", "clear", "read", "same-length", "mend"].contains(&self.case.as_str());
        if waits && !end {
            return Action::Pause;
        }
        let began = std::mem::replace(&mut self.began, true);
        let all = || self.get_http_request_body(0, usize::MAX).unwrap_or_default();
        match self.case.as_str() {
            "collect" => self.set_http_request_body(size, 0, format!("({size})").as_bytes()),
            "replace" | "mend" => self.set_http_request_body(0, size, b"something else"),
            "clear" => self.set_http_request_body(0, size, b""),
            "same-length" | "upper" => self.set_http_request_body(0, size, &all().to_ascii_uppercase()),
            "prepend" if !began => self.set_http_request_body(0, 0, b"<"),
            "append" if end => self.set_http_request_body(size, 0, b">"),
            "append-beyond" if end => self.set_http_request_body(u32::MAX as usize, 0, b">"),
            "read" => {
                let read = [(2, 3), (2, usize::MAX), (100, 1), (0, 0)]
                    .map(|(start, most)| self.get_http_request_body(start, most))
                    .map(|bytes| bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
                self.set_http_request_body(0, size, format!("{read:?}").as_bytes());
            }
            _ => {}
        }
        Action::Continue
    }
}
