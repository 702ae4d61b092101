//! The request headers in one host call, read in place: names and values are slices of the block that the host wrote.

use proxy_wasm::types::{MapType, Status};

/// A header map as proxy-wasm serialises it: `u32 count`, then `count × (u32 name, u32 value)` lengths, then the bytes,
/// each followed by a NUL; all little-endian.
pub struct Headers {
    block: Vec<u8>,
}

impl Headers {
    /// Those of the request in the effective context; `None` when the host cannot give them.
    pub fn of_request() -> Option<Self> {
        host::header_map_pairs(MapType::HttpRequestHeaders).map(|block| Self { block })
    }

    /// Names and values in order, pseudo-headers included. A block that is cut short ends early, without its rest.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let count = read_u32(&self.block, 0).unwrap_or(0);
        let mut sizes = 4usize;
        let mut data = count.saturating_mul(8).saturating_add(4);
        (0..count).map_while(move |_| {
            let name_len = read_u32(&self.block, sizes)?;
            let value_len = read_u32(&self.block, sizes.saturating_add(4))?;
            sizes = sizes.saturating_add(8);
            let name = self.block.get(data..data.saturating_add(name_len))?;
            data = data.saturating_add(name_len).saturating_add(1);
            let value = self.block.get(data..data.saturating_add(value_len))?;
            data = data.saturating_add(value_len).saturating_add(1);
            Some((name, value))
        })
    }
}

fn read_u32(block: &[u8], at: usize) -> Option<usize> {
    let bytes = block.get(at..at.saturating_add(4))?;
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

/// The crate's own getter makes a `String` and a `Vec` of every header; this one hands the block over as it is.
mod host {
    #![expect(
        unsafe_code,
        reason = "a host call, and taking over the buffer that the host had our allocator make"
    )]

    use super::{MapType, Status};

    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        fn proxy_get_header_map_pairs(map: MapType, return_data: *mut *mut u8, return_size: *mut usize) -> Status;
    }

    pub fn header_map_pairs(map: MapType) -> Option<Vec<u8>> {
        let mut data = std::ptr::null_mut();
        let mut size = 0;
        // SAFETY: both out-pointers are valid for the call; the host writes an address and a length, or fails.
        let status = unsafe { proxy_get_header_map_pairs(map, &raw mut data, &raw mut size) };
        if status != Status::Ok || data.is_null() {
            return None;
        }
        // SAFETY: the host got `data` from `proxy_on_memory_allocate(size)`, which leaks a boxed slice of exactly `size`
        // bytes, and filled it; nobody else owns it.
        Some(unsafe { Vec::from_raw_parts(data, size, size) })
    }
}
