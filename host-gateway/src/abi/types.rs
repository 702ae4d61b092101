//! The enumerations of the proxy-wasm ABI.

use super::failure::{Failure, Status};

/// The version a module announces by the name of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AbiVersion {
    V0_1_0,
    V0_2_0,
    V0_2_1,
}

impl AbiVersion {
    /// Every mark begins with this.
    pub(crate) const MARK: &str = "proxy_abi_version_";

    pub(crate) fn from_mark(export: &str) -> Option<Self> {
        match export.strip_prefix(Self::MARK)? {
            "0_1_0" => Some(Self::V0_1_0),
            "0_2_0" => Some(Self::V0_2_0),
            "0_2_1" => Some(Self::V0_2_1),
            _ => None,
        }
    }
}

/// What the guest is doing when it calls a host function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// `_initialize`, `_start`, `main`.
    Initializing,
    /// A callback.
    Running,
    /// Its allocator, called by a host function.
    Allocating,
}

/// What a callback asks the host to do with the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Continue,
    Pause,
}

impl From<u32> for Action {
    /// Anything but CONTINUE stops the stream: a guest that returns nonsense must not let a request pass.
    fn from(value: u32) -> Self {
        if value == 0 { Self::Continue } else { Self::Pause }
    }
}

/// One way through an exchange; of a TCP connection, what the client sends and what the upstream sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Request,
    Response,
}

/// `proxy_map_type_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MapType {
    RequestHeaders,
    RequestTrailers,
    ResponseHeaders,
    ResponseTrailers,
    GrpcInitialMetadata,
    GrpcTrailingMetadata,
    HttpCallResponseHeaders,
    HttpCallResponseTrailers,
}

impl MapType {
    /// How many there are.
    pub(crate) const COUNT: usize = 8;
}

impl TryFrom<u32> for MapType {
    type Error = Failure;

    fn try_from(value: u32) -> Result<Self, Failure> {
        Ok(match value {
            0 => Self::RequestHeaders,
            1 => Self::RequestTrailers,
            2 => Self::ResponseHeaders,
            3 => Self::ResponseTrailers,
            4 => Self::GrpcInitialMetadata,
            5 => Self::GrpcTrailingMetadata,
            6 => Self::HttpCallResponseHeaders,
            7 => Self::HttpCallResponseTrailers,
            _ => return Err(Status::BadArgument.into()),
        })
    }
}

/// `proxy_buffer_type_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BufferType {
    RequestBody,
    ResponseBody,
    DownstreamData,
    UpstreamData,
    HttpCallResponseBody,
    GrpcCallMessage,
    VmConfiguration,
    PluginConfiguration,
    ForeignFunctionArguments,
}

impl TryFrom<u32> for BufferType {
    type Error = Failure;

    fn try_from(value: u32) -> Result<Self, Failure> {
        Ok(match value {
            0 => Self::RequestBody,
            1 => Self::ResponseBody,
            2 => Self::DownstreamData,
            3 => Self::UpstreamData,
            4 => Self::HttpCallResponseBody,
            5 => Self::GrpcCallMessage,
            6 => Self::VmConfiguration,
            7 => Self::PluginConfiguration,
            8 => Self::ForeignFunctionArguments,
            _ => return Err(Status::BadArgument.into()),
        })
    }
}

/// `proxy_metric_type_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MetricType {
    Counter,
    Gauge,
    Histogram,
}

impl TryFrom<u32> for MetricType {
    type Error = Failure;

    fn try_from(value: u32) -> Result<Self, Failure> {
        match value {
            0 => Ok(Self::Counter),
            1 => Ok(Self::Gauge),
            2 => Ok(Self::Histogram),
            _ => Err(Status::BadArgument.into()),
        }
    }
}
