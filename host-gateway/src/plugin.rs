//! Plugins: their configuration, their compiled modules, and the VMs of one worker.

pub mod cases;
pub mod chains;
pub(crate) mod check;
mod error;
pub(crate) mod guest;
pub mod inspect;
mod module;
pub(crate) mod process;
mod settings;
pub(crate) mod slot;
mod tasks;

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::abi::callbacks::CallbackSet;
use crate::cluster::Clusters;
use crate::vm::module::GuestModule;
pub(crate) use slot::Seated;
use slot::{Seat, Slot};
use tasks::Tasks;

pub use crate::abi::capabilities::{CapabilityRestriction, Sanitization};
pub use crate::config::{Metadata, TrafficDirection};
pub use crate::stream::connection::{Closer, Ended, Passed, PluginConnection, Side};
pub use crate::stream::{
    Connection, Destination, Ends, Interruption, ListenerFacts, LocalResponse, PluginStream, Reading, Verdict, Watch,
};
pub use crate::vm::cache::{CodeCache, default_folder};
pub use crate::vm::limits::{ByteSize, CallTime, Limits};
pub use error::PluginError;
pub use module::{Loading, PluginModule};
pub use process::PluginProcess;
pub use settings::{Compat, FailurePolicy, Isolation, PluginConfig, PropertyEncoding, ReloadBackoff};

/// The plugins of one worker thread, in the order requests pass them.
pub struct Plugins {
    pub(crate) seats: Vec<Seat>,
    pub(crate) needs: Needs,
}

/// What any of the plugins may want, so that the rest is not prepared.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Needs {
    pub(crate) request_body: bool,
    pub(crate) request_trailers: bool,
    pub(crate) response_headers: bool,
    pub(crate) response_body: bool,
    pub(crate) response_trailers: bool,
    /// A copy of the request head after it has gone on.
    pub(crate) request_head_later: bool,
    /// The same, but only where trailers may follow.
    pub(crate) request_head_for_trailers: bool,
    /// A copy of the response head after it has gone on.
    pub(crate) response_head_later: bool,
    pub(crate) request_body_changes: bool,
    pub(crate) response_body_changes: bool,
    /// The time at which an exchange began.
    pub(crate) began: bool,
}

impl Needs {
    fn add(&mut self, module: &GuestModule) {
        let CallbackSet {
            request_body,
            request_trailers,
            response_headers,
            response_body,
            response_trailers,
            end,
            ..
        } = module.callbacks;
        let after_response_headers = response_body || response_trailers || end;
        let after_request_headers = request_body || response_headers || after_response_headers;
        self.request_body |= request_body;
        self.request_trailers |= request_trailers;
        self.response_headers |= response_headers;
        self.response_body |= response_body;
        self.response_trailers |= response_trailers;
        self.request_head_later |= module.reads_exchange && after_request_headers;
        self.request_head_for_trailers |= module.reads_exchange && request_trailers;
        self.response_head_later |= module.reads_exchange && after_response_headers;
        self.request_body_changes |= request_body && module.writes_bodies;
        self.response_body_changes |= response_body && module.writes_bodies;
        self.began |= module.reads_properties;
    }
}

impl Plugins {
    /// Starts and configures one VM per plugin. Must be called inside the worker's `LocalSet`: HTTP calls and ticks
    /// run there as tasks.
    pub fn start(
        modules: &[Arc<PluginModule>],
        clusters: Rc<Clusters>,
        process: Arc<PluginProcess>,
    ) -> Result<Rc<Self>, PluginError> {
        let mut needs = Needs::default();
        for module in modules {
            needs.add(&module.guest);
        }
        let seats = Slot::start_all(modules, &clusters, &process, &Tasks::start())?;
        Ok(Rc::new(Self { seats, needs }))
    }

    /// Starts and configures one VM per plugin, opens a stream in it as for a request, and throws it away. HTTP calls and
    /// ticks that it asks for are not carried out: of the clusters it only learns whether they exist.
    pub fn check(modules: &[Arc<PluginModule>], clusters: &Rc<Clusters>) -> Result<(), PluginError> {
        Slot::rehearse_all(modules, clusters)
    }

    /// Ends the root contexts; those that ask to wait have until the limit.
    pub async fn stop(&self, limit: Duration) {
        stop(&self.seats, limit).await;
    }

    /// Whether there is nothing to run: requests need no stream then.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Opens one TCP connection.
    pub fn connect(self: &Rc<Self>, connection: Rc<Connection>) -> Result<PluginConnection, Ended> {
        PluginConnection::new(Rc::clone(self), connection)
    }

    /// Opens one exchange.
    pub fn open(self: &Rc<Self>, connection: Rc<Connection>) -> PluginStream {
        PluginStream::new(Rc::clone(self), connection)
    }
}

async fn stop(seats: &[Seat], limit: Duration) {
    let all_ended = async {
        loop {
            let mut all = true;
            for seat in seats {
                all &= seat.slot.stop();
            }
            if all {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(limit, all_ended).await.is_err() {
        tracing::warn!("plugins were cut off: they did not call proxy_done within the drain timeout");
    }
}

/// A file that cannot be read, in one line.
fn file_error(file: &Path, error: &std::io::Error) -> String {
    format!("cannot read {}: {error}", file.display())
}
