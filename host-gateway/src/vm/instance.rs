//! One VM: a store with its instance, and the ways into the guest.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;
use wasmtime::{Store, Trap, TypedFunc, WasmParams, WasmResults};

use super::deadline::{Deadline, Running};
use super::entry::Entry;
use super::module::one_line;
use super::start::{StartError, StartFailure, bring_up};
use crate::abi::callbacks::{Callbacks, HeadersCallback};
use crate::abi::contexts::{Effective, FIRST_ROOT, RootEnd, StreamContext};
use crate::abi::grpc_calls::{GrpcEvent, Kind};
use crate::abi::http_calls::CallAnswer;
use crate::abi::types::{Action, Direction, MapType};
use crate::abi::{HostState, Order, RootContext, logging, trace};
use crate::cluster::Clusters;
use crate::plugin::process::PluginProcess;
use crate::plugin::{PluginModule, Seated};
use crate::stream::exchange::Exchange;

/// Why a guest ended, in one sentence without a full stop.
#[derive(Debug)]
pub(crate) struct GuestFailure {
    callback: &'static str,
    reason: String,
}

impl fmt::Display for GuestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.callback, self.reason)
    }
}

/// A VM. Whoever calls a method is the only one inside: the guest cannot be entered twice.
pub(crate) struct Instance {
    store: Store<HostState>,
    callbacks: Callbacks,
    /// Of one entry.
    deadline: Deadline,
    /// Linear memory in bytes beyond which the VM should be replaced.
    high_water: u64,
}

impl Instance {
    /// A VM that has started and taken its configuration.
    pub(crate) fn start(
        plugins: &[Seated],
        clusters: &Rc<Clusters>,
        process: &Arc<PluginProcess>,
    ) -> Result<Self, StartError> {
        let mut instance = Self::create(plugins, clusters, process)?;
        logging::started(instance.store.data_mut());
        for (_, stats) in plugins {
            stats.starts.add(1);
        }
        instance.measure();
        Ok(instance)
    }

    /// Starts a VM, opens a stream in each of its plugins as the first exchange would, and throws it away. What it asks
    /// for is not carried out.
    pub(crate) fn rehearse(&mut self, plugins: &[Seated]) -> Result<(), StartError> {
        for (plugin, (root, (module, _))) in (FIRST_ROOT..).zip(plugins).enumerate() {
            let Some(protocol) = module.stream() else { continue };
            let exchange = Rc::new(RefCell::new(Exchange::rehearsed(protocol)));
            self.open(root, &exchange).map_err(|failure| StartError {
                failure: StartFailure::Stream(failure),
                said: logging::failed_to_start(self.store.data_mut()),
                plugin,
            })?;
        }
        logging::started(self.store.data_mut());
        Ok(())
    }

