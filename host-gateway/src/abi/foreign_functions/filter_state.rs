//! `set_envoy_filter_state`: a value that other plugins, and the proxy itself, find under its whole name.

use crate::abi::failure::{Failure, Status};
use crate::abi::properties;
use crate::abi::protobuf;
use crate::vm::memory::Host;

/// Arguments `{ 1: path (string), 2: value (string), 3: life span }`; here a value lives as long as its exchange or
/// connection. Read back as the property `filter_state`, `path`.
pub(super) fn set_envoy_filter_state(host: &Host<'_>, arguments: &[u8]) -> Result<Vec<u8>, Failure> {
    let (path, value) = (protobuf::bytes_of(arguments, 1), protobuf::bytes_of(arguments, 2));
    let (Some(path @ [_, ..]), Some(value)) = (path, value) else {
        return Err(Status::BadArgument.into());
    };
    let stream = host.stream().ok_or(Status::NotFound)?;
    properties::set(&mut stream.exchange.borrow_mut(), path, value)?;
    Ok(Vec::new())
}
