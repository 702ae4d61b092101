//! Host names of requests and of rules: compared without port and in lower case.

use std::borrow::Cow;

/// The longest host name that is looked at, in bytes (RFC 1035 section 2.3.4).
const MAX_HOST: usize = 255;

/// The host that a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// This name and no other.
    Exact(Box<str>),
    /// Every name below this one (`*.example.com`), at any depth; not the name itself.
    Below(Box<str>),
}

/// Why a host was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No `:authority` and no `host`.
    #[error("the request names no host")]
    Missing,
    /// `:authority` and `host` differ, or there are several.
    #[error("the request names more than one host")]
    Several,
    /// Characters that no host name has, an empty label, a port that is no number.
    #[error("the host is not a name or an address, optionally with a port")]
    Malformed,
}

impl HostPattern {
    /// Reads `example.com`, `*.example.com`, `127.0.0.1` or `[::1]`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        if name.contains('*') {
            return Err(format!(
                "`{text}`: `*` may only stand for the labels before a name, as in `*.example.com`"
            ));
        }
        if !name.is_ascii() {
            return Err(format!("`{text}`: write it as it stands in a request, with `xn--`"));
        }
        if has_port(name) {
            return Err(format!("`{text}`: hosts are compared without port; leave the port out"));
        }
        let name = canonical(name.as_bytes()).map_err(|_| format!("`{text}` is not a host name"))?;
        Ok(if below {
            Self::Below(name.into())
        } else {
            Self::Exact(name.into())
        })
    }
}

/// The name of a host as rules are looked up by: in lower case, without port and without the dot of the root.
pub fn canonical(authority: &[u8]) -> Result<Cow<'_, str>, HostError> {
    let text = std::str::from_utf8(authority).map_err(|_| HostError::Malformed)?;
    let name = without_port(text).ok_or(HostError::Malformed)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > MAX_HOST || !(is_address(name) || is_name(name)) {
        return Err(HostError::Malformed);
    }
    Ok(if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    })
}

/// The names above a name, the nearest first: `a.b.c` → `b.c`, `c`.
pub fn parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(name.split_once('.'), |(_, rest)| rest.split_once('.')).map(|(_, rest)| rest)
}

fn has_port(text: &str) -> bool {
    match text.rsplit_once(']') {
        Some((_, after)) => !after.is_empty(),
        None => text.contains(':'),
    }
}

fn without_port(text: &str) -> Option<&str> {
    let end = match (text.starts_with('['), text.rfind(']')) {
        (true, Some(bracket)) => bracket.saturating_add(1),
        _ => text.find(':').unwrap_or(text.len()),
    };
    let (name, port) = text.split_at_checked(end)?;
    let good = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some("") => true,
        Some(digits) => {
            digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        }
    };
    good.then_some(name)
}

fn is_address(name: &str) -> bool {
    name.strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
}

fn is_name(name: &str) -> bool {
    name.split('.').all(|label| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_spelling() {
        for (raw, name) in [
            ("example.com", "example.com"),
            ("Example.COM:8443", "example.com"),
            ("example.com.", "example.com"),
            ("example.com.:80", "example.com"),
            ("example.com:", "example.com"),
            ("example.com:65535", "example.com"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[FE80::1]", "[fe80::1]"),
            ("my_service", "my_service"),
        ] {
            assert_eq!(canonical(raw.as_bytes()).as_deref(), Ok(name), "{raw}");
        }
        for raw in [
            "", ".", ":80", "a..b", ".a", "a.b..", "user@a", "a,b", "a b", "a%2eb", "a:x", "a:123456", "a:65536",
            "a:99999", "a:+80", "a:1:2", "[::1", "[x]", "[::1]x", "a/b", "a\\b", "a#b", "é.com",
        ] {
            assert_eq!(canonical(raw.as_bytes()), Err(HostError::Malformed), "{raw}");
        }
        assert_eq!(canonical(b"\xff"), Err(HostError::Malformed));
        assert_eq!(canonical("a.".repeat(200).as_bytes()), Err(HostError::Malformed));
    }

    #[test]
    fn patterns_are_names_or_everything_below_one() {
        assert_eq!(
            HostPattern::parse("API.example.com"),
            Ok(HostPattern::Exact("api.example.com".into()))
        );
        assert_eq!(
            HostPattern::parse("*.Example.com"),
            Ok(HostPattern::Below("example.com".into()))
        );
        for text in [
            "",
            "*",
            "*.",
            "a.*",
            "*a.com",
            "*.*.com",
            "a.com:80",
            "[::1]:80",
            "http://a.com",
            "a.com/",
            "bücher.de",
        ] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_above_a_name() {
        assert_eq!(parents("a.b.c").collect::<Vec<_>>(), ["b.c", "c"]);
        assert_eq!(parents("localhost").count(), 0);
    }
}
