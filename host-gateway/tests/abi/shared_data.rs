//! Shared data: one for all VMs of the process.

use std::rc::Rc;

use postern_gateway::plugin::{PluginProcess, Plugins};

use crate::harness::*;

/// `/read` shows value and cas of `key`, `/write…` sets it to the path with the cas that was read last.
fn guest_of_two() -> Vec<u8> {
    guest(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (drop (call $get_header_map_value (i32.const 0) {:path} (i32.const 2000) (i32.const 2004)))
             (if (i32.eq (i32.load (i32.const 2004)) (i32.const 5))
               (then
                 (call $report (call $get_shared_data {key} (i32.const 2000) (i32.const 2004) (i32.const 2100)))
                 (call $show) (call $show_number (i32.load (i32.const 2100))))
               (else
                 (call $report (call $set_shared_data {key}
                   (i32.load (i32.const 2000)) (i32.load (i32.const 2004)) (i32.load (i32.const 2100))))))
             (i32.const 0))"#,
    )
}

async fn ask(plugins: &Rc<Plugins>, path: &str) -> (String, String) {
    let headers = go_on(open(plugins).request_headers(get(path), true).await).headers;
    (values(&headers, "r").concat(), values(&headers, "v").concat())
}

#[test]
fn the_first_of_two_writers_wins() {
    on_a_worker(async {
        let process = PluginProcess::new();
        let config = config(&guest_of_two());
        let module = [load(&config).unwrap()];
        let worker = || Plugins::start(&module, no_clusters(), process.clone()).unwrap();
        let (one, two) = (worker(), worker());
        assert_eq!(ask(&one, "/read").await.0, "01");
        assert_eq!(ask(&one, "/write-first").await.0, "00");
        for worker in [&one, &two] {
            assert_eq!(ask(worker, "/read").await, ("00".into(), "/write-first".into()));
        }
        assert_eq!(ask(&two, "/write-second").await.0, "00");
        assert_eq!(ask(&one, "/write-third").await.0, "08");
        assert_eq!(ask(&one, "/read").await, ("00".into(), "/write-second".into()));
        assert_eq!(ask(&one, "/write-third").await.0, "00");
    });
}

#[test]
fn another_vm_id_has_other_data() {
    on_a_worker(async {
        let process = PluginProcess::new();
        let wasm = guest_of_two();
        let one = start(&[config(&wasm)], no_clusters(), &process).unwrap();
        let mut other = config(&wasm);
        other.vm_id = "other".to_owned();
        let other = start(&[other], no_clusters(), &process).unwrap();
        assert_eq!(ask(&one, "/write").await.0, "00");
        assert_eq!(ask(&other, "/read").await.0, "01");
    });
}
