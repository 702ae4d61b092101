//! What a request with a known token costs: how often the gateway enters the VM for it, and which host functions that calls.

use std::{collections::BTreeMap, time::Duration};

use postern_e2e::{
    client::Request,
    host::Host,
    issuer::{FakeIssuer, ISSUER, KEYS},
    servers::Servers,
    upstream::EchoUpstream,
    visit::Visit,
};
use serde_json::json;
use xtask::stack::HostKind;

/// So many requests are counted: of every sixteenth, the filter takes the time of its decision.
const REQUESTS: u64 = 160;

/// What the gateway counted of each callback, but for those that come with time: entries, and host functions called.
fn counted(host: &Host) -> BTreeMap<String, [u64; 2]> {
    let text = Request::get("/metrics")
        .header("Connection", "close")
        .send(host.admin)
        .text();
    let mut counted = BTreeMap::<String, [u64; 2]>::new();
    for (at, family) in [
        "postern_plugin_callback_seconds_count{",
        "postern_plugin_host_calls_total{",
    ]
    .iter()
    .enumerate()
    {
        for line in text.lines().filter_map(|line| line.strip_prefix(family)) {
            let (labels, value) = line.split_once("} ").expect("labels and a value");
            let callback = labels.split('"').nth(3).expect("a callback").to_owned();
            if callback != "proxy_on_tick" {
                counted.entry(callback).or_default()[at] = value.parse().expect("a number");
            }
        }
    }
    counted
}

#[test]
fn a_known_token_costs_two_entries_and_few_host_calls() {
    let (provider, upstream) = (FakeIssuer::start(), EchoUpstream::start());
    let servers = Servers::shared();
    let stack = servers.for_host("warm");
    let configuration = json!({
        "issuers": [ { "issuer": ISSUER, "jwks": { "cluster": "id", "uri": format!("{ISSUER}/keys") } } ],
        "rules": [ { "path": "/orders/**", "any_authority": ["clerk"] } ],
        "public": [ "/open/**" ]
    });
    let clusters = [("up", upstream.port), ("id", provider.port)];
    let host = Host::start_with_one_vm(&stack, HostKind::Gateway, &clusters, &configuration);
    let claims =
        json!({ "authorities": ["clerk"], "scope": "orders", "client_id": "web", "preferred_username": "ada" });
    let call = Request::get("/orders/7").bearer(&KEYS[0].token("first", &claims));
    Visit::new(servers, &host).wait(Duration::from_secs(20), 200, &call);
    let cost = |request: &Request, status: u16| {
        let before = counted(&host);
        for _ in 0..REQUESTS {
            assert_eq!(request.send(host.port).status, status);
        }
        let after = counted(&host);
        let more = after.into_iter().map(|(callback, [entries, calls])| {
            let [entries_before, calls_before] = before.get(&callback).copied().unwrap_or_default();
            (callback, [entries - entries_before, calls - calls_before])
        });
        more.filter(|(_, [entries, _])| *entries > 0)
            .map(|(callback, [entries, calls])| format!("{callback} {entries} {calls}"))
            .collect::<Vec<_>>()
    };
    // The headers and the clock; five identity headers; and the clock again now and then.
    let allowed = REQUESTS * 7 + REQUESTS / 16;
    assert_eq!(
        cost(&call, 200),
        [
            format!("proxy_on_context_create {REQUESTS} 0"),
            format!("proxy_on_request_headers {REQUESTS} {allowed}"),
        ]
    );
    // Nothing but the headers and the clock.
    assert_eq!(
        cost(&Request::get("/open/x"), 200),
        [
            format!("proxy_on_context_create {REQUESTS} 0"),
            format!("proxy_on_request_headers {REQUESTS} {}", REQUESTS * 2 + REQUESTS / 16),
        ]
    );
}
