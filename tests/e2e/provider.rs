//! The demo service fetches its data from the provider, and answers without it when the provider is lost.

use std::time::Duration;

use postern_e2e::{
    client::Request,
    host::{Host, filter_plugin},
    ports,
    servers::{Servers, folder},
    visit::{Visit, compare_hosts},
};
use xtask::stack::{ServerPorts, Stack};

#[test]
fn the_service_survives_the_loss_of_its_provider() {
    compare_hosts(|kind| {
        let servers = Servers::shared();
        let ports = ServerPorts {
            service: ports::free(),
            provider: ports::free(),
            ..servers.stack.ports
        };
        let stack = Stack {
            folder: folder("provider"),
            ports,
            ..servers.stack.clone()
        };
        let provider = stack.start_provider().expect("the provider starts");
        let _service = stack.start_service().expect("the service starts");
        let host = Host::start(&stack, kind, &filter_plugin(&stack, &[]));
        let visit = Visit::new(servers, &host);
        let call = Request::get("/service/demo/data").bearer(&visit.log_in(&visit.user("provider", &[])).access);

        let data = visit.send(&call);
        assert_eq!(data.json()["source"], "provider", "{data:?}");
        assert!(
            data.json()["items"].as_array().is_some_and(|items| !items.is_empty()),
            "{data:?}"
        );

        drop(provider);
        for _ in 0..10 {
            let data = visit.send(&call);
            assert_eq!(data.status, 200, "{data:?}");
            assert_eq!(data.text(), r#"{"source":"fallback","items":[]}"#);
        }

        let _provider = stack.start_provider().expect("the provider starts");
        let began = xtask::clock::now();
        while call.send(host.port).json()["source"] != "provider" {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "the circuit breaker never closes again"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        visit.seen()
    });
}
