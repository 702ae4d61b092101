//! Going on with a stream that was paused, and closing one.

use super::failure::{Answer, Status};
use super::types::Direction;
use crate::vm::memory::Host;

/// `proxy_continue_stream(stream_type)`: the stream goes on after the callback has returned.
pub(crate) fn continue_stream(host: &mut Host<'_>, stream_type: u32) -> Answer {
    match stream_type {
        0 => resume(host, Direction::Request),
        1 => resume(host, Direction::Response),
        2 | 3 => return Err(Status::Unimplemented.into()),
        _ => return Err(Status::BadArgument.into()),
    }
    Ok(())
}

/// `proxy_close_stream(stream_type)`: the exchange ends after the callback has returned.
pub(crate) fn close_stream(host: &mut Host<'_>, stream_type: u32) -> Answer {
    match stream_type {
        0 | 1 => {}
        2 | 3 => return Err(Status::Unimplemented.into()),
        _ => return Err(Status::BadArgument.into()),
    }
    if let Some(stream) = host.stream() {
        let mut exchange = stream.exchange.borrow_mut();
        exchange.reset = true;
        exchange.wake();
    }
    Ok(())
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
