//! Path patterns, compiled to a trie: a lookup costs the length of the path, whatever the number of patterns.
//!
//! A pattern is made of segments: a literal, `*` or `{name}` (exactly one segment that is not empty), and at its end `**`
//! (any number of segments, also none). Where several patterns match, the most specific one wins: compared from the left,
//! a literal beats `*` and `{name}`, and these beat `**`; on the same pattern, an entry for the method beats one for all.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Patterns with a value each.
#[derive(Debug, Clone)]
pub struct Routes<T> {
    nodes: Vec<Node>,
    values: Vec<T>,
    /// Places of values that were removed.
    free: Vec<usize>,
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            values: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Routes<T> {
    /// Whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.values.len() == self.free.len()
    }

    /// The value at exactly this pattern and method, or a new one put there. `None` for `method` speaks of every method.
    pub fn entry(&mut self, pattern: &Pattern, method: Option<&str>, new: impl FnOnce() -> T) -> Option<&mut T> {
        let mut at = ROOT;
        for segment in &pattern.segments {
            at = match segment {
                Segment::Literal(text) => self.child(
                    at,
                    |node| node.literals.get(text).copied(),
                    |node, id| {
                        node.literals.insert(text.clone(), id);
                    },
                )?,
                Segment::One(_) => self.child(at, |node| node.one, |node, id| node.one = Some(id))?,
                Segment::Tail => break,
            };
        }
        let tail = pattern.segments.last() == Some(&Segment::Tail);
        let node = self.nodes.get_mut(at)?;
        let methods = if tail { &mut node.tail } else { &mut node.here };
        if let Some(index) = methods.exactly(method) {
            return self.values.get_mut(index);
        }
        match self.free.pop() {
            Some(index) => {
                methods.insert(method, index);
                let value = self.values.get_mut(index)?;
                *value = new();
                Some(value)
            }
            None => {
                methods.insert(method, self.values.len());
                self.values.push(new());
                self.values.last_mut()
            }
        }
    }

    /// The value at exactly this pattern and method.
    pub fn get_mut(&mut self, pattern: &Pattern, method: Option<&str>) -> Option<&mut T> {
        let index = self.methods_at(pattern)?.exactly(method)?;
        self.values.get_mut(index)
    }

    /// Takes the value at exactly this pattern and method out of the way; the next new one takes its place.
    pub fn remove(&mut self, pattern: &Pattern, method: Option<&str>) {
        if let Some(index) = self.methods_at(pattern).and_then(|methods| methods.remove(method)) {
            self.free.push(index);
        }
    }

    fn methods_at(&mut self, pattern: &Pattern) -> Option<&mut Methods> {
        let mut at = ROOT;
        for segment in &pattern.segments {
            let node = self.nodes.get(at)?;
            at = match segment {
                Segment::Literal(text) => node.literals.get(text).copied()?,
                Segment::One(_) => node.one?,
                Segment::Tail => break,
            };
        }
        let node = self.nodes.get_mut(at)?;
        Some(if pattern.segments.last() == Some(&Segment::Tail) {
            &mut node.tail
        } else {
            &mut node.here
        })
    }

    /// The value of the most specific pattern that matches. `path` is canonical (see [`crate::path`]).
    pub fn find(&self, path: &str, method: &str) -> Option<&T> {
        let rest = path.strip_prefix('/')?;
        self.search(ROOT, Some(rest), method)
            .and_then(|index| self.values.get(index))
    }

