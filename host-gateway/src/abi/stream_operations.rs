//! Going on with a stream that was paused, and closing one.

use super::failure::{Answer, Status};
use super::types::Direction;
use crate::stream::exchange::Protocol;
use crate::vm::memory::Host;

/// `proxy_continue_stream(stream_type)`: the stream goes on after the callback has returned.
pub(crate) fn continue_stream(host: &mut Host<'_>, stream_type: u32) -> Answer {
    let direction = passing(host, stream_type)?;
    resume(host, direction);
    Ok(())
}

/// `proxy_close_stream(stream_type)`: the exchange or connection ends after the callback has returned.
pub(crate) fn close_stream(host: &mut Host<'_>, stream_type: u32) -> Answer {
    passing(host, stream_type)?;
    if let Some(stream) = host.stream() {
        let mut exchange = stream.exchange.borrow_mut();
        exchange.reset = true;
        exchange.wake();
    }
    Ok(())
}

/// The direction that a `proxy_stream_type_t` names. An exchange has no connection to go on with or to close, and a
/// connection no request and no response: `UNIMPLEMENTED`. In the root context nothing happens.
fn passing(host: &Host<'_>, stream_type: u32) -> Result<Direction, Status> {
    let (protocol, direction) = match stream_type {
        0 => (Protocol::Http, Direction::Request),
        1 => (Protocol::Http, Direction::Response),
        2 => (Protocol::Tcp, Direction::Request),
        3 => (Protocol::Tcp, Direction::Response),
        _ => return Err(Status::BadArgument),
    };
    match host.stream() {
        Some(stream) if stream.exchange.borrow().protocol != protocol => Err(Status::Unimplemented),
        _ => Ok(direction),
    }
}

/// `proxy_continue_request()` of ABI 0.1.0.
pub(crate) fn continue_request(host: &mut Host<'_>) -> Answer {
    resume(host, Direction::Request);
    Ok(())
}

/// `proxy_continue_response()` of ABI 0.1.0.
pub(crate) fn continue_response(host: &mut Host<'_>) -> Answer {
    resume(host, Direction::Response);
    Ok(())
}

/// `proxy_clear_route_cache()` of ABI 0.1.0: the route is chosen after the plugins anyway.
#[expect(clippy::unnecessary_wraps, reason = "every row of the table returns an answer")]
pub(crate) fn clear_route_cache(_host: &mut Host<'_>) -> Answer {
    Ok(())
}

fn resume(host: &Host<'_>, direction: Direction) {
    if let Some(stream) = host.stream() {
        stream.flow(direction, |flow| flow.resumed = true);
        stream.exchange.borrow_mut().wake();
    }
}
