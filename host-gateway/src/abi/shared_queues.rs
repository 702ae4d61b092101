//! Shared queues. None can be registered, so none is found.

use super::failure::{Answer, Status};
use crate::vm::memory::Host;

/// `proxy_register_shared_queue(name, *id)`.
pub(crate) fn register_shared_queue(_host: &mut Host<'_>, _name: u32, _size: u32, _id_out: u32) -> Answer {
    Err(Status::Unimplemented.into())
}

/// `proxy_resolve_shared_queue(vm_id, name, *id)`.
pub(crate) fn resolve_shared_queue(
    _host: &mut Host<'_>,
    _vm_id: u32,
    _vm_id_size: u32,
    _name: u32,
    _name_size: u32,
    _id_out: u32,
) -> Answer {
    Err(Status::NotFound.into())
}

/// `proxy_enqueue_shared_queue(id, value)`.
pub(crate) fn enqueue_shared_queue(_host: &mut Host<'_>, _id: u32, _value: u32, _size: u32) -> Answer {
    Err(Status::NotFound.into())
}

/// `proxy_dequeue_shared_queue(id, **value, *size)`.
pub(crate) fn dequeue_shared_queue(_host: &mut Host<'_>, _id: u32, _value_out: u32, _size_out: u32) -> Answer {
    Err(Status::NotFound.into())
}
