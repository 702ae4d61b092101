//! Header maps: reading, changing, and what is refused.

use http::{HeaderValue, Method, Request};

use crate::harness::*;

/// A callback for request headers.
fn on_request(body: &str) -> Vec<u8> {
    guest(&format!(
        r#"(func (export "proxy_on_request_headers") (param $id i32) (param $count i32) (param $end i32) (result i32)
             {body} (i32.const 0))"#
    ))
}

fn request_value(name: &str) -> String {
    format!(
        "(call $report (call $get_header_map_value (i32.const 0) {{{name}}} (i32.const 2000) (i32.const 2004)))
         (call $show)"
    )
}

#[test]
fn pseudo_headers_come_first_and_host_is_the_authority() {
    on_a_worker(async {
        let wasm = on_request(
            "(drop (call $get_header_map_pairs (i32.const 0) (i32.const 2000) (i32.const 2004))) (call $answer)",
        );
        let head = Request::get("/a?b=c")
            .header("x-a", "1")
            .header("host", "h:1")
            .header("x-a", "2")
            .body(())
            .unwrap();
        let verdict = open(&plugin(&wasm)).request_headers(head.into_parts().0, true).await;
        let pairs = pairs(&response(verdict).body);
        let names: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let pseudo = [
            (":authority", "h:1"),
            (":path", "/a?b=c"),
            (":method", "GET"),
            (":scheme", "http"),
        ];
        assert_eq!(names[..4], pseudo);
        assert_eq!(names[4..], [("x-a", "1"), ("x-a", "2")]);
    });
}

#[test]
fn the_count_and_the_size_are_those_of_the_pairs() {
    on_a_worker(async {
        let wasm = on_request(
            "(drop (call $get_header_map_size (i32.const 0) (i32.const 2000)))
             (call $show_number (local.get $count)) (call $show_number (i32.load (i32.const 2000)))",
        );
        let head = first_head(&wasm).await;
        // :authority example.com, :path /, :method GET, :scheme http; then those and `n: 00000004`, which came between.
        assert_eq!(values(&head.headers, "n")[0], "00000004");
        let size = 4 + [(10, 11), (5, 1), (7, 3), (7, 4)]
            .iter()
            .map(|(name, value)| 10 + name + value)
            .sum::<u32>();
        assert_eq!(values(&head.headers, "n")[1], format!("{size:08x}"));
    });
}

#[test]
fn values_are_found_whatever_the_case() {
    on_a_worker(async {
        let reads = ["X-Name", "host", ":authority", ":path", ":method", ":scheme"]
            .map(request_value)
            .concat();
        let plugins = plugin(&on_request(&reads));
        let mut head = get("/p?q");
        head.headers.append("x-name", HeaderValue::from_static("first"));
        head.headers.append("x-name", HeaderValue::from_static("second"));
        let head = go_on(open(&plugins).request_headers(head, true).await);
        assert_eq!(
            values(&head.headers, "v"),
            ["first", "example.com", "example.com", "/p?q", "GET", "http"]
        );
        assert_eq!(values(&head.headers, "r"), ["00"; 6]);
    });
}

#[test]
fn a_miss_is_not_an_empty_value() {
    on_a_worker(async {
        let reads = ["x-empty", "x-missing", ":status"].map(request_value).concat();
        let mut head = get("/");
        head.headers.append("x-empty", HeaderValue::from_static(""));
        let head = go_on(open(&plugin(&on_request(&reads))).request_headers(head, true).await);
        assert_eq!(values(&head.headers, "r"), ["00", "01", "01"]);
        assert_eq!(values(&head.headers, "v")[0], "");
    });
}

#[test]
fn a_miss_is_an_empty_value_before_abi_0_2_0() {
    on_a_worker(async {
        let wasm = guest_of_abi(
            "0_1_0",
            &format!(
                r#"(func (export "proxy_on_request_headers") (param i32 i32) (result i32) {} (i32.const 0))"#,
                request_value("x-missing")
            ),
        );
        assert_eq!(values(&first_head(&wasm).await.headers, "r"), ["00"]);
    });
}

#[test]
fn maps_that_do_not_exist_are_empty_and_unknown_ones_refused() {
    on_a_worker(async {
        let calls: String = (0..9)
            .map(|map| {
                format!(
                    "(call $report (call $get_header_map_value (i32.const {map}) {{x}} (i32.const 2000) (i32.const 2004)))
                     (call $report (call $get_header_map_pairs (i32.const {map}) (i32.const 2000) (i32.const 2004)))"
                )
            })
            .collect();
        let head = first_head(&on_request(&calls)).await;
        let reported = values(&head.headers, "r");
        assert_eq!(reported[..16], ["01", "00"].repeat(8));
        assert_eq!(reported[16..], ["02", "02"]);
    });
}