    /// `rest`: what follows after a slash; `None` once the last segment is behind.
    fn search(&self, at: usize, rest: Option<&str>, method: &str) -> Option<usize> {
        let node = self.nodes.get(at)?;
        let Some(rest) = rest else {
            return node.here.find(method).or_else(|| node.tail.find(method));
        };
        let (segment, rest) = match rest.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (rest, None),
        };
        if let Some(&child) = node.literals.get(segment)
            && let Some(found) = self.search(child, rest, method)
        {
            return Some(found);
        }
        if let Some(child) = node.one
            && !segment.is_empty()
            && let Some(found) = self.search(child, rest, method)
        {
            return Some(found);
        }
        node.tail.find(method)
    }

    fn child(
        &mut self,
        at: usize,
        find: impl FnOnce(&Node) -> Option<usize>,
        put: impl FnOnce(&mut Node, usize),
    ) -> Option<usize> {
        let fresh = self.nodes.len();
        let node = self.nodes.get_mut(at)?;
        if let Some(child) = find(node) {
            return Some(child);
        }
        put(node, fresh);
        self.nodes.push(Node::default());
        Some(fresh)
    }
}

const ROOT: usize = 0;

#[derive(Debug, Clone, Default)]
struct Node {
    literals: HashMap<Box<str>, usize, FixedState>,
    one: Option<usize>,
    /// Patterns that end here.
    here: Methods,
    /// Patterns that end here with `**`.
    tail: Methods,
}

/// Indices of values by method.
#[derive(Debug, Clone, Default)]
struct Methods {
    by_name: Vec<(Box<str>, usize)>,
    any: Option<usize>,
}

impl Methods {
    fn exactly(&self, method: Option<&str>) -> Option<usize> {
        match method {
            None => self.any,
            Some(method) => self
                .by_name
                .iter()
                .find(|(name, _)| **name == *method)
                .map(|&(_, index)| index),
        }
    }

    fn insert(&mut self, method: Option<&str>, index: usize) {
        match method {
            None => self.any = Some(index),
            Some(method) => self.by_name.push((method.into(), index)),
        }
    }

    fn remove(&mut self, method: Option<&str>) -> Option<usize> {
        let Some(method) = method else {
            return self.any.take();
        };
        let at = self.by_name.iter().position(|(name, _)| **name == *method)?;
        Some(self.by_name.remove(at).1)
    }

    fn find(&self, method: &str) -> Option<usize> {
        self.exactly(Some(method)).or(self.any)
    }
}

/// A path pattern, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    /// `*`, or `{name}` with its name.
    One(Option<Box<str>>),
    /// `**`.
    Tail,
}

/// Why a pattern was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A literal part could never match, because such a path is refused.
    #[error("pattern `{0}`: {1}")]
    Path(String, crate::path::PathError),
    /// `**` before the end.
    #[error("pattern `{0}`: `**` may only stand at the end")]
    TailNotLast(String),
    /// A star or brace inside a segment.
    #[error("pattern `{0}`: `*` and `{{name}}` must be a whole segment")]
    PartOfSegment(String),
    /// The same `{name}` twice.
    #[error("pattern `{0}`: `{{{1}}}` stands there twice")]
    NameTwice(String, String),
}

impl Pattern {
    /// Reads a pattern such as `/orders/{tenant}/**`. Literals are canonicalised like request paths.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(PatternError::Path(text.into(), crate::path::PathError::NotAbsolute));
        };
        let mut segments = Vec::new();
        let mut parts = rest.split('/').peekable();
        while let Some(part) = parts.next() {
            let segment = match part {
                "**" if parts.peek().is_some() => return Err(PatternError::TailNotLast(text.into())),
                "**" => Segment::Tail,
                "*" => Segment::One(None),
                _ => match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                    Some(name) if !name.is_empty() && !name.contains(['{', '}', '*']) => {
                        let segment = Segment::One(Some(name.into()));
                        if segments.contains(&segment) {
                            return Err(PatternError::NameTwice(text.into(), name.into()));
                        }
                        segment
                    }
                    _ if part.contains(['*', '{', '}']) => return Err(PatternError::PartOfSegment(text.into())),
                    _ => {
                        literal(part, parts.peek().is_none()).map_err(|error| PatternError::Path(text.into(), error))?
                    }
                },
            };
            segments.push(segment);
        }
        Ok(Self { segments })
    }

    /// Whether the pattern has `{name}`.
    pub fn names(&self, name: &str) -> bool {
        self.segments
            .iter()
            .any(|segment| matches!(segment, Segment::One(Some(n)) if **n == *name))
    }

    /// The segment of `path` that stands where the pattern has `{name}`. `path` matches the pattern.
    pub fn capture<'p>(&self, name: &str, path: &'p str) -> Option<&'p str> {
        let position = self
            .segments
            .iter()
            .position(|segment| matches!(segment, Segment::One(Some(n)) if **n == *name))?;
        path.strip_prefix('/')?.split('/').nth(position)
    }
}

