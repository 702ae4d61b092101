//! The host's clock. The crate makes a date of it and we a number again; a request asks for it each time.

#![expect(unsafe_code, reason = "a host call with an out-pointer")]

use proxy_wasm::types::Status;

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    // The status as a number: not every host keeps to those that the crate knows.
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
}

/// Nanoseconds since the Unix epoch; `None` when the host does not tell.
pub fn read() -> Option<u64> {
    let mut time = 0;
    // SAFETY: the out-pointer is valid for the call.
    let status = unsafe { proxy_get_current_time_nanoseconds(&raw mut time) };
    (status == Status::Ok as u32).then_some(time)
}

/// Unix milliseconds. Without a clock it is the end of time: everything has expired, and is refused.
pub fn now() -> u64 {
    millis(read())
}

/// What [`now`] makes of a clock.
pub fn millis(clock: Option<u64>) -> u64 {
    clock.map_or(u64::MAX, |nanoseconds| nanoseconds / NANOSECONDS_PER_MILLISECOND)
}