    /// A VM that has taken its configuration. The last error that it logged is held back until somebody tells it.
    pub(crate) fn create(
        plugins: &[Seated],
        clusters: &Rc<Clusters>,
        process: &Arc<PluginProcess>,
    ) -> Result<Self, StartError> {
        let root = |(plugin, stats): &Seated| RootContext {
            identity: Arc::clone(&plugin.identity),
            stats: Arc::clone(stats),
            trace: plugin.trace,
            end: RootEnd::Running,
            properties: Vec::new(),
        };
        let [first, others @ ..] = plugins else {
            return Err(StartError {
                failure: StartFailure::Empty,
                said: None,
                plugin: 0,
            });
        };
        // They share the VM because they are alike in these.
        let PluginModule {
            guest: module, limits, ..
        } = &*first.0;
        let (clusters, process) = (Rc::clone(clusters), Arc::clone(process));
        let state = HostState::new(root(first), others.iter().map(root), process, clusters, limits);
        let mut store = Store::new(module.prepared.module().engine(), state);
        store.limiter(|state| &mut state.share);
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().running.late()));
        match bring_up(&mut store, module, limits) {
            Ok(callbacks) => {
                let mut instance = Self {
                    store,
                    callbacks,
                    deadline: limits.call_deadline(),
                    high_water: u64::MAX,
                };
                instance.high_water = limits.high_water(instance.memory());
                Ok(instance)
            }
            Err(failure) => Err(StartError {
                failure,
                plugin: store.data().root as usize - 1,
                said: logging::failed_to_start(store.data_mut()),
            }),
        }
    }

    /// Opens a stream context.
    pub(crate) fn open(
        &mut self,
        root: u32,
        exchange: &Rc<RefCell<Exchange>>,
    ) -> Result<Rc<StreamContext>, GuestFailure> {
        let context = self.store.data_mut().contexts.open(root, exchange);
        if let Some(create) = &self.callbacks.context_create {
            let effective = Effective::Stream(Rc::clone(&context));
            let params = (context.id, root);
            enter(
                &mut self.store,
                self.deadline,
                Entry::ContextCreate,
                create,
                effective,
                params,
            )?;
        }
        Ok(context)
    }

    /// `proxy_on_request_headers` or `proxy_on_response_headers`.
    pub(crate) fn headers(
        &mut self,
        context: &Rc<StreamContext>,
        direction: Direction,
        end_of_stream: bool,
    ) -> Result<Action, GuestFailure> {
        let (callback, name, map) = match direction {
            Direction::Request => (
                &self.callbacks.request_headers,
                Entry::RequestHeaders,
                MapType::RequestHeaders,
            ),
            Direction::Response => (
                &self.callbacks.response_headers,
                Entry::ResponseHeaders,
                MapType::ResponseHeaders,
            ),
        };
        let Some(callback) = callback else {
            return Ok(Action::Continue);
        };
        let count = context.exchange.borrow().fields(map).map_or(0, |fields| fields.count());
        let effective = Effective::Stream(Rc::clone(context));
        let end = u32::from(end_of_stream);
        let (store, deadline, id) = (&mut self.store, self.deadline, context.id);
        match callback {
            HeadersCallback::V0_1(function) => enter(store, deadline, name, function, effective, (id, count)),
            HeadersCallback::V0_2(function) => enter(store, deadline, name, function, effective, (id, count, end)),
        }
        .map(Action::from)
    }

    /// `proxy_on_request_body` or `proxy_on_response_body`, over what the context's flow holds.
    pub(crate) fn body(
        &mut self,
        context: &Rc<StreamContext>,
        direction: Direction,
        end_of_stream: bool,
    ) -> Result<Action, GuestFailure> {
        let (callback, name) = match direction {
            Direction::Request => (&self.callbacks.request_body, Entry::RequestBody),
            Direction::Response => (&self.callbacks.response_body, Entry::ResponseBody),
        };
        let size = context.flow(direction, |flow| flow.body.as_ref().map_or(0, |body| body.len()));
        let params = (context.id, size as u32, u32::from(end_of_stream));
        decide(&mut self.store, self.deadline, name, callback, context, params)
    }

    /// `proxy_on_request_trailers` or `proxy_on_response_trailers`.
    pub(crate) fn trailers(
        &mut self,
        context: &Rc<StreamContext>,
        direction: Direction,
    ) -> Result<Action, GuestFailure> {
        let (callback, name, map) = match direction {
            Direction::Request => (
                &self.callbacks.request_trailers,
                Entry::RequestTrailers,
                MapType::RequestTrailers,
            ),
            Direction::Response => (
                &self.callbacks.response_trailers,
                Entry::ResponseTrailers,
                MapType::ResponseTrailers,
            ),
        };
        let count = context.exchange.borrow().fields(map).map_or(0, |fields| fields.count());
        let params = (context.id, count);
        decide(&mut self.store, self.deadline, name, callback, context, params)
    }

    /// `proxy_on_new_connection`.
    pub(crate) fn new_connection(&mut self, context: &Rc<StreamContext>) -> Result<Action, GuestFailure> {
        let (name, callback) = (Entry::NewConnection, &self.callbacks.new_connection);
        decide(&mut self.store, self.deadline, name, callback, context, context.id)
    }

    /// `proxy_on_downstream_data` or `proxy_on_upstream_data`, over what the context's flow holds.
    pub(crate) fn data(
        &mut self,
        context: &Rc<StreamContext>,
        direction: Direction,
        end_of_stream: bool,
    ) -> Result<Action, GuestFailure> {
        let (callback, name) = match direction {
            Direction::Request => (&self.callbacks.downstream_data, Entry::DownstreamData),
            Direction::Response => (&self.callbacks.upstream_data, Entry::UpstreamData),
        };
        let size = context.flow(direction, |flow| flow.body.as_ref().map_or(0, |body| body.len()));
        let params = (context.id, size as u32, u32::from(end_of_stream));
        decide(&mut self.store, self.deadline, name, callback, context, params)
    }

    /// `proxy_on_downstream_connection_close` or `proxy_on_upstream_connection_close`; `peer` says who closed it.
    pub(crate) fn connection_close(
        &mut self,
        context: &Rc<StreamContext>,
        direction: Direction,
        peer: u32,
    ) -> Result<(), GuestFailure> {
        let (callback, name) = match direction {
            Direction::Request => (&self.callbacks.downstream_connection_close, Entry::DownstreamClose),
            Direction::Response => (&self.callbacks.upstream_connection_close, Entry::UpstreamClose),
        };
        let Some(callback) = callback else { return Ok(()) };
        let (effective, params) = (Effective::Stream(Rc::clone(context)), (context.id, peer));
        enter(&mut self.store, self.deadline, name, callback, effective, params)
    }

    /// Ends a stream: `proxy_on_done`, `proxy_on_log`, `proxy_on_delete`. What `proxy_on_done` of a stream returns is
    /// ignored, as in Envoy.
    pub(crate) fn close(&mut self, context: &Rc<StreamContext>) -> Result<(), GuestFailure> {
        let effective = Effective::Stream(Rc::clone(context));
        self.done(context.id, &effective)?;
        self.delete(context.id, &effective)?;
        self.store.data_mut().contexts.close(context.id);
        self.measure();
        Ok(())
    }

    /// Whether the VM's memory has grown so much that a fresh one should take its place.
    pub(crate) fn has_grown(&self) -> bool {
        self.memory() > self.high_water
    }

    /// Whether no further stream may be opened.
    pub(crate) fn is_full(&self) -> bool {
        let state = self.store.data();
        state.contexts.count() >= state.limits.contexts as usize
    }

    /// Linear memory in bytes.
    fn memory(&self) -> u64 {
        let memory = self.store.data().memory;
        memory.map_or(0, |memory| memory.data_size(&self.store) as u64)
    }

    /// Shows what the VM holds.
    fn measure(&self) {
        let (state, memory) = (self.store.data(), self.memory());
        for root in &state.roots {
            root.stats.memory.set(memory);
            root.stats.contexts.set(state.contexts.count() as u64);
        }
    }

    /// `proxy_on_done`; whether it does not ask to wait.
    fn done(&mut self, id: u32, effective: &Effective) -> Result<bool, GuestFailure> {
        let Some(done) = &self.callbacks.done else {
            return Ok(true);
        };
        let ended = enter(&mut self.store, self.deadline, Entry::Done, done, effective.clone(), id)?;
        Ok(ended != 0)
    }

    /// `proxy_on_log`, `proxy_on_delete`.
    fn delete(&mut self, id: u32, effective: &Effective) -> Result<(), GuestFailure> {
        let (store, deadline) = (&mut self.store, self.deadline);
        if let Some(log) = &self.callbacks.log {
            enter(store, deadline, Entry::Log, log, effective.clone(), id)?;
        }
        if let Some(delete) = &self.callbacks.delete {
            enter(store, deadline, Entry::Delete, delete, effective.clone(), id)?;
        }
        Ok(())
    }

    /// Ends the root contexts: the worker stops. `false`: the guest asked to wait until it calls `proxy_done`; calls and
    /// ticks go on meanwhile.
    pub(crate) fn stop(&mut self) -> Result<bool, GuestFailure> {
        self.store.data_mut().is_ending = true;
        for root in self.root_ids() {
            if self.store.data_mut().root_end(root) == RootEnd::Running {
                self.store.data_mut().set_root_end(root, RootEnd::Pending);
                self.store.data_mut().turn_to(root);
                if self.done(root, &Effective::Root)? {
                    self.store.data_mut().set_root_end(root, RootEnd::Due);
                }
            }
        }
        self.finish()
    }

    /// After every callback: whether `proxy_done` was called in it, and all root contexts have ended.
    pub(crate) fn finish(&mut self) -> Result<bool, GuestFailure> {
        if !self.store.data().is_ending {
            return Ok(false);
        }
        let mut all = true;
        for root in self.root_ids() {
            if self.store.data().root_end(root) == RootEnd::Due {
                self.store.data_mut().set_root_end(root, RootEnd::Ended);
                self.store.data_mut().turn_to(root);
                self.delete(root, &Effective::Root)?;
            }
            all &= self.store.data().root_end(root) == RootEnd::Ended;
        }
        Ok(all)
    }

    fn root_ids(&self) -> std::ops::Range<u32> {
        FIRST_ROOT..FIRST_ROOT + self.store.data().roots.len() as u32
    }

    /// `proxy_on_tick`.
    pub(crate) fn tick(&mut self, root: u32) -> Result<(), GuestFailure> {
        self.store.data_mut().turn_to(root);
        let Some(tick) = &self.callbacks.tick else {
            return Ok(());
        };
        enter(&mut self.store, self.deadline, Entry::Tick, tick, Effective::Root, root)
    }

    /// `proxy_on_http_call_response`.
    pub(crate) fn http_call_response(&mut self, root: u32, id: u32, answer: CallAnswer) -> Result<(), GuestFailure> {
        let state = self.store.data_mut();
        state.turn_to(root);
        state.open_calls = state.open_calls.saturating_sub(1);
        let Some(callback) = &self.callbacks.http_call_response else {
            return Ok(());
        };
        let (headers, body, trailers) = answer.sizes();
        self.store.data_mut().answer = Some(Rc::new(answer));
        let params = (root, id, headers, body, trailers);
        let name = Entry::HttpCallResponse;
        let delivered = enter(&mut self.store, self.deadline, name, callback, Effective::Root, params);
        self.store.data_mut().answer = None;
        delivered
    }

    /// One of the four gRPC callbacks. Nothing is told of a call that the guest has cancelled meanwhile.
    pub(crate) fn grpc_event(&mut self, root: u32, id: u32, event: GrpcEvent) -> Result<(), GuestFailure> {
        if !self.store.data().grpc_calls.is_open(id) {
            return Ok(());
        }
        self.store.data_mut().turn_to(root);
        let callbacks = &self.callbacks;
        let (callback, name, number, last) = match &event {
            GrpcEvent::InitialMetadata(fields) => (
                &callbacks.grpc_initial_metadata,
                Entry::GrpcInitialMetadata,
                fields.len() as u32,
                false,
            ),
            // The answer to a call is its end.
            GrpcEvent::Message(message) => (
                &callbacks.grpc_receive,
                Entry::GrpcReceive,
                message.len() as u32,
                Kind::of(id) == Kind::Call,
            ),
            GrpcEvent::TrailingMetadata(fields) => (
                &callbacks.grpc_trailing_metadata,
                Entry::GrpcTrailingMetadata,
                fields.len() as u32,
                false,
            ),
            GrpcEvent::Close { status, .. } => (&callbacks.grpc_close, Entry::GrpcClose, *status, true),
        };
        if last {
            self.store.data_mut().grpc_calls.end(id);
        }
        let Some(callback) = callback else { return Ok(()) };
        self.store.data_mut().grpc_event = Some(Rc::new(event));
        let params = (root, id, number);
        let told = enter(&mut self.store, self.deadline, name, callback, Effective::Root, params);
        self.store.data_mut().grpc_event = None;
        told
    }

    /// `proxy_on_queue_ready`.
    pub(crate) fn queue_ready(&mut self, root: u32, queue: u32) -> Result<(), GuestFailure> {
        let Some(ready) = &self.callbacks.queue_ready else {
            return Ok(());
        };
        self.store.data_mut().turn_to(root);
        let (name, params) = (Entry::QueueReady, (root, queue));
        enter(&mut self.store, self.deadline, name, ready, Effective::Root, params)
    }

    /// Somebody is to call into the guest, once or several times without a pause.
    pub(crate) fn begin(&mut self) {
        self.store.data_mut().left = None;
    }

    /// What the guest asked for while it was inside.
    pub(crate) fn take_orders(&mut self) -> Vec<Order> {
        // An empty vector holds no memory: this costs nothing when there are none.
        std::mem::take(&mut self.store.data_mut().orders)
    }

    /// The streams that were open when the VM failed.
    pub(crate) fn take_streams(&mut self) -> Vec<Rc<StreamContext>> {
        self.store.data_mut().contexts.take_all()
    }
}

