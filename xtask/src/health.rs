//! Is a program up? Its readiness over plain HTTP, and waiting for it.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Result, bail};

use crate::{clock, program::Program};

/// The status that `GET path` on this port answers.
///
/// # Errors
/// When nothing listens there, or what answers is not HTTP/1.1.
pub fn status(port: u16, path: &str) -> io::Result<u16> {
    let mut stream =
        TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n"
    )?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    std::str::from_utf8(&head)
        .ok()
        .and_then(|head| head.strip_prefix("HTTP/1.1 "))
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP/1.1 answer"))
}

/// Waits until `GET path` on this port of the program answers the status.
///
/// # Errors
/// When the program ends before, or the time is over, each with the end of its log; or when `stop` is set.
pub fn wait(
    program: &mut Program,
    port: u16,
    path: &str,
    wanted: u16,
    at_most: Duration,
    stop: &AtomicBool,
) -> Result<()> {
    let deadline = clock::now() + at_most;
    loop {
        let last = status(port, path);
        if last.as_ref().is_ok_and(|status| *status == wanted) {
            return Ok(());
        }
        if stop.load(Ordering::Relaxed) {
            bail!("stopped while waiting for {}", program.name);
        }
        if let Some(exit) = program.exited() {
            bail!(
                "{} ended ({exit}); the end of {}:\n{}",
                program.name,
                program.log.display(),
                program.log_tail(15)
            );
        }
        if clock::now() > deadline {
            let last = last.map_or_else(|error| error.to_string(), |status| format!("status {status}"));
            bail!(
                "{}: no {wanted} from port {port} {path} within {at_most:?}, last: {last}; the end of {}:\n{}",
                program.name,
                program.log.display(),
                program.log_tail(15)
            );
        }
        thread::sleep(Duration::from_millis(20));
    }
}
