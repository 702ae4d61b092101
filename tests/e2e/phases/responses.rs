//! What guests do to responses: heads, bodies, trailers.

use super::{Row, Seen, Trailers, run, run_apart};

fn row(path: &'static str, client: Seen) -> Row {
    Row {
        path,
        sent: "GET\nte: trailers",
        client,
        upstream: Seen::Unsure,
    }
}

#[test]
fn heads_of_responses() {
    run(
        &[
            row(
                "response_headers/pass",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello"),
            ),
            row(
                "response_headers/add",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\nx-up: added\n| hello"),
            ),
            row(
                "response_headers/replace",
                Seen::Both("200\ncontent-type: text/plain\nx-up: new\n| hello"),
            ),
            row(
                "response_headers/remove",
                Seen::Both("200\ncontent-type: text/plain\n| hello"),
            ),
            row(
                "response_headers/read",
                Seen::Both(
                    "200\ncontent-type: text/plain\nx-read: [Some(\"200\"), Some(\"one\"), Some(\"one\"), None, None]\nx-up: one\nx-up: two\n| hello",
                ),
            ),
            row(
                "response_headers/bytes",
                Seen::Both(
                    "200\ncontent-type: text/plain\nx-b: \u{fffd}\u{fffd}\nx-read: Some([254, 255])\nx-up: one\nx-up: two\n| hello",
                ),
            ),
            row(
                "response_headers/status",
                Seen::Both("418\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello"),
            ),
            row(
                "response_headers/all",
                Seen::Both(
                    "200\ncontent-type: text/plain\nx-all: :status=200 content-length=5 content-type=text/plain x-up=one x-up=two\nx-up: one\nx-up: two\n| hello",
                ),
            ),
            row(
                "response_headers/set-all",
                Seen::Both("203\nx-a: one\nx-a: two\n| hello"),
            ),
            row(
                "response_headers/end",
                Seen::Both("200\ncontent-type: text/plain\nx-end: false\nx-up: one\nx-up: two\n| hello"),
            ),
            row(
                "response_headers/end?nothing",
                Seen::Both("204\nx-end: true\nx-up: one"),
            ),
        ],
        Trailers::Drop,
    );
}

/// The SDK ends the VM when it reads what Envoy does not show any more.
#[test]
fn heads_of_requests_while_there_is_a_response() {
    run_apart(
        &[row(
            "response_headers/request",
            Seen::Differs {
                gateway: "200\ncontent-type: text/plain\nx-path: Some(\"/response_headers/request\")\nx-up: one\nx-up: two\n| hello",
                envoy: "503",
                why: "Envoy does not let request headers be read any more, and the SDK panics",
            },
        )],
        Trailers::Drop,
    );
}

#[test]
fn bodies_of_responses() {
    run(
        &[
            row(
                "response_body/pass",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello"),
            ),
            row(
                "response_body/pass?chunks",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello"),
            ),
            row(
                "response_body/collect",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello(5)"),
            ),
            row(
                "response_body/collect?chunks",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello(5)"),
            ),
            row(
                "response_body/replace",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| something else"),
            ),
            row(
                "response_body/clear",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two"),
            ),
            row(
                "response_body/same-length",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| HELLO"),
            ),
            row(
                "response_body/mend",
                Seen::Differs {
                    gateway: "200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| something else",
                    envoy: "200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| somet",
                    why: "Envoy leaves the content-length to the plugin",
                },
            ),
            row(
                "response_body/upper?chunks",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| HELLO"),
            ),
            row(
                "response_body/prepend",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| <hello"),
            ),
            row(
                "response_body/prepend?chunks",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| <hello"),
            ),
            row(
                "response_body/append",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello>"),
            ),
            row(
                "response_body/append?chunks",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello>"),
            ),
            row(
                "response_body/append-beyond",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello>"),
            ),
            row(
                "response_body/read",
                Seen::Both(
                    "200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| [Some(\"llo\"), Some(\"llo\"), None, None]",
                ),
            ),
            row(
                "response_body/read?chunks",
                Seen::Both(
                    "200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| [Some(\"llo\"), Some(\"llo\"), None, None]",
                ),
            ),
            row("response_body/replace?nothing", Seen::Both("204\nx-up: one")),
        ],
        Trailers::Drop,
    );
}

#[test]
fn trailers_of_responses() {
    run(
        &[
            row(
                "response_trailers/pass?trailers",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello\n+ x-sum: 7"),
            ),
            row(
                "response_trailers/add?trailers",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello\n+ x-sum: 7\n+ x-sum: added"),
            ),
            row(
                "response_trailers/replace?trailers",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello\n+ x-sum: new"),
            ),
            row(
                "response_trailers/remove?trailers",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello"),
            ),
            row(
                "response_trailers/read?trailers",
                Seen::Both(
                    "200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello\n+ x-read: 1 [Some(\"7\"), Some(\"7\"), None]\n+ x-sum: 7",
                ),
            ),
            row(
                "response_trailers/all?trailers",
                Seen::Both(
                    "200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello\n+ x-all: x-sum=7\n+ x-sum: 7",
                ),
            ),
            row(
                "response_trailers/set-all?trailers",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello\n+ x-one: 1\n+ x-two: 2"),
            ),
            row(
                "response_trailers/hold-body?trailers",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello\n+ x-sum: 7"),
            ),
            row(
                "response_trailers/body-ends?trailers",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello\n+ x-sum: 7"),
            ),
            row(
                "response_trailers/body-ends",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello(end)"),
            ),
            row(
                "response_trailers/create?none-yet",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello\n+ x-new: created"),
            ),
            row(
                "response_trailers/announce?chunks",
                Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello\n+ x-new: created"),
            ),
            row(
                "response_trailers/pass?unannounced",
                Seen::Differs {
                    gateway: "200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello",
                    envoy: "200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello\n+ x-sum: 7",
                    why: "trailers go on if the head names them",
                },
            ),
            row(
                "response_trailers/create?chunks",
                Seen::Differs {
                    gateway: "200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello",
                    envoy: "200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello\n+ x-new: created",
                    why: "trailers go on if the head names them",
                },
            ),
            row("response_trailers/create?nothing", Seen::Both("204\nx-up: one")),
        ],
        Trailers::Pass,
    );
}
