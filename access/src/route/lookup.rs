//! Which of the patterns a path meets: the most specific one.

use super::{ANY_METHOD, NONE, Node, ROOT, Routes, find, kinds, method_number};
use crate::equal::equal;
use crate::host::parents;

impl<T> Routes<T> {
    /// The value of the most specific pattern that matches. `path` is canonical (see [`crate::path`]), and so is `host` (see
    /// [`crate::host`]); it may be empty where no entry is [by host](Self::by_host).
    pub fn find(&self, path: &str, host: &str, method: &str) -> Option<&T> {
        let rest = path.strip_prefix('/')?;
        let mut methods = self.methods.iter();
        let known = methods.position(|known| equal(known.as_bytes(), method.as_bytes()));
        let wanted = Wanted {
            host,
            // A method that no entry names is met by the entries for all methods only.
            method: known.and_then(method_number).unwrap_or(ANY_METHOD),
        };
        let value = self.search(ROOT, Some(rest), &wanted)?;
        self.values.get(usize::try_from(value).ok()?)
    }

    /// `rest`: what follows after a slash; `None` once the last segment is behind. As deep as the longest pattern.
    fn search(&self, at: u32, rest: Option<&str>, wanted: &Wanted<'_>) -> Option<u32> {
        let node = self.node(at)?;
        let Some(rest) = rest else {
            return self
                .ends_here(at, false, node, wanted)
                .or_else(|| self.ends_here(at, true, node, wanted));
        };
        let (segment, rest) = first_segment(rest);
        if let Some(child) = find(&self.literals, at, segment)
            && let Some(found) = self.search(child, rest, wanted)
        {
            return Some(found);
        }
        if node.one != NONE
            && !segment.is_empty()
            && let Some(found) = self.search(node.one, rest, wanted)
        {
            return Some(found);
        }
        self.ends_here(at, true, node, wanted)
    }

    /// The value of a pattern that ends at this node, for this host and method.
    fn ends_here(&self, at: u32, tail: bool, node: &Node, wanted: &Wanted<'_>) -> Option<u32> {
        let ends = node.ends(tail);
        if ends.hosted {
            let mut name = String::with_capacity(wanted.host.len().saturating_add(2));
            let mut of = |kind: char, host: &str| {
                name.clear();
                name.push(kind);
                name.push_str(host);
                find(&self.hosts, at, &name).and_then(|first| self.for_method(first, wanted.method))
            };
            let (exact, below) = kinds(tail);
            let found = of(exact, wanted.host).or_else(|| parents(wanted.host).find_map(|parent| of(below, parent)));
            if found.is_some() {
                return found;
            }
        }
        self.for_method(ends.any, wanted.method)
    }

    fn for_method(&self, first: u32, method: u16) -> Option<u32> {
        let mut any = None;
        let mut entry = first;
        while let Some(known) = self.entry_at(entry) {
            if known.method == method {
                return Some(entry);
            }
            if known.method == ANY_METHOD {
                any = Some(entry);
            }
            entry = known.next;
        }
        any
    }
}

/// What stands before the first slash, and what follows it. (A search for a `char` costs several times as much in wasm.)
fn first_segment(rest: &str) -> (&str, Option<&str>) {
    let slash = rest.bytes().position(|byte| byte == b'/');
    match slash.and_then(|slash| rest.split_at_checked(slash)) {
        Some((segment, rest)) => (segment, rest.get(1..)),
        None => (rest, None),
    }
}

/// What a lookup is for.
struct Wanted<'r> {
    host: &'r str,
    method: u16,
}

#[cfg(test)]
mod tests {
    use super::super::Pattern;
    use super::super::tests::routes;
    use super::*;
    use crate::host::HostPattern;

    #[test]
    fn the_most_specific_pattern_wins() {
        let routes = routes(&[
            ("/**", None),
            ("/a/**", None),
            ("/a/*", None),
            ("/a/b", None),
            ("/a/b", Some("GET")),
            ("/a/*/c", None),
            ("/a/{x}/c/**", Some("PUT")),
            ("/", None),
        ]);
        for (method, path, expected) in [
            ("GET", "/", "/"),
            ("GET", "/x", "/**"),
            ("GET", "/a", "/a/**"),
            ("GET", "/a/", "/a/**"),
            ("GET", "/a/z", "/a/*"),
            ("GET", "/a/b", "GET /a/b"),
            ("POST", "/a/b", "/a/b"),
            ("GET", "/a/b/c", "/a/*/c"),
            ("PUT", "/a/b/c", "/a/*/c"),
            ("PUT", "/a/b/c/d", "PUT /a/{x}/c/**"),
            ("GET", "/a/b/c/d", "/a/**"),
            ("GET", "/A/b", "/**"),
        ] {
            assert_eq!(
                routes.find(path, "", method).map(String::as_str),
                Some(expected),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn without_a_match_there_is_nothing() {
        let routes = routes(&[("/a/b", None), ("/c/*", Some("GET"))]);
        for (method, path) in [
            ("GET", "/a"),
            ("GET", "/a/b/"),
            ("GET", "/a/b/c"),
            ("POST", "/c/x"),
            ("GET", "/c/"),
            ("GET", "/"),
        ] {
            assert_eq!(routes.find(path, "", method), None, "{method} {path}");
        }
    }

    #[test]
    fn on_one_pattern_the_host_comes_before_the_method() {
        let mut routes = Routes::default();
        for (pattern, host, method) in [
            ("/a", None, None),
            ("/a", None, Some("PUT")),
            ("/a", Some("*.example.com"), None),
            ("/a", Some("*.b.example.com"), Some("PUT")),
            ("/a", Some("x.example.com"), Some("GET")),
            ("/b/**", Some("x.example.com"), None),
            ("/b/c", Some("y.example.com"), None),
            ("/**", None, None),
        ] {
            let parsed = host.map(|host| HostPattern::parse(host).unwrap());
            let text = format!("{} {} {pattern}", host.unwrap_or("*"), method.unwrap_or("*"));
            routes
                .entry(&Pattern::parse(pattern).unwrap(), parsed.as_ref(), method, || text)
                .unwrap();
        }
        for (host, method, path, expected) in [
            ("other.org", "GET", "/a", "* * /a"),
            ("other.org", "PUT", "/a", "* PUT /a"),
            ("example.com", "GET", "/a", "* * /a"),
            ("y.example.com", "GET", "/a", "*.example.com * /a"),
            ("y.example.com", "PUT", "/a", "*.example.com * /a"),
            ("z.b.example.com", "PUT", "/a", "*.b.example.com PUT /a"),
            ("z.b.example.com", "GET", "/a", "*.example.com * /a"),
            ("x.example.com", "GET", "/a", "x.example.com GET /a"),
            ("x.example.com", "POST", "/a", "*.example.com * /a"),
            // The path comes before the host; an entry for another host does not match at all.
            ("x.example.com", "GET", "/b/c", "x.example.com * /b/**"),
            ("y.example.com", "GET", "/b/c", "y.example.com * /b/c"),
            ("y.example.com", "GET", "/b/d", "* * /**"),
            ("x.example.com", "GET", "/b", "x.example.com * /b/**"),
        ] {
            let found = routes.find(path, host, method).map(String::as_str);
            assert_eq!(found, Some(expected), "{host} {method} {path}");
        }
    }
}
