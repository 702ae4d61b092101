//! Two plugins with the same code in one VM: each request is decided by the configuration of its own plugin.

use std::time::Duration;

use postern_e2e::{
    client::Request,
    host::Host,
    servers::Servers,
    visit::{Visit, compare_hosts},
};
use serde_json::json;

#[test]
fn each_plugin_decides_by_its_own_configuration() {
    compare_hosts(|kind| {
        let servers = Servers::shared();
        let stack = &servers.stack;
        let host = Host::start_on(stack, kind, |port, admin| {
            let plugin = |name: &str| {
                json!({ "name": name, "wasm": stack.workspace.filter(), "vm_id": "shared",
                        "configuration": { "public": ["/both/**", format!("/{name}/**")] } })
            };
            json!({
                "listeners": [ { "address": format!("127.0.0.1:{port}") } ],
                "admin": { "address": format!("127.0.0.1:{admin}") },
                "routes": [ { "prefix": "/", "cluster": "demo" } ],
                "clusters": { "demo": { "endpoints": [ format!("127.0.0.1:{}", stack.ports.service) ] } },
                "plugins": [ plugin("first"), plugin("second") ],
            })
            .to_string()
        });
        let visit = Visit::new(servers, &host);
        // Nothing is there: the answer is the upstream's.
        visit.wait(Duration::from_secs(20), 404, &Request::get("/both/x"));
        for path in ["/first/x", "/second/x", "/other"] {
            assert_eq!(visit.status(&Request::get(path)), 401, "{path}");
        }
        assert_eq!(visit.status(&Request::get("/both/x")), 404);
        visit.seen()
    });
}
