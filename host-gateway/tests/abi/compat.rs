//! What `compat` changes, row by row of its table in `docs/plugins.md`.

use std::cell::RefCell;
use std::rc::Rc;

use postern_gateway::plugin::{Compat, PluginProcess, Plugins};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;

#[test]
fn each_row_of_the_table_has_a_test() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/plugins.md")).unwrap();
    let (_, section) = page.split_once("\n## For other hosts\n").unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with("| ---")).skip(1);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let labels: Vec<_> = rows.map(|row| row.split('|').nth(1).unwrap().trim()).collect();
    let tested = [
        // `pauses`, `bodies`
        "while the plugin pauses at a head",
        "whom an HTTP call names",
        // `http_calls`
        "an HTTP call that nobody answers",
        // `properties`
        "numbers and truth in properties",
        "times in properties",
        "addresses in properties",
        "a property set without a request",
    ];
    assert_eq!(labels, tested);
}

fn with(compat: Compat, wasm: &[u8]) -> Rc<Plugins> {
    let mut config = config(wasm);
    config.compat = compat;
    plugins(&[config])
}

#[test]
fn in_kong_a_call_names_an_endpoint() {
    on_a_worker(async {
        let asked = Rc::new(RefCell::new(String::new()));
        let kept = Rc::clone(&asked);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let size = connection.read(&mut request).await.unwrap_or_default();
                kept.borrow_mut().push_str(&String::from_utf8_lossy(&request[..size]));
                let _ = connection.write_all(ok("").unwrap().as_bytes()).await;
            }
        });
        // Without `:authority`. The port of no endpoint is called next.
        let pairs = r"{\02\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00:method\00GET\00:path\00/\00}";
        let wasm = guest(&format!(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $report (call $http_call {{{address}}} {pairs} {{}} {{}} (i32.const 1000) (i32.const 1500)))
                 (call $report (call $http_call {{127.0.0.1:1}} {pairs} {{}} {{}} (i32.const 1000) (i32.const 1500)))
                 (call $report (call $http_call {{auth}} {pairs} {{}} {{}} (i32.const 1000) (i32.const 1500)))
                 (i32.const 0))"#
        ));
        for (compat, expected) in [
            (Compat::Nginx, ["00", "02", "00"]),
            (Compat::Envoy, ["02"; 3]),
            (Compat::Spec, ["02"; 3]),
        ] {
            let mut config = config(&wasm);
            config.compat = compat;
            let plugins = start(&[config], cluster_at("auth", address), &PluginProcess::new()).unwrap();
            let head = go_on(open(&plugins).request_headers(get("/"), true).await);
            assert_eq!(values(&head.headers, "r"), expected, "{compat:?}");
            for _ in 0..500 {
                if compat == Compat::Nginx && asked.borrow().is_empty() {
                    a_moment().await;
                }
            }
        }
        let asked = asked.borrow().to_ascii_lowercase();
        assert!(asked.contains(&format!("host: {address}\r\n")), "{asked}");
    });
}

/// What a guest reads with a request of a property.
async fn read(compat: Compat, path: &str) -> String {
    let wasm = guest(&format!(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (if (i32.eqz (call $get_property {{{path}}} (i32.const 2000) (i32.const 2004))) (then (call $answer)))
             (i32.const 0))"#
    ));
    let read = response(open(&with(compat, &wasm)).request_headers(get("/"), true).await);
    String::from_utf8_lossy(&read.body).into_owned()
}

#[test]
fn in_kong_times_are_seconds_and_addresses_have_no_port() {
    on_a_worker(async {
        let time = read(Compat::Nginx, r"request\00time").await;
        let (seconds, milliseconds) = time.split_once('.').unwrap();
        // After 2020.
        assert!(
            seconds.parse::<u64>().unwrap() > 1_577_836_800 && milliseconds.len() == 3,
            "{time}"
        );
        for (path, here, in_kong) in [
            (r"source\00address", "192.0.2.1:4711", "192.0.2.1"),
            (r"destination\00address", "127.0.0.1:8081", "127.0.0.1"),
        ] {
            assert_eq!(read(Compat::Nginx, path).await, in_kong);
            assert_eq!(read(Compat::Envoy, path).await, here);
            assert_eq!(read(Compat::Spec, path).await, here);
        }
    });
}

#[test]
fn in_kong_the_root_context_has_properties_of_its_own() {
    on_a_worker(async {
        // Set while it is configured, asked for from the root context and from the request's.
        let wasm = guest(
            r#"(global $set (mut i32) (i32.const 0))
               (global $got (mut i32) (i32.const 0))
               (func (export "proxy_on_configure") (param i32 i32) (result i32)
                 (global.set $set (call $set_property {wasmx\00a} {b}))
                 (global.set $got (call $get_property {wasmx\00a} (i32.const 2000) (i32.const 2004)))
                 (i32.const 1))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $report (global.get $set))
                 (call $report (global.get $got))
                 (if (i32.eqz (global.get $got)) (then (call $show)))
                 (call $report (call $get_property {wasmx\00a} (i32.const 2000) (i32.const 2004)))
                 (i32.const 0))"#,
        );
        for (compat, statuses, value) in [
            (Compat::Nginx, ["00", "00", "01"], &["b"][..]),
            (Compat::Envoy, ["01"; 3], &[]),
            (Compat::Spec, ["01"; 3], &[]),
        ] {
            let head = go_on(open(&with(compat, &wasm)).request_headers(get("/"), true).await);
            assert_eq!(values(&head.headers, "r"), statuses, "{compat:?}");
            assert_eq!(values(&head.headers, "v"), value, "{compat:?}");
        }
    });
}
