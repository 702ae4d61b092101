//! What guests keep, count and ask the host.

use std::{thread, time::Duration};

use postern_e2e::{
    client::{Request, at_once},
    host::kinds,
};
use xtask::stack::HostKind;

use super::{Notes, Row, Seen, Stage, Trailers, run};

fn row(path: &'static str, client: Seen) -> Row {
    Row {
        path,
        sent: "GET\nx-a: one\nuser-agent: phases\nx-a: two",
        client,
        upstream: Seen::Unsure,
    }
}

#[test]
fn what_is_kept_and_counted() {
    run(
        &[
            row(
                "shared_data/compare",
                Seen::Both(
                    "200\ncontent-type: text/plain\n| (None, None)\n| Ok(())\n| Some([102, 105, 114, 115, 116]) true\n| Ok(())\n| Err(CasMismatch)\n| changed true\n| Ok(())\n| fourth",
                ),
            ),
            row(
                "shared_data/empty",
                Seen::Both("200\ncontent-type: text/plain\n| Ok(()) None true\n| Ok(()) true"),
            ),
            row(
                "shared_queue/unknown",
                Seen::Both(
                    "200\ncontent-type: text/plain\n| None\n| None\n| Err(NotFound)\n| Err(NotFound)\n| Some(Ok(None))",
                ),
            ),
            row(
                "metrics/counter",
                Seen::Both(
                    "200\ncontent-type: text/plain\n| Ok(()) Ok(2)\n| Err(BadArgument) Ok(2)\n| Err(BadArgument) Ok(2)\n| Ok(()) Ok(7)",
                ),
            ),
            row(
                "metrics/gauge",
                Seen::Both("200\ncontent-type: text/plain\n| Ok(()) Ok(10)\n| Ok(()) Ok(7)\n| Ok(()) Ok(1)"),
            ),
            row(
                "metrics/histogram",
                Seen::Both("200\ncontent-type: text/plain\n| Ok(()) Ok(())\n| Err(BadArgument) Err(BadArgument)"),
            ),
            row(
                "metrics/unknown",
                Seen::Both("200\ncontent-type: text/plain\n| Err(NotFound)\n| Err(NotFound)\n| Err(NotFound)"),
            ),
            row(
                "metrics/twice",
                Seen::Differs {
                    gateway: "200\ncontent-type: text/plain\n| Ok(2) Ok(2)\n| same id true",
                    envoy: "200\ncontent-type: text/plain\n| Ok(2) Ok(2)\n| same id false",
                    why: "Envoy gives another id, of the same metric",
                },
            ),
            row(
                "foreign_function/unknown",
                Seen::Both("200\ncontent-type: text/plain\n| Err(NotFound)"),
            ),
            row(
                "foreign_function/compress",
                Seen::Both(
                    "200\ncontent-type: text/plain\n| smaller true\n| the same true\n| Err(SerializationFailure)",
                ),
            ),
            row(
                "foreign_function/route",
                Seen::Both("200\ncontent-type: text/plain\n| Ok(None)"),
            ),
        ],
        Trailers::Drop,
    );
}

