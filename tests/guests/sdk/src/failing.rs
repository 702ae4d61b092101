//! A plugin that fails in the callback that the field `x-fail` of the request names.

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};

#[derive(Default)]
pub struct Failing {
    place: String,
}

impl Failing {
    fn at(&self, place: &str) -> Action {
        assert!(self.place != place, "as asked");
        Action::Continue
    }
}

impl Context for Failing {}

impl HttpContext for Failing {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.place = self.get_http_request_header("x-fail").unwrap_or_default();
        self.at("request_headers")
    }

    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        self.at("request_body")
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.at("response_headers")
    }

    fn on_http_response_body(&mut self, _: usize, _: bool) -> Action {
        self.at("response_body")
    }
}
