//! What guests do to requests: heads, bodies, trailers.

use super::{Row, Seen, Trailers, run, run_apart};

/// The upstream's answer as it came.
const PASSED: Seen = Seen::Both("200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello");

fn row(path: &'static str, sent: &'static str, upstream: Seen) -> Row {
    Row {
        path,
        sent,
        client: PASSED,
        upstream,
    }
}

#[test]
fn heads_of_requests() {
    run(
        &[
            row(
                "request_headers/add",
                "GET\nx-a: sent",
                Seen::Both("GET /request_headers/add\nhost: phases.example\nx-a: sent\nx-a: added"),
            ),
            row(
                "request_headers/replace",
                "GET\nx-a: one\nx-a: two",
                Seen::Both("GET /request_headers/replace\nhost: phases.example\nx-a: new"),
            ),
            row(
                "request_headers/replace-missing",
                "GET",
                Seen::Both("GET /request_headers/replace-missing\nhost: phases.example\nx-b: new"),
            ),
            row(
                "request_headers/remove",
                "GET\nx-a: one\nX-A: two",
                Seen::Both("GET /request_headers/remove\nhost: phases.example"),
            ),
            row(
                "request_headers/read",
                "GET\nX-A: one\nx-a: two\nx-empty:",
                Seen::Both(
                    "GET /request_headers/read\nhost: phases.example\nx-a: one\nx-a: two\nx-empty: \nx-read: [Some(\"one\"), Some(\"one\"), Some(\"\"), None, Some(\"phases.example\")]",
                ),
            ),
            row(
                "request_headers/read-pseudo?a=b",
                "GET",
                Seen::Both(
                    "GET /request_headers/read-pseudo?a=b\nhost: phases.example\nx-read: [Some(\"GET\"), Some(\"/request_headers/read-pseudo?a=b\"), Some(\"phases.example\"), Some(\"http\"), None]",
                ),
            ),
            row(
                "request_headers/pseudo?a=1",
                "POST\n\nbody",
                Seen::Both("PUT /request_headers/other?b=2\nhost: other.example\n| body"),
            ),
            row(
                "request_headers/host",
                "GET",
                Seen::Both("GET /request_headers/host\nhost: other.example"),
            ),
            row(
                "request_headers/all",
                "GET\nx-b: 2\nx-a: 1\nx-b: 3",
                Seen::Differs {
                    gateway: "GET /request_headers/all\nhost: phases.example\nx-a: 1\nx-all: :authority=phases.example :method=GET :path=/request_headers/all :scheme=http connection=close x-a=1 x-b=2 x-b=3\nx-b: 2\nx-b: 3",
                    envoy: "GET /request_headers/all\nhost: phases.example\nx-a: 1\nx-all: :authority=phases.example :method=GET :path=/request_headers/all :scheme=http x-a=1 x-b=2 x-b=3\nx-b: 2\nx-b: 3",
                    why: "Envoy takes off what belongs to the connection before the plugins, the gateway behind them",
                },
            ),
            row(
                "request_headers/set-all",
                "GET\nx-b: gone\nx-a: gone",
                Seen::Both("GET /request_headers/all-new\nhost: other.example\nx-a: one\nx-a: two"),
            ),
            row(
                "request_headers/bytes",
                "GET\nx-a: ü",
                Seen::Both(
                    "GET /request_headers/bytes\nhost: phases.example\nx-a: ü\nx-b: \u{fffd}\u{fffd}\nx-read: Some([195, 188])",
                ),
            ),
            row(
                "request_headers/end",
                "GET",
                Seen::Both("GET /request_headers/end\nhost: phases.example\nx-end: true"),
            ),
            row(
                "request_headers/end",
                "POST\n\nbody",
                Seen::Both("POST /request_headers/end\nhost: phases.example\nx-end: false\n| body"),
            ),
            row(
                "request_headers/end",
                "POST\ncontent-length: 0",
                Seen::Both("POST /request_headers/end\nhost: phases.example\nx-end: true"),
            ),
        ],
        Trailers::Drop,
    );
}

