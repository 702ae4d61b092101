//! Foreign functions: what some hosts offer beyond the ABI.
//!
//! The crate's own call traps where a host answers with a status that it does not expect; a host that offers nothing of the
//! kind is fine with us.

#![expect(
    unsafe_code,
    reason = "a host call, and taking over the buffer that the host had our allocator make"
)]

use proxy_wasm::types::Status;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    // The status as a number: not every host keeps to those that the crate knows.
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        result: *mut *mut u8,
        result_size: *mut usize,
    ) -> u32;
}

/// `None`: the host has no such function, or did not take the arguments.
pub fn call(name: &str, arguments: &[u8]) -> Option<Vec<u8>> {
    let mut data = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: the slices are valid for the call, and so are both out-pointers.
    let status = unsafe {
        proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            arguments.as_ptr(),
            arguments.len(),
            &raw mut data,
            &raw mut size,
        )
    };
    if status != Status::Ok as u32 {
        return None;
    }
    if data.is_null() {
        return Some(Vec::new());
    }
    // SAFETY: the host got `data` from `proxy_on_memory_allocate(size)`, which leaks a boxed slice of exactly `size`
    // bytes, and filled it; nobody else owns it.
    Some(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// Whether the host has a cluster of this name. `None`: it does not tell; in Envoy, clusters may still come (CDS).
pub fn has_cluster(name: &str) -> Option<bool> {
    Some(call("has_cluster", name.as_bytes())? == [1])
}
