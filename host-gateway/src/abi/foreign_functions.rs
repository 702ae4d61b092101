//! Foreign functions: what this host offers beyond the ABI.

mod message;
mod signature;
mod spki;

use super::failure::{Answer, Status};
use crate::vm::memory::Host;

/// Arguments to result; an error is the guest's status.
type Function = fn(&[u8]) -> Result<Vec<u8>, Status>;

/// All of them.
const FUNCTIONS: [(&str, Function); 2] = [
    // As Envoy has it.
    ("verify_signature", signature::verify_signature),
    // Ours: the algorithms of RFC 7518, signatures as a JWS has them.
    ("verify_jws_signature", signature::verify_jws_signature),
];

/// `proxy_call_foreign_function(name, arguments, **result, *size)`. Guests ask at start whether a function exists;
/// the result pointers may be zero.
pub(crate) fn call_foreign_function(
    host: &mut Host<'_>,
    name: u32,
    name_size: u32,
    arguments: u32,
    arguments_size: u32,
    result_out: u32,
    size_out: u32,
) -> Answer {
    let name = host.read(name, name_size)?;
    let arguments = host.read(arguments, arguments_size)?;
    let function = FUNCTIONS
        .iter()
        .find(|(own, _)| own.as_bytes() == name)
        .map(|(_, function)| function);
    let result = function.ok_or(Status::NotFound)?(arguments)?;
    if result_out == 0 || size_out == 0 {
        return Ok(());
    }
    host.return_bytes(&result, result_out, size_out)
}
