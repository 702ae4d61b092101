//! What follows the body of a request.

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};

use crate::case::{case, listed};

#[derive(Default)]
pub struct RequestTrailers {
    case: String,
}

impl Context for RequestTrailers {}

impl HttpContext for RequestTrailers {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.case = case(self);
        match self.case.as_str() {
            "body-ends" => self.remove_http_request_header("content-length"),
            "announce" => self.add_http_request_header("trailer", "x-new"),
            _ => {}
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        match self.case.as_str() {
            "create" | "announce" if end => self.add_http_request_trailer("x-new", "created"),
            "hold-body" => return Action::Pause,
            "body-ends" if end => self.set_http_request_body(size, 0, b"(end)"),
            _ => {}
        }
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, count: usize) -> Action {
        match self.case.as_str() {
            "add" => self.add_http_request_trailer("x-sum", "added"),
            "replace" => self.set_http_request_trailer("x-sum", Some("new")),
            "remove" => self.remove_http_request_trailer("x-sum"),
            "read" => {
                let read = ["x-sum", "X-Sum", "x-missing"].map(|name| self.get_http_request_trailer(name));
                self.add_http_request_trailer("x-read", &format!("{count} {read:?}"));
            }
            "all" => {
                let all = listed(self.get_http_request_trailers());
                self.add_http_request_trailer("x-all", &all);
            }
            "set-all" => self.set_http_request_trailers(vec![("x-one", "1"), ("x-two", "2")]),
            _ => {}
        }
        Action::Continue
    }
}
