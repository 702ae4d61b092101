//! gRPC calls and streams of a guest's own.

use super::{Row, Seen, Trailers, run};

const DECODED: &str = "Envoy tells the field as it came, and adds that it came from the upstream";

fn row(path: &'static str, client: &'static str) -> Row {
    Row {
        path,
        sent: "GET",
        client: Seen::Both(client),
        upstream: Seen::Both(""),
    }
}

fn differs(path: &'static str, gateway: &'static str, envoy: &'static str, why: &'static str) -> Row {
    Row {
        client: Seen::Differs { gateway, envoy, why },
        ..row(path, "")
    }
}

/// Of what was cancelled nothing is heard; the request goes on.
fn cancelled(path: &'static str, upstream: &'static str) -> Row {
    Row {
        upstream: Seen::Both(upstream),
        ..row(
            path,
            "200\ncontent-type: text/plain\nx-heard: 0\nx-up: one\nx-up: two\n| hello",
        )
    }
}

#[test]
fn calls_have_one_answer() {
    run(
        &[
            row("grpc/call", "200\ncontent-type: text/plain\n| 5 bytes: Some(\"hello\")"),
            differs(
                "grpc/refused",
                "200\ncontent-type: text/plain\n| status 5, told 5 `no such thing`",
                "200\ncontent-type: text/plain\n| status 5, told 5 `no%20such thing{via_upstream}`",
                DECODED,
            ),
            differs(
                "grpc/late",
                "200\ncontent-type: text/plain\n| status 4",
                "200\ncontent-type: text/plain\n| status 14",
                "in Envoy a call that takes too long is one that HTTP answers with 504",
            ),
            row("grpc/nowhere", "200\ncontent-type: text/plain\n| status 14"),
            row("grpc/unknown", "200\ncontent-type: text/plain\n| ParseFailure"),
            cancelled("grpc/cancel", "GET /grpc/cancel\nhost: phases.example"),
        ],
        Trailers::Drop,
    );
}

#[test]
fn streams_are_told_everything_in_its_order() {
    run(
        &[
            differs(
                "grpc/stream",
                "200\ncontent-type: text/plain\n| begun Some(\"one\")\n| 5 bytes: Some(\"hello\")\n| 5 bytes: Some(\"world\")\n| last Some(\"done\")\n| closed with 0, told 0 ``",
                "200\ncontent-type: text/plain\n| begun Some(\"one\")\n| 5 bytes: Some(\"hello\")\n| 5 bytes: Some(\"world\")\n| last Some(\"done\")\n| closed with 0, told 0 `via_upstream`",
                DECODED,
            ),
            differs(
                "grpc/stream-refused",
                "200\ncontent-type: text/plain\n| begun Some(\"one\")\n| last Some(\"done\")\n| closed with 5, told 5 `no such thing`",
                "200\ncontent-type: text/plain\n| begun Some(\"one\")\n| last Some(\"done\")\n| closed with 5, told 5 `no%20such thing{via_upstream}`",
                DECODED,
            ),
            differs(
                "grpc/stream-broken",
                "200\ncontent-type: text/plain\n| begun Some(\"one\")\n| 5 bytes: Some(\"hello\")\n| last Some(\"done\")\n| closed with 13, told 13 ``",
                "200\ncontent-type: text/plain\n| begun Some(\"one\")\n| 5 bytes: Some(\"hello\")\n| last Some(\"done\")\n| closed with 13, told 13 `via_upstream`",
                DECODED,
            ),
            cancelled("grpc/stream-cancel", "GET /grpc/stream-cancel\nhost: phases.example"),
        ],
        Trailers::Drop,
    );
}
