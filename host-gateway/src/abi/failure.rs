//! How a host function ends when it does not succeed: a status for the guest, or the end of the VM.

use std::fmt;

use super::types::Phase;

/// What a host function returns to its row of the table.
pub(crate) type Answer = Result<(), Failure>;

/// `proxy_status_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Status {
    NotFound = 1,
    BadArgument = 2,
    SerializationFailure = 3,
    ParseFailure = 4,
    InvalidMemoryAccess = 6,
    Empty = 7,
    CasMismatch = 8,
    InternalFailure = 10,
    BrokenConnection = 11,
    Unimplemented = 12,
}

/// The few WASI error numbers we answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Errno {
    BadFileDescriptor = 8,
    Fault = 21,
    InvalidArgument = 28,
    NoSuchFunction = 52,
    NotSupported = 58,
    NotCapable = 76,
}

/// Why a host function did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The guest is told and goes on.
    Code(u32),
    /// The guest named memory it does not have. It is told, in the words of the interface it used.
    OutsideMemory,
    /// The guest is not asked again: its VM is poisoned.
    Unwind(Unwind),
}

/// Why a VM ends in the middle of a host function.
#[derive(Debug)]
pub(crate) enum Unwind {
    /// The guest's allocator failed, or pointed outside of its memory.
    BadAllocation { address: u32, size: usize },
    /// A function called while the guest may not call it.
    Forbidden { function: &'static str, phase: Phase },
    /// `proc_exit`.
    Exit { code: u32 },
    /// The allocator trapped.
    Guest(wasmtime::Error),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Code(status as u32)
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Code(errno as u32)
    }
}

impl From<Unwind> for Failure {
    fn from(unwind: Unwind) -> Self {
        Self::Unwind(unwind)
    }
}

/// The value a host function returns to the guest, or the error that unwinds it. `fault` is the interface's word for
/// memory that the guest does not have.
pub(crate) fn to_guest(answer: Answer, fault: u32) -> wasmtime::Result<u32> {
    match answer {
        Ok(()) => Ok(0),
        Err(Failure::Code(code)) => Ok(code),
        Err(Failure::OutsideMemory) => Ok(fault),
        Err(Failure::Unwind(Unwind::Guest(trap))) => Err(trap),
        Err(Failure::Unwind(unwind)) => Err(wasmtime::Error::new(unwind)),
    }
}

impl std::error::Error for Unwind {}

impl fmt::Display for Unwind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadAllocation { address: 0, size } => write!(f, "its allocator gave no memory for {size} bytes"),
            Self::BadAllocation { address, size } => {
                write!(
                    f,
                    "its allocator gave {size} bytes at {address}, which is outside of its memory"
                )
            }
            Self::Forbidden {
                function,
                phase: Phase::Allocating,
            } => write!(f, "it called {function} in its allocator"),
            Self::Forbidden { function, .. } => write!(f, "it called {function} before it was started"),
            Self::Exit { code } => write!(f, "it called proc_exit({code})"),
            Self::Guest(error) => write!(f, "{error}"),
        }
    }
}
