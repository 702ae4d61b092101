//! `--trace-plugin`: each callback and each host function with its arguments, in the log. What may be a secret is masked;
//! of bodies, shared data and other bytes only the size is shown.

use std::fmt::Debug;
use std::time::Duration;

use super::HostState;
use super::failure::{Answer, Failure};
use super::pairs;
use crate::vm::entry::Entry;
use crate::vm::memory::Host;

/// Longest text that is shown, in bytes.
const LONGEST: usize = 256;

/// What the parameters of host functions are: `n` a number, `m` a header map, `b` a buffer, `l` a log level, `t` a text,
/// `k` a field's name or a property's path, `v` its value, `p` pairs, `x` bytes (address and size each); what is handed
/// back: `T` a text, `V` a value of `k`, `P` pairs, `X` bytes (out-pointers of address and size), `N` a number of 32 bits,
/// `L` one of 64.
#[rustfmt::skip]
const SIGNATURES: &[(&str, &str)] = &[
    ("proxy_log", "lt"),
    ("proxy_get_log_level", "N"),
    ("proxy_get_current_time_nanoseconds", "L"),
    ("proxy_get_buffer_bytes", "bnnX"),
    ("proxy_get_buffer_status", "bNN"),
    ("proxy_set_buffer_bytes", "bnnx"),
    ("proxy_get_header_map_size", "mN"),
    ("proxy_get_header_map_pairs", "mP"),
    ("proxy_set_header_map_pairs", "mp"),
    ("proxy_get_header_map_value", "mkV"),
    ("proxy_add_header_map_value", "mkv"),
    ("proxy_replace_header_map_value", "mkv"),
    ("proxy_remove_header_map_value", "mk"),
    ("proxy_send_local_response", "ntxpn"),
    ("proxy_http_call", "tpxpnN"),
    ("proxy_get_status", "NT"),
    ("proxy_grpc_call", "xttpxnN"),
    ("proxy_grpc_stream", "xttpN"),
    ("proxy_grpc_send", "nxn"),
    ("proxy_get_property", "kV"),
    ("proxy_set_property", "kv"),
    ("proxy_get_shared_data", "tXN"),
    ("proxy_set_shared_data", "txn"),
    ("proxy_register_shared_queue", "tN"),
    ("proxy_resolve_shared_queue", "ttN"),
    ("proxy_enqueue_shared_queue", "nx"),
    ("proxy_dequeue_shared_queue", "nX"),
    ("proxy_define_metric", "ntN"),
    ("proxy_get_metric", "nL"),
    ("proxy_call_foreign_function", "txX"),
    ("proxy_get_configuration", "X"),
];

const MAPS: [&str; 8] = [
    "request_headers",
    "request_trailers",
    "response_headers",
    "response_trailers",
    "grpc_initial_metadata",
    "grpc_trailing_metadata",
    "http_call_response_headers",
    "http_call_response_trailers",
];

const BUFFERS: [&str; 9] = [
    "request_body",
    "response_body",
    "downstream_data",
    "upstream_data",
    "http_call_response_body",
    "grpc_call_message",
    "vm_configuration",
    "plugin_configuration",
    "foreign_function_arguments",
];

const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "critical"];

/// The guest is about to be entered.
pub(crate) fn entering(state: &HostState, entry: Entry, params: &impl Debug) {
    let plugin = &*state.identity.name;
    tracing::info!(target: "trace", plugin, "-> {}{params:?}", entry.name());
}

/// The guest has returned, or failed.
pub(crate) fn returned<R: Debug, E>(
    state: &HostState,
    entry: Entry,
    result: &Result<R, E>,
    took: Duration,
    host_calls: u64,
) {
    let (plugin, name) = (&*state.identity.name, entry.name());
    let result = match result {
        Ok(result) => format!("{result:?}"),
        Err(_) => "failed".to_owned(),
    };
    tracing::info!(target: "trace", plugin, "<- {name}: {result} ({took:?}, {host_calls} host calls)");
}

