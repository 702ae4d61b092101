//! What a host answers itself, because no upstream does: it passes the plugins as any other answer.

use std::{slice, thread, time::Duration};

use postern_e2e::{
    host::{Host, kinds},
    ports,
    recorder::Recorder,
    servers::Servers,
};
use serde_json::json;
use xtask::stack::HostKind;

use super::{Notes, Row, Seen, Stage, Trailers, answered, asked, guests, run_apart, wrong};

fn row(path: &'static str, sent: &'static str, client: Seen) -> Row {
    Row {
        path,
        sent,
        client,
        upstream: Seen::Unsure,
    }
}

/// Nobody listens there.
const REFUSED: Seen = Seen::Both(
    "503\ncontent-type: text/plain\nx-code: Some(503) Some(\"upstream_reset_before_response_started{remote_connection_failure\") Some(32)\nx-told: :status=503 content-length=98 content-type=text/plain, end false\n| upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
);
const PASSED: Seen = Seen::Both(
    "200\ncontent-type: text/plain\nx-code: Some(200) Some(\"via_upstream\") Some(0)\nx-told: :status=200 content-length=5 content-type=text/plain x-up=one x-up=two, end false\nx-up: one\nx-up: two\n| hello",
);

#[test]
fn own_answers() {
    run_apart(
        &[
            row("own_answer/nowhere/seen", "GET", REFUSED),
            row(
                "own_answer/nowhere/seen",
                "HEAD",
                Seen::Both(
                    "503\ncontent-type: text/plain\nx-code: Some(503) Some(\"upstream_reset_before_response_started{remote_connection_failure\") Some(32)\nx-told: :status=503 content-length=98 content-type=text/plain, end true\n(cut)",
                ),
            ),
            row("own_answer/nowhere/seen", "POST\n\nhello", REFUSED),
            row(
                "own_answer/nowhere/status",
                "GET",
                Seen::Both(
                    "418\ncontent-type: text/plain\nx-changed: Some(503) Some(\"upstream_reset_before_response_started{remote_connection_failure\") Some(32)\nx-code: Some(503) Some(\"upstream_reset_before_response_started{remote_connection_failure\") Some(32)\nx-told: :status=503 content-length=98 content-type=text/plain, end false\n| upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
                ),
            ),
            row(
                "own_answer/nowhere/other",
                "GET",
                Seen::Both("403\ncontent-type: text/plain\nx-other: one\n| other"),
            ),
            row(
                "own_answer/nowhere/body",
                "GET",
                Seen::Differs {
                    gateway: "503\ncontent-type: text/plain\nx-code: Some(503) Some(\"upstream_reset_before_response_started{remote_connection_failure\") Some(32)\nx-told: :status=503 content-length=98 content-type=text/plain, end false\n| (98, end true)",
                    envoy: "503\ncontent-type: text/plain\nx-code: Some(503) Some(\"upstream_reset_before_response_started{remote_connection_failure\") Some(32)\nx-told: :status=503 content-length=98 content-type=text/plain, end false\n| (98, end true)\n(cut)",
                    why: "Envoy leaves the content-length to the plugin",
                },
            ),
            row(
                "own_answer/nowhere/seen",
                "POST\ncontent-type: application/grpc\n\nhello",
                Seen::Differs {
                    gateway: "200\ncontent-type: application/grpc\ngrpc-message: upstream connect error or disconnect/reset before headers. reset reason: remote connection failure\ngrpc-status: 14\nx-code: Some(200) Some(\"upstream_reset_before_response_started{remote_connection_failure\") Some(32)\nx-told: :status=200 content-type=application/grpc grpc-message=upstream connect error or disconnect/reset before headers. reset reason: remote connection failure grpc-status=14, end true",
                    envoy: "200\ncontent-type: application/grpc\ngrpc-message: upstream connect error or disconnect/reset before headers. reset reason: remote connection failure\ngrpc-status: 14\nx-code: Some(503) Some(\"upstream_reset_before_response_started{remote_connection_failure\") Some(32)\nx-told: :status=200 content-type=application/grpc grpc-message=upstream connect error or disconnect/reset before headers. reset reason: remote connection failure grpc-status=14, end true",
                    why: "what would be the status without gRPC is forgotten",
                },
            ),
            row(
                "own_answer/seen?closed",
                "GET",
                Seen::Both(
                    "503\ncontent-type: text/plain\nx-code: Some(503) Some(\"upstream_reset_before_response_started{connection_termination\") Some(64)\nx-told: :status=503 content-length=95 content-type=text/plain, end false\n| upstream connect error or disconnect/reset before headers. reset reason: connection termination",
                ),
            ),
            row(
                "own_answer/seen?no-http",
                "GET",
                Seen::Both(
                    "502\ncontent-type: text/plain\nx-code: Some(502) Some(\"upstream_reset_before_response_started{protocol_error\") Some(8388608)\nx-told: :status=502 content-length=87 content-type=text/plain, end false\n| upstream connect error or disconnect/reset before headers. reset reason: protocol error",
                ),
            ),
            row(
                "own_answer/impatient/seen?never",
                "GET",
                Seen::Both(
                    "504\ncontent-type: text/plain\nx-code: Some(504) Some(\"response_timeout\") Some(4)\nx-told: :status=504 content-length=24 content-type=text/plain, end false\n| upstream request timeout",
                ),
            ),
            row(
                "own_answer/no-route",
                "GET",
                Seen::Both("404\nx-code: Some(404) Some(\"route_not_found\") Some(256)\nx-told: :status=404, end true"),
            ),
            row("own_answer/no-authority", "GET", PASSED),
            row(
                "own_answer/no-method",
                "GET",
                Seen::Differs {
                    gateway: "200\ncontent-type: text/plain\nx-code: Some(200) Some(\"via_upstream\") Some(0)\nx-told: :status=200 content-length=5 content-type=text/plain x-up=one x-up=two, end false\nx-up: one\nx-up: two\n| hello",
                    envoy: "503\ncontent-type: text/plain\nx-code: Some(503) Some(\"filter_removed_required_request_headers{missing_required_header:_:method\") Some(262144)\nx-told: :status=503 content-length=32 content-type=text/plain, end false\n| missing required header: :method",
                    why: "what a request cannot be without is not removed",
                },
            ),
            row(
                "own_answer/no-path",
                "GET",
                Seen::Differs {
                    gateway: "200\ncontent-type: text/plain\nx-code: Some(200) Some(\"via_upstream\") Some(0)\nx-told: :status=200 content-length=5 content-type=text/plain x-up=one x-up=two, end false\nx-up: one\nx-up: two\n| hello",
                    envoy: "404\nx-code: Some(404) Some(\"route_not_found\") Some(256)\nx-told: :status=404, end true",
                    why: "what a request cannot be without is not removed",
                },
            ),
            row(
                "own_answer/broken",
                "POST\ntransfer-encoding: chunked\n\nxyz\r\nhello",
                Seen::Both(
                    "400\ncontent-type: text/plain\nx-code: Some(400) Some(\"http1.codec_error\") Some(0)\nx-told: :status=400 content-length=11 content-type=text/plain, end false\n| Bad Request",
                ),
            ),
            row("own_answer/seen", "GET", PASSED),
        ],
        Trailers::Drop,
    );
}

