//! The proxy-wasm ABI: one file per section of the specification, and one table of all host functions.

pub(crate) mod buffers;
pub(crate) mod call_bytes;
pub(crate) mod callbacks;
pub(crate) mod capabilities;
pub(crate) mod clocks_and_timers;
pub(crate) mod contexts;
pub(crate) mod failure;
mod field_names;
pub(crate) mod fields;
pub(crate) mod foreign_functions;
pub(crate) mod functions;
pub(crate) mod grpc_calls;
pub(crate) mod grpc_status;
pub(crate) mod http_calls;
pub(crate) mod http_fields;
pub(crate) mod local_response;
pub(crate) mod logging;
mod metadata;
pub(crate) mod metrics;
pub(crate) mod pairs;
pub(crate) mod properties;
pub(crate) mod protobuf;
pub(crate) mod shared_data;
pub(crate) mod shared_queues;
pub(crate) mod stream_operations;
pub(crate) mod trace;
pub(crate) mod types;
pub(crate) mod wasi;

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use wasmtime::{Memory, TypedFunc};

use crate::cluster::Clusters;
use crate::plugin::process::PluginProcess;
use crate::plugin::{Compat, PropertyEncoding};
use crate::stream::exchange::Property;
use crate::vm::deadline::Running;
use crate::vm::limits::{Limits, Share};
use crate::vm::stats::PluginStats;
use call_bytes::CallBytes;
use contexts::{Contexts, Effective, FIRST_ROOT, RootEnd};
use grpc_calls::{GrpcCalls, GrpcEvent, GrpcOpening};
use http_calls::{CallAnswer, HttpCall};
use logging::{ErrorLines, LogLines, OpenLines};
use metrics::DefinedMetrics;
use shared_queues::{Announce, Announcements};
use types::{AbiVersion, Phase};

/// What a VM is for: the same for all VMs of a plugin.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) name: Arc<str>,
    pub(crate) root_id: String,
    pub(crate) vm_id: String,
    pub(crate) vm_configuration: Bytes,
    pub(crate) configuration: Bytes,
    pub(crate) properties: PropertyEncoding,
    pub(crate) compat: Compat,
    /// `NAME=value` each.
    pub(crate) environment: Vec<String>,
    pub(crate) abi: AbiVersion,
}

/// What the guest asked for that happens after the outermost callback has returned, so that the guest is never
/// entered twice.
#[derive(Debug)]
pub(crate) enum Order {
    HttpCall(Box<HttpCall>),
    GrpcCall(Box<GrpcOpening>),
    /// Values of shared queues are told from now on.
    ListenToQueues(Announcements),
    TickPeriod {
        root: u32,
        /// `None` stops the ticks. In milliseconds otherwise.
        period: Option<u32>,
    },
}

/// A plugin in a VM: its root context. Its id is its place among the VM's plugins, from 1.
pub(crate) struct RootContext {
    pub(crate) identity: Arc<Identity>,
    pub(crate) stats: Arc<PluginStats>,
    /// Calls in both directions are written to the log.
    pub(crate) trace: bool,
    pub(crate) end: RootEnd,
    /// What it has set, as Kong lets it: only it reads them.
    pub(crate) properties: Vec<Property>,
}

