//! Buffers: bodies, configurations, and the body of an HTTP call's answer.

use std::rc::Rc;

use super::contexts::StreamContext;
use super::failure::{Answer, Status};
use super::types::{BufferType, Direction};
use crate::stream::body::BodyBuffer;
use crate::stream::exchange::Protocol;
use crate::vm::memory::Host;

/// Most bytes a guest may make of a body: what it writes is held by the host, beyond the guest's own memory limit.
const MOST_WRITTEN: usize = 16 << 20;

/// `proxy_get_buffer_bytes(buffer, start, max, **data, *size)`: what lies outside is left out, as in Envoy.
pub(crate) fn get_buffer_bytes(
    host: &mut Host<'_>,
    buffer: u32,
    start: u32,
    max: u32,
    data_out: u32,
    size_out: u32,
) -> Answer {
    let buffer = BufferType::try_from(buffer)?;
    with_buffer(host, buffer, |host, bytes| {
        let bytes = bytes.ok_or(Status::NotFound)?;
        let start = (start as usize).min(bytes.len());
        let end = start.saturating_add(max as usize).min(bytes.len());
        host.return_bytes(&bytes[start..end], data_out, size_out)
    })
}

/// `proxy_get_buffer_status(buffer, *size, *flags)`. No flags are defined.
pub(crate) fn get_buffer_status(host: &mut Host<'_>, buffer: u32, size_out: u32, flags_out: u32) -> Answer {
    let buffer = BufferType::try_from(buffer)?;
    let size = with_buffer(host, buffer, |_, bytes| bytes.map(<[u8]>::len)).ok_or(Status::NotFound)?;
    host.check(flags_out, 4)?;
    host.write_u32(size_out, size as u32)?;
    host.write_u32(flags_out, 0)
}

/// `proxy_set_buffer_bytes(buffer, start, size, data, data_size)`: from the start on, `size` bytes are replaced;
/// at or behind the end, bytes are added; in the middle is `BAD_ARGUMENT`, as in Envoy.
pub(crate) fn set_buffer_bytes(
    host: &mut Host<'_>,
    buffer: u32,
    start: u32,
    size: u32,
    data: u32,
    data_size: u32,
) -> Answer {
    let (protocol, direction) = passing(BufferType::try_from(buffer)?).ok_or(Status::BadArgument)?;
    let stream = host.stream().ok_or(Status::BadArgument)?;
    if stream.exchange.borrow().protocol != protocol {
        return Err(Status::BadArgument.into());
    }
    let with = host.read(data, data_size)?;
    stream.flow(direction, |flow| {
        let body = flow.body.as_mut().ok_or(Status::BadArgument)?;
        if body.len() + with.len() > MOST_WRITTEN {
            return Err(Status::InternalFailure.into());
        }
        if start == 0 {
            body.replace_front((size as usize).min(body.len()), with);
        } else if start as usize >= body.len() {
            body.append(with);
        } else {
            return Err(Status::BadArgument.into());
        }
        Ok(())
    })
}

/// `proxy_get_configuration(**data, *size)` of ABI 0.1.0.
pub(crate) fn get_configuration(host: &mut Host<'_>, data_out: u32, size_out: u32) -> Answer {
    let configuration = host.state().identity.configuration.clone();
    host.return_bytes(&configuration, data_out, size_out)
}

/// Looks at a buffer while guest memory can be written. `act` may re-enter the guest's allocator only, which has no
/// way to a buffer.
fn with_buffer<R>(host: &mut Host<'_>, buffer: BufferType, act: impl FnOnce(&mut Host<'_>, Option<&[u8]>) -> R) -> R {
    if let Some((protocol, direction)) = passing(buffer) {
        return with_body(host, protocol, direction, act);
    }
    match buffer {
        BufferType::HttpCallResponseBody => {
            let answer = host.state().answer.clone();
            act(host, answer.as_deref().and_then(|answer| answer.body()))
        }
        BufferType::VmConfiguration => {
            let bytes = host.state().identity.vm_configuration.clone();
            act(host, Some(&bytes))
        }
        BufferType::PluginConfiguration => {
            let bytes = host.state().identity.configuration.clone();
            act(host, Some(&bytes))
        }
        BufferType::GrpcCallMessage => {
            let event = host.state().grpc_event.clone();
            act(host, event.as_deref().and_then(|event| event.message()))
        }
        _ => act(host, None),
    }
}

/// Of which streams a buffer is a part, and what passes through it.
fn passing(buffer: BufferType) -> Option<(Protocol, Direction)> {
    match buffer {
        BufferType::RequestBody => Some((Protocol::Http, Direction::Request)),
        BufferType::ResponseBody => Some((Protocol::Http, Direction::Response)),
        BufferType::DownstreamData => Some((Protocol::Tcp, Direction::Request)),
        BufferType::UpstreamData => Some((Protocol::Tcp, Direction::Response)),
        _ => None,
    }
}

fn with_body<R>(
    host: &mut Host<'_>,
    protocol: Protocol,
    direction: Direction,
    act: impl FnOnce(&mut Host<'_>, Option<&[u8]>) -> R,
) -> R {
    let stream = host
        .stream()
        .filter(|stream| stream.exchange.borrow().protocol == protocol);
    let Some(stream) = stream else {
        return act(host, None);
    };
    // Lent out and put back: no borrow is held while the guest's allocator runs.
    let body = stream.flow(direction, |flow| flow.body.take());
    let result = act(host, body.as_ref().map(BodyBuffer::bytes));
    put_back(&stream, direction, body);
    result
}

fn put_back(stream: &Rc<StreamContext>, direction: Direction, body: Option<BodyBuffer>) {
    stream.flow(direction, |flow| flow.body = body);
}
