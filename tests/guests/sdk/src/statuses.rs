//! What each function answers in each callback, also where it makes no sense. The SDK would end the VM at many an answer,
//! so the functions are called as the ABI has them.

#![expect(unsafe_code, reason = "the functions of the ABI, with good pointers")]

use std::{fmt::Write as _, ptr::null_mut, time::Duration};

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};

use crate::{case::note, http_call};

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, text: *const u8, size: usize) -> u32;
    fn proxy_get_header_map_size(map: u32, size: *mut usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(map: u32, k: *const u8, ks: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_add_header_map_value(map: u32, k: *const u8, ks: usize, v: *const u8, vs: usize) -> u32;
    fn proxy_replace_header_map_value(map: u32, k: *const u8, ks: usize, v: *const u8, vs: usize) -> u32;
    fn proxy_remove_header_map_value(map: u32, k: *const u8, ks: usize) -> u32;
    fn proxy_get_buffer_status(buffer: u32, size: *mut usize, flags: *mut u32) -> u32;
    fn proxy_get_buffer_bytes(buffer: u32, start: usize, most: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_buffer_bytes(buffer: u32, start: usize, size: usize, data: *const u8, len: usize) -> u32;
    fn proxy_get_property(path: *const u8, ps: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, ps: usize, data: *const u8, size: usize) -> u32;
    fn proxy_set_effective_context(id: u32) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_close_stream(stream: u32) -> u32;
    fn proxy_done() -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_increment_metric(id: u32, value: i64) -> u32;
    fn proxy_get_metric(id: u32, value: *mut u64) -> u32;
    fn proxy_grpc_send(id: u32, data: *const u8, size: usize, end: u32) -> u32;
    fn proxy_grpc_cancel(id: u32) -> u32;
    fn proxy_grpc_close(id: u32) -> u32;
    fn proxy_get_status(code: *mut u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_shared_data(k: *const u8, ks: usize, v: *const u8, vs: usize, cas: u32) -> u32;
    fn proxy_get_shared_data(k: *const u8, ks: usize, data: *mut *mut u8, size: *mut usize, cas: *mut u32) -> u32;
    fn proxy_resolve_shared_queue(vm: *const u8, vs: usize, name: *const u8, ns: usize, id: *mut u32) -> u32;
    fn proxy_dequeue_shared_queue(id: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        ns: usize,
        data: *const u8,
        size: usize,
        answer: *mut *mut u8,
        answer_size: *mut usize,
    ) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cs: usize,
        headers: *const u8,
        hs: usize,
        body: *const u8,
        bs: usize,
        trailers: *const u8,
        ts: usize,
        timeout: u32,
        id: *mut u32,
    ) -> u32;
}

/// Room for what is handed out.
struct Out {
    data: *mut u8,
    size: usize,
    number: u32,
    wide: u64,
}

/// Notes all of them: `callback|function answer function answer …`. `own`: the context of the exchange.
pub fn tried(callback: &str, own: u32) {
    let mut line = format!("{callback}|");
    let mut out = Out {
        data: null_mut(),
        size: 0,
        number: 0,
        wide: 0,
    };
    let mut say = |name: &str, status: u32| {
        let _written = write!(line, "{name} {status} ");
    };
    // SAFETY: every pointer is to something alive of the size that is given.
    unsafe {
        for map in [0, 1, 2, 3, 4, 5, 6, 7, 8, 99] {
            say(
                &format!("map{map}.size"),
                proxy_get_header_map_size(map, &raw mut out.size),
            );
            let pairs = proxy_get_header_map_pairs(map, &raw mut out.data, &raw mut out.size);
            say(&format!("map{map}.pairs"), pairs);
            let get = |key: &str, out: &mut Out| {
                proxy_get_header_map_value(map, key.as_ptr(), key.len(), &raw mut out.data, &raw mut out.size)
            };
            say(&format!("map{map}.get"), get("x-missing", &mut out));
            say(&format!("map{map}.get-empty"), get("", &mut out));
            let (key, value) = ("x-tried", "1");
            let (k, ks, v, vs) = (key.as_ptr(), key.len(), value.as_ptr(), value.len());
            say(&format!("map{map}.add"), proxy_add_header_map_value(map, k, ks, v, vs));
            say(
                &format!("map{map}.replace"),
                proxy_replace_header_map_value(map, k, ks, v, vs),
            );
            say(&format!("map{map}.remove"), proxy_remove_header_map_value(map, k, ks));
        }
        for buffer in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] {
            let status = proxy_get_buffer_status(buffer, &raw mut out.size, &raw mut out.number);
            say(&format!("buffer{buffer}.status"), status);
            for (start, most) in [(0, 4), (1, 0), (1000, 4), (2, usize::MAX)] {
                let got = proxy_get_buffer_bytes(buffer, start, most, &raw mut out.data, &raw mut out.size);
                say(&format!("buffer{buffer}.get({start},{most})"), got);
            }
            for (start, size) in [(0, 0), (1, 1), (0, 1), (2, 1000), (usize::MAX, 0), (3, 0)] {
                let text = "x";
                let set = proxy_set_buffer_bytes(buffer, start, size, text.as_ptr(), text.len());
                say(&format!("buffer{buffer}.set({start},{size})"), set);
            }
        }
        for path in [
            "",
            "\0",
            "request",
            "request\0",
            "request\0headers\0",
            "request\0path\0x",
            "response\0code\0",
            "nonsense",
            "connection\0id",
            "source\0",
            "upstream\0nonsense",
            "plugin_name",
            "plugin_name\0x",
            "filter_state",
            "filter_state\0wasm.none",
            "metadata\0none",
            "xds\0",
            "xds\0none",
            "node\0id",
            "listener_direction",
        ] {
            let got = proxy_get_property(path.as_ptr(), path.len(), &raw mut out.data, &raw mut out.size);
            say(&format!("get_property({})", path.replace('\0', ".")), got);
        }
        for path in ["", "own.x", "request\0path"] {
            let set = proxy_set_property(path.as_ptr(), path.len(), "v".as_ptr(), 1);
            say(&format!("set_property({})", path.replace('\0', ".")), set);
        }
        for stream in [2, 3, 4, 99] {
            say(&format!("continue({stream})"), proxy_continue_stream(stream));
        }
        for stream in [4, 99] {
            say(&format!("close({stream})"), proxy_close_stream(stream));
        }
        say("done", proxy_done());
        say("log(9)", proxy_log(9, "x".as_ptr(), 1));
        for kind in [0, 1, 2, 3, 99] {
            let name = format!("tried.{kind}");
            let defined = proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut out.number);
            say(&format!("define({kind})"), defined);
        }
        let name = "tried.0";
        say(
            "define(other)",
            proxy_define_metric(1, name.as_ptr(), name.len(), &raw mut out.number),
        );
        say(
            "define()",
            proxy_define_metric(0, name.as_ptr(), 0, &raw mut out.number),
        );
        // The low bits tell the kind. Those of others in this VM are left alone.
        for id in [4_000_000, 4_000_001, 4_000_002, 4_000_003] {
            say(&format!("record({id})"), proxy_record_metric(id, 1));
            say(&format!("increment({id})"), proxy_increment_metric(id, 1));
            say(&format!("metric({id})"), proxy_get_metric(id, &raw mut out.wide));
        }
        for id in [4_000_000, 4_000_001, 4_000_002, 4_000_003] {
            say(&format!("grpc_send({id})"), proxy_grpc_send(id, "x".as_ptr(), 1, 1));
            say(&format!("grpc_cancel({id})"), proxy_grpc_cancel(id));
            say(&format!("grpc_close({id})"), proxy_grpc_close(id));
        }
        let status = proxy_get_status(&raw mut out.number, &raw mut out.data, &raw mut out.size);
        say("get_status", status);
        for key in ["", "tried"] {
            let (k, ks) = (key.as_ptr(), key.len());
            let set = proxy_set_shared_data(k, ks, "v".as_ptr(), 1, 0);
            say(&format!("set_data({key})"), set);
            let wrong = proxy_set_shared_data(k, ks, "v".as_ptr(), 1, 4_000_000);
            say(&format!("set_data({key},cas)"), wrong);
            let got = proxy_get_shared_data(k, ks, &raw mut out.data, &raw mut out.size, &raw mut out.number);
            say(&format!("get_data({key})"), got);
        }
        for (vm, name) in [("phases", "jobs"), ("", "jobs"), ("phases", ""), ("other", "jobs")] {
            let found =
                proxy_resolve_shared_queue(vm.as_ptr(), vm.len(), name.as_ptr(), name.len(), &raw mut out.number);
            say(&format!("resolve({vm},{name})"), found);
        }
        say(
            "dequeue",
            proxy_dequeue_shared_queue(4_000_000, &raw mut out.data, &raw mut out.size),
        );
        let foreign = |name: &str, data: &str, out: &mut Out| {
            let (n, ns, d, ds) = (name.as_ptr(), name.len(), data.as_ptr(), data.len());
            proxy_call_foreign_function(n, ns, d, ds, &raw mut out.data, &raw mut out.size)
        };
        for (name, data) in [
            ("", ""),
            ("none", "x"),
            ("compress", ""),
            ("uncompress", ""),
            ("uncompress", "x"),
            ("clear_route_cache", "x"),
            ("set_envoy_filter_state", ""),
            ("set_envoy_filter_state", "\u{7f}"),
            ("declare_property", "x"),
            ("verify_signature", ""),
            ("verify_signature", "\u{7f}"),
        ] {
            say(
                &format!("foreign({name},{})", data.len()),
                foreign(name, data, &mut out),
            );
        }
        // :method GET, :path /, :authority a
        let head = b"\x03\0\0\0\x07\0\0\0\x03\0\0\0\x05\0\0\0\x01\0\0\0\x0a\0\0\0\x01\0\0\0:method\0GET\0:path\0/\0:authority\0a\0";
        let call = |cluster: &str, head: &[u8], timeout: u32, out: &mut Out| {
            let (c, cs, h, hs) = (cluster.as_ptr(), cluster.len(), head.as_ptr(), head.len());
            let none = c;
            proxy_http_call(c, cs, h, hs, none, 0, none, 0, timeout, &raw mut out.number)
        };
        say("http_call(unknown)", call("unknown", head, 100, &mut out));
        say("http_call(empty)", call("directory", &[], 100, &mut out));
        say("http_call(nonsense)", call("directory", b"abc", 100, &mut out));
        say("http_call(cut)", call("directory", &head[..40], 100, &mut out));
        say("http_call()", call("", head, 100, &mut out));
        for (name, id) in [("0", 0), ("gone", 4_000_000), ("own", own)] {
            say(&format!("effective({name})"), proxy_set_effective_context(id));
        }
    }
    note(&line);
}

