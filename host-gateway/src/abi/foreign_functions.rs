//! Foreign functions: what this host offers beyond the ABI.

mod compression;
mod filter_state;
mod keys;
mod message;
mod signature;
mod spki;

use super::failure::{Answer, Failure, Status};
use super::protobuf;
use crate::vm::memory::Host;

/// Arguments to result; what it does not answer with `Ok` is the guest's status.
type Function = fn(&Host<'_>, &[u8]) -> Result<Vec<u8>, Failure>;

/// All of them.
const FUNCTIONS: [(&str, Function); 8] = [
    // As Envoy has them.
    ("verify_signature", |_, arguments| {
        Ok(signature::verify_signature(arguments)?)
    }),
    ("compress", |_, bytes| Ok(compression::compress(bytes))),
    ("uncompress", |_, bytes| Ok(compression::uncompress(bytes)?)),
    ("set_envoy_filter_state", filter_state::set_envoy_filter_state),
    ("clear_route_cache", |_, _| Ok(Vec::new())),
    ("declare_property", |_, arguments| declare_property(arguments)),
    // Ours: the algorithms of RFC 7518, signatures as a JWS has them.
    ("verify_jws_signature", |_, arguments| {
        Ok(signature::verify_jws_signature(arguments)?)
    }),
    ("has_cluster", |host, name| Ok(vec![has_cluster(host, name).into()])),
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
    for out in [result_out, size_out] {
        if out != 0 {
            host.check(out, 4)?;
        }
    }
    let name = host.read(name, name_size)?;
    let arguments = host.read(arguments, arguments_size)?;
    let function = FUNCTIONS
        .iter()
        .find(|(own, _)| own.as_bytes() == name)
        .map(|(_, function)| function);
    let result = function.ok_or(Status::NotFound)?(host, arguments)?;
    match (result_out, size_out) {
        (0, 0) => Ok(()),
        (0, size_out) => host.write_u32(size_out, result.len() as u32),
        (_, 0) => Ok(()),
        (result_out, size_out) => host.return_bytes(&result, result_out, size_out),
    }
}

/// Whether `proxy_http_call` would find a cluster of this name: a plugin can refuse its configuration, where a call would
/// fail only later, and tells the same as a broken server.
fn has_cluster(host: &Host<'_>, name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| host.state().clusters.contains(name))
}

/// Says of which type a property will be. Ours are bytes, which is how Envoy hands out every one of these types.
fn declare_property(arguments: &[u8]) -> Result<Vec<u8>, Failure> {
    match protobuf::bytes_of(arguments, 1) {
        None | Some([]) => Err(Status::BadArgument.into()),
        Some(_) => Ok(Vec::new()),
    }
}