/// An operator may write `/café` or `/%63af%C3%A9`: both mean what a canonical request path says.
fn literal(part: &str, last: bool) -> Result<Segment, crate::path::PathError> {
    if part.is_empty() {
        return if last {
            Ok(Segment::Literal("".into()))
        } else {
            Err(crate::path::PathError::EmptySegment)
        };
    }
    let mut encoded = String::from("/");
    for character in part.chars() {
        if character.is_ascii() {
            encoded.push(character);
        } else {
            let mut buffer = [0; 4];
            for byte in character.encode_utf8(&mut buffer).bytes() {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    let target = crate::path::canonical(encoded.as_bytes())?;
    if !target.query.is_empty() {
        return Err(crate::path::PathError::Forbidden);
    }
    Ok(Segment::Literal(target.path.trim_start_matches('/').into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(patterns: &[(&str, Option<&str>)]) -> Routes<String> {
        let mut routes = Routes::default();
        for &(pattern, method) in patterns {
            let text = format!(
                "{}{pattern}",
                method.map(|method| format!("{method} ")).unwrap_or_default()
            );
            routes
                .entry(&Pattern::parse(pattern).unwrap(), method, || text)
                .unwrap();
        }
        routes
    }

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
                routes.find(path, method).map(String::as_str),
                Some(expected),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn what_is_removed_leaves_the_broader_pattern_in_force() {
        let mut routes = routes(&[("/a/**", None), ("/a/b", None), ("/a/b", Some("GET")), ("/a/*/c", None)]);
        let b = Pattern::parse("/a/b").unwrap();
        routes.remove(&b, Some("PUT"));
        routes.remove(&Pattern::parse("/x/y").unwrap(), None);
        assert_eq!(routes.find("/a/b", "GET").map(String::as_str), Some("GET /a/b"));
        routes.remove(&b, Some("GET"));
        assert_eq!(routes.find("/a/b", "GET").map(String::as_str), Some("/a/b"));
        routes.remove(&b, None);
        assert_eq!(routes.find("/a/b", "GET").map(String::as_str), Some("/a/**"));
        *routes.entry(&b, None, || "again".to_owned()).unwrap() = "again".into();
        assert_eq!(routes.find("/a/b", "GET").map(String::as_str), Some("again"));
        assert_eq!(routes.find("/a/x/c", "GET").map(String::as_str), Some("/a/*/c"));
        assert_eq!(routes.values.len(), 4, "the place is used again");
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
            assert_eq!(routes.find(path, method), None, "{method} {path}");
        }
    }

    #[test]
    fn literals_mean_what_canonical_paths_say() {
        let routes = routes(&[("/café/%61b", None)]);
        assert!(routes.find("/caf%C3%A9/ab", "GET").is_some());
    }

    #[test]
    fn captures_name_segments() {
        let pattern = Pattern::parse("/orders/{tenant}/**").unwrap();
        assert_eq!(pattern.capture("tenant", "/orders/acme/7"), Some("acme"));
        assert_eq!(pattern.capture("other", "/orders/acme/7"), None);
    }

    #[test]
    fn patterns_that_could_mislead_are_refused() {
        for text in [
            "", "a", "/a/**/b", "/a*", "/x{y}", "/{}", "/a//b", "/a/../b", "/a;b", "/{x}/{x}", "/a?b", "/a b",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
