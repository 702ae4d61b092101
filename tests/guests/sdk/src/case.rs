//! What a request asks a guest to do, and how it is told of it.

use proxy_wasm::traits::HttpContext;

/// The last segment of the request's path.
pub fn case(context: &dyn HttpContext) -> String {
    let path = context.get_http_request_header(":path").unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Answers the request with lines of text.
pub fn tell(context: &dyn HttpContext, lines: &[String]) {
    context.send_http_response(200, vec![], Some(lines.join("\n").as_bytes()));
}

/// A line that the scenarios find in the host's log.
pub fn note(text: &str) {
    log::info!("<<{text}>>");
}

/// Fields as one line, in the order of their names: that of a host is its own.
pub fn listed(fields: Vec<(String, String)>) -> String {
    // Of the hosts' own making.
    let own = [
        "x-envoy-external-address",
        "x-envoy-upstream-service-time",
        "x-forwarded-for",
        "x-forwarded-proto",
    ];
    let mut fields: Vec<String> = fields
        .into_iter()
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    fields.sort();
    fields.join(" ")
}
