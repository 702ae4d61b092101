//! Properties.

use std::rc::Rc;

use http::HeaderValue;
use postern_gateway::plugin::{Destination, Ends, PropertyEncoding};

use crate::harness::*;

/// What a guest reads on a path; `None` when it is told NOT_FOUND.
async fn read(path: &str) -> Option<Vec<u8>> {
    read_as(PropertyEncoding::Binary, path).await
}

async fn read_as(encoding: PropertyEncoding, path: &str) -> Option<Vec<u8>> {
    let path = path.replace('.', "\\00");
    let wasm = guest(&format!(
        r#"(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
             (drop (call $set_property {{own\00path}} {{mine}}))
             (if (i32.eqz (call $get_property {{{path}}} (i32.const 2000) (i32.const 2004)))
               (then (call $answer)))
             (i32.const 0))"#
    ));
    let mut config = config(&wasm);
    (config.root_id, config.vm_id) = ("root".to_owned(), "vm".to_owned());
    config.properties = encoding;
    let plugins = plugins(&[config]);
    let mut stream = open(&plugins);
    let mut head = get("/path?query");
    for (name, value) in [
        ("user-agent", "agent"),
        ("referer", "from"),
        ("x-request-id", "id"),
        ("x-a", "1"),
        ("x-two", "one"),
        ("x-two", "two"),
    ] {
        head.headers.append(name, HeaderValue::from_static(value));
    }
    go_on(stream.request_headers(head, false).await);
    go_on(stream.request_body("body".into(), true).await);
    stream.watch().set_destination(Rc::new(destination()));
    stream.watch().set_upstream(upstream());
    let mut head = answered(201);
    head.headers.append("x-b", HeaderValue::from_static("2"));
    match stream.response_headers(head, true).await {
        postern_gateway::plugin::Verdict::Respond(local) => Some(local.body.to_vec()),
        _ => None,
    }
}

fn upstream() -> Ends {
    Ends {
        remote: ([10, 0, 0, 1], 80).into(),
        local: ([10, 0, 0, 2], 4000).into(),
    }
}

fn destination() -> Destination {
    let metadata = serde_json::json!({ "filter_metadata": {
        "ns": { "text": "t", "number": 1.5, "truth": true, "map": { "a": "b" }, "list": ["x", 1] },
        "void": { "null": null },
    } });
    let zone = serde_json::from_value(serde_json::json!({ "filter_metadata": { "at": { "zone": "a" } } })).unwrap();
    Destination {
        route: Rc::from("/path"),
        cluster: Rc::from("upstreams"),
        route_metadata: Rc::new(serde_json::from_value(metadata).unwrap()),
        cluster_metadata: Rc::default(),
        endpoint_metadata: Rc::new([(upstream().remote, zone)].into()),
    }
}

#[test]
fn texts_are_bytes() {
    on_a_worker(async {
        for (path, expected) in [
            ("plugin_name", "guest"),
            ("plugin_root_id", "root"),
            ("plugin_vm_id", "vm"),
            ("route_name", "/path"),
            ("cluster_name", "upstreams"),
            ("request.path", "/path?query"),
            ("request.url_path", "/path"),
            ("request.query", "query"),
            ("request.host", "example.com"),
            ("request.scheme", "http"),
            ("request.method", "GET"),
            ("request.protocol", "HTTP/1.1"),
            ("request.useragent", "agent"),
            ("request.referer", "from"),
            ("request.id", "id"),
            ("request.headers.x-a", "1"),
            ("request.headers.X-A", "1"),
            ("request.headers.x-two", "one,two"),
            ("response.headers.x-b", "2"),
            ("source.address", "192.0.2.1:4711"),
            ("destination.address", "127.0.0.1:8081"),
            ("upstream.address", "10.0.0.1:80"),
            ("upstream.local_address", "10.0.0.2:4000"),
            ("own.path", "mine"),
            ("node.id", "postern-gateway"),
            ("metadata", ""),
            ("connection.requested_server_name", ""),
            ("response.code_details", "via_upstream"),
            ("upstream.transport_failure_reason", ""),
            ("xds.route_name", "/path"),
            ("xds.cluster_name", "upstreams"),
            ("xds.node.id", "postern-gateway"),
            ("xds.virtual_host_name", "all"),
            ("xds.virtual_host_metadata", ""),
            ("xds.filter_chain_name", ""),
            ("xds.upstream_host_metadata.filter_metadata.at.zone", "a"),
            ("upstream_host_metadata.filter_metadata.at.zone", "a"),
            ("xds.route_metadata.filter_metadata.ns.text", "t"),
            ("route_metadata.filter_metadata.ns.text", "t"),
            ("route_metadata.filter_metadata.ns.map.a", "b"),
            ("route_metadata.filter_metadata.ns.list.0", "x"),
            ("cluster_metadata", ""),
        ] {
            let value = read(path).await.unwrap_or_else(|| panic!("{path} is not found"));
            assert_eq!(String::from_utf8_lossy(&value), expected, "{path}");
        }
    });
}

