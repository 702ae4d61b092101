//! What was expected, beside what was.

use http::{HeaderMap, response};

use super::drive::{Message, Outcome};
use super::{Expectation, Fields, NoAnswer, texts};

/// One line for everything that is not as it should be.
pub(super) fn problems(expected: &Expectation, outcome: &Outcome, calls: usize) -> Vec<String> {
    let mut problems = Vec::new();
    match (&outcome.answer, expected.no_answer) {
        (Ok(answer), None) => of_answer(expected, answer, &mut problems),
        (Ok(answer), Some(_)) => problems.push(format!(
            "no_answer: there was one, with status {}",
            answer.head.status.as_u16()
        )),
        (Err(why), expected) if expected == Some(*why) => {}
        (Err(NoAnswer::Closed), _) => {
            problems.push("the plugin closed the stream; expect `no_answer: closed` if it should".to_owned());
        }
        (Err(NoAnswer::Paused), _) => problems.push(
            "the plugin kept the exchange waiting until the case's timeout; expect `no_answer: paused` if it should"
                .to_owned(),
        ),
    }
    match (&expected.upstream, &outcome.upstream) {
        (Some(None), Some(_)) => problems.push("upstream: the request got there, and should not have".to_owned()),
        (Some(Some(_)), None) => problems.push("upstream: the request did not get there".to_owned()),
        (Some(Some(expected)), Some(got)) => {
            text(
                "upstream.method",
                expected.method.as_deref(),
                got.head.method.as_str(),
                &mut problems,
            );
            text(
                "upstream.path",
                expected.path.as_deref(),
                &got.head.uri.to_string(),
                &mut problems,
            );
            fields("upstream.headers", &expected.headers, &got.head.headers, &mut problems);
            let body = String::from_utf8_lossy(&got.body);
            text("upstream.body", expected.body.as_deref(), &body, &mut problems);
            fields("upstream.trailers", &expected.trailers, &got.trailers, &mut problems);
        }
        (None, _) | (Some(None), None) => {}
    }
    if let Some(expected) = expected.calls
        && expected != calls
    {
        problems.push(format!("calls: expected {expected}, got {calls}"));
    }
    problems
}

fn of_answer(expected: &Expectation, answer: &Message<response::Parts>, problems: &mut Vec<String>) {
    if let Some(status) = expected.status
        && status != answer.head.status.as_u16()
    {
        problems.push(format!(
            "status: expected {status}, got {}",
            answer.head.status.as_u16()
        ));
    }
    match (expected.broken, answer.broken) {
        (false, true) => problems.push(
            "the answer broke off: the plugin failed or ended it when its head had gone on; expect `broken: true` if it should"
                .to_owned(),
        ),
        (true, false) => problems.push("broken: the answer was expected to break off, and is whole".to_owned()),
        _ => {}
    }
    fields("headers", &expected.headers, &answer.head.headers, problems);
    let body = String::from_utf8_lossy(&answer.body);
    text("body", expected.body.as_deref(), &body, problems);
    fields("trailers", &expected.trailers, &answer.trailers, problems);
}

fn text(key: &str, expected: Option<&str>, got: &str, problems: &mut Vec<String>) {
    if let Some(expected) = expected
        && expected != got
    {
        problems.push(format!("{key}: expected {expected:?}, got {got:?}"));
    }
}

fn fields(key: &str, expected: &Fields, got: &HeaderMap, problems: &mut Vec<String>) {
    for (name, value) in &expected.0 {
        let got: Vec<_> = got
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        let expected = texts(value).unwrap_or_default();
        if got != expected {
            let shown = |values: &[String]| match values {
                [] => "nothing".to_owned(),
                [one] => format!("{one:?}"),
                several => format!("{several:?}"),
            };
            problems.push(format!(
                "{key}.{name}: expected {}, got {}",
                shown(&expected),
                shown(&got)
            ));
        }
    }
}