#[test]
fn own_answers_in_the_end() {
    for kind in kinds() {
        let stage = Stage::shared(kind, Trailers::Drop);
        let mut notes = Notes::of(&stage.host);
        for (path, noted) in [
            (
                "own_answer/nowhere/log",
                r#"log: Some(503) Some("upstream_reset_before_response_started{remote_connection_failure") Some(32)"#,
            ),
            (
                "own_answer/nowhere/status",
                r#"status: Some(418) Some("upstream_reset_before_response_started{remote_connection_failure") Some(32)"#,
            ),
            // Answers of the plugin's own, in the place of the host's and of the upstream's.
            ("own_answer/nowhere/other", "other: Some(403) None Some(32)"),
            ("own_answer/other", "other: Some(403) None Some(0)"),
            ("own_answer/status", r#"status: Some(418) Some("via_upstream") Some(0)"#),
            (
                "own_answer/no-route",
                r#"no-route: Some(404) Some("route_not_found") Some(256)"#,
            ),
        ] {
            stage.send(path, "GET");
            let case = path.rsplit('/').next().unwrap_or_default();
            let last = notes.up_to(&stage.host, case).pop();
            assert_eq!(last.as_deref(), Some(noted), "{kind:?} {path}");
        }
    }
}

/// What the plugin that does not fail sees of an answer that is the failure of the other.
#[test]
fn failures_of_others() {
    const TOLD: Seen =
        Seen::Both("503\nx-code: Some(503) Some(\"wasm_fail_stream\") Some(0)\nx-told: :status=503, end true");
    const NOT_TOLD: Seen = Seen::Both("503");
    const HEAD_ALONE: Seen = Seen::Both(
        "200\ncontent-type: text/plain\nx-code: Some(200) Some(\"via_upstream\") Some(0)\nx-told: :status=200 content-length=5 content-type=text/plain x-up=one x-up=two, end false\nx-up: one\nx-up: two\n(cut)",
    );
    const OWN_HEAD_ALONE: Seen = Seen::Both(
        "503\ncontent-type: text/plain\nx-code: Some(503) Some(\"upstream_reset_before_response_started{remote_connection_failure\") Some(32)\nx-told: :status=503 content-length=98 content-type=text/plain, end false\n(cut)",
    );
    let rows = [
        row("a/seen", "POST\nx-fail: request_headers\n\nhello", TOLD),
        row("a/seen", "POST\nx-fail: request_body\n\nhello", TOLD),
        // A response is under way.
        row("a/seen", "GET\nx-fail: response_headers", NOT_TOLD),
        row("a/seen", "GET\nx-fail: response_body", HEAD_ALONE),
        row(
            "a/seen?chunks",
            "GET\nx-fail: response_body",
            Seen::Differs {
                gateway: "200\ncontent-type: text/plain\nx-code: Some(200) Some(\"via_upstream\") Some(0)\nx-told: :status=200 content-type=text/plain x-up=one x-up=two, end false\nx-up: one\nx-up: two\n(cut)",
                envoy: "200\ncontent-type: text/plain\nx-code: Some(200) Some(\"via_upstream\") Some(0)\nx-told: :status=200 content-type=text/plain transfer-encoding=chunked x-up=one x-up=two, end false\nx-up: one\nx-up: two\n(cut)",
                why: "plugins are not shown how a response was framed",
            },
        ),
        // The other has not seen the request.
        row("b/seen", "GET\nx-fail: request_headers", NOT_TOLD),
        row("b/seen", "POST\nx-fail: request_body\n\nhello", TOLD),
        row("b/seen", "GET\nx-fail: response_headers", NOT_TOLD),
        row("b/seen", "GET\nx-fail: response_body", HEAD_ALONE),
        row("b/nowhere/seen", "GET\nx-fail: response_headers", NOT_TOLD),
        row("b/nowhere/seen", "GET\nx-fail: response_body", OWN_HEAD_ALONE),
        row("a/nowhere/seen", "GET\nx-fail: response_body", OWN_HEAD_ALONE),
    ];
    let mut all = String::new();
    for kind in kinds() {
        let stage = two(kind);
        for row in &rows {
            // Each worker has a VM again.
            let alive = || (0..20).all(|_| stage.send("b/seen", "GET").starts_with("200"));
            let is_back = (0..500).any(|_| {
                thread::sleep(Duration::from_millis(20));
                alive()
            });
            assert!(is_back, "{kind:?}: the plugin comes back");
            stage.passed();
            all.push_str(&wrong(kind, &stage, slice::from_ref(row)));
        }
    }
    assert!(all.is_empty(), "{all}");
}

/// Below `/a` the plugin that tells what it sees comes before the one that fails, below `/b` behind it.
fn two(kind: HostKind) -> Stage {
    let (upstream, directory) = (Recorder::start(answered), Recorder::start(asked));
    let nowhere = ports::free();
    let plugin = |name: &str, phase: &str| {
        json!({ "name": name, "wasm": guests(), "vm_id": name, "root_id": "root",
                                                   "configuration": phase, "disabled": true })
    };
    let text = |port, admin| {
        json!({
            "workers": 2,
            "listeners": [ { "address": format!("127.0.0.1:{port}") } ],
            "admin": { "address": format!("127.0.0.1:{admin}") },
            "routes": [
                { "prefix": "/a", "cluster": "upstream", "retries": 0, "plugins": { "tells": {}, "fails": {} } },
                { "prefix": "/a/nowhere", "cluster": "nowhere", "retries": 0, "plugins": { "tells": {}, "fails": {} } },
                { "prefix": "/b", "cluster": "upstream", "retries": 0, "plugins": { "tells-behind": {}, "fails": {} } },
                { "prefix": "/b/nowhere", "cluster": "nowhere", "retries": 0, "plugins": { "tells-behind": {}, "fails": {} } },
            ],
            "clusters": {
                "upstream": { "endpoints": [ format!("127.0.0.1:{}", upstream.port) ] },
                "nowhere": { "endpoints": [ format!("127.0.0.1:{nowhere}") ] },
            },
            "plugins": [ plugin("tells", "own_answer"), plugin("fails", "failing"), plugin("tells-behind", "own_answer") ],
        })
        .to_string()
    };
    let host = Host::start_on(&Servers::shared().stack, kind, text);
    Stage {
        host,
        upstream,
        directory,
    }
}
