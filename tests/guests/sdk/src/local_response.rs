//! An answer in the upstream's place. The case says from where it is given.

use std::time::Duration;

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};

use crate::{case::case, http_call, timer};

pub struct LocalResponse {
    id: u32,
    case: String,
}

impl LocalResponse {
    pub fn new(id: u32) -> Self {
        Self {
            id,
            case: String::new(),
        }
    }

    fn answer(&self) {
        self.send_http_response(403, vec![("x-local", "one"), ("x-local", "two")], Some(b"local"));
    }

    /// Answers if this is the place.
    fn here(&self, place: &str) -> Action {
        if self.case == place {
            self.answer();
            return Action::Pause;
        }
        Action::Continue
    }
}

impl Context for LocalResponse {
    fn on_http_call_response(&mut self, _: u32, _: usize, _: usize, _: usize) {
        self.answer();
    }
}

impl HttpContext for LocalResponse {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.case = case(self);
        match self.case.as_str() {
            "continued" => {
                self.answer();
                return Action::Continue;
            }
            "twice" => {
                self.answer();
                self.send_http_response(404, vec![], Some(b"second"));
            }
            "resumed" => {
                self.answer();
                self.resume_http_request();
            }
            "without-body" => self.send_http_response(401, vec![("x-local", "one")], None),
            "typed" => self.send_http_response(200, vec![("content-type", "application/json")], Some(b"{}")),
            "own-length" => self.send_http_response(200, vec![("content-length", "1000")], Some(b"short")),
            "itself" | "itself-paused" | "itself-tick" | "itself-body" => {
                self.send_http_response(401, vec![("x-local", "first")], Some(b"first"));
            }
            "tick" => timer::answer_later(self.id),
            "call" => {
                let asked = http_call::ask(self, "directory", "/answer", Duration::from_secs(5));
                if asked.is_err() {
                    return Action::Continue;
                }
            }
            place => return self.here(if place == "request_headers" { place } else { "" }),
        }
        Action::Pause
    }

    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        self.here("request_body")
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.here("request_trailers")
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        match self.case.as_str() {
            "itself" => {
                self.answer();
                return Action::Continue;
            }
            "itself-paused" => {
                self.answer();
                return Action::Pause;
            }
            "itself-tick" => {
                timer::answer_later(self.id);
                return Action::Pause;
            }
            _ => {}
        }
        // It passes this callback itself.
        self.add_http_response_header("x-passed", "response_headers");
        if self.case == "tick-later" {
            timer::answer_later(self.id);
        }
        if self.case == "response_headers" {
            self.case.clear();
            self.answer();
            return Action::Pause;
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, _: usize, _: bool) -> Action {
        if self.case == "itself-body" {
            self.answer();
            return Action::Pause;
        }
        self.here("response_body")
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.here("response_trailers")
    }
}
