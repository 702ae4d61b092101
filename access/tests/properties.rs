//! What holds for every input: paths and patterns made at random, from seeds that stay the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use postern_access::host::HostPattern;
use postern_access::path::{self, Target};
use postern_access::policy::{Allowed, Decision, Policy};
use postern_access::route::{Pattern, Routes, Segment};
use postern_access::state::State;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

fn settled(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(4),
        failure_persistence: None,
        ..Config::default()
    }
}

/// Any bytes; and bytes as somebody writes them who wants to get past a check.
fn target() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "/",
        "//",
        "/.",
        "/..",
        ".",
        "..",
        "a",
        "admin",
        "%2e",
        "%2E",
        "%2f",
        "%5c",
        "\\",
        ";",
        "%3b",
        "%00",
        "%25",
        "%252e",
        "%61",
        "%7E",
        "%c3%a9",
        "%C3%A9",
        "%c0%ae",
        "%e2%80%a4",
        "%EF%BC%8F",
        "%",
        "%4",
        "%zz",
        "?",
        "#",
        "&",
        "=",
        ":",
        "@",
        " ",
        "%20",
        "%c2%a0",
        "%E2%80%8B",
        "%EF%B8%8F",
        "%f3%a0%84%80",
        "\u{e9}",
        "http://h",
        "*",
        "{",
        "|",
        "%ff",
        "%ed%a0%80",
        "%0a",
        "\r",
        "%7f",
        "%c2%80",
    ]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| [b"/".as_slice(), &bytes].concat()),
        prop::collection::vec(pieces, 0..8).prop_map(|pieces| format!("/{}", pieces.concat()).into_bytes()),
    ]
}

fn forwarded(target: &Target<'_>, came: &[u8]) -> Vec<u8> {
    target.rewritten().map_or_else(|| came.to_vec(), String::into_bytes)
}

/// A path as an upstream may read it: everything that servers are known to do, one after the other, and twice.
fn as_read_by_a_sloppy_server(path: &str) -> Vec<u8> {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..2 {
        bytes = as_far_as_ascii_is_seen(&percent_decoded(&bytes));
        bytes
            .iter_mut()
            .filter(|byte| **byte == b'\\')
            .for_each(|byte| *byte = b'/');
        if let Some(nul) = bytes.iter().position(|&byte| byte == 0) {
            bytes.truncate(nul);
        }
        let trailing = bytes.ends_with(b"/");
        let mut segments: Vec<&[u8]> = Vec::new();
        for segment in bytes.split(|&byte| byte == b'/') {
            let segment = segment.split(|&byte| byte == b';').next().unwrap();
            match segment {
                b"" | b"." => {}
                b".." => drop(segments.pop()),
                // Windows, and who trims.
                _ => segments.push(trimmed(segment.strip_suffix(b".").unwrap_or(segment))),
            }
        }
        let mut read = vec![b'/'];
        read.extend(segments.join(&b'/'));
        if trailing && read.len() > 1 {
            read.push(b'/');
        }
        bytes = read;
    }
    bytes
}

/// Without white space, and what else is not seen, at both ends.
fn trimmed(segment: &[u8]) -> &[u8] {
    let blank = |character: char| character.is_whitespace() || character == '\u{200b}';
    std::str::from_utf8(segment).map_or(segment, |segment| segment.trim_matches(blank).as_bytes())
}

