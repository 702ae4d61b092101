//! What a `Host` field may say (RFC 9110 section 7.2, RFC 3986 section 3.2.2). Plugins and upstreams choose by it, so
//! nothing goes on that two of them could take apart in two ways.

/// Whether it is a name or an address, and after a colon a port or nothing; or empty, as of who has no name for us. There is
/// no place in it for who asks (`user@host`).
pub fn is_host(value: &[u8]) -> bool {
    let end = match value.first() {
        None => return true,
        Some(b'[') => value.iter().position(|byte| *byte == b']').map(|end| end + 1),
        Some(_) => value.iter().position(|byte| *byte == b':'),
    };
    let (host, port) = value.split_at(end.unwrap_or(value.len()));
    let host = match host {
        [b'[', address @ .., b']'] => is_address(address),
        _ => is_name(host),
    };
    host && match port {
        [] => true,
        [b':', port @ ..] => is_port(port),
        _ => false,
    }
}

/// An IPv6 address, without zone: that of another host means nothing here (RFC 9110 section 4.2.1).
fn is_address(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

/// `reg-name` of RFC 3986, and not empty.
fn is_name(text: &[u8]) -> bool {
    // From `&` to the comma stand seven signs that all may be there.
    let may_stand = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&'..=b',' | b';' | b'=' | b'%'
            )
    };
    let mut after_percent = text.split(|byte| *byte == b'%').skip(1);
    !text.is_empty()
        && text.iter().all(may_stand)
        && after_percent.all(|rest| {
            rest.get(..2)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        })
}

fn is_port(text: &[u8]) -> bool {
    let number = str::from_utf8(text).unwrap_or_default().parse::<u16>();
    text.is_empty() || (text.iter().all(u8::is_ascii_digit) && number.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_a_port_or_none() {
        for host in [
            "",
            "h",
            "h:",
            "h:0",
            "h:80",
            "h:00080",
            "h:65535",
            "A-b_c.d.",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:",
            "[::1]:80",
            "a,b",
            "a;b",
            "a%20b",
            "~!$&'()*+=",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            ":",
            ":80",
            "h:65536",
            "h:99999",
            "h:4294967376",
            "h:x",
            "h:+80",
            "h:-1",
            "h: 80",
            "h:80:80",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[::1]:65536",
            "[h]",
            "[]",
            "[fe80::1%25a]",
            "u@h",
            "u:p@h",
            "a b",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "a%2",
            "a%zz",
            "a\"b",
            "a<b",
            "a|b",
            "a{b}",
            "a^b",
            "a`b",
            "\u{e9}.com",
            "a\tb",
            "a\0b",
            "http://h",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}
