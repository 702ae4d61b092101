//! What was expected, beside what was.

use http::HeaderMap;

use super::drive::Outcome;
use super::{Expectation, Fields, texts};

/// One line for everything that is not as it should be.
pub(super) fn problems(expected: &Expectation, outcome: &Outcome, calls: usize) -> Vec<String> {
    let mut problems = Vec::new();
    let answer = &outcome.answer;
    if let Some(status) = expected.status
        && status != answer.head.status.as_u16()
    {
        problems.push(format!(
            "status: expected {status}, got {}",
            answer.head.status.as_u16()
        ));
    }
    fields("headers", &expected.headers, &answer.head.headers, &mut problems);
    text(
        "body",
        expected.body.as_deref(),
        &String::from_utf8_lossy(&answer.body),
        &mut problems,
    );
    fields("trailers", &expected.trailers, &answer.trailers, &mut problems);
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
    if let Some(remark) = &outcome.remark
        && (!problems.is_empty() || expected.status.is_none())
    {
        problems.push(remark.clone());
    }
    problems
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