/// A host function was called.
pub(crate) fn called(host: &Host<'_>, function: &str, arguments: &[u64], answer: &Answer) {
    let (given, handed_back) = describe(host, function, arguments);
    let plugin = &*host.state().identity.name;
    let given = given.join(", ");
    match answer {
        Ok(()) if handed_back.is_empty() => tracing::info!(target: "trace", plugin, "   {function}({given}): ok"),
        Ok(()) => {
            let handed_back = handed_back.join(", ");
            tracing::info!(target: "trace", plugin, "   {function}({given}): ok, {handed_back}");
        }
        Err(Failure::Code(code)) => {
            tracing::info!(target: "trace", plugin, "   {function}({given}): {}", status(*code))
        }
        Err(Failure::OutsideMemory) => {
            tracing::info!(target: "trace", plugin, "   {function}({given}): invalid_memory_access");
        }
        Err(Failure::Unwind(_)) => tracing::info!(target: "trace", plugin, "   {function}({given}): ends the VM"),
    }
}

/// What was given, and what was handed back if the function succeeded.
fn describe(host: &Host<'_>, function: &str, arguments: &[u64]) -> (Vec<String>, Vec<String>) {
    let signature = SIGNATURES.iter().find(|(name, _)| *name == function);
    let Some((_, signature)) = signature else {
        return (
            arguments.iter().map(|number| (*number as i64).to_string()).collect(),
            Vec::new(),
        );
    };
    let mut arguments = arguments.iter().copied();
    let mut next = || arguments.next().unwrap_or_default();
    let (mut given, mut handed_back) = (Vec::new(), Vec::new());
    let mut key = String::new();
    for kind in signature.chars() {
        let first = next();
        let address = first as u32;
        let size = if "tkvpxTVPX".contains(kind) { next() as u32 } else { 0 };
        let bytes = || host.read(address, size);
        match kind {
            'm' => given.push(named(&MAPS, first)),
            'b' => given.push(named(&BUFFERS, first)),
            'l' => given.push(named(&LEVELS, first)),
            't' => given.push(bytes().map_or_else(|_| outside(), text)),
            'k' => {
                key = bytes().map_or_else(|_| outside(), |bytes| String::from_utf8_lossy(bytes).replace('\0', "."));
                given.push(format!("{key:?}"));
            }
            'v' => given.push(bytes().map_or_else(|_| outside(), |bytes| value(&key, bytes))),
            'p' => given.push(bytes().map_or_else(|_| outside(), shown_pairs)),
            'x' => given.push(format!("{size} bytes")),
            'N' => handed_back.push(
                host.read_u32(address)
                    .map_or_else(|_| outside(), |number| number.to_string()),
            ),
            'L' => {
                let number = host.read(address, 8).ok().and_then(|bytes| bytes.try_into().ok());
                handed_back.push(number.map_or_else(outside, |bytes| u64::from_le_bytes(bytes).to_string()));
            }
            'T' | 'V' | 'P' | 'X' => {
                // `address` and `size` are where the two stand.
                let returned = (host.read_u32(address), host.read_u32(size));
                let (Ok(address), Ok(size)) = returned else { continue };
                let bytes = host.read(address, size);
                handed_back.push(match (kind, bytes) {
                    (_, Err(_)) => outside(),
                    ('X', _) => format!("{size} bytes"),
                    ('P', Ok(bytes)) => shown_pairs(bytes),
                    ('V', Ok(bytes)) => value(&key, bytes),
                    (_, Ok(bytes)) => text(bytes),
                });
            }
            _ => given.push((first as i64).to_string()),
        }
    }
    (given, handed_back)
}

fn outside() -> String {
    "outside of the memory".to_owned()
}

