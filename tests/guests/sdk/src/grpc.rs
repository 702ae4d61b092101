//! gRPC calls and streams of a guest's own.

use std::time::Duration;

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::{Action, Status},
};

use crate::case::{case, tell};

const PATIENT: Duration = Duration::from_secs(10);
const SERVER: &str = "rpc";

#[derive(Default)]
pub struct Grpc {
    case: String,
    /// What was heard, in its order.
    heard: Vec<String>,
}

impl Grpc {
    fn call(&self, cluster: &str, method: &str, timeout: Duration) -> Result<u32, Status> {
        let metadata: Vec<(&str, &[u8])> = vec![("x-meta", b"one"), ("x-meta", b"two")];
        self.dispatch_grpc_call(cluster, "Service", method, metadata, Some(b"hello"), timeout)
    }

    /// A stream on which two messages are sent; the second is the last.
    fn stream(&self, method: &str) -> Result<u32, Status> {
        let id = self.open_grpc_stream(SERVER, "Service", method, vec![("x-meta", b"one")])?;
        self.send_grpc_stream_message(id, Some(b"hello"), false);
        self.send_grpc_stream_message(id, Some(b"world"), true);
        Ok(id)
    }
}

impl Grpc {
    fn told(&self) -> String {
        let (status, message) = self.get_grpc_status();
        format!("{status} `{}`", message.unwrap_or_default())
    }
}

fn text(bytes: Option<Vec<u8>>) -> String {
    format!("{:?}", bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

impl Context for Grpc {
    fn on_grpc_call_response(&mut self, _: u32, status: u32, size: usize) {
        let line = match status {
            0 => format!("{size} bytes: {}", text(self.get_grpc_call_response_body(0, size))),
            // What is said about it is a host's own.
            _ if matches!(self.case.as_str(), "late" | "nowhere") => format!("status {status}"),
            _ => format!("status {status}, told {}", self.told()),
        };
        tell(self, &[line]);
    }

    fn on_grpc_stream_initial_metadata(&mut self, _: u32, _: u32) {
        let begun = self.get_grpc_stream_initial_metadata_value("x-begun");
        self.heard.push(format!("begun {}", text(begun)));
    }

    fn on_grpc_stream_message(&mut self, _: u32, size: usize) {
        let message = self.get_grpc_stream_message(0, size);
        self.heard.push(format!("{size} bytes: {}", text(message)));
    }

    fn on_grpc_stream_trailing_metadata(&mut self, _: u32, _: u32) {
        let last = self.get_grpc_stream_trailing_metadata_value("x-last");
        self.heard.push(format!("last {}", text(last)));
    }

    fn on_grpc_stream_close(&mut self, _: u32, status: u32) {
        self.heard.push(format!("closed with {status}, told {}", self.told()));
        tell(self, &self.heard);
    }
}

impl HttpContext for Grpc {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.case = case(self);
        let asked = match self.case.as_str() {
            "refused" => self.call(SERVER, "Refuse", PATIENT),
            "late" => self.call(SERVER, "Silent", Duration::from_millis(100)),
            "nowhere" => self.call("nowhere", "Echo", PATIENT),
            "unknown" => self.call("unknown", "Echo", PATIENT),
            "stream" => self.stream("Echo"),
            "stream-refused" => self.stream("Refuse"),
            "stream-broken" => self.stream("Half"),
            "cancel" => self
                .call(SERVER, "Echo", PATIENT)
                .inspect(|id| self.cancel_grpc_call(*id)),
            "stream-cancel" => self.stream("Echo").inspect(|id| self.cancel_grpc_stream(*id)),
            _ => self.call(SERVER, "Echo", PATIENT),
        };
        match asked {
            Err(status) => tell(self, &[format!("{status:?}")]),
            // Nobody hears of it any more.
            Ok(_) if self.case.ends_with("cancel") => return Action::Continue,
            Ok(_) => {}
        }
        Action::Pause
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if self.case.ends_with("cancel") {
            self.set_http_response_header("x-heard", Some(&self.heard.len().to_string()));
        }
        Action::Continue
    }
}
