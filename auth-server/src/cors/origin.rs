//! Origins that may call from a browser: `https://app.example.com`, or with any port `http://localhost:*`. The rules are
//! those of `cors` in `gateway.yaml`, so that one list does for both files.

use serde::Deserialize;

/// An origin as browsers write it (RFC 6454 section 6.2), in which `*` may stand for the port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin {
    /// Scheme, host and, unless it may be any, port.
    base: String,
    any_port: bool,
}

impl Origin {
    /// Whether the value of an `Origin` field is this origin.
    pub fn matches(&self, origin: &str) -> bool {
        match origin.strip_prefix(self.base.as_str()) {
            Some("") => true,
            Some(rest) if self.any_port => rest.strip_prefix(':').is_some_and(is_port),
            _ => false,
        }
    }

    /// Whether its pages come over a network without encryption.
    pub fn is_plain(&self) -> bool {
        self.base.starts_with("http:")
    }

    /// As it stands in the configuration.
    pub fn text(&self) -> String {
        let port = if self.any_port { ":*" } else { "" };
        format!("{}{port}", self.base)
    }

    /// Whether the port may be any, or none.
    pub fn any_port(&self) -> bool {
        self.any_port
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "`{text}` is no origin: {why}; write https://app.example.com, or http://localhost:* where the port may be any"
            )
        };
        if text == "*" || text == "null" {
            return Err(wrong("it would let every page call"));
        }
        let (scheme, host) = text.split_once("://").ok_or_else(|| wrong("there is no scheme"))?;
        let scheme_char = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
        if !scheme.starts_with(|first: char| first.is_ascii_lowercase()) || !scheme.bytes().all(scheme_char) {
            return Err(wrong("the scheme is not written as browsers write it"));
        }
        let (host, port) = match host.rsplit_once(':') {
            // The last part of an IPv6 address is no port.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (host, None),
        };
        let name_char = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let good = match address {
            Some(address) => address
                .parse::<std::net::Ipv6Addr>()
                .is_ok_and(|ip| ip.to_string() == address),
            None => !host.is_empty() && host.bytes().all(name_char),
        };
        if !good {
            return Err(wrong(
                "the host is not written as browsers write it, without path and in small letters",
            ));
        }
        match (scheme, port) {
            (_, None | Some("*")) => {}
            ("http", Some("80")) | ("https", Some("443")) => {
                return Err(wrong("browsers leave out the port that goes without saying"));
            }
            (_, Some(port)) if is_port(port) => {}
            _ => return Err(wrong("the port is no number")),
        }
        let any_port = port == Some("*");
        let base = if any_port { format!("{scheme}://{host}") } else { text };
        Ok(Self { base, any_port })
    }
}

/// Digits as browsers write them.
fn is_port(text: &str) -> bool {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits && !text.starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Result<Origin, String> {
        Origin::try_from(text.to_owned())
    }

    #[test]
    fn an_origin_is_matched_whole() {
        let exact = origin("https://app.example.com").unwrap();
        let with_port = origin("http://[::1]:3000").unwrap();
        let any_port = origin("http://localhost:*").unwrap();
        for (origin, text, matches) in [
            (&exact, "https://app.example.com", true),
            (&exact, "https://app.example.com:8443", false),
            (&exact, "https://app.example.com.evil.org", false),
            (&exact, "http://app.example.com", false),
            (&exact, "https://APP.example.com", false),
            (&exact, "https://app.example.com/", false),
            (&exact, "https://app.example.com, https://evil.org", false),
            (&exact, "https://xapp.example.com", false),
            (&exact, "null", false),
            (&exact, "*", false),
            (&exact, "", false),
            (&with_port, "http://[::1]:3000", true),
            (&with_port, "http://[::1]:3001", false),
            (&any_port, "http://localhost", true),
            (&any_port, "http://localhost:3000", true),
            (&any_port, "http://localhost:", false),
            (&any_port, "http://localhost:x", false),
            (&any_port, "http://localhost:080", false),
            (&any_port, "http://localhost:123456", false),
            (&any_port, "http://localhost:80.evil.org", false),
            (&any_port, "http://localhost.evil.org", false),
            (&any_port, "http://localhost:*", false),
            (&any_port, "https://localhost:3000", false),
        ] {
            assert_eq!(origin.matches(text), matches, "{origin:?} and {text}");
        }
    }

    #[test]
    fn what_no_browser_would_send_is_refused() {
        for wrong in [
            "*",
            "null",
            "",
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com/app",
            "https://App.example.com",
            "HTTPS://app.example.com",
            "https://*.example.com",
            "https://*",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "https://app.example.com:0",
            "https://app.example.com:x",
            "https://app.example.com:0443",
            "https://app.example.com:123456",
            "https://app.example.com:80:*",
            "https://user@app.example.com",
            "https://[::1",
            "https://[0:0:0:0:0:0:0:1]",
            "https://a b",
            "://a",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
        for good in [
            "http://127.0.0.1:*",
            "https://app.example.com:8443",
            "http://[::1]:*",
            "capacitor://localhost",
        ] {
            assert!(origin(good).is_ok(), "{good}");
        }
    }
}
