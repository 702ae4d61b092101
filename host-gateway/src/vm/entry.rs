//! The ways into a guest: what is counted, and named in logs, by.

macro_rules! entries {
    ($($entry:ident $name:literal)*) => {
        /// A function of a guest that the host calls.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(dead_code, reason = "the table has all callbacks of the ABI")]
        pub(crate) enum Entry { $($entry,)* }

        impl Entry {
            /// By place.
            pub(crate) const NAMES: [&'static str; [$($name),*].len()] = [$($name),*];
        }
    };
}

entries! {
    Initialize "_initialize"
    Start "_start"
    Main "main"
    ContextCreate "proxy_on_context_create"
    VmStart "proxy_on_vm_start"
    Configure "proxy_on_configure"
    Tick "proxy_on_tick"
    QueueReady "proxy_on_queue_ready"
    RequestHeaders "proxy_on_request_headers"
    RequestBody "proxy_on_request_body"
    RequestTrailers "proxy_on_request_trailers"
    ResponseHeaders "proxy_on_response_headers"
    ResponseBody "proxy_on_response_body"
    ResponseTrailers "proxy_on_response_trailers"
    HttpCallResponse "proxy_on_http_call_response"
    GrpcInitialMetadata "proxy_on_grpc_receive_initial_metadata"
    GrpcReceive "proxy_on_grpc_receive"
    GrpcTrailingMetadata "proxy_on_grpc_receive_trailing_metadata"
    GrpcClose "proxy_on_grpc_close"
    ForeignFunction "proxy_on_foreign_function"
    NewConnection "proxy_on_new_connection"
    DownstreamData "proxy_on_downstream_data"
    UpstreamData "proxy_on_upstream_data"
    DownstreamClose "proxy_on_downstream_connection_close"
    UpstreamClose "proxy_on_upstream_connection_close"
    Done "proxy_on_done"
    Log "proxy_on_log"
    Delete "proxy_on_delete"
}

impl Entry {
    pub(crate) const COUNT: usize = Self::NAMES.len();

    /// The name of the export.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}
