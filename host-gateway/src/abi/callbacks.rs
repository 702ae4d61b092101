//! The callbacks a guest exports, looked up once per VM. One that is missing costs nothing.

use wasmtime::{AsContextMut, Instance, Module, TypedFunc, WasmParams, WasmResults};

use super::capabilities::CapabilityRestriction;
use super::types::AbiVersion;

/// Which callbacks a module exports; known before any VM exists.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallbackSet {
    pub(crate) request_headers: bool,
    pub(crate) request_body: bool,
    pub(crate) request_trailers: bool,
    pub(crate) response_headers: bool,
    pub(crate) response_body: bool,
    pub(crate) response_trailers: bool,
    /// A callback of TCP connections.
    pub(crate) tcp: bool,
    /// `proxy_on_done` or `proxy_on_log`: something may look back at the exchange.
    pub(crate) end: bool,
    /// A callback of the root context, beside its creation and its end.
    pub(crate) root: bool,
}

/// What a guest exports that looks at TCP connections.
const TCP_CALLBACKS: [&str; 5] = [
    "proxy_on_new_connection",
    "proxy_on_downstream_data",
    "proxy_on_upstream_data",
    "proxy_on_downstream_connection_close",
    "proxy_on_upstream_connection_close",
];

/// What a guest exports that works without any stream.
const ROOT_CALLBACKS: [&str; 6] = [
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_queue_ready",
    "proxy_on_http_call_response",
    "proxy_on_grpc_receive",
];

impl CallbackSet {
    pub(crate) fn of(module: &Module, allowed: &CapabilityRestriction) -> Self {
        let has = |name| allowed.allows(name) && module.get_export(name).is_some();
        Self {
            request_headers: has("proxy_on_request_headers"),
            request_body: has("proxy_on_request_body"),
            request_trailers: has("proxy_on_request_trailers"),
            response_headers: has("proxy_on_response_headers"),
            response_body: has("proxy_on_response_body"),
            response_trailers: has("proxy_on_response_trailers"),
            tcp: TCP_CALLBACKS.iter().any(|name| has(name)),
            end: has("proxy_on_done") || has("proxy_on_log"),
            root: ROOT_CALLBACKS.iter().any(|name| has(name)),
        }
    }
}

impl CallbackSet {
    /// Whether the module looks at requests or responses.
    pub(crate) const fn http(&self) -> bool {
        self.request_headers
            || self.request_body
            || self.request_trailers
            || self.response_headers
            || self.response_body
            || self.response_trailers
    }

    /// Whether the module takes part in exchanges at all: one that only works from its root context gets no stream
    /// contexts, which its SDK would not know how to make.
    pub(crate) const fn any(&self) -> bool {
        self.http() || self.end
    }
}

/// A headers callback: ABI 0.1.0 does not tell the end of the stream.
pub(crate) enum HeadersCallback {
    V0_1(TypedFunc<(u32, u32), u32>),
    V0_2(TypedFunc<(u32, u32, u32), u32>),
}

/// Root context, call, and how many headers, body bytes and trailers the answer has.
pub(crate) type HttpCallResponse = TypedFunc<(u32, u32, u32, u32, u32), ()>;

/// Root context, call, and a number: fields of metadata, bytes of a message, or the status.
pub(crate) type GrpcCallback = TypedFunc<(u32, u32, u32), ()>;

/// The callbacks of one VM.
pub(crate) struct Callbacks {
    pub(crate) context_create: Option<TypedFunc<(u32, u32), ()>>,
    pub(crate) vm_start: Option<TypedFunc<(u32, u32), u32>>,
    pub(crate) configure: Option<TypedFunc<(u32, u32), u32>>,
    pub(crate) tick: Option<TypedFunc<u32, ()>>,
    pub(crate) request_headers: Option<HeadersCallback>,
    pub(crate) request_body: Option<TypedFunc<(u32, u32, u32), u32>>,
    pub(crate) request_trailers: Option<TypedFunc<(u32, u32), u32>>,
    pub(crate) response_headers: Option<HeadersCallback>,
    pub(crate) response_body: Option<TypedFunc<(u32, u32, u32), u32>>,
    pub(crate) response_trailers: Option<TypedFunc<(u32, u32), u32>>,
    pub(crate) http_call_response: Option<HttpCallResponse>,
    pub(crate) new_connection: Option<TypedFunc<u32, u32>>,
    pub(crate) downstream_data: Option<TypedFunc<(u32, u32, u32), u32>>,
    pub(crate) upstream_data: Option<TypedFunc<(u32, u32, u32), u32>>,
    pub(crate) downstream_connection_close: Option<TypedFunc<(u32, u32), ()>>,
    pub(crate) upstream_connection_close: Option<TypedFunc<(u32, u32), ()>>,
    pub(crate) grpc_initial_metadata: Option<GrpcCallback>,
    pub(crate) grpc_receive: Option<GrpcCallback>,
    pub(crate) grpc_trailing_metadata: Option<GrpcCallback>,
    pub(crate) grpc_close: Option<GrpcCallback>,
    pub(crate) queue_ready: Option<TypedFunc<(u32, u32), ()>>,
    pub(crate) done: Option<TypedFunc<u32, u32>>,
    pub(crate) log: Option<TypedFunc<u32, ()>>,
    pub(crate) delete: Option<TypedFunc<u32, ()>>,
}