/// Goes on with what has ended. (A local response from `proxy_on_log` ends Envoy itself: its log asks the plugin again.)
fn too_late(callback: &str) {
    // SAFETY: numbers alone.
    let (first, second) = unsafe { (proxy_continue_stream(0), proxy_continue_stream(1)) };
    note(&format!("{callback}|continue(0) {first} continue(1) {second} "));
}

pub struct Statuses(pub u32);

impl Context for Statuses {
    fn on_http_call_response(&mut self, _: u32, headers: usize, _: usize, _: usize) {
        if headers > 0 && self.get_http_call_response_header("x-up").is_some() {
            tried("http_call_response", self.0);
            self.resume_http_request();
        }
    }

    fn on_done(&mut self) -> bool {
        tried("done", self.0);
        too_late("done");
        true
    }
}

impl HttpContext for Statuses {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        tried("request_headers", self.0);
        match http_call::ask(self, "directory", "/answer", Duration::from_secs(10)) {
            Ok(_) => Action::Pause,
            Err(_) => Action::Continue,
        }
    }

    fn on_http_request_body(&mut self, _: usize, end: bool) -> Action {
        tried(if end { "request_body" } else { "request_body, a part" }, self.0);
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        tried("request_trailers", self.0);
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        tried("response_headers", self.0);
        Action::Continue
    }

    fn on_http_response_body(&mut self, _: usize, end: bool) -> Action {
        tried(if end { "response_body" } else { "response_body, a part" }, self.0);
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        tried("response_trailers", self.0);
        Action::Continue
    }

    fn on_log(&mut self) {
        tried("log", self.0);
        too_late("log");
    }
}

/// The SDK drops a context in `proxy_on_delete`.
impl Drop for Statuses {
    fn drop(&mut self) {
        tried("delete", self.0);
        too_late("delete");
        note("the end");
    }
}
