//! Lines on standard output.

use std::fmt;
use std::io::{self, Write};

/// Writes one line. Who stops reading early, as `head` does, has read enough: then the rest is not written.
pub fn line(text: impl fmt::Display) -> Result<(), String> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| format!("cannot write to standard output: {error}")),
    }
}
