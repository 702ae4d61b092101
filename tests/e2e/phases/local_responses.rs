//! Answers in the upstream's place, from every phase.

use super::{Row, Seen, Trailers, run_apart};

const LOCAL: Seen =
    Seen::Both("403\ncontent-type: text/plain\nx-local: one\nx-local: two\nx-passed: response_headers\n| local");

/// Not a second time past the callback that it is given from.
const SECOND: Seen = Seen::Both("403\ncontent-type: text/plain\nx-local: one\nx-local: two\n| local");

/// The upstream sees nothing.
fn row(path: &'static str, sent: &'static str, client: Seen) -> Row {
    Row {
        path,
        sent,
        client,
        upstream: Seen::Both(""),
    }
}

/// The request was on its way, and is perhaps broken off.
fn late(path: &'static str, sent: &'static str, client: Seen) -> Row {
    Row {
        upstream: Seen::Unsure,
        ..row(path, sent, client)
    }
}

#[test]
fn local_responses() {
    const TRAILERS: &str = "POST\ntransfer-encoding: chunked\n\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n";
    run_apart(
        &[
            row("local_response/request_headers", "GET", LOCAL),
            row("local_response/request_headers", "POST\n\nhello", LOCAL),
            row("local_response/continued", "GET", LOCAL),
            row("local_response/twice", "GET", LOCAL),
            row("local_response/resumed", "GET", LOCAL),
            row(
                "local_response/without-body",
                "GET",
                Seen::Both("401\nx-local: one\nx-passed: response_headers"),
            ),
            row(
                "local_response/typed",
                "GET",
                Seen::Both("200\ncontent-type: application/json\nx-passed: response_headers\n| {}"),
            ),
            row(
                "local_response/own-length",
                "GET",
                Seen::Both("200\ncontent-type: text/plain\nx-passed: response_headers\n| short"),
            ),
            row(
                "local_response/request_headers",
                "POST\ncontent-type: application/grpc\n\nhello",
                Seen::Both(
                    "200\ncontent-type: application/grpc\ngrpc-message: local\ngrpc-status: 7\nx-local: one\nx-local: two\nx-passed: response_headers",
                ),
            ),
            // Answers that are answered.
            row("local_response/itself", "GET", SECOND),
            row("local_response/itself-paused", "GET", SECOND),
            row("local_response/itself-tick", "GET", SECOND),
            row(
                "local_response/itself-body",
                "GET",
                Seen::Both("401\ncontent-type: text/plain\nx-local: first\nx-passed: response_headers\n(cut)"),
            ),
            row("local_response/tick", "GET", LOCAL),
            Row {
                upstream: Seen::Both("GET /answer\nhost: directory"),
                ..row("local_response/call", "GET", LOCAL)
            },
            late("local_response/request_body", "POST\n\nhello", LOCAL),
            late("local_response/request_trailers", TRAILERS, LOCAL),
            late("local_response/response_headers", "GET", SECOND),
            // The head has gone: there is no other answer, and the one that began is cut off.
            late("local_response/response_body", "GET", Seen::Broken),
            late("local_response/response_body?chunks", "GET", Seen::Broken),
            late("local_response/response_trailers?trailers", "GET", Seen::Broken),
            late("local_response/tick-later?half", "GET", Seen::Broken),
        ],
        Trailers::Pass,
    );
}