#[test]
fn bodies_of_requests() {
    const CHUNKS: &str = "POST\ntransfer-encoding: chunked\n\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    run(
        &[
            row(
                "request_body/pass",
                "POST\n\nhello",
                Seen::Both("POST /request_body/pass\nhost: phases.example\n| hello"),
            ),
            row(
                "request_body/pass",
                CHUNKS,
                Seen::Both("POST /request_body/pass\nhost: phases.example\n| hello"),
            ),
            row(
                "request_body/collect",
                "POST\n\nhello",
                Seen::Both("POST /request_body/collect\nhost: phases.example\n| hello(5)"),
            ),
            row(
                "request_body/collect",
                CHUNKS,
                Seen::Both("POST /request_body/collect\nhost: phases.example\n| hello(5)"),
            ),
            row(
                "request_body/replace",
                "POST\n\nhello",
                Seen::Both("POST /request_body/replace\nhost: phases.example\n| something else"),
            ),
            row(
                "request_body/clear",
                "POST\n\nhello",
                Seen::Both("POST /request_body/clear\nhost: phases.example"),
            ),
            row(
                "request_body/same-length",
                "POST\n\nhello",
                Seen::Both("POST /request_body/same-length\nhost: phases.example\n| HELLO"),
            ),
            row(
                "request_body/upper",
                CHUNKS,
                Seen::Both("POST /request_body/upper\nhost: phases.example\n| HELLO"),
            ),
            row(
                "request_body/prepend",
                CHUNKS,
                Seen::Both("POST /request_body/prepend\nhost: phases.example\n| <hello"),
            ),
            row(
                "request_body/prepend",
                "POST\n\nhello",
                Seen::Both("POST /request_body/prepend\nhost: phases.example\n| <hello"),
            ),
            row(
                "request_body/append",
                CHUNKS,
                Seen::Both("POST /request_body/append\nhost: phases.example\n| hello>"),
            ),
            row(
                "request_body/append",
                "POST\n\nhello",
                Seen::Both("POST /request_body/append\nhost: phases.example\n| hello>"),
            ),
            row(
                "request_body/append-beyond",
                "POST\n\nhello",
                Seen::Both("POST /request_body/append-beyond\nhost: phases.example\n| hello>"),
            ),
            row(
                "request_body/read",
                CHUNKS,
                Seen::Both(
                    "POST /request_body/read\nhost: phases.example\n| [Some(\"llo\"), Some(\"llo\"), None, None]",
                ),
            ),
            row(
                "request_body/read",
                "POST\n\nhello",
                Seen::Both(
                    "POST /request_body/read\nhost: phases.example\n| [Some(\"llo\"), Some(\"llo\"), None, None]",
                ),
            ),
            row(
                "request_body/replace",
                "GET",
                Seen::Both("GET /request_body/replace\nhost: phases.example"),
            ),
        ],
        Trailers::Drop,
    );
}

/// In Envoy the rest of the body is left in the connection to the upstream.
#[test]
fn lengths_of_bodies_of_requests() {
    run_apart(
        &[row(
            "request_body/mend",
            "POST\n\nhello",
            Seen::Differs {
                gateway: "POST /request_body/mend\nhost: phases.example\n| something else",
                envoy: "POST /request_body/mend\nhost: phases.example\n| somet",
                why: "Envoy leaves the content-length to the plugin",
            },
        )],
        Trailers::Drop,
    );
}

