//! The head of a request.

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};

use crate::case::{case, listed};

pub struct RequestHeaders;

impl Context for RequestHeaders {}

impl HttpContext for RequestHeaders {
    fn on_http_request_headers(&mut self, _: usize, end: bool) -> Action {
        match case(self).as_str() {
            "add" => self.add_http_request_header("x-a", "added"),
            "replace" => self.set_http_request_header("x-a", Some("new")),
            "replace-missing" => self.set_http_request_header("x-b", Some("new")),
            "remove" => {
                self.remove_http_request_header("x-a");
                self.remove_http_request_header("x-missing");
            }
            "read" => {
                let read =
                    ["x-a", "X-A", "x-empty", "x-missing", "host"].map(|name| self.get_http_request_header(name));
                self.add_http_request_header("x-read", &format!("{read:?}"));
            }
            "read-pseudo" => {
                let read = [":method", ":path", ":authority", ":scheme", ":status"]
                    .map(|name| self.get_http_request_header(name));
                self.add_http_request_header("x-read", &format!("{read:?}"));
            }
            "bytes" => {
                let read = self.get_http_request_header_bytes("x-a");
                self.add_http_request_header("x-read", &format!("{read:?}"));
                self.add_http_request_header_bytes("x-b", b"\xfe\xff");
            }
            "pseudo" => {
                self.set_http_request_header(":method", Some("PUT"));
                self.set_http_request_header(":path", Some("/request_headers/other?b=2"));
                self.set_http_request_header(":authority", Some("other.example"));
            }
            "host" => self.set_http_request_header("host", Some("other.example")),
            "all" => {
                let all = listed(self.get_http_request_headers());
                self.add_http_request_header("x-all", &all);
            }
            "set-all" => self.set_http_request_headers(vec![
                (":method", "GET"),
                (":path", "/request_headers/all-new"),
                (":authority", "other.example"),
                (":scheme", "http"),
                // Envoy finds no route without it.
                ("x-forwarded-proto", "http"),
                ("x-a", "one"),
                ("x-a", "two"),
            ]),
            "end" => self.add_http_request_header("x-end", &end.to_string()),
            _ => {}
        }
        Action::Continue
    }
}
