//! gRPC calls. No cluster speaks gRPC to plugins: opening one fails as with an unknown service, and no call id exists.

use super::failure::{Answer, Status};
use crate::vm::memory::Host;

/// `proxy_grpc_call(service, service_name, method, metadata, message, timeout_ms, *call_id)`: `PARSE_FAILURE`, the
/// status that SDKs hand to the filter (they end the VM on `UNIMPLEMENTED`).
#[expect(clippy::too_many_arguments, reason = "the ABI's own signature")]
pub(crate) fn grpc_call(
    _host: &mut Host<'_>,
    _service: u32,
    _service_size: u32,
    _service_name: u32,
    _service_name_size: u32,
    _method: u32,
    _method_size: u32,
    _metadata: u32,
    _metadata_size: u32,
    _message: u32,
    _message_size: u32,
    _timeout_ms: u32,
    _id_out: u32,
) -> Answer {
    Err(Status::ParseFailure.into())
}

/// `proxy_grpc_stream(service, service_name, method, metadata, *stream_id)`: `PARSE_FAILURE`.
#[expect(clippy::too_many_arguments, reason = "the ABI's own signature")]
pub(crate) fn grpc_stream(
    _host: &mut Host<'_>,
    _service: u32,
    _service_size: u32,
    _service_name: u32,
    _service_name_size: u32,
    _method: u32,
    _method_size: u32,
    _metadata: u32,
    _metadata_size: u32,
    _id_out: u32,
) -> Answer {
    Err(Status::ParseFailure.into())
}

/// `proxy_grpc_send(id, message, end_of_stream)`.
pub(crate) fn grpc_send(_host: &mut Host<'_>, _id: u32, _message: u32, _size: u32, _end: u32) -> Answer {
    Err(Status::NotFound.into())
}

/// `proxy_grpc_cancel(id)`.
pub(crate) fn grpc_cancel(_host: &mut Host<'_>, _id: u32) -> Answer {
    Err(Status::NotFound.into())
}

/// `proxy_grpc_close(id)`.
pub(crate) fn grpc_close(_host: &mut Host<'_>, _id: u32) -> Answer {
    Err(Status::NotFound.into())
}
