//! Why an exchange was not answered by an upstream, and the one place that turns each reason into an answer.

use bytes::Bytes;
use http::StatusCode;

/// What happened. The texts a client sees are Envoy's, or close to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("the request has no Host header, or several, or one that is no name or address with a port")]
    Host,
    #[error("the request asks for a protocol upgrade")]
    Upgrade,
    #[error("the request asks for a tunnel")]
    Tunnel,
    #[error("the request asks for its own echo")]
    Trace,
    #[error("the request's body has a transfer coding other than chunked, or that one twice")]
    TransferCoding,
    #[error("the request's body is not what its head announced, or broke off")]
    Body,
    #[error("the path can be read in two ways, and routes choose plugins by the path")]
    Ambiguous,
    #[error("no route matches the path")]
    NoRoute,
    #[error("a plugin changed the request into one that cannot be sent")]
    UnusableRequest,
    #[error("a plugin failed")]
    Plugin,
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

/// Why a cluster gave no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    #[error("every connection is taken and the queue is full")]
    Overflow,
    #[error("no endpoint accepts a connection")]
    Connect,
    #[error("the connection could not be opened in time")]
    ConnectTimeout,
    #[error("the connection ended before the response")]
    Reset,
    #[error("the response is not HTTP")]
    Protocol,
    #[error("the response did not begin in time")]
    Timeout,
}

impl UpstreamError {
    /// All of them, in the order in which metrics count them.
    pub const ALL: [(UpstreamError, &'static str); 6] = [
        (UpstreamError::Overflow, "overflow"),
        (UpstreamError::Connect, "connect"),
        (UpstreamError::ConnectTimeout, "connect_timeout"),
        (UpstreamError::Reset, "reset"),
        (UpstreamError::Protocol, "protocol"),
        (UpstreamError::Timeout, "timeout"),
    ];
}

impl Failure {
    /// Status and plain text of the answer. Neither names an address or a plugin.
    pub fn answer(self) -> (StatusCode, Bytes) {
        let (status, text) = match self {
            Failure::Host | Failure::Body | Failure::Ambiguous => (StatusCode::BAD_REQUEST, "Bad Request"),
            Failure::Trace => (StatusCode::METHOD_NOT_ALLOWED, "TRACE is not supported"),
            Failure::Upgrade => (StatusCode::FORBIDDEN, ""),
            Failure::Tunnel => (StatusCode::NOT_IMPLEMENTED, "CONNECT is not supported"),
            Failure::TransferCoding => (StatusCode::NOT_IMPLEMENTED, "Not Implemented"),
            Failure::NoRoute => (StatusCode::NOT_FOUND, ""),
            Failure::UnusableRequest => (StatusCode::INTERNAL_SERVER_ERROR, ""),
            Failure::Plugin => (StatusCode::SERVICE_UNAVAILABLE, ""),
            Failure::Upstream(error) => match error {
                UpstreamError::Overflow => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "upstream connect error or disconnect/reset before headers. reset reason: overflow",
                ),
                UpstreamError::Connect => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
                ),
                UpstreamError::ConnectTimeout => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "upstream connect error or disconnect/reset before headers. reset reason: connection timeout",
                ),
                UpstreamError::Reset => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
                ),
                UpstreamError::Protocol => (
                    StatusCode::BAD_GATEWAY,
                    "upstream connect error or disconnect/reset before headers. reset reason: protocol error",
                ),
                UpstreamError::Timeout => (StatusCode::GATEWAY_TIMEOUT, "upstream request timeout"),
            },
        };
        (status, Bytes::from_static(text.as_bytes()))
    }

    /// What plugins are told, as Envoy has it: `response.code_details`, and the flag of `response.flags`.
    pub fn told(self) -> (&'static str, u64) {
        match self {
            Failure::Host | Failure::Ambiguous | Failure::Body | Failure::TransferCoding | Failure::Trace => {
                ("http1.codec_error", 0)
            }
            Failure::Upgrade | Failure::Tunnel => ("upgrade_failed", 0),
            Failure::NoRoute => ("route_not_found", 1 << 8),
            Failure::UnusableRequest => ("filter_removed_required_request_headers", 1 << 18),
            Failure::Plugin => ("wasm_fail_stream", 0),
            Failure::Upstream(error) => match error {
                UpstreamError::Overflow => ("upstream_reset_before_response_started{overflow}", 1 << 7),
                UpstreamError::Connect => (
                    "upstream_reset_before_response_started{remote_connection_failure}",
                    1 << 5,
                ),
                UpstreamError::ConnectTimeout => ("upstream_reset_before_response_started{connection_timeout}", 1 << 5),
                UpstreamError::Reset => ("upstream_reset_before_response_started{connection_termination}", 1 << 6),
                UpstreamError::Protocol => ("upstream_reset_before_response_started{protocol_error}", 1 << 23),
                UpstreamError::Timeout => ("response_timeout", 1 << 2),
            },
        }
    }
}
