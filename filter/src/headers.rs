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
        let (count, rest) = self.block.split_first_chunk().unwrap_or((&[0; 4], &[]));
        let sizes = usize::try_from(u32::from_le_bytes(*count)).map_or(0, |count| count.saturating_mul(8));
        let (sizes, mut data) = rest.split_at_checked(sizes).unwrap_or_default();
        sizes
            .as_chunks::<8>()
            .0
            .iter()
            .map_while(move |[a, b, c, d, value_size @ ..]| {
                let name = take(&mut data, [*a, *b, *c, *d])?;
                let value = take(&mut data, *value_size)?;
                Some((name, value))
            })
    }
}

/// The next text of this size; the NUL behind it is left out.
fn take<'a>(data: &mut &'a [u8], size: [u8; 4]) -> Option<&'a [u8]> {
    let (text, rest) = data.split_at_checked(usize::try_from(u32::from_le_bytes(size)).ok()?)?;
    *data = rest.get(1..).unwrap_or_default();
    Some(text)
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