#[test]
fn trailers_of_requests() {
    const TRAILERS: &str = "POST\ntransfer-encoding: chunked\ntrailer: x-sum, x-new, x-read, x-all, x-one, x-two\n\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n";
    run(
        &[
            row(
                "request_trailers/pass",
                TRAILERS,
                Seen::Both("POST /request_trailers/pass\nhost: phases.example\n| hello\n+ x-sum: 7"),
            ),
            row(
                "request_trailers/add",
                TRAILERS,
                Seen::Both("POST /request_trailers/add\nhost: phases.example\n| hello\n+ x-sum: 7\n+ x-sum: added"),
            ),
            row(
                "request_trailers/replace",
                TRAILERS,
                Seen::Both("POST /request_trailers/replace\nhost: phases.example\n| hello\n+ x-sum: new"),
            ),
            row(
                "request_trailers/remove",
                TRAILERS,
                Seen::Both("POST /request_trailers/remove\nhost: phases.example\n| hello"),
            ),
            row(
                "request_trailers/read",
                TRAILERS,
                Seen::Both(
                    "POST /request_trailers/read\nhost: phases.example\n| hello\n+ x-read: 1 [Some(\"7\"), Some(\"7\"), None]\n+ x-sum: 7",
                ),
            ),
            row(
                "request_trailers/all",
                TRAILERS,
                Seen::Both("POST /request_trailers/all\nhost: phases.example\n| hello\n+ x-all: x-sum=7\n+ x-sum: 7"),
            ),
            row(
                "request_trailers/set-all",
                TRAILERS,
                Seen::Both("POST /request_trailers/set-all\nhost: phases.example\n| hello\n+ x-one: 1\n+ x-two: 2"),
            ),
            row(
                "request_trailers/hold-body",
                TRAILERS,
                Seen::Both("POST /request_trailers/hold-body\nhost: phases.example\n| hello\n+ x-sum: 7"),
            ),
            row(
                "request_trailers/body-ends",
                TRAILERS,
                Seen::Both("POST /request_trailers/body-ends\nhost: phases.example\n| hello\n+ x-sum: 7"),
            ),
            row(
                "request_trailers/body-ends",
                "POST\n\nhello",
                Seen::Both("POST /request_trailers/body-ends\nhost: phases.example\n| hello(end)"),
            ),
            row(
                "request_trailers/create",
                "POST\ntransfer-encoding: chunked\ntrailer: x-new\n\n5\r\nhello\r\n0\r\n\r\n",
                Seen::Both("POST /request_trailers/create\nhost: phases.example\n| hello\n+ x-new: created"),
            ),
            row(
                "request_trailers/announce",
                "POST\ntransfer-encoding: chunked\n\n5\r\nhello\r\n0\r\n\r\n",
                Seen::Both("POST /request_trailers/announce\nhost: phases.example\n| hello\n+ x-new: created"),
            ),
            row(
                "request_trailers/create",
                "GET",
                Seen::Both("GET /request_trailers/create\nhost: phases.example"),
            ),
            row(
                "request_trailers/pass",
                "POST\ntransfer-encoding: chunked\n\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n",
                Seen::Differs {
                    gateway: "POST /request_trailers/pass\nhost: phases.example\n| hello",
                    envoy: "POST /request_trailers/pass\nhost: phases.example\n| hello\n+ x-sum: 7",
                    why: "trailers go on if the head names them",
                },
            ),
            row(
                "request_trailers/create",
                "POST\ntransfer-encoding: chunked\n\n5\r\nhello\r\n0\r\n\r\n",
                Seen::Differs {
                    gateway: "POST /request_trailers/create\nhost: phases.example\n| hello",
                    envoy: "POST /request_trailers/create\nhost: phases.example\n| hello\n+ x-new: created",
                    why: "trailers go on if the head names them",
                },
            ),
        ],
        Trailers::Pass,
    );
}

#[test]
fn trailers_that_a_listener_drops() {
    run(
        &[Row {
            path: "request_trailers/body-ends",
            sent: "POST\ntransfer-encoding: chunked\n\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n",
            client: PASSED,
            upstream: Seen::Both("POST /request_trailers/body-ends\nhost: phases.example\n| hello(end)"),
        }],
        Trailers::Drop,
    );
}
