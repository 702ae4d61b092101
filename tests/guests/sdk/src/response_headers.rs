//! The head of a response.

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};

use crate::case::{case, listed};

#[derive(Default)]
pub struct ResponseHeaders {
    case: String,
}

impl Context for ResponseHeaders {}

impl HttpContext for ResponseHeaders {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.case = case(self);
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, end: bool) -> Action {
        match self.case.as_str() {
            "add" => self.add_http_response_header("x-up", "added"),
            "replace" => self.set_http_response_header("x-up", Some("new")),
            "remove" => {
                self.remove_http_response_header("x-up");
                self.remove_http_response_header("x-missing");
            }
            "read" => {
                let read =
                    [":status", "x-up", "X-UP", "x-missing", ":path"].map(|name| self.get_http_response_header(name));
                self.add_http_response_header("x-read", &format!("{read:?}"));
            }
            "bytes" => {
                self.add_http_response_header_bytes("x-b", b"\xfe\xff");
                let read = self.get_http_response_header_bytes("x-b");
                self.add_http_response_header("x-read", &format!("{read:?}"));
            }
            "status" => self.set_http_response_header(":status", Some("418")),
            "all" => {
                let all = listed(self.get_http_response_headers());
                self.add_http_response_header("x-all", &all);
            }
            "set-all" => self.set_http_response_headers(vec![
                (":status", "203"),
                ("content-length", "5"),
                ("x-a", "one"),
                ("x-a", "two"),
            ]),
            "end" => self.add_http_response_header("x-end", &end.to_string()),
            "request" => {
                let path = self.get_http_request_header(":path");
                self.add_http_response_header("x-path", &format!("{path:?}"));
            }
            _ => {}
        }
        Action::Continue
    }
}
