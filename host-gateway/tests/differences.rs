//! Which requests the gateway takes and Envoy does not, and the other way round: what docs/gateway.md tells of it, on both
//! hosts.

#[cfg(test)]
mod harness;

use std::net::SocketAddr;

use harness::{Client, Envoy, Gateway, Upstream};

fn config(upstream: &Upstream) -> String {
    format!(
        "clusters: {{ up: {{ endpoints: [\"{}\"] }} }}\nroutes: [ {{ prefix: /, cluster: up }} ]\n",
        upstream.address
    )
}

/// Both hosts before one upstream; only ours where there is no Envoy.
fn on_both_hosts(test: impl Fn(&'static str, SocketAddr, &Upstream)) {
    let upstream = Upstream::named("ok");
    let gateway = Gateway::start(&config(&upstream));
    test("gateway", gateway.addresses[0], &upstream);
    let envoy = Envoy::start(|[port]| {
        let rest = config(&upstream);
        format!("listeners: [ {{ address: \"127.0.0.1:{port}\" }} ]\n{rest}")
    });
    if let Some(envoy) = envoy {
        test("envoy", envoy.addresses[0], &upstream);
    }
}

fn status(address: SocketAddr, head: &[u8]) -> u16 {
    Client::connect(address).send(head).receive().status()
}

/// Every byte, raw in a path and in a query.
#[test]
fn raw_characters_of_a_target() {
    on_both_hosts(|host, address, upstream| {
        let refused = |before: &str| -> Vec<u8> {
            let is_refused = |byte: &u8| {
                let head = [b"GET ", before.as_bytes(), &[*byte], b"z HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
                let status = status(address, &head);
                if status == 200 {
                    // As it came.
                    let expected = [before.as_bytes(), &[*byte], b"z"].concat();
                    let sent = upstream.last().target().as_bytes().to_vec();
                    assert!(
                        sent == expected || *byte == b'#' || !byte.is_ascii(),
                        "{host}: {byte:#x}"
                    );
                }
                status == 400
            };
            (b'!'..=b'~').filter(is_refused).collect()
        };
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (path, query) = match host {
            "gateway" => ("<>`", "\"<>"),
            // What begins at a `#` ends at the gateway.
            _ => ("#", "#"),
        };
        assert_eq!(text(refused("/a")), path, "{host}");
        assert_eq!(text(refused("/a?x=")), query, "{host}");
        for control in [b'\0', b'\x01', b'\x1f', b'\x7f', b'\t'] {
            for before in ["/a", "/a?x="] {
                let head = [b"GET ", before.as_bytes(), &[control], b"z HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
                assert_eq!(status(address, &head), 400, "{host}: {before} {control:#x}");
            }
        }
    });
}

#[test]
fn a_fragment_ends_at_the_gateway() {
    let upstream = Upstream::named("ok");
    let gateway = Gateway::start(&config(&upstream));
    for (came, sent) in [("/a#b", "/a"), ("/a?b#c?d", "/a?b"), ("/a#/../b", "/a")] {
        assert_eq!(gateway.connect().get(came).status(), 200);
        assert_eq!(upstream.last().target(), sent);
    }
}

#[test]
fn hosts_with_malformed_ports_names_and_brackets() {
    on_both_hosts(|host, address, _| {
        let of = |field: &str| status(address, format!("GET / HTTP/1.1\r\nHost: {field}\r\n\r\n").as_bytes());
        for good in [
            "h", "h:80", "h:", "h:00080", "h:65535", "[::1]", "[::1]:80", "a,b", "a%20b", "a_b.", "",
        ] {
            assert_eq!(of(good), 200, "{host}: {good}");
        }
        for bad in [
            "a b",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "\u{e9}.com",
            "a|b",
            "a\"b",
            "a<b",
            "a{b}",
            "a^b",
            "a`b",
            "h:8 0",
        ] {
            assert_eq!(of(bad), 400, "{host}: {bad}");
        }
        // Here we are stricter.
        let expected = if host == "gateway" { 400 } else { 200 };
        for bad in [
            "h:65536",
            "h:99999",
            "h:x",
            "h:-1",
            "h:+80",
            "h:80:80",
            ":80",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[h]:80",
            "[::1]:99999",
            "u@h",
            "u:p@h",
            "a%zz",
        ] {
            assert_eq!(of(bad), expected, "{host}: {bad}");
        }
    });
}

#[test]
fn targets_with_an_authority() {
    on_both_hosts(|host, address, upstream| {
        let of = |target: &str| status(address, format!("GET {target} HTTP/1.1\r\nHost: z\r\n\r\n").as_bytes());
        for (target, sent) in [
            ("http://h:80/x", "h:80"),
            ("http://h/x", "h"),
            ("HTTP://[::1]/x", "[::1]"),
        ] {
            assert_eq!(of(target), 200, "{host}: {target}");
            assert_eq!(upstream.last().field("host"), Some(sent), "{host}: {target}");
        }
        for target in [
            "http:///x",
            "http://h:99999/x",
            "http://h:x/",
            "http://[::1]:99999/",
            "ftp://h/x",
        ] {
            assert_eq!(of(target), 400, "{host}: {target}");
        }
        let gateway = host == "gateway";
        assert_eq!(of("https://h/x"), if gateway { 400 } else { 403 }, "{host}");
        assert_eq!(of("http://h:/x"), if gateway { 200 } else { 400 }, "{host}");
        // Envoy takes it off.
        assert_eq!(of("http://u@h/x"), if gateway { 400 } else { 200 }, "{host}");
    });
}
