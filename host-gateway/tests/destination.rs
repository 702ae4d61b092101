//! What plugins know of where a request goes: route, cluster, and what the file says of them in `metadata`.

#[cfg(test)]
mod harness;

use harness::{Gateway, Upstream};

/// Shows what it reads as fields: of the request to the upstream, of the response to the client. A request for `/moved` is
/// sent to `/a` instead.
const GUEST: &str = r#"(module
  (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "xds\00route_name")
  (data (i32.const 32) "cluster_name")
  (data (i32.const 64) "xds\00route_metadata\00filter_metadata\00guest\00word")
  (data (i32.const 128) "cluster_metadata\00filter_metadata\00guest\00place")
  (data (i32.const 192) "request\00url_path")
  (data (i32.const 224) "x-routex-clusterx-wordx-place:path/a")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func $show (param $map i32) (param $path i32) (param $path_size i32) (param $name i32) (param $name_size i32)
    (if (i32.eqz (call $property (local.get $path) (local.get $path_size) (i32.const 8) (i32.const 12))) (then
      (drop (call $add (local.get $map) (local.get $name) (local.get $name_size)
        (i32.load (i32.const 8)) (i32.load (i32.const 12)))))))
  (func $all (param $map i32)
    (call $show (local.get $map) (i32.const 16) (i32.const 14) (i32.const 224) (i32.const 7))
    (call $show (local.get $map) (i32.const 32) (i32.const 12) (i32.const 231) (i32.const 9))
    (call $show (local.get $map) (i32.const 64) (i32.const 45) (i32.const 240) (i32.const 6))
    (call $show (local.get $map) (i32.const 128) (i32.const 44) (i32.const 246) (i32.const 7)))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (call $all (i32.const 0))
    (drop (call $property (i32.const 192) (i32.const 16) (i32.const 8) (i32.const 12)))
    (if (i32.eq (i32.load (i32.const 12)) (i32.const 6)) (then
      (drop (call $replace (i32.const 0) (i32.const 253) (i32.const 5) (i32.const 258) (i32.const 2)))))
    (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (call $all (i32.const 2))
    (i32.const 0)))"#;

#[test]
fn a_plugin_knows_route_and_cluster_from_the_request_on() {
    let upstream = Upstream::named("ok");
    let wasm = harness::folder().join("guest.wasm");
    std::fs::write(&wasm, wat::parse_str(GUEST).expect("the guest is no WAT")).expect("cannot write the guest");
    let gateway = Gateway::start(&format!(
        r#"
routes:
  - {{ prefix: /a, cluster: up, metadata: {{ filter_metadata: {{ guest: {{ word: alpha }} }} }} }}
  - {{ prefix: /, cluster: plain }}
clusters:
  up: {{ endpoints: ["{0}"], metadata: {{ filter_metadata: {{ guest: {{ place: here }} }} }} }}
  plain: {{ endpoints: ["{0}"] }}
plugins: [ {{ name: guest, wasm: "{1}" }} ]"#,
        upstream.address,
        wasm.display()
    ));
    let shown = |field: &dyn Fn(&str) -> Option<String>| {
        ["x-route", "x-cluster", "x-word", "x-place"].map(|name| field(name).unwrap_or_default())
    };
    for (path, asked, answered) in [
        ("/a/b", ["/a", "up", "alpha", "here"], ["/a", "up", "alpha", "here"]),
        ("/others", ["/", "plain", "", ""], ["/", "plain", "", ""]),
        // The route is found anew when a plugin changes the path.
        ("/moved", ["/", "plain", "", ""], ["/a", "up", "alpha", "here"]),
    ] {
        let answer = gateway.connect().get(path);
        assert_eq!(answer.status(), 200);
        let request = upstream.last();
        assert_eq!(shown(&|name| request.field(name).map(str::to_owned)), asked, "{path}");
        assert_eq!(shown(&|name| answer.field(name).map(str::to_owned)), answered, "{path}");
    }
}
