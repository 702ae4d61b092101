//! What a host says of an exchange.

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};

use crate::case::{case, note, tell};

/// How the bytes of a property are to be read.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    Truth,
    /// Known to be there; its value is of the moment.
    Size,
    /// Up to the last colon: ports are of the moment.
    Address,
    /// How many pairs.
    Map,
}
use Kind::{Address, Map, Number, Size, Text, Truth};

/// At the head of a request.
const OF_REQUEST: &[(&str, Kind)] = &[
    ("request.path", Text),
    ("request.url_path", Text),
    ("request.query", Text),
    ("request.host", Text),
    ("request.scheme", Text),
    ("request.method", Text),
    ("request.protocol", Text),
    ("request.referer", Text),
    ("request.useragent", Text),
    ("request.id", Text),
    ("request.headers.x-a", Text),
    ("request.headers.X-A", Text),
    ("request.headers.x-missing", Text),
    ("request.headers", Map),
    ("request.time", Size),
    ("request.duration", Size),
    ("request.size", Number),
    ("request.total_size", Size),
    ("response.code", Number),
    ("response.headers", Map),
    ("source.address", Address),
    ("source.port", Size),
    ("destination.address", Address),
    ("destination.port", Size),
    ("connection.id", Size),
    ("connection_id", Size),
    ("connection.mtls", Truth),
    ("connection.requested_server_name", Text),
    ("connection.tls_version", Text),
    ("connection.subject_peer_certificate", Text),
    ("upstream.address", Address),
    ("plugin_name", Text),
    ("plugin_root_id", Text),
    ("plugin_vm_id", Text),
    ("xds.route_name", Text),
    ("xds.cluster_name", Text),
    ("xds.virtual_host_name", Text),
    ("xds.listener_direction", Number),
    ("xds.route_metadata", Size),
    ("route_name", Text),
    ("cluster_name", Text),
    ("unknown", Text),
    ("request.unknown", Text),
];

/// At the head of a response.
const OF_RESPONSE: &[(&str, Kind)] = &[
    ("request.path", Text),
    ("request.headers.x-a", Text),
    ("response.code", Number),
    ("response.code_details", Text),
    ("response.flags", Number),
    ("response.headers.x-up", Text),
    ("response.headers", Map),
    ("response.trailers", Map),
    ("response.grpc_status", Number),
    ("upstream.address", Address),
    ("upstream.port", Size),
    ("upstream.transport_failure_reason", Text),
    ("upstream.tls_version", Text),
];

/// When all is over.
const OF_LOG: &[(&str, Kind)] = &[
    ("request.path", Text),
    ("request.size", Number),
    ("request.duration", Size),
    ("response.code", Number),
    ("response.size", Number),
    ("response.code_details", Text),
];

#[derive(Default)]
pub struct Properties {
    case: String,
    /// What was said at the head of the response.
    lines: Vec<String>,
}

impl Context for Properties {}

impl HttpContext for Properties {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.case = case(self);
        match self.case.as_str() {
            "request" => tell(self, &self.all(OF_REQUEST)),
            "set" => {
                self.set_property(vec!["own"], Some(b"mine"));
                self.set_property(vec!["own", "part"], Some(b""));
                tell(
                    self,
                    &[("own", Text), ("own.part", Text), ("wasm.own", Text)].map(|(path, kind)| self.shown(path, kind)),
                );
            }
            _ => return Action::Continue,
        }
        Action::Pause
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if self.case == "response" {
            self.remove_http_response_header("content-length");
            self.lines = self.all(OF_RESPONSE);
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        if self.case != "response" {
            return Action::Continue;
        }
        if !end {
            return Action::Pause;
        }
        self.set_http_response_body(0, size, self.lines.join("\n").as_bytes());
        Action::Continue
    }

    fn on_log(&mut self) {
        if self.case == "log" {
            for line in self.all(OF_LOG) {
                note(&line);
            }
        }
    }
}

impl Properties {
    fn all(&self, paths: &[(&str, Kind)]) -> Vec<String> {
        paths.iter().map(|(path, kind)| self.shown(path, *kind)).collect()
    }

    fn shown(&self, path: &str, kind: Kind) -> String {
        let Some(bytes) = self.get_property(path.split('.').collect()) else {
            return format!("{path} -");
        };
        let text = String::from_utf8_lossy(&bytes);
        let value = match kind {
            Text => format!("{text:?}"),
            Number => match <[u8; 8]>::try_from(bytes.as_slice()) {
                Ok(bytes) => i64::from_le_bytes(bytes).to_string(),
                Err(_) => format!("no number: {bytes:?}"),
            },
            Truth | Map if bytes.len() < 4 => format!("{bytes:?}"),
            Truth => format!("no truth: {bytes:?}"),
            Map => match bytes[..4].try_into() {
                Ok(count) => format!("{} pairs", u32::from_le_bytes(count)),
                Err(_) => format!("no map: {bytes:?}"),
            },
            Size => format!("{} bytes", bytes.len()),
            Address => format!("{:?}", text.rsplit_once(':').map(|(address, _)| address)),
        };
        format!("{path} {value}")
    }
}
