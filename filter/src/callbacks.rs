//! The callbacks that a host finds, where the crate's own would cost: those that it makes for every request.
//!
//! The crate keeps an object for each stream, from `proxy_on_context_create` to `proxy_on_delete`. A host enters the VM for
//! both, and looks the object up in between, although all that a decision needs belongs to the root context. Here a stream
//! is a number. `cargo xtask filter` exports these functions under their names in the ABI (`postern_on_…` as
//! `proxy_on_…`), in place of the crate's, and does not export `proxy_on_delete`; everything that is not called for each
//! request still goes through the crate.
//!
//! What is told of a stream's end in other filters is not needed: a stream that waits and is gone is noticed when it
//! would be resumed, and before many wait ([`postern_access::waiting::Waiting::forget_gone`]). Root contexts that are gone
//! are looked for on the ticks of the others.

#![expect(
    unsafe_code,
    reason = "names that a host looks up, and the crate's own callbacks behind them"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{Action, MapType};

use crate::gate::Shared;
use crate::stream;

thread_local! {
    static ROOTS: RefCell<Roots> = const {
        RefCell::new(Roots { contexts: Vec::new(), streams: BTreeMap::new(), lost: 0 })
    };
}

/// The root contexts of this VM. Hosts put plugins with the same code into one VM; when a configuration changes, the old
/// root context lives on beside the new one until its last stream has ended.
struct Roots {
    /// By context id, in the order in which they came. `None`: not configured, or its configuration was refused.
    contexts: Vec<(u32, Option<Shared>)>,
    /// The root contexts of streams whose headers have not come yet, but for those of the first root context.
    streams: BTreeMap<u32, u32>,
    /// Of streams up to this one, some were too many for [`Self::streams`]; ids only grow.
    lost: u32,
}

/// More streams than this cannot be between their creation and their headers; of a host that creates
/// them and never shows their headers, the oldest are refused.
const MOST_STREAMS: usize = 65_536;

/// Makes the gate known to the streams of a root context. False: nobody has told these callbacks of that context, because
/// they are not exported under their names in the ABI.
pub fn configured(root: u32, gate: &Shared) -> bool {
    ROOTS.with_borrow_mut(|roots| {
        let mut known = roots.contexts.iter_mut().filter(|(id, _)| *id == root).peekable();
        let created = known.peek().is_some();
        for (_, known) in known {
            *known = Some(gate.clone());
        }
        created
    })
}

#[unsafe(no_mangle)]
extern "C" fn postern_on_context_create(context: u32, parent: u32) {
    if parent == 0 {
        ROOTS.with_borrow_mut(|roots| roots.contexts.push((context, None)));
        // SAFETY: the crate's callback, with the host's arguments.
        unsafe { sdk::proxy_on_context_create(context, parent) };
    } else {
        ROOTS.with_borrow_mut(|roots| roots.created(context, parent));
    }
}

#[unsafe(no_mangle)]
extern "C" fn postern_on_request_headers(context: u32, _: u32, _: u32) -> Action {
    let root = ROOTS.with_borrow_mut(|roots| roots.root_of(context));
    ROOTS.with_borrow(|roots| stream::request_headers(roots.gate(root), context))
}

/// Some upstreams merge trailers into the headers: there too, identity comes from nobody but us.
#[unsafe(no_mangle)]
extern "C" fn postern_on_request_trailers(_: u32, _: u32) -> Action {
    let map = MapType::HttpRequestTrailers;
    ROOTS.with_borrow(|roots| {
        for (name, _) in hostcalls::get_map_bytes(map).unwrap_or_default() {
            // Whose stream it is does not matter: what one plugin of this VM calls identity, no client says to another.
            if roots
                .gates()
                .any(|gate| gate.borrow().policy.is_identity(name.as_bytes()))
            {
                let _ = hostcalls::remove_map_value(map, &name);
            }
        }
    });
    Action::Continue
}

#[unsafe(no_mangle)]
extern "C" fn postern_on_tick(root: u32) {
    // SAFETY: the crate's callback, with the host's argument.
    unsafe { sdk::proxy_on_tick(root) };
    let others: Vec<u32> = ROOTS.with_borrow(|roots| roots.ids().filter(|id| *id != root).collect());
    for other in others {
        if hostcalls::set_effective_context(other).is_err() {
            ROOTS.with_borrow_mut(|roots| roots.contexts.retain(|(id, _)| *id != other));
            // SAFETY: the crate's callback; the context was created, and is deleted once, as it is in the list no more.
            unsafe { sdk::proxy_on_delete(other) };
        }
    }
}

impl Roots {
    /// A stream began. Only those of later root contexts need a note.
    fn created(&mut self, stream: u32, root: u32) {
        if self.contexts.first().is_some_and(|(first, _)| *first == root) {
            return;
        }
        if self.streams.len() >= MOST_STREAMS {
            self.lost = self
                .streams
                .pop_first()
                .map_or(self.lost, |(stream, _)| stream.max(self.lost));
        }
        self.streams.insert(stream, root);
    }

    /// The root context of a stream whose headers came; `None` if that cannot be said any more.
    fn root_of(&mut self, stream: u32) -> Option<u32> {
        let noted = if self.streams.is_empty() {
            None
        } else {
            self.streams.remove(&stream)
        };
        let first = if stream > self.lost { self.ids().next() } else { None };
        noted.or(first)
    }

    fn gate(&self, root: Option<u32>) -> Option<&Shared> {
        let found = self.contexts.iter().find(|(id, _)| Some(*id) == root);
        found.and_then(|(_, gate)| gate.as_ref())
    }

    fn ids(&self) -> impl Iterator<Item = u32> {
        self.contexts.iter().map(|(id, _)| *id)
    }

    fn gates(&self) -> impl Iterator<Item = &Shared> {
        self.contexts.iter().filter_map(|(_, gate)| gate.as_ref())
    }
}

/// The crate's callbacks, which are linked into the same module.
mod sdk {
    unsafe extern "C" {
        pub fn proxy_on_context_create(context: u32, parent: u32);
        pub fn proxy_on_tick(root: u32);
        pub fn proxy_on_delete(context: u32);
    }
}
