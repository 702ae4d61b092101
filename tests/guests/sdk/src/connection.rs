//! A TCP connection. What is to be done stands in its bytes.

use proxy_wasm::{
    traits::{Context, StreamContext},
    types::Action,
};

use crate::case::note;

#[derive(Default)]
pub struct Connection;

impl Context for Connection {
    fn on_done(&mut self) -> bool {
        note("done");
        true
    }
}

impl StreamContext for Connection {
    fn on_new_connection(&mut self) -> Action {
        let source = self.get_property(vec!["source", "address"]).unwrap_or_default();
        let local = source.starts_with(b"127.0.0.1:");
        note(&format!("new connection, source {local}"));
        Action::Continue
    }

    fn on_downstream_data(&mut self, size: usize, end: bool) -> Action {
        let data = self.get_downstream_data(0, size).unwrap_or_default();
        if data.starts_with(b"hold") && !data.ends_with(b"go") {
            return Action::Pause;
        }
        if data.starts_with(b"upper") {
            self.set_downstream_data(0, size, &data.to_ascii_uppercase());
        }
        if data.starts_with(b"close") {
            self.close_downstream();
            return Action::Pause;
        }
        if end {
            note("downstream ends");
        }
        Action::Continue
    }

    fn on_upstream_data(&mut self, size: usize, end: bool) -> Action {
        if size > 0 {
            self.set_upstream_data(size, 0, b"!");
        }
        if end {
            note("upstream ends");
        }
        Action::Continue
    }

    fn on_downstream_close(&mut self, peer: proxy_wasm::types::PeerType) {
        note(&format!("downstream closed by {peer:?}"));
    }

    fn on_upstream_close(&mut self, peer: proxy_wasm::types::PeerType) {
        note(&format!("upstream closed by {peer:?}"));
    }

    fn on_log(&mut self) {
        note("log");
    }
}

/// The SDK drops a context in `proxy_on_delete`.
impl Drop for Connection {
    fn drop(&mut self) {
        note("delete");
    }
}
