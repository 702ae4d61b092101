//! Patterns, one a line, and after an empty line a path: the trie finds what the rule of the documentation says, found
//! here by comparing every pattern with the path.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_access::path::canonical;
use postern_access::route::{Pattern, Routes};

fuzz_target!(|text: &str| {
    let Some((patterns, path)) = text.split_once("\n\n") else {
        return;
    };
    let Ok(target) = canonical(path.as_bytes()) else { return };
    let mut routes = Routes::default();
    let mut known: Vec<Vec<Segment>> = Vec::new();
    for line in patterns.lines().take(32) {
        let Ok(pattern) = Pattern::parse(line) else { continue };
        let Some(segments) = segments(line) else { continue };
        routes.entry(&pattern, None, None, || segments.clone());
        known.push(segments);
    }
    let parts: Vec<&str> = target.path[1..].split('/').collect();
    let expected = known.iter().filter(|segments| matches(segments, &parts)).min();
    assert_eq!(
        routes.find(&target.path, "", "GET"),
        expected,
        "{patterns} for {}",
        target.path
    );
});

/// In the order of the documentation: a literal beats one segment, and that beats the tail.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(String),
    One,
    Tail,
}

/// The segments of a good pattern whose literals are canonical as they stand; `None`: they are not.
fn segments(pattern: &str) -> Option<Vec<Segment>> {
    let segments = pattern[1..].split('/').map(|part| match part {
        "**" => Some(Segment::Tail),
        "*" => Some(Segment::One),
        _ if part.starts_with('{') => Some(Segment::One),
        "" => Some(Segment::Literal(String::new())),
        _ => {
            let path = format!("/{part}");
            let target = canonical(path.as_bytes()).ok()?;
            (target.path == path.as_str()).then(|| Segment::Literal(part.to_owned()))
        }
    });
    segments.collect()
}

fn matches(pattern: &[Segment], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((Segment::Tail, _)), _) => true,
        (Some((Segment::Literal(text), pattern)), Some((part, path))) => text == part && matches(pattern, path),
        (Some((Segment::One, pattern)), Some((part, path))) => !part.is_empty() && matches(pattern, path),
        (None, Some(_)) | (Some(_), None) => false,
    }
}
