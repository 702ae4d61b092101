//! Requests of a guest's own, and what it makes of their answers.

use std::{thread, time::Duration};

use postern_e2e::host::kinds;

use super::{Row, Seen, Stage, Trailers, run};

/// What the upstream answers, passed on.
const PASSED: &str = "200\ncontent-type: text/plain\nx-up: one\nx-up: two\n| hello";
const ANSWERED: &str = "200\ncontent-type: text/plain\n| answered true, 6 bytes, 0 trailers\n| :status=200 content-length=6 x-up=one x-up=two\n| Some(\"one\")\n| None\n| answer\n| ";

fn row(path: &'static str, client: &'static str, upstream: &'static str) -> Row {
    Row {
        path,
        sent: "GET",
        client: Seen::Both(client),
        upstream: Seen::Both(upstream),
    }
}

#[test]
fn calls_and_their_answers() {
    run(
        &[
            row("http_call/answer", ANSWERED, "GET /answer\nhost: directory"),
            Row {
                upstream: Seen::Differs {
                    gateway: "POST /answer\nhost: asked.example\nx-call: one\nx-call: two\n| question\n+ x-sum: 7",
                    envoy: "POST /answer\nhost: asked.example\nx-call: one\nx-call: two\n| question",
                    why: "Envoy announces the length of the body, and such a message has no trailers",
                },
                ..row("http_call/post", ANSWERED, "")
            },
            row(
                "http_call/trailers",
                "200\ncontent-type: text/plain\n| answered true, 5 bytes, 1 trailers\n| :status=200 transfer-encoding=chunked\n| None\n| None\n| hello\n| x-sum=7",
                "GET /trailers\nhost: directory",
            ),
            row(
                "http_call/not-found",
                "200\ncontent-type: text/plain\n| answered true, 2 bytes, 0 trailers\n| :status=404 content-length=2\n| None\n| None\n| no\n| ",
                "GET /not-found\nhost: directory",
            ),
            row(
                "http_call/empty",
                "200\ncontent-type: text/plain\n| answered true, 0 bytes, 0 trailers\n| :status=200 content-length=0\n| None\n| None\n| \n| ",
                "GET /empty\nhost: directory",
            ),
            row(
                "http_call/resume",
                PASSED,
                "GET /http_call/resume\nhost: phases.example\nx-answer: answer\nGET /answer\nhost: directory",
            ),
            row(
                "http_call/resume-response",
                "200\ncontent-type: text/plain\nx-answer: answer\nx-up: one\nx-up: two\n| hello",
                "GET /http_call/resume-response\nhost: phases.example\nGET /answer\nhost: directory",
            ),
            row(
                "http_call/two",
                "200\ncontent-type: text/plain\n| first\n| second",
                "GET /first\nhost: directory\nGET /second\nhost: directory",
            ),
            row(
                "http_call/refused",
                "200\ncontent-type: text/plain\n| answered true, status Some(\"503\")",
                "",
            ),
            Row {
                // The gateway asks once more if it was on a connection that had been used before.
                upstream: Seen::Unsure,
                ..row(
                    "http_call/closed",
                    "200\ncontent-type: text/plain\n| answered true, status Some(\"503\")",
                    "",
                )
            },
            row(
                "http_call/late",
                "200\ncontent-type: text/plain\n| answered true, status Some(\"504\")",
                "GET /silent\nhost: directory",
            ),
            row("http_call/unknown", "200\ncontent-type: text/plain\n| BadArgument", ""),
            row(
                "http_call/without-path",
                "200\ncontent-type: text/plain\n| BadArgument",
                "",
            ),
            row(
                "timer/wait",
                PASSED,
                "GET /timer/wait\nhost: phases.example\nx-resumed: tick",
            ),
            row(
                "timer/call",
                PASSED,
                "GET /timer/call\nhost: phases.example\nx-resumed: answer\nGET /answer\nhost: directory",
            ),
        ],
        Trailers::Pass,
    );
}

#[test]
fn what_a_cluster_does_not_take_is_refused_at_once() {
    let answer = "200\ncontent-type: text/plain\n| answered Some(\"200\")\n| refused: InternalFailure";
    let row = Row {
        upstream: Seen::Differs {
            gateway: "GET /answer\nhost: narrow\nGET /answer\nhost: narrow",
            envoy: "GET /answer\nhost: narrow",
            why: "in Envoy a call that opens a connection counts as waiting for one",
        },
        ..row("http_call/too-many", answer, "")
    };
    run(&[row], Trailers::Drop);
}

#[test]
fn a_call_outlives_its_exchange() {
    for kind in kinds() {
        let stage = Stage::shared(kind, Trailers::Drop);
        let sent = "GET\nx-forget: /forgotten";
        assert!(stage.send("http_call/forget", sent).starts_with("200"), "{kind:?}");
        let called = (0..500).find_map(|_| {
            thread::sleep(Duration::from_millis(20));
            stage.directory.taken().pop()
        });
        let called = called.expect("the call arrives");
        assert_eq!(called.start, "GET /forgotten HTTP/1.1", "{kind:?}");
        // Its answer has come to a context that is gone, and has harmed nobody.
        assert!(stage.send("http_call/answer", "GET").starts_with("200"), "{kind:?}");
        assert!(stage.passed().contains("x-asked: true"), "{kind:?}");
    }
}