#[test]
fn fields_are_added_replaced_and_removed() {
    on_a_worker(async {
        let head = first_head(&on_request(
            "(call $report (call $add_header_map_value (i32.const 0) {x-a} {1}))
             (call $report (call $add_header_map_value (i32.const 0) {X-A} {2}))
             (call $report (call $add_header_map_value (i32.const 0) {x-b} {1}))
             (call $report (call $replace_header_map_value (i32.const 0) {x-b} {3}))
             (call $report (call $add_header_map_value (i32.const 0) {x-c} {1}))
             (call $report (call $remove_header_map_value (i32.const 0) {X-C}))
             (call $report (call $remove_header_map_value (i32.const 0) {x-missing}))
             (call $report (call $remove_header_map_value (i32.const 0) {no name}))",
        ))
        .await;
        assert_eq!(values(&head.headers, "x-a"), ["1", "2"]);
        assert_eq!(values(&head.headers, "x-b"), ["3"]);
        assert!(values(&head.headers, "x-c").is_empty());
        assert_eq!(values(&head.headers, "r"), ["00"; 8]);
    });
}

#[test]
fn pseudo_headers_change_the_request_itself() {
    on_a_worker(async {
        let head = first_head(&on_request(
            "(call $report (call $replace_header_map_value (i32.const 0) {:path} {/new?x=1}))
             (call $report (call $replace_header_map_value (i32.const 0) {:method} {POST}))
             (call $report (call $replace_header_map_value (i32.const 0) {:authority} {other:1}))
             (call $report (call $remove_header_map_value (i32.const 0) {:path}))
             (call $report (call $remove_header_map_value (i32.const 0) {host}))",
        ))
        .await;
        assert_eq!(head.uri, "/new?x=1");
        assert_eq!(head.method, Method::POST);
        assert_eq!(values(&head.headers, "host"), ["other:1"]);
        assert_eq!(values(&head.headers, "r"), ["00"; 5]);
    });
}

#[test]
fn what_http_does_not_allow_is_refused() {
    on_a_worker(async {
        let refused = [
            ("x a", "1"),
            ("x-a", "1\\002"),
            ("", "1"),
            (":path", "no-slash"),
            (":method", "G T"),
            (":status", "200"),
            (":unknown", "1"),
            (":authority", "a b"),
        ];
        let calls: String = refused
            .iter()
            .map(|(name, value)| {
                format!("(call $report (call $replace_header_map_value (i32.const 0) {{{name}}} {{{value}}}))")
            })
            .collect();
        let head = first_head(&on_request(&calls)).await;
        assert_eq!(values(&head.headers, "r"), ["02"; 8]);
        assert_eq!((head.uri.path(), head.method), ("/", Method::GET));
    });
}

#[test]
fn what_frames_the_connection_is_not_settable() {
    on_a_worker(async {
        let head = first_head(&on_request(
            "(call $report (call $replace_header_map_value (i32.const 0) {transfer-encoding} {chunked}))
             (call $report (call $add_header_map_value (i32.const 0) {connection} {close}))",
        ))
        .await;
        assert_eq!(values(&head.headers, "r"), ["00", "00"]);
        assert!(!head.headers.contains_key("transfer-encoding") && !head.headers.contains_key("connection"));
    });
}