/// Everything host functions reach: the data of a VM's store.
pub(crate) struct HostState {
    pub(crate) roots: Vec<RootContext>,
    /// The root context that acts, or whose stream does; what follows is its own.
    pub(crate) root: u32,
    pub(crate) identity: Arc<Identity>,
    pub(crate) process: Arc<PluginProcess>,
    pub(crate) clusters: Rc<Clusters>,
    pub(crate) stats: Arc<PluginStats>,
    pub(crate) limits: Limits,
    pub(crate) trace: bool,
    /// Host functions that were called so far.
    pub(crate) host_calls: u64,
    /// HTTP calls that are not answered yet.
    pub(crate) open_calls: u32,
    /// What calls under way may still hold.
    pub(crate) call_bytes: CallBytes,
    pub(crate) log_lines: LogLines,
    pub(crate) open_lines: OpenLines,
    pub(crate) memory: Option<Memory>,
    pub(crate) allocator: Option<TypedFunc<u32, u32>>,
    pub(crate) share: Share,
    /// The entry that is under way, or the last one.
    pub(crate) running: Running,
    /// When the guest returned last, while it is about to be called again: the clock need not be read twice.
    pub(crate) left: Option<Instant>,
    pub(crate) phase: Phase,
    /// The root contexts are to end.
    pub(crate) is_ending: bool,
    pub(crate) contexts: Contexts,
    /// The context that host functions act on.
    pub(crate) effective: Effective,
    /// The answer that `proxy_on_http_call_response` is about, while it runs.
    pub(crate) answer: Option<Rc<CallAnswer>>,
    pub(crate) next_call: u32,
    pub(crate) grpc_calls: GrpcCalls,
    /// What the gRPC callback that runs is about.
    pub(crate) grpc_event: Option<Rc<GrpcEvent>>,
    /// To this VM, once it has registered a shared queue.
    pub(crate) queue_announcements: Option<Announce>,
    pub(crate) orders: Vec<Order>,
    pub(crate) metrics: DefinedMetrics,
    pub(crate) error_lines: ErrorLines,
}

impl HostState {
    pub(crate) fn new(
        first: RootContext,
        others: impl IntoIterator<Item = RootContext>,
        process: Arc<PluginProcess>,
        clusters: Rc<Clusters>,
        limits: &Limits,
    ) -> Self {
        let (identity, stats, trace) = (Arc::clone(&first.identity), Arc::clone(&first.stats), first.trace);
        let roots: Vec<_> = std::iter::once(first).chain(others).collect();
        Self {
            contexts: Contexts::new(roots.len() as u32),
            roots,
            root: FIRST_ROOT,
            identity,
            process,
            clusters,
            stats,
            limits: *limits,
            trace,
            host_calls: 0,
            open_calls: 0,
            call_bytes: CallBytes::new(limits.call_bytes.0),
            log_lines: LogLines::default(),
            open_lines: OpenLines::default(),
            memory: None,
            allocator: None,
            share: Share::new(limits),
            running: Running::new(limits.start_deadline()),
            left: None,
            phase: Phase::Initializing,
            is_ending: false,
            effective: Effective::Root,
            answer: None,
            next_call: 1,
            grpc_calls: GrpcCalls::default(),
            grpc_event: None,
            queue_announcements: None,
            orders: Vec::new(),
            metrics: DefinedMetrics::default(),
            error_lines: ErrorLines::HeldBack(None),
        }
    }

    /// How far the end of a root context has come; one that does not exist has ended.
    pub(crate) fn root_end(&self, root: u32) -> RootEnd {
        let context = (root as usize).checked_sub(1).and_then(|place| self.roots.get(place));
        context.map_or(RootEnd::Ended, |context| context.end)
    }

    pub(crate) fn set_root_end(&mut self, root: u32, end: RootEnd) {
        if let Some(context) = (root as usize)
            .checked_sub(1)
            .and_then(|place| self.roots.get_mut(place))
        {
            context.end = end;
        }
    }

    /// The root context that acts.
    pub(crate) fn root_context(&mut self) -> Option<&mut RootContext> {
        let place = (self.root as usize).checked_sub(1)?;
        self.roots.get_mut(place)
    }

    /// From now on another plugin of the VM acts, or a stream of it.
    pub(crate) fn turn_to(&mut self, root: u32) {
        if self.root == root {
            return;
        }
        if let Some(context) = (root as usize).checked_sub(1).and_then(|place| self.roots.get(place)) {
            self.root = root;
            self.identity = Arc::clone(&context.identity);
            self.stats = Arc::clone(&context.stats);
            self.trace = context.trace;
        }
    }
}