fn named(names: &[&str], number: u64) -> String {
    usize::try_from(number)
        .ok()
        .and_then(|place| names.get(place))
        .map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

fn status(code: u32) -> String {
    let name = match code {
        1 => "not_found",
        2 => "bad_argument",
        3 => "serialization_failure",
        4 => "parse_failure",
        6 => "invalid_memory_access",
        7 => "empty",
        8 => "cas_mismatch",
        10 => "internal_failure",
        12 => "unimplemented",
        _ => return code.to_string(),
    };
    format!("{code} ({name})")
}

fn shown_pairs(bytes: &[u8]) -> String {
    match pairs::read(bytes) {
        Ok(pairs) => {
            let pairs = pairs.iter().map(|(name, content)| {
                let name = String::from_utf8_lossy(name);
                format!("{name}: {}", value(&name, content))
            });
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Err(_) => format!("{} bytes that are no pairs", bytes.len()),
    }
}

/// The value of a field or property: masked if its name says that it is a secret, or nothing is known of the name; of a
/// query, the values of its parameters are.
fn value(name: &str, bytes: &[u8]) -> String {
    if is_secret_field(name) {
        return format!("*** ({} bytes)", bytes.len());
    }
    if name.to_ascii_lowercase().ends_with("query") {
        return shown(bytes, |text| without_jwts(&parameters(text)));
    }
    text(bytes)
}

/// A text in quotes, without the values of parameters of a query, and without tokens.
fn text(bytes: &[u8]) -> String {
    shown(bytes, |text| without_jwts(&without_secrets(text)))
}

fn shown(bytes: &[u8], masked: impl Fn(&str) -> String) -> String {
    let printable = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    let Some(text) = printable else {
        return format!("{} bytes", bytes.len());
    };
    let mut shown = masked(text);
    if shown.len() > LONGEST {
        let end = shown.floor_char_boundary(LONGEST);
        shown.truncate(end);
        shown.push('…');
    }
    format!("{shown:?}")
}

/// Fields that many invent for themselves, `x-…`, of which everybody knows that they carry no secret.
const HARMLESS_FIELDS: [&str; 17] = [
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-client-ip",
    "x-content-type-options",
    "x-correlation-id",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-frame-options",
    "x-powered-by",
    "x-real-ip",
    "x-request-id",
    "x-request-start",
    "x-requested-with",
    "x-xss-protection",
];

/// Parameters of queries of which the same is known.
const HARMLESS_PARAMETERS: [&str; 20] = [
    "code_challenge_method",
    "count",
    "fields",
    "format",
    "grant_type",
    "lang",
    "limit",
    "locale",
    "offset",
    "order",
    "page",
    "page_size",
    "per_page",
    "prompt",
    "response_type",
    "scope",
    "size",
    "sort",
    "v",
    "version",
];

/// Whether a field or property of this name carries, or may carry, what nobody may read in a log.
fn is_secret_field(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let last = name.rsplit(['.', '\0']).next().unwrap_or_default();
    let unknown = last.starts_with("x-") && !HARMLESS_FIELDS.contains(&last);
    let authority = matches!(last, ":authority" | "authority");
    unknown
        || matches!(last, "cookie" | "set-cookie" | "code" | "dpop" | "otp" | "pin")
        || (last.contains("auth") && !authority)
        || [
            "token",
            "secret",
            "passw",
            "credential",
            "apikey",
            "-key",
            "_key",
            "assertion",
            "jwt",
            "verifier",
            "session",
            "saml",
            "csrf",
            "xsrf",
            "signature",
        ]
        .iter()
        .any(|part| last.contains(part))
}

/// `/a?page=1&access_token=…#code=…` with token and code replaced; texts without parameters as they are.
fn without_secrets(text: &str) -> String {
    match text.find(['?', '#']) {
        None => text.to_owned(),
        Some(end) => format!("{}{}", &text[..end], parameters(&text[end..])),
    }
}

/// A query or a fragment, or one after the other, perhaps with words behind it: what a parameter is worth is shown only if
/// everybody knows its name. In prose a question mark begins no query, so there only what looks like a parameter is masked.
fn parameters(text: &str) -> String {
    let separator = |character: char| matches!(character, '?' | '#' | '&' | ';') || character.is_whitespace();
    let prose = text.contains(char::is_whitespace);
    let parameters = text.split_inclusive(separator).map(|parameter| {
        let rest = parameter.trim_end_matches(separator);
        let end = &parameter[rest.len()..];
        match rest.split_once('=') {
            Some((name, _)) if HARMLESS_PARAMETERS.contains(&&*decoded(name).to_ascii_lowercase()) => {
                parameter.to_owned()
            }
            Some((name, _)) => format!("{name}=***{end}"),
            None if rest.is_empty() || prose => parameter.to_owned(),
            None => format!("***{end}"),
        }
    });
    parameters.collect()
}

/// Three parts in base64url with points between them, the first of which begins like that of a JSON object: a JWT, wherever
/// it stands.
fn without_jwts(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find("eyJ") {
        let belongs = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
        let length = rest[begin..].find(|character| !belongs(character));
        let end = length.map_or(rest.len(), |length| begin + length);
        masked.push_str(&rest[..begin]);
        // Encrypted ones have five parts.
        match rest[begin..end].split('.').count() {
            3.. => masked.push_str("***"),
            _ => masked.push_str(&rest[begin..end]),
        }
        rest = &rest[end..];
    }
    masked + rest
}

/// `access%5Ftoken` is a token too.
fn decoded(name: &str) -> String {
    let mut parts = name.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(u8::is_ascii) {
            Some(byte) => {
                decoded.push(char::from(byte));
                decoded.push_str(&part[2..]);
            }
            None => decoded.push_str(part),
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked() {
        for name in [
            "authorization",
            "Cookie",
            "set-cookie",
            "proxy-authorization",
            "x-auth-token",
            "request.headers.cookie",
            "request.headers.x-auth",
            "DPoP",
            "SAMLResponse",
            "client_assertion",
            "x-jwt-payload",
            "code_verifier",
            "sessionid",
            "db_password",
            "x-postern-debug",
            "x-functions-key",
            "Ocp-Apim-Subscription-Key",
            "X-Auth",
            "x-amz-signature",
            "authentication",
            "x-csrf",
            "x-whatever",
        ] {
            assert!(value(name, b"abc").starts_with("***"), "{name}");
        }
        for name in [
            ":authority",
            "host",
            "x-request-id",
            "X-Forwarded-For",
            "accept",
            "content-type",
        ] {
            assert_eq!(value(name, b"abc"), r#""abc""#, "{name}");
        }
        assert_eq!(value("binary", b"\xff\0"), "2 bytes");
    }

    #[test]
    fn of_queries_only_what_is_known_is_shown() {
        for name in [
            "tok",
            "device_code",
            "ticket",
            "sid",
            "sig",
            "key",
            "state",
            "access%5Ftoken",
            "x",
            "%zz",
        ] {
            let path = format!("/a?page=2&{name}=s3cret&size=9#{name}=s3cret;sort=a");
            let masked = format!(r#""/a?page=2&{name}=***&size=9#{name}=***;sort=a""#);
            assert_eq!(value(":path", path.as_bytes()), masked);
            assert_eq!(
                value("location", format!("https://app{path}").as_bytes()),
                masked.replace("\"/a", "\"https://app/a")
            );
            let said = format!("asked for {path} and went home");
            assert!(!text(said.as_bytes()).contains("s3cret"), "{}", text(said.as_bytes()));
        }
        for name in ["request.query", "request\0query", "query"] {
            assert_eq!(value(name, b"page=1&t=x.y&c3RhbmRz"), r#""page=1&t=***&***""#, "{name}");
        }
        assert_eq!(value("request.path", b"/a?bearer"), r#""/a?***""#);
        assert_eq!(
            text(b"what is this? a=b is nothing"),
            r#""what is this? a=*** is nothing""#
        );
    }

    #[test]
    fn tokens_are_masked_wherever_they_stand() {
        let token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2ln-nat_ure";
        for (around, masked) in [
            ("{}", r#""***""#),
            ("Bearer {}", r#""Bearer ***""#),
            ("/files/{}/a", r#""/files/***/a""#),
            ("seen {}, and {}", r#""seen ***, and ***""#),
        ] {
            assert_eq!(value("warning", around.replace("{}", token).as_bytes()), masked);
        }
        assert_eq!(text(b"eyJ is how it begins. eyJ.a"), r#""eyJ is how it begins. eyJ.a""#);
    }
}