/// Without what Unicode ignores, where ASCII is all that is left of a segment.
fn as_far_as_ascii_is_seen(path: &[u8]) -> Vec<u8> {
    let ignored = |character: char| matches!(character, '\u{200b}' | '\u{fe0f}' | '\u{e0100}');
    let segments = path.split(|&byte| byte == b'/').map(|segment| {
        let seen = std::str::from_utf8(segment).map(|segment| segment.replace(ignored, ""));
        seen.ok()
            .filter(|seen| seen.is_ascii())
            .map_or_else(|| segment.to_vec(), String::into_bytes)
    });
    segments.collect::<Vec<_>>().join(&b'/')
}

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        match (bytes[at], escape) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(settled(8_000))]

    #[test]
    fn what_is_checked_is_what_is_forwarded(came in target()) {
        if let Ok(target) = path::canonical(&came) {
            let forwarded = forwarded(&target, &came);
            let (path, query) = forwarded.split_at(target.path.len());
            prop_assert_eq!(path, target.path.as_bytes());
            // The query is not touched.
            let query_that_came = came.iter().position(|&byte| byte == b'?').map_or(&b""[..], |at| &came[at..]);
            prop_assert_eq!(query, query_that_came);
            prop_assert_eq!(target.query.as_bytes(), query_that_came);
        }
    }

    #[test]
    fn canonicalising_twice_changes_nothing(came in target()) {
        if let Ok(once) = path::canonical(&came) {
            let forwarded = forwarded(&once, &came);
            let twice = path::canonical(&forwarded).expect("what goes on is canonical");
            prop_assert_eq!(twice.rewritten(), None);
            prop_assert_eq!((&twice.path, twice.query), (&once.path, once.query));
        }
    }

    #[test]
    fn a_sloppy_server_reads_the_same_path(came in target()) {
        if let Ok(target) = path::canonical(&came) {
            prop_assert_eq!(as_read_by_a_sloppy_server(&target.path), percent_decoded(target.path.as_bytes()));
        }
    }

    /// The same through a whole decision, on a public path and in both modes.
    #[test]
    fn a_decision_forwards_what_it_checked(came in target(), shadow in any::<bool>()) {
        let mode = if shadow { "shadow" } else { "enforce" };
        let policy = Policy::parse(format!(r#"{{ "public": ["/**"], "mode": "{mode}" }}"#).as_bytes()).unwrap();
        let mut state = State::new(policy.config(), 1).unwrap();
        let headers: [(&[u8], &[u8]); 2] = [(b":method", b"GET"), (b":path", &came)];
        let decision = policy.decide(&policy.read(headers.into_iter()), &mut state, 0);
        match (path::canonical(&came), decision) {
            (Ok(target), Decision::Allow(Allowed { rewritten, .. })) => prop_assert_eq!(rewritten, target.rewritten()),
            (Err(_), Decision::Deny(_)) => prop_assert!(!shadow),
            (Err(_), Decision::Allow(Allowed { rewritten, shadowed, .. })) => {
                prop_assert!(shadow && shadowed.is_some() && rewritten.is_none());
            }
            (_, other) => prop_assert!(false, "{other:?}"),
        }
    }
}

/// A pattern of few words, so that several match the same path.
fn pattern() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "*", "{x}"]);
    (
        prop::collection::vec(segment, 0..4),
        prop::sample::select(vec!["", "/**", "/"]),
    )
        .prop_map(|(segments, end)| {
            let mut names = 0;
            let segments: String = segments
                .iter()
                .map(|segment| {
                    names += 1;
                    if *segment == "{x}" {
                        format!("/{{x{names}}}")
                    } else {
                        format!("/{segment}")
                    }
                })
                .collect();
            let pattern = format!("{segments}{end}");
            if pattern.is_empty() { "/".into() } else { pattern }
        })
}

type Entry = (String, Option<&'static str>, Option<&'static str>);

fn entry() -> impl Strategy<Value = Entry> {
    let host = prop::sample::select(vec![None, Some("h.x.org"), Some("*.x.org"), Some("*.org")]);
    let method = prop::sample::select(vec![None, Some("GET"), Some("PUT")]);
    (pattern(), host, method)
}

/// What the documentation says, word for word and slowly: how specific an entry is for a request, greater before smaller.
fn rank(entry: &Entry, path: &str, host: &str, method: &str) -> Option<(Vec<u8>, usize, bool)> {
    let (pattern, for_host, for_method) = entry;
    if for_method.is_some_and(|wanted| wanted != method) {
        return None;
    }
    let host_rank = match for_host {
        None => 0,
        Some(exact) if *exact == host => usize::MAX,
        Some(pattern) => {
            let name = pattern.strip_prefix('*')?;
            host.ends_with(name).then_some(name.len())?
        }
    };
    let mut segments = path[1..].split('/');
    let mut path_rank = Vec::new();
    for segment in Pattern::parse(pattern).unwrap().segments() {
        match segment {
            Segment::Literal(text) if segments.next()? == &**text => path_rank.push(4),
            Segment::One(_) if !segments.next()?.is_empty() => path_rank.push(3),
            Segment::Tail => {
                path_rank.push(1);
                return Some((path_rank, host_rank, for_method.is_some()));
            }
            _ => return None,
        }
    }
    // To end here is more specific than to go on with `**`.
    path_rank.push(2);
    segments
        .next()
        .is_none()
        .then_some((path_rank, host_rank, for_method.is_some()))
}

proptest! {
    #![proptest_config(settled(4_000))]

    #[test]
    fn the_most_specific_entry_decides(
        entries in prop::collection::vec(entry(), 1..12),
        path in prop::sample::select(vec!["/", "/a", "/b", "/a/", "/a/a", "/a/b", "/b/a/", "/a/b/a", "/a/b/a/b", "/c/c/c/c"]),
        host in prop::sample::select(vec!["h.x.org", "i.x.org", "y.org", "x.com"]),
        method in prop::sample::select(vec!["GET", "PUT", "POST"]),
    ) {
        let mut routes = Routes::default();
        for (index, (pattern, host, method)) in entries.iter().enumerate() {
            let host = host.map(|host| HostPattern::parse(host).unwrap());
            routes.entry(&Pattern::parse(pattern).unwrap(), host.as_ref(), *method, || index).unwrap();
        }
        let found = routes.find(path, host, method).map(|index| rank(&entries[*index], path, host, method));
        let best = entries.iter().filter_map(|entry| rank(entry, path, host, method)).max();
        prop_assert_eq!(found, best.map(Some));
    }
}