#[test]
fn numbers_have_eight_bytes_and_truth_one() {
    on_a_worker(async {
        for (path, expected) in [
            ("source.port", 4711),
            ("destination.port", 8081),
            ("upstream.port", 80),
            ("connection.id", 7),
            ("response.code", 201),
            ("listener_direction", 0),
            ("response.flags", 0),
            ("connection_id", 7),
            ("request.size", 4),
            ("response.size", 0),
            // :status 201, x-b 2
            ("response.total_size", 14),
            // What HTTP's 201 is for gRPC: unknown.
            ("response.grpc_status", 2),
            ("xds.listener_direction", 0),
        ] {
            assert_eq!(read(path).await, Some(u64::to_le_bytes(expected).to_vec()), "{path}");
        }
        assert_eq!(read("connection.mtls").await, Some(vec![0]));
        let time = read("request.time").await.unwrap();
        // After 2020, in nanoseconds.
        assert!(u64::from_le_bytes(time.try_into().unwrap()) > 1_577_836_800_000_000_000);
    });
}

#[test]
fn maps_are_pairs() {
    on_a_worker(async {
        let headers = pairs(&read("request.headers").await.unwrap());
        assert_eq!(headers[0], (":authority".to_owned(), "example.com".to_owned()));
        assert!(headers.contains(&("x-a".to_owned(), "1".to_owned())));
        let two: Vec<_> = headers.iter().filter(|(name, _)| name == "x-two").collect();
        assert_eq!(two, [&("x-two".to_owned(), "one,two".to_owned())]);
    });
}

#[test]
fn what_is_not_known_is_not_found() {
    on_a_worker(async {
        for path in [
            "",
            "nonsense",
            "request.nonsense",
            "request.headers.x-none",
            "node.nonsense",
            "metadata.filter_metadata.somebody",
            "filter_state.own",
            "xds.request",
            "xds.nonsense",
            "route_metadata.nonsense",
            "route_metadata.filter_metadata.ns.none",
            "route_metadata.filter_metadata.none.text",
            "route_metadata.filter_metadata.ns.text.deeper",
            "route_metadata.filter_metadata.ns.list.2",
            "cluster_metadata.filter_metadata.ns",
        ] {
            assert_eq!(read(path).await, None, "{path}");
        }
    });
}

#[test]
fn numbers_and_truth_may_be_text() {
    on_a_worker(async {
        for (path, expected) in [
            ("source.port", "4711"),
            ("response.code", "201"),
            ("connection.mtls", "false"),
            ("request.method", "GET"),
        ] {
            let value = read_as(PropertyEncoding::Text, path).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&value), expected, "{path}");
        }
    });
}

#[test]
fn as_nginx_has_it_numbers_and_truth_are_texts() {
    on_a_worker(async {
        for (path, expected) in [
            (r"source\00port", "4711"),
            (r"connection\00mtls", "false"),
            (r"request\00path", "/"),
        ] {
            let wasm = guest(&format!(
                r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                     (drop (call $get_property {{{path}}} (i32.const 2000) (i32.const 2004)))
                     (call $show) (i32.const 0))"#
            ));
            let mut config = config(&wasm);
            config.compat = postern_gateway::plugin::Compat::Nginx;
            let head = go_on(open(&plugins(&[config])).request_headers(get("/"), true).await);
            assert_eq!(values(&head.headers, "v"), [expected]);
        }
    });
}

#[test]
fn what_only_has_parts_cannot_be_serialized() {
    on_a_worker(async {
        let status = |path: &str| {
            let path = path.replace('.', "\\00");
            guest(&format!(
                r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                     (call $report (call $get_property {{{path}}} (i32.const 2000) (i32.const 2004)))
                     (i32.const 0))"#
            ))
        };
        for path in [
            "request",
            "response",
            "connection",
            "source",
            "destination",
            "upstream",
            "filter_state",
            "xds",
            "route_metadata.filter_metadata.void",
            "route_metadata.filter_metadata.void.null",
            "route_metadata.filter_metadata",
        ] {
            let plugins = plugins(&[config(&status(path))]);
            let mut stream = open(&plugins);
            stream.watch().set_destination(Rc::new(destination()));
            stream.watch().set_upstream(upstream());
            let head = go_on(stream.request_headers(get("/"), true).await);
            assert_eq!(values(&head.headers, "r"), ["03"], "{path}");
        }
    });
}

#[test]
fn metadata_is_values_and_a_message() {
    on_a_worker(async {
        let metadata = |path: &str| format!("route_metadata.filter_metadata.ns{path}");
        assert_eq!(read(&metadata(".number")).await, Some(1.5_f64.to_le_bytes().to_vec()));
        assert_eq!(
            read_as(PropertyEncoding::Text, &metadata(".number")).await,
            Some(b"1.5".to_vec())
        );
        assert_eq!(read(&metadata(".truth")).await, Some(vec![1]));
        assert_eq!(
            pairs(&read(&metadata(".map")).await.unwrap()),
            [("a".to_owned(), "b".to_owned())]
        );
        let list = read(&metadata(".list")).await.unwrap();
        assert_eq!(
            list,
            b"\x02\0\0\0\x01\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0x\0\0\0\0\0\0\0\0\xf0\x3f\0\0"
        );
        let all = pairs(&read(&metadata("")).await.unwrap());
        assert!(all.contains(&("text".to_owned(), "t".to_owned())), "{all:?}");
        // core.v3.Metadata
        let message = read("xds.route_metadata").await.unwrap();
        let text = b"\x0a\x0b\x0a\x04text\x12\x03\x1a\x01t";
        assert!(message.starts_with(b"\x0a") && message.windows(text.len()).any(|at| at == text));
    });
}