#[test]
fn values_need_not_be_utf_8() {
    on_a_worker(async {
        let mut head = get("/");
        head.headers
            .append("x-raw", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        let head = go_on(
            open(&plugin(&on_request(&request_value("x-raw"))))
                .request_headers(head, true)
                .await,
        );
        assert_eq!(head.headers["v"].as_bytes(), b"caf\xe9");
    });
}

#[test]
fn a_whole_map_is_replaced_or_not_at_all() {
    on_a_worker(async {
        // Two pairs: x-a: 1, :path: /set. Then one whose value HTTP does not allow.
        let head = first_head(&on_request(
            "(i32.store (i32.const 500) (i32.const 2))
             (i32.store (i32.const 504) (i32.const 3)) (i32.store (i32.const 508) (i32.const 1))
             (i32.store (i32.const 512) (i32.const 5)) (i32.store (i32.const 516) (i32.const 4))
             (memory.copy (i32.const 520) {x-a\\001\\00:path\\00/set\\00})
             (call $report (call $set_header_map_pairs (i32.const 0) (i32.const 500) (i32.const 37)))
             (i32.store8 (i32.const 524) (i32.const 10))
             (call $report (call $set_header_map_pairs (i32.const 0) (i32.const 500) (i32.const 37)))
             (call $report (call $set_header_map_pairs (i32.const 0) (i32.const 500) (i32.const 36)))",
        ))
        .await;
        assert_eq!(head.uri, "/set");
        assert_eq!(values(&head.headers, "x-a"), ["1"]);
        assert_eq!(values(&head.headers, "host"), ["example.com"]);
        assert_eq!(values(&head.headers, "r"), ["00", "02", "02"]);
    });
}

#[test]
fn addresses_outside_of_memory_are_told_and_harm_nobody() {
    on_a_worker(async {
        let head = first_head(&on_request(
            "(call $report (call $get_header_map_value (i32.const 0) (i32.const -1) (i32.const 8) (i32.const 2000) (i32.const 2004)))
             (call $report (call $get_header_map_value (i32.const 0) {:path} (i32.const -2) (i32.const 2004)))
             (call $report (call $get_header_map_pairs (i32.const 0) (i32.const 2000) (i32.const -4)))
             (call $report (call $add_header_map_value (i32.const 0) {x} (i32.const 8) (i32.const -1)))
             (call $report (call $log (i32.const 2) (i32.const 262140) (i32.const 8)))",
        ))
        .await;
        assert_eq!(values(&head.headers, "r"), ["06"; 5]);
    });
}

#[test]
fn results_may_stand_at_odd_addresses() {
    on_a_worker(async {
        let head = first_head(&on_request(
            "(call $report (call $get_header_map_value (i32.const 0) {:path} (i32.const 2001) (i32.const 2007)))
             (i32.store (i32.const 2000) (i32.load (i32.const 2001)))
             (i32.store (i32.const 2004) (i32.load (i32.const 2007)))
             (call $show)",
        ))
        .await;
        assert_eq!(
            (values(&head.headers, "r"), values(&head.headers, "v")),
            (vec!["00".into()], vec!["/".into()])
        );
    });
}

#[test]
fn response_callbacks_read_the_request_and_change_only_the_response() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
                 (drop (call $get_header_map_value (i32.const 0) {:path} (i32.const 2000) (i32.const 2004)))
                 (drop (call $add_header_map_value (i32.const 2) {x-path} (i32.load (i32.const 2000)) (i32.load (i32.const 2004))))
                 (drop (call $replace_header_map_value (i32.const 2) {:status} {299}))
                 (call $digit (i32.const 1000) (call $add_header_map_value (i32.const 0) {x} {1}))
                 (drop (call $add_header_map_value (i32.const 2) {x-status} (i32.const 1000) (i32.const 1)))
                 (i32.const 0))"#,
        );
        let mut stream = open(&plugin(&wasm));
        go_on(stream.request_headers(get("/asked"), true).await);
        let head = go_on(stream.response_headers(answered(200), true).await);
        assert_eq!(head.status, 299);
        assert_eq!(values(&head.headers, "x-path"), ["/asked"]);
        assert_eq!(values(&head.headers, "x-status"), ["2"]);
    });
}

#[test]
fn a_head_holds_so_many_bytes() {
    on_a_worker(async {
        // Values of 400,000 letters: two fit. One that takes the place of another fits too, if it is no larger than all.
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (drop (memory.grow (i32.const 16)))
                 (memory.fill (i32.const 70000) (i32.const 97) (i32.const 1200000))
                 (call $report (call $add_header_map_value (i32.const 0) {a} (i32.const 70000) (i32.const 400000)))
                 (call $report (call $add_header_map_value (i32.const 0) {a} (i32.const 70000) (i32.const 400000)))
                 (call $report (call $add_header_map_value (i32.const 0) {a} (i32.const 70000) (i32.const 400000)))
                 (call $report (call $replace_header_map_value (i32.const 0) {b} (i32.const 70000) (i32.const 400000)))
                 (call $report (call $replace_header_map_value (i32.const 0) {a} (i32.const 70000) (i32.const 1000000)))
                 (call $report (call $replace_header_map_value (i32.const 0) {a} (i32.const 70000) (i32.const 1100000)))
                 (call $report (call $replace_header_map_value (i32.const 0) {:method} (i32.const 70000) (i32.const 70000)))
                 (i32.const 0))"#,
        );
        let head = first_head(&wasm).await;
        assert_eq!(values(&head.headers, "r"), ["00", "00", "10", "10", "00", "10", "02"]);
        assert_eq!(head.headers["a"].len(), 1_000_000);
        assert_eq!(head.method, "GET");
    });
}

#[test]
fn what_is_handed_over_is_whole_though_the_allocator_grows_the_memory() {
    on_a_worker(async {
        // Every piece gets pages of its own, which moves the memory or makes it longer between two steps of a host call.
        let wasm = bare(
            r#"(memory (export "memory") 1)
               (func (export "proxy_abi_version_0_2_1"))
               (func (export "proxy_on_memory_allocate") (param i32) (result i32)
                 (i32.shl (memory.grow (i32.const 8)) (i32.const 16)))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (drop (call $get_header_map_value (i32.const 0) {x-long} (i32.const 2000) (i32.const 2004)))
                 (drop (call $add_header_map_value (i32.const 0) {x-copy}
                   (i32.load (i32.const 2000)) (i32.load (i32.const 2004))))
                 (drop (call $get_header_map_pairs (i32.const 0) (i32.const 2000) (i32.const 2004)))
                 (drop (call $set_header_map_pairs (i32.const 0)
                   (i32.load (i32.const 2000)) (i32.load (i32.const 2004))))
                 (i32.const 0))"#,
        );
        let long: String = (0..60_000).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
        let mut head = get("/path");
        head.headers.append("x-long", HeaderValue::from_str(&long).unwrap());
        let head = go_on(open(&plugin(&wasm)).request_headers(head, true).await);
        for name in ["x-long", "x-copy"] {
            assert!(values(&head.headers, name) == [long.as_str()], "{name} is another one");
        }
    });
}
