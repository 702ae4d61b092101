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
        let block = host::header_map_pairs(MapType::HttpRequestHeaders)?;
        Some(Self { block })
    }

    /// What `read` makes of the names and values, in order, pseudo-headers included; `None` when a text is not there that
    /// the block speaks of: what is not seen would go on unseen.
    pub fn read<'a, R>(&'a self, read: impl FnOnce(&mut Pairs<'a>) -> R) -> Option<R> {
        let (count, rest) = self.block.split_first_chunk()?;
        let sizes = usize::try_from(u32::from_le_bytes(*count)).ok()?.checked_mul(8)?;
        let (sizes, data) = rest.split_at_checked(sizes)?;
        let mut pairs = Pairs {
            sizes: sizes.as_chunks::<8>().0.iter(),
            data: Some(data),
        };
        let what = read(&mut pairs);
        pairs.data.is_some().then_some(what)
    }
}

/// Names and values, up to where the block was cut.
pub struct Pairs<'a> {
    sizes: std::slice::Iter<'a, [u8; 8]>,
    /// What follows; `None`: less than a size said.
    data: Option<&'a [u8]>,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let &[a, b, c, d, ref value_size @ ..] = self.sizes.next()?;
        let data = self.data.take()?;
        let (name, data) = split(data, [a, b, c, d])?;
        let (value, data) = split(data, *value_size)?;
        self.data = Some(data);
        Some((name, value))
    }
}

/// The text of this size, and what follows the NUL behind it; the last NUL may be missing.
fn split(data: &[u8], size: [u8; 4]) -> Option<(&[u8], &[u8])> {
    let (text, rest) = data.split_at_checked(usize::try_from(u32::from_le_bytes(size)).ok()?)?;
    Some((text, rest.get(1..).unwrap_or_default()))
}

impl Drop for Headers {
    fn drop(&mut self) {
        host::give_back(std::mem::take(&mut self.block));
    }
}

/// The crate's own getter makes a `String` and a `Vec` of every header; this one hands the block over as it is. And as every
/// request needs one, for as long as it is decided, the same memory is lent to the host again and again.
mod host {
    #![expect(
        unsafe_code,
        reason = "a name that a host looks up, a host call, and a buffer that the host fills"
    )]

    use std::cell::{Cell, RefCell};

    use super::{MapType, Status};

    /// A larger block is not kept.
    const MOST_KEPT: usize = 64 * 1024;

    thread_local! {
        /// The next memory that the host asks for is for a block.
        static EXPECTED: Cell<bool> = const { Cell::new(false) };
        static BLOCK: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        fn proxy_get_header_map_pairs(map: MapType, return_data: *mut *mut u8, return_size: *mut usize) -> Status;
    }

    // The crate's allocator, which is linked into the same module.
    unsafe extern "C" {
        fn proxy_on_memory_allocate(size: usize) -> *mut u8;
    }

    /// What the host calls for memory to hand something over in.
    #[unsafe(no_mangle)]
    extern "C" fn postern_on_memory_allocate(size: usize) -> *mut u8 {
        if !EXPECTED.take() {
            // SAFETY: the crate's callback, with the host's argument.
            return unsafe { proxy_on_memory_allocate(size) };
        }
        BLOCK.with_borrow_mut(|block| {
            block.clear();
            block.reserve(size);
            block.as_mut_ptr()
        })
    }

    pub fn header_map_pairs(map: MapType) -> Option<Vec<u8>> {
        let mut data = std::ptr::null_mut();
        let mut size = 0;
        EXPECTED.set(true);
        // SAFETY: both out-pointers are valid for the call; the host writes an address and a length, or fails.
        let status = unsafe { proxy_get_header_map_pairs(map, &raw mut data, &raw mut size) };
        EXPECTED.set(false);
        let mut block = BLOCK.take();
        if status != Status::Ok || data != block.as_mut_ptr() || size > block.capacity() {
            return None;
        }
        // SAFETY: the host got this memory from `postern_on_memory_allocate` during the call, and filled so much of it, which
        // is not more than there is.
        unsafe { block.set_len(size) };
        Some(block)
    }

    /// Keeps the memory of a block for the next.
    pub fn give_back(block: Vec<u8>) {
        if block.capacity() <= MOST_KEPT {
            BLOCK.set(block);
        }
    }
}
