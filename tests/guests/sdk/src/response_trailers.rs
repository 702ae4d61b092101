//! What follows the body of a response.

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};

use crate::case::{case, listed};

#[derive(Default)]
pub struct ResponseTrailers {
    case: String,
}

impl Context for ResponseTrailers {}

impl HttpContext for ResponseTrailers {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.case = case(self);
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        // A message with a length has no trailers.
        self.remove_http_response_header("content-length");
        if self.case == "announce" {
            self.add_http_response_header("trailer", "x-new");
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        match self.case.as_str() {
            "create" | "announce" if end => self.add_http_response_trailer("x-new", "created"),
            "hold-body" => return Action::Pause,
            "body-ends" if end => self.set_http_response_body(size, 0, b"(end)"),
            _ => {}
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, count: usize) -> Action {
        match self.case.as_str() {
            "add" => self.add_http_response_trailer("x-sum", "added"),
            "replace" => self.set_http_response_trailer("x-sum", Some("new")),
            "remove" => self.remove_http_response_trailer("x-sum"),
            "read" => {
                let read = ["x-sum", "X-Sum", "x-missing"].map(|name| self.get_http_response_trailer(name));
                self.add_http_response_trailer("x-read", &format!("{count} {read:?}"));
            }
            "all" => {
                let all = listed(self.get_http_response_trailers());
                self.add_http_response_trailer("x-all", &all);
            }
            "set-all" => self.set_http_response_trailers(vec![("x-one", "1"), ("x-two", "2")]),
            _ => {}
        }
        Action::Continue
    }
}
