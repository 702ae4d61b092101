//! Functions that a host has beside the ABI.

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};

use crate::case::{case, tell};

pub struct ForeignFunction;

impl Context for ForeignFunction {}

impl HttpContext for ForeignFunction {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let lines = match case(self).as_str() {
            "unknown" => vec![format!("{:?}", self.call_foreign_function("unknown", Some(b"x")))],
            "compress" => {
                let text = [b'a'; 1000];
                let packed = self.call_foreign_function("compress", Some(&text)).ok().flatten();
                let packed = packed.unwrap_or_default();
                let back = self.call_foreign_function("uncompress", Some(&packed));
                vec![
                    format!("smaller {}", packed.len() < text.len()),
                    format!("the same {}", back == Ok(Some(text.to_vec()))),
                    format!("{:?}", self.call_foreign_function("uncompress", Some(b"no zlib"))),
                ]
            }
            _ => vec![format!("{:?}", self.call_foreign_function("clear_route_cache", None))],
        };
        tell(self, &lines);
        Action::Pause
    }
}
