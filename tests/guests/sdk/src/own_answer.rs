//! What the host itself answers, because no upstream does.

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};

use crate::case::{case, listed, note};

#[derive(Default)]
pub struct OwnAnswer {
    case: String,
}

impl OwnAnswer {
    fn number(&self, path: &[&str]) -> Option<u64> {
        let bytes = self.get_property(path.to_vec())?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    fn code(&self) -> String {
        let details = self.get_property(vec!["response", "code_details"]);
        // What follows is the host's own.
        let details = details.map(|details| {
            let details = String::from_utf8_lossy(&details);
            details.split(['|', '}']).next().unwrap_or_default().to_owned()
        });
        let (code, flags) = (self.number(&["response", "code"]), self.number(&["response", "flags"]));
        format!("{code:?} {details:?} {flags:?}")
    }
}

impl Context for OwnAnswer {}

impl HttpContext for OwnAnswer {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.case = case(self);
        match self.case.as_str() {
            "no-route" => self.set_http_request_header(":path", Some("/nowhere")),
            "no-authority" => self.set_http_request_header(":authority", None),
            "no-method" => self.set_http_request_header(":method", None),
            "no-path" => self.set_http_request_header(":path", None),
            _ => {}
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, end: bool) -> Action {
        let all = listed(self.get_http_response_headers());
        self.add_http_response_header("x-told", &format!("{all}, end {end}"));
        self.add_http_response_header("x-code", &self.code());
        match self.case.as_str() {
            "status" => {
                self.set_http_response_header(":status", Some("418"));
                self.add_http_response_header("x-changed", &self.code());
            }
            "other" => self.send_http_response(403, vec![("x-other", "one")], Some(b"other")),
            _ => {}
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        let seen = format!("({size}, end {end})");
        if self.case == "body" {
            self.set_http_response_body(0, size, seen.as_bytes());
        } else {
            note(&format!("body {seen}"));
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        note(&format!("{}: {}", self.case, self.code()));
    }
}
