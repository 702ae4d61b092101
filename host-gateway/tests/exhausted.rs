//! More VMs than there may be, in a process of its own: all plugins of a process share their number.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

#[path = "abi/harness.rs"]
#[allow(dead_code, reason = "the harness of another test")]
mod harness;

use harness::*;
use postern_gateway::plugin::{FailurePolicy, Isolation, PluginProcess, Verdict};

#[test]
fn without_room_for_a_vm_exchanges_are_refused_until_one_ends() {
    on_a_worker(async {
        let mut config = config(&guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $show_number (i32.const 1)) (i32.const 0))"#,
        ));
        config.isolation = Isolation::Request;
        // Nobody gets past the plugin by opening many exchanges.
        config.failure = FailurePolicy::Open;
        let process = PluginProcess::new();
        let plugins = start(&[config], no_clusters(), &process).unwrap();
        let mut held = Vec::new();
        for _ in 0..300 {
            let mut stream = open(&plugins);
            let Verdict::Continue(head) = stream.request_headers(get("/"), true).await else {
                break;
            };
            assert_eq!(values(&head.headers, "n"), ["00000001"], "it was let past the plugin");
            held.push(stream);
        }
        assert_eq!(held.len(), 256);
        for _ in 0..3 {
            fails(open(&plugins).request_headers(get("/"), true).await);
            held.pop();
            let mut stream = open(&plugins);
            let head = go_on(stream.request_headers(get("/"), true).await);
            assert_eq!(values(&head.headers, "n"), ["00000001"]);
            held.push(stream);
        }
        assert!(metrics(&process).contains("postern_plugin_traps_total{plugin=\"guest\"} 0\n"));
    });
}
