//! What all VMs of a host share.

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::{Action, Status},
};

use crate::case::{case, tell};

pub struct SharedData;

impl Context for SharedData {}

impl HttpContext for SharedData {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let lines = match case(self).as_str() {
            "compare" => self.compare(),
            "empty" => self.empty(),
            "count" => vec![self.count()],
            _ => vec![self.text("counter")],
        };
        tell(self, &lines);
        Action::Pause
    }
}

impl SharedData {
    /// Compare and swap.
    fn compare(&self) -> Vec<String> {
        let key = "compared";
        let mut lines = vec![format!("{:?}", self.get_shared_data(key))];
        // Compared is what is there.
        lines.push(format!("{:?}", self.set_shared_data(key, Some(b"first"), Some(7))));
        let (value, first) = self.get_shared_data(key);
        lines.push(format!("{value:?} {}", first.is_some()));
        lines.push(format!("{:?}", self.set_shared_data(key, Some(b"second"), None)));
        lines.push(format!("{:?}", self.set_shared_data(key, Some(b"third"), first)));
        let (_, second) = self.get_shared_data(key);
        lines.push(format!("changed {}", first != second));
        lines.push(format!("{:?}", self.set_shared_data(key, Some(b"fourth"), second)));
        lines.push(self.text(key));
        lines
    }

    /// A value without bytes is none for the SDK, but is there.
    fn empty(&self) -> Vec<String> {
        let set = self.set_shared_data("empty", Some(b""), None);
        let (value, cas) = self.get_shared_data("empty");
        let removed = self.remove_shared_data("empty", cas);
        let (_, after) = self.get_shared_data("empty");
        vec![
            format!("{set:?} {value:?} {}", cas.is_some()),
            format!("{removed:?} {}", after.is_some()),
        ]
    }

    /// Adds one, whoever else does so at the same time. Of a key that is not there nothing is compared, unless somebody writes
    /// it meanwhile: then any cas but none is another one.
    fn count(&self) -> String {
        loop {
            let (value, cas) = self.get_shared_data("counter");
            let count = value.and_then(|value| String::from_utf8(value).ok()?.parse::<u32>().ok());
            let next = (count.unwrap_or(0) + 1).to_string();
            match self.set_shared_data("counter", Some(next.as_bytes()), cas.or(Some(u32::MAX))) {
                Ok(()) => return "counted".to_owned(),
                Err(Status::CasMismatch) => {}
                Err(status) => return format!("{status:?}"),
            }
        }
    }

    fn text(&self, key: &str) -> String {
        let (value, _) = self.get_shared_data(key);
        String::from_utf8_lossy(&value.unwrap_or_default()).into_owned()
    }
}
