//! What a case says that no exchange can have.

use std::collections::HashMap;

use http::{HeaderName, HeaderValue, Method, Uri};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use super::{Body, Case, Fields, texts};
use crate::config::Source;

/// A report names cases, so each has a name of its own. The error is one line for the user.
pub(super) fn names(cases: &[Spanned<Case>], source: &Source) -> Result<(), String> {
    let mut known = HashMap::new();
    for (index, case) in cases.iter().enumerate() {
        if let Some(line) = known.insert(&case.value.name, case.referenced.line()) {
            let name = &case.value.name;
            let problem = format!("`{name}` is the name of the case in line {line}: give each its own");
            return Err(source.error(case, format!("cases[{index}].name"), problem).to_string());
        }
    }
    Ok(())
}

/// A key of `plugin` that means something in gateway.yaml and nothing here, and what to do.
pub(super) fn senseless(plugin: &Map<String, Value>) -> Option<(&'static str, &'static str)> {
    let on = |key: &str| plugin.get(key).is_some_and(|value| *value != Value::Bool(false));
    if plugin.contains_key("wasm") {
        return Some(("wasm", "the plugin's file is named on the command line: leave this out"));
    }
    if on("disabled") {
        return Some(("disabled", "no request would pass the plugin: leave this out"));
    }
    if on("service") {
        return Some((
            "service",
            "such a plugin sees no requests: there is nothing to test here",
        ));
    }
    None
}

/// The key that is wrong, below the case, and what to write.
pub(super) fn check(case: &Case) -> Result<(), (String, String)> {
    let request = &case.request;
    if Method::from_bytes(request.method.as_bytes()).is_err() {
        return wrong("request.method", "is no method");
    }
    if !request.path.starts_with('/') && request.path != "*" {
        return wrong("request.path", "must begin with `/`");
    }
    if Uri::try_from(request.path.as_str()).is_err() {
        return wrong(
            "request.path",
            "has characters that must be escaped, such as `%20` for a space",
        );
    }
    fields("request.headers", &request.headers, false)?;
    fields_of("request.trailers", request.trailers.as_ref())?;
    length(
        "request",
        &request.headers,
        request.body.as_ref(),
        request.trailers.is_some(),
    )?;
    status("upstream.status", Some(case.upstream.status))?;
    fields("upstream.headers", &case.upstream.headers, false)?;
    fields_of("upstream.trailers", case.upstream.trailers.as_ref())?;
    let upstream = &case.upstream;
    // To HEAD, and by 304, the length of a body is told that does not come (RFC 9110 section 8.6).
    if request.method != "HEAD" && upstream.status != 304 {
        length(
            "upstream",
            &upstream.headers,
            upstream.body.as_ref(),
            upstream.trailers.is_some(),
        )?;
    }
    for (index, call) in case.calls.iter().enumerate() {
        let key = |name: &str| format!("calls[{index}].{name}");
        if call.failed.is_some() && (call.status.is_some() || call.headers.is_some() || call.body.is_some()) {
            return wrong(
                &key("failed"),
                "a call that fails has no `status`, `headers` or `body`: leave one or the other out",
            );
        }
        status(&key("status"), call.status)?;
        fields_of(&key("headers"), call.headers.as_ref())?;
    }
    let expect = &case.expect;
    let of_an_answer = [&expect.headers, &expect.trailers]
        .iter()
        .any(|fields| !fields.0.is_empty());
    if expect.no_answer.is_some() && expect.broken {
        return wrong(
            "expect.broken",
            "where there is no answer none breaks off: leave `broken` or `no_answer` out",
        );
    }
    if expect.no_answer.is_some() && (expect.status.is_some() || expect.body.is_some() || of_an_answer) {
        return wrong(
            "expect.no_answer",
            "where there is no answer there is no `status`, `headers`, `body` or `trailers`: leave one or the other out",
        );
    }
    status("expect.status", expect.status)?;
    fields("expect.headers", &expect.headers, true)?;
    fields("expect.trailers", &expect.trailers, true)?;
    if let Some(Some(arriving)) = &expect.upstream {
        fields("expect.upstream.headers", &arriving.headers, true)?;
        fields("expect.upstream.trailers", &arriving.trailers, true)?;
    }
    Ok(())
}

fn wrong<T>(key: &str, problem: &str) -> Result<T, (String, String)> {
    Err((key.to_owned(), problem.to_owned()))
}

fn status(key: &str, status: Option<u16>) -> Result<(), (String, String)> {
    match status {
        None | Some(200..=999) => Ok(()),
        Some(status) => wrong(
            key,
            &format!("{status} is not the status of an answer: write one from 200 to 999"),
        ),
    }
}

/// What `content-length` says must be so: on the wire such a message could not be.
fn length(of: &str, headers: &Fields, body: Option<&Body>, trailers: bool) -> Result<(), (String, String)> {
    let Some((name, said)) = headers
        .0
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
    else {
        return Ok(());
    };
    let key = format!("{of}.headers.{name}");
    if trailers {
        return wrong(&key, "a body with trailers is chunked and has no length: leave it out");
    }
    let length: usize = body.map_or(0, |body| body.parts().iter().map(bytes::Bytes::len).sum());
    let said = texts(said).unwrap_or_default().join(", ");
    if said == length.to_string() {
        return Ok(());
    }
    wrong(
        &key,
        &format!("is `{said}`, and the body has {length} bytes: write {length}, or leave it out"),
    )
}

fn fields_of(key: &str, given: Option<&Fields>) -> Result<(), (String, String)> {
    given.map_or(Ok(()), |given| fields(key, given, false))
}

/// `null` stands for a field that is not there, which can only be expected.
fn fields(key: &str, fields: &Fields, expected: bool) -> Result<(), (String, String)> {
    for (name, value) in &fields.0 {
        let key = format!("{key}.{name}");
        if HeaderName::try_from(name.as_str()).is_err() {
            return wrong(&key, "is no name of a field");
        }
        if value.is_null() && !expected {
            return wrong(&key, "must be a text, or a list of texts");
        }
        let Some(texts) = texts(value) else {
            let or_null = if expected {
                ", or null for a field that is not there"
            } else {
                ""
            };
            return wrong(&key, &format!("must be a text, or a list of texts{or_null}"));
        };
        if texts.iter().any(|text| HeaderValue::try_from(text).is_err()) {
            return wrong(&key, "has characters that a field cannot have");
        }
    }
    Ok(())
}