#[test]
fn properties() {
    run(
        &[
            row(
                "properties/request?a=b",
                Seen::Differs {
                    gateway: "200\ncontent-type: text/plain\n| request.path \"/properties/request?a=b\"\n| request.url_path \"/properties/request\"\n| request.query \"a=b\"\n| request.host \"phases.example\"\n| request.scheme \"http\"\n| request.method \"GET\"\n| request.protocol \"HTTP/1.1\"\n| request.referer -\n| request.useragent \"phases\"\n| request.id -\n| request.headers.x-a \"one,two\"\n| request.headers.X-A \"one,two\"\n| request.headers.x-missing -\n| request.headers 9 pairs\n| request.time 8 bytes\n| request.duration -\n| request.size 0\n| request.total_size 8 bytes\n| response.code -\n| response.headers 0 pairs\n| source.address Some(\"127.0.0.1\")\n| source.port 8 bytes\n| destination.address Some(\"127.0.0.1\")\n| destination.port 8 bytes\n| connection.id 8 bytes\n| connection_id 8 bytes\n| connection.mtls [0]\n| connection.requested_server_name -\n| connection.tls_version -\n| connection.subject_peer_certificate -\n| upstream.address -\n| plugin_name \"guest\"\n| plugin_root_id \"root\"\n| plugin_vm_id \"phases\"\n| xds.route_name \"/properties\"\n| xds.cluster_name \"upstream\"\n| xds.virtual_host_name \"all\"\n| xds.listener_direction 0\n| xds.route_metadata -\n| route_name \"/properties\"\n| cluster_name \"upstream\"\n| unknown -\n| request.unknown -",
                    envoy: "200\ncontent-type: text/plain\n| request.path \"/properties/request?a=b\"\n| request.url_path \"/properties/request\"\n| request.query \"a=b\"\n| request.host \"phases.example\"\n| request.scheme \"http\"\n| request.method \"GET\"\n| request.protocol \"HTTP/1.1\"\n| request.referer -\n| request.useragent \"phases\"\n| request.id -\n| request.headers.x-a \"one,two\"\n| request.headers.X-A \"one,two\"\n| request.headers.x-missing -\n| request.headers 9 pairs\n| request.time 8 bytes\n| request.duration -\n| request.size 0\n| request.total_size 8 bytes\n| response.code -\n| response.headers 0 pairs\n| source.address Some(\"127.0.0.1\")\n| source.port 8 bytes\n| destination.address Some(\"127.0.0.1\")\n| destination.port 8 bytes\n| connection.id 8 bytes\n| connection_id 8 bytes\n| connection.mtls [0]\n| connection.requested_server_name -\n| connection.tls_version -\n| connection.subject_peer_certificate -\n| upstream.address -\n| plugin_name \"guest\"\n| plugin_root_id \"root\"\n| plugin_vm_id \"phases\"\n| xds.route_name \"/properties\"\n| xds.cluster_name \"upstream\"\n| xds.virtual_host_name \"all\"\n| xds.listener_direction 0\n| xds.route_metadata -\n| route_name -\n| cluster_name -\n| unknown -\n| request.unknown -",
                    why: "Envoy has them under `xds` only",
                },
            ),
            row(
                "properties/response",
                Seen::Differs {
                    gateway: "200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| request.path \"/properties/response\"\n| request.headers.x-a \"one,two\"\n| response.code 200\n| response.code_details \"via_upstream\"\n| response.flags 0\n| response.headers.x-up \"one,two\"\n| response.headers 3 pairs\n| response.trailers 0 pairs\n| response.grpc_status 2\n| upstream.address Some(\"127.0.0.1\")\n| upstream.port 8 bytes\n| upstream.transport_failure_reason -\n| upstream.tls_version -",
                    envoy: "200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| request.path -\n| request.headers.x-a -\n| response.code 200\n| response.code_details \"via_upstream\"\n| response.flags 0\n| response.headers.x-up \"one,two\"\n| response.headers 3 pairs\n| response.trailers 0 pairs\n| response.grpc_status 2\n| upstream.address Some(\"127.0.0.1\")\n| upstream.port 8 bytes\n| upstream.transport_failure_reason -\n| upstream.tls_version -",
                    why: "request headers can be read to the end",
                },
            ),
            row(
                "properties/set",
                Seen::Both("200\ncontent-type: text/plain\n| own \"mine\"\n| own.part -\n| wasm.own -"),
            ),
        ],
        Trailers::Drop,
    );
}

#[test]
fn properties_at_the_end() {
    for kind in kinds() {
        let stage = Stage::shared(kind, Trailers::Drop);
        let mut notes = Notes::of(&stage.host);
        stage.send("properties/log", "POST\n\nquestion");
        let notes = notes.up_to(&stage.host, "response.code_details");
        assert_eq!(
            notes,
            [
                r#"request.path "/properties/log""#,
                "request.size 8",
                "request.duration 8 bytes",
                "response.code 200",
                "response.size 5",
                r#"response.code_details "via_upstream""#,
            ],
            "{kind:?}"
        );
    }
}

#[test]
fn who_adds_to_shared_data_loses_nothing() {
    const MANY: usize = 40;
    for kind in kinds() {
        let stage = Stage::shared(kind, Trailers::Drop);
        for answer in at_once(stage.host.port, vec![Request::get("/shared_data/count"); MANY]) {
            assert_eq!(answer.text(), "counted", "{kind:?}");
        }
        let counted = stage.send("shared_data/counter", "GET");
        assert!(counted.ends_with(&format!("| {MANY}")), "{kind:?} {counted}");
    }
}

#[test]
fn a_queue_wakes_who_registered_it() {
    for kind in kinds() {
        let stage = Stage::shared(kind, Trailers::Drop);
        stage.send("shared_queue/send", "GET");
        stage.send("shared_queue/send", "GET");
        let done = (0..500).find_map(|_| {
            thread::sleep(Duration::from_millis(20));
            let done = stage.send("shared_queue/done", "GET");
            done.ends_with("| one two one two ").then_some(done)
        });
        assert!(done.is_some(), "{kind:?}: {}", stage.send("shared_queue/done", "GET"));
    }
}

#[test]
fn metrics_of_all_workers_are_one() {
    for kind in kinds() {
        let stage = Stage::shared(kind, Trailers::Drop);
        at_once(stage.host.port, vec![Request::get("/metrics/add"); 20]);
        let (path, line) = match kind {
            HostKind::Gateway => (
                "/metrics",
                r#"postern_guest_phases_added{plugin="guest",name="phases.added"} 20"#,
            ),
            HostKind::Envoy => ("/stats", "wasmcustom.phases.added: 20"),
        };
        // Envoy collects the counts of its workers now and then.
        let shown = (0..500).find_map(|_| {
            thread::sleep(Duration::from_millis(20));
            let all = Request::get(path).send(stage.host.admin).text();
            all.lines().any(|shown| shown == line).then_some(())
        });
        assert!(
            shown.is_some(),
            "{kind:?}: {}",
            Request::get(path).send(stage.host.admin).text()
        );
    }
}
