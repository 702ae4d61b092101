//! The part of WASI preview 1 that guests' language runtimes need: two output streams, clocks, randomness. There are
//! no files and no arguments, and of the environment only what the plugin's configuration gives.

use std::sync::Arc;

use super::clocks_and_timers::nanoseconds;
use super::failure::{Answer, Errno, Unwind};
use super::logging::{self, Output};
use crate::clock;
use crate::vm::memory::Host;

/// Most parts of one write.
const MOST_PARTS: u32 = 1024;

/// Most bytes of randomness for one call.
const MOST_RANDOM: u32 = 64 << 10;

/// `fd_write(fd, iovs, iovs_len, *written)`: standard output is logged as info, standard error as error. What ends with a
/// newline is one message with all that came before it: some runtimes write letter by letter.
pub(crate) fn fd_write(host: &mut Host<'_>, fd: u32, iovs: u32, iovs_len: u32, written_out: u32) -> Answer {
    let output = match fd {
        1 => Output::Standard,
        2 => Output::Error,
        _ => return Err(Errno::BadFileDescriptor.into()),
    };
    if iovs_len > MOST_PARTS {
        return Err(Errno::InvalidArgument.into());
    }
    let (mut text, mut written) = (Vec::new(), 0_u32);
    for index in 0..iovs_len {
        let iov = iovs.wrapping_add(index.wrapping_mul(8));
        let (data, size) = (host.read_u32(iov)?, host.read_u32(iov.wrapping_add(4))?);
        let part = host.read(data, size)?;
        // The parts may be one and the same large memory: the guest's limit does not bound their sum.
        let room = logging::LONGEST_LINE.saturating_sub(text.len());
        text.extend_from_slice(&part[..part.len().min(room)]);
        written = written.wrapping_add(size);
    }
    host.write_u32(written_out, written)?;
    logging::print(host.state_mut(), output, &text);
    Ok(())
}

/// `fd_read(fd, iovs, iovs_len, *read)`: standard input is at its end.
pub(crate) fn fd_read(host: &mut Host<'_>, fd: u32, _iovs: u32, _iovs_len: u32, read_out: u32) -> Answer {
    match fd {
        0 => host.write_u32(read_out, 0),
        _ => Err(Errno::BadFileDescriptor.into()),
    }
}

/// `fd_close(fd)`.
pub(crate) fn fd_close(_host: &mut Host<'_>, _fd: u32) -> Answer {
    Err(Errno::BadFileDescriptor.into())
}

/// `fd_seek(fd, offset, whence, *position)`.
pub(crate) fn fd_seek(_host: &mut Host<'_>, _fd: u32, _offset: i64, _whence: u32, _out: u32) -> Answer {
    Err(Errno::BadFileDescriptor.into())
}

/// `fd_fdstat_get(fd, *stat)`: the three standard streams are character devices.
pub(crate) fn fd_fdstat_get(host: &mut Host<'_>, fd: u32, stat_out: u32) -> Answer {
    if fd > 2 {
        return Err(Errno::BadFileDescriptor.into());
    }
    let mut stat = [0; 24];
    stat[0] = 2;
    // The right to write; reading needs none of its own here.
    stat[8] = 0x40;
    host.write(stat_out, &stat)
}

/// `fd_fdstat_set_flags(fd, flags)`.
pub(crate) fn fd_fdstat_set_flags(_host: &mut Host<'_>, _fd: u32, _flags: u32) -> Answer {
    Err(Errno::NoSuchFunction.into())
}

/// `fd_prestat_get(fd, *prestat)`: no folder is open.
pub(crate) fn fd_prestat_get(_host: &mut Host<'_>, _fd: u32, _out: u32) -> Answer {
    Err(Errno::BadFileDescriptor.into())
}

/// `fd_prestat_dir_name(fd, path, path_len)`.
pub(crate) fn fd_prestat_dir_name(_host: &mut Host<'_>, _fd: u32, _path: u32, _size: u32) -> Answer {
    Err(Errno::BadFileDescriptor.into())
}

/// `clock_time_get(clock, precision, *time)`: 0 is the wall clock, 1 the monotonic one.
pub(crate) fn clock_time_get(host: &mut Host<'_>, clock: u32, _precision: u64, time_out: u32) -> Answer {
    let time = match clock {
        0 => clock::now(),
        1 => host.state().process.uptime(),
        _ => return Err(Errno::NotSupported.into()),
    };
    host.write_u64(time_out, nanoseconds(time))
}

/// `random_get(buffer, size)`.
#[expect(clippy::disallowed_methods, reason = "the edge where guests draw randomness")]
pub(crate) fn random_get(host: &mut Host<'_>, buffer: u32, size: u32) -> Answer {
    if size > MOST_RANDOM {
        return Err(Errno::InvalidArgument.into());
    }
    let target = host.bytes_mut(buffer, size as usize)?;
    getrandom::fill(target).map_err(|_| Errno::NotSupported.into())
}

/// `environ_sizes_get(*count, *size)`: the variables of the plugin's configuration, each closed by a NUL.
pub(crate) fn environ_sizes_get(host: &mut Host<'_>, count_out: u32, size_out: u32) -> Answer {
    let environment = &host.state().identity.environment;
    let count = environment.len() as u32;
    let size = environment.iter().map(|variable| variable.len() as u32 + 1).sum();
    host.check(size_out, 4)?;
    host.write_u32(count_out, count)?;
    host.write_u32(size_out, size)
}

/// `environ_get(**variables, *buffer)`: addresses of the variables, which stand in the buffer.
pub(crate) fn environ_get(host: &mut Host<'_>, addresses: u32, buffer: u32) -> Answer {
    let identity = Arc::clone(&host.state().identity);
    let (mut place, mut at) = (addresses, buffer);
    for variable in &identity.environment {
        host.write_u32(place, at)?;
        host.write(at, variable.as_bytes())?;
        // Both stay inside of memory, or the next write is refused.
        at = at.wrapping_add(variable.len() as u32);
        host.write(at, &[0])?;
        (place, at) = (place.wrapping_add(4), at.wrapping_add(1));
    }
    Ok(())
}

/// `args_sizes_get(*count, *size)`: there are none.
pub(crate) fn no_strings_sizes(host: &mut Host<'_>, count_out: u32, size_out: u32) -> Answer {
    host.write_u32(count_out, 0)?;
    host.write_u32(size_out, 0)
}

/// `args_get(**strings, *buffer)`.
#[expect(clippy::unnecessary_wraps, reason = "every row of the table returns an answer")]
pub(crate) fn no_strings(_host: &mut Host<'_>, _strings: u32, _buffer: u32) -> Answer {
    Ok(())
}

/// `poll_oneoff(subscriptions, events, count, *ready)`: a guest that wants to sleep is told that nothing happened.
pub(crate) fn poll_oneoff(host: &mut Host<'_>, _in: u32, _out: u32, _count: u32, ready_out: u32) -> Answer {
    host.write_u32(ready_out, 0)
}

/// `sched_yield()`.
#[expect(clippy::unnecessary_wraps, reason = "every row of the table returns an answer")]
pub(crate) fn sched_yield(_host: &mut Host<'_>) -> Answer {
    Ok(())
}

/// `proc_exit(code)`: a plugin that exits is a plugin that failed.
pub(crate) fn proc_exit(_host: &mut Host<'_>, code: u32) -> Answer {
    Err(Unwind::Exit { code }.into())
}