impl Callbacks {
    /// The error names the callback whose type is not the ABI's.
    pub(crate) fn of(
        instance: &Instance,
        mut store: impl AsContextMut,
        abi: AbiVersion,
        allowed: &CapabilityRestriction,
    ) -> Result<Self, &'static str> {
        let store = &mut store;
        let instance = &Allowed { instance, allowed };
        Ok(Self {
            context_create: instance.callback(store, "proxy_on_context_create")?,
            vm_start: instance.callback(store, "proxy_on_vm_start")?,
            configure: instance.callback(store, "proxy_on_configure")?,
            tick: instance.callback(store, "proxy_on_tick")?,
            request_headers: instance.headers(store, "proxy_on_request_headers", abi)?,
            request_body: instance.callback(store, "proxy_on_request_body")?,
            request_trailers: instance.callback(store, "proxy_on_request_trailers")?,
            response_headers: instance.headers(store, "proxy_on_response_headers", abi)?,
            response_body: instance.callback(store, "proxy_on_response_body")?,
            response_trailers: instance.callback(store, "proxy_on_response_trailers")?,
            http_call_response: instance.callback(store, "proxy_on_http_call_response")?,
            new_connection: instance.callback(store, "proxy_on_new_connection")?,
            downstream_data: instance.callback(store, "proxy_on_downstream_data")?,
            upstream_data: instance.callback(store, "proxy_on_upstream_data")?,
            downstream_connection_close: instance.callback(store, "proxy_on_downstream_connection_close")?,
            upstream_connection_close: instance.callback(store, "proxy_on_upstream_connection_close")?,
            grpc_initial_metadata: instance.callback(store, "proxy_on_grpc_receive_initial_metadata")?,
            grpc_receive: instance.callback(store, "proxy_on_grpc_receive")?,
            grpc_trailing_metadata: instance.callback(store, "proxy_on_grpc_receive_trailing_metadata")?,
            grpc_close: instance.callback(store, "proxy_on_grpc_close")?,
            queue_ready: instance.callback(store, "proxy_on_queue_ready")?,
            done: instance.callback(store, "proxy_on_done")?,
            log: instance.callback(store, "proxy_on_log")?,
            delete: instance.callback(store, "proxy_on_delete")?,
        })
    }
}

/// An exported function of the expected type; `None` when there is no export of that name.
pub(crate) fn optional<P: WasmParams, R: WasmResults>(
    instance: &Instance,
    store: &mut impl AsContextMut,
    name: &'static str,
) -> Result<Option<TypedFunc<P, R>>, &'static str> {
    match instance.get_func(&mut *store, name) {
        Some(function) => function.typed(&*store).map(Some).map_err(|_| name),
        None => Ok(None),
    }
}

/// An instance, of which some callbacks may not be called.
struct Allowed<'a> {
    instance: &'a Instance,
    allowed: &'a CapabilityRestriction,
}

impl Allowed<'_> {
    fn callback<P: WasmParams, R: WasmResults>(
        &self,
        store: &mut impl AsContextMut,
        name: &'static str,
    ) -> Result<Option<TypedFunc<P, R>>, &'static str> {
        if self.allowed.allows(name) {
            optional(self.instance, store, name)
        } else {
            Ok(None)
        }
    }

    fn headers(
        &self,
        store: &mut impl AsContextMut,
        name: &'static str,
        abi: AbiVersion,
    ) -> Result<Option<HeadersCallback>, &'static str> {
        Ok(match abi {
            AbiVersion::V0_1_0 => self.callback(store, name)?.map(HeadersCallback::V0_1),
            AbiVersion::V0_2_0 | AbiVersion::V0_2_1 => self.callback(store, name)?.map(HeadersCallback::V0_2),
        })
    }
}