/// What the guest wants done with a part of a stream, if it has a callback for it.
fn decide<P: WasmParams + fmt::Debug>(
    store: &mut Store<HostState>,
    deadline: Deadline,
    entry: Entry,
    callback: &Option<TypedFunc<P, u32>>,
    context: &Rc<StreamContext>,
    params: P,
) -> Result<Action, GuestFailure> {
    match callback {
        None => Ok(Action::Continue),
        Some(callback) => {
            let effective = Effective::Stream(Rc::clone(context));
            enter(store, deadline, entry, callback, effective, params).map(Action::from)
        }
    }
}

/// The only way into the guest, its allocator apart. The deadline is set anew for every entry.
pub(super) fn enter<P: WasmParams + fmt::Debug, R: WasmResults + fmt::Debug>(
    store: &mut Store<HostState>,
    deadline: Deadline,
    entry: Entry,
    function: &TypedFunc<P, R>,
    effective: Effective,
    params: P,
) -> Result<R, GuestFailure> {
    give_time(store, deadline);
    let state = store.data_mut();
    if let Effective::Stream(stream) = &effective {
        state.turn_to(stream.root);
    }
    let root = state.root;
    state.effective = effective;
    let before = state.host_calls;
    if state.trace {
        trace::entering(state, entry, &params);
    }
    let began = state.left.unwrap_or_else(Instant::now);
    let result = function.call(&mut *store, params);
    let left = Instant::now();
    let took = left - began;
    let state = store.data_mut();
    state.left = Some(left);
    state.effective = Effective::Root;
    let host_calls = state.host_calls - before;
    // The guest may have turned to another one.
    state.turn_to(root);
    state.stats.entered(entry, took, host_calls);
    logging::end_lines(state);
    if state.trace {
        trace::returned(state, entry, &result, took, host_calls);
    }
    result.map_err(|error| GuestFailure {
        callback: entry.name(),
        reason: sentence(&error, store.data().share.denied),
    })
}

pub(super) fn give_time(store: &mut Store<HostState>, deadline: Deadline) {
    store.set_epoch_deadline(deadline.epochs());
    store.data_mut().running = Running::new(deadline);
}

pub(super) fn sentence(error: &wasmtime::Error, out_of_memory: bool) -> String {
    let cause = match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => "it ran longer than limits.call allows".to_owned(),
        Some(Trap::StackOverflow) => "its stack overflowed".to_owned(),
        Some(trap) => trap.to_string(),
        None => one_line(error),
    };
    if out_of_memory {
        format!("{cause}, after limits.memory denied it memory")
    } else {
        cause
    }
}
