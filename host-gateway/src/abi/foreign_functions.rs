//! Foreign functions: what a host offers beyond the ABI. We offer none, and say so.

use super::failure::{Answer, Status};
use crate::vm::memory::Host;

/// `proxy_call_foreign_function(name, arguments, **result, *size)`. Guests ask at start whether a function exists;
/// the result pointers may be zero.
pub(crate) fn call_foreign_function(
    host: &mut Host<'_>,
    name: u32,
    name_size: u32,
    arguments: u32,
    arguments_size: u32,
    _result_out: u32,
    _size_out: u32,
) -> Answer {
    host.check(name, name_size)?;
    host.check(arguments, arguments_size)?;
    Err(Status::NotFound.into())
}
