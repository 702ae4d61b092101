//! The order in which an exchange's callbacks are called.

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};

use crate::case::{case, note};

pub struct Life;

impl Context for Life {
    fn on_done(&mut self) -> bool {
        note("done");
        // Streams do not wait.
        false
    }
}

impl HttpContext for Life {
    fn on_http_request_headers(&mut self, _: usize, end: bool) -> Action {
        let case = case(self);
        note(&format!("{case}: request headers, end {end}"));
        match case.as_str() {
            "wait" => return Action::Pause,
            "answer" => {
                self.send_http_response(204, vec![], None);
                return Action::Pause;
            }
            "reset" => {
                self.reset_http_request();
                return Action::Pause;
            }
            _ => {}
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, _: usize, end: bool) -> Action {
        if end {
            note("request body ends");
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, end: bool) -> Action {
        note(&format!("response headers, end {end}"));
        Action::Continue
    }

    fn on_http_response_body(&mut self, _: usize, end: bool) -> Action {
        if end {
            note("response body ends");
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        // Both heads can be read to the last.
        let method = self.get_http_request_header(":method");
        let status = self.get_http_response_header(":status");
        note(&format!("log {method:?} {status:?}"));
    }
}

/// The SDK drops a context in `proxy_on_delete`.
impl Drop for Life {
    fn drop(&mut self) {
        note("delete");
    }
}
