//! Path patterns, compiled to a trie: a lookup costs the length of the path, whatever the number of patterns.
//!
//! A pattern is made of segments: a literal, `*` or `{name}` (exactly one segment that is not empty), and at its end `**`
//! (any number of segments, also none). Where several patterns match, the most specific one wins: compared from the left,
//! a literal beats `*` and `{name}`, and these beat `**`. On the same pattern an entry for the host beats one for the hosts
//! below a name (the longest name first), and that one for all hosts; and then an entry for the method one for all methods.
//! An entry for other hosts or methods does not match at all.
//!
//! The trie is four flat tables: a hundred thousand patterns take some ten megabytes.

mod lookup;
mod pattern;

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::equal::equal;
use crate::host::HostPattern;

pub use pattern::{MAX_SEGMENTS, Pattern, PatternError, Segment, segment};

/// Patterns with a value each.
#[derive(Debug, Clone)]
pub struct Routes<T> {
    nodes: Vec<Node>,
    /// The literal segments that lead from node to node.
    literals: HashTable<Edge>,
    /// The entries for some hosts only: from the node where a pattern ends.
    hosts: HashTable<Edge>,
    /// The methods that entries name; their ids are their places, counted from 1.
    methods: Vec<Box<str>>,
    entries: Vec<Entry>,
    /// The value of each entry.
    values: Vec<T>,
    /// Entries that were removed; their places are used again.
    free: Vec<u32>,
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            literals: HashTable::new(),
            hosts: HashTable::new(),
            methods: Vec::new(),
            entries: Vec::new(),
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

    /// Whether some entry is for some hosts only; if not, the host of a request is not looked at.
    pub fn by_host(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// The value at exactly this pattern, host and method, or a new one put there. `None` speaks of every host or method.
    /// Returns nothing when there are more than four billion of them.
    pub fn entry(
        &mut self,
        pattern: &Pattern,
        host: Option<&HostPattern>,
        method: Option<&str>,
        new: impl FnOnce() -> T,
    ) -> Option<&mut T> {
        let mut at = ROOT;
        for segment in pattern.segments() {
            at = match segment {
                Segment::Literal(text) => match find(&self.literals, at, text) {
                    Some(child) => child,
                    None => {
                        let child = self.grow()?;
                        insert(&mut self.literals, at, text, child);
                        child
                    }
                },
                Segment::One(_) => match self.node(at)?.one {
                    NONE => {
                        let child = self.grow()?;
                        self.node_mut(at)?.one = child;
                        child
                    }
                    child => child,
                },
                Segment::Tail => break,
            };
        }
        let tail = pattern.segments().last() == Some(&Segment::Tail);
        let method = match method {
            Some(method) => self.method_id(method)?,
            None => ANY_METHOD,
        };
        let (first, host) = match host {
            None => (self.node(at)?.ends(tail).any, None),
            Some(host) => {
                let name = key(host, tail);
                (find(&self.hosts, at, &name).unwrap_or(NONE), Some(name))
            }
        };
        let mut last = first;
        let mut entry = first;
        while let Some(known) = self.entry_at(entry) {
            if known.method == method {
                return self.values.get_mut(usize::try_from(entry).ok()?);
            }
            (last, entry) = (entry, known.next);
        }
        let fresh = self.put(method, new())?;
        match (self.entries.get_mut(usize::try_from(last).ok()?), host) {
            (Some(last), _) => last.next = fresh,
            (None, None) => self.node_mut(at)?.ends_mut(tail).any = fresh,
            (None, Some(name)) => {
                insert(&mut self.hosts, at, &name, fresh);
                self.node_mut(at)?.ends_mut(tail).hosted = true;
            }
        }
        self.values.get_mut(usize::try_from(fresh).ok()?)
    }

    /// A new entry, in the place of a removed one if there is one.
    fn put(&mut self, method: u16, value: T) -> Option<u32> {
        let entry = Entry { method, next: NONE };
        let Some(place) = self.free.pop() else {
            let fresh = id(self.entries.len())?;
            self.entries.push(entry);
            self.values.push(value);
            return Some(fresh);
        };
        let index = usize::try_from(place).ok()?;
        *self.entries.get_mut(index)? = entry;
        *self.values.get_mut(index)? = value;
        Some(place)
    }

    /// The value at exactly this pattern and method, for all hosts.
    pub fn get_mut(&mut self, pattern: &Pattern, method: Option<&str>) -> Option<&mut T> {
        let (_, entry) = self.place(pattern, method)?;
        self.values.get_mut(usize::try_from(entry).ok()?)
    }

    /// Takes the value at exactly this pattern and method, for all hosts, out of the way; the next new one takes its place.
    pub fn remove(&mut self, pattern: &Pattern, method: Option<&str>) {
        let Some((before, entry)) = self.place(pattern, method) else {
            return;
        };
        let next = self.entry_at(entry).map_or(NONE, |entry| entry.next);
        match before {
            Before::Entry(before) => {
                if let Some(before) = usize::try_from(before)
                    .ok()
                    .and_then(|before| self.entries.get_mut(before))
                {
                    before.next = next;
                }
            }
            Before::Node(at, tail) => {
                if let Some(node) = self.node_mut(at) {
                    node.ends_mut(tail).any = next;
                }
            }
        }
        self.free.push(entry);
    }

    /// The entry at exactly this pattern and method, for all hosts, and what leads to it.
    fn place(&self, pattern: &Pattern, method: Option<&str>) -> Option<(Before, u32)> {
        let mut at = ROOT;
        for segment in pattern.segments() {
            at = match segment {
                Segment::Literal(text) => find(&self.literals, at, text)?,
                Segment::One(_) => Some(self.node(at)?.one).filter(|&one| one != NONE)?,
                Segment::Tail => break,
            };
        }
        let tail = pattern.segments().last() == Some(&Segment::Tail);
        let method = match method {
            Some(method) => method_number(self.methods.iter().position(|known| **known == *method)?)?,
            None => ANY_METHOD,
        };
        let mut before = Before::Node(at, tail);
        let mut entry = self.node(at)?.ends(tail).any;
        loop {
            let known = self.entry_at(entry)?;
            if known.method == method {
                return Some((before, entry));
            }
            (before, entry) = (Before::Entry(entry), known.next);
        }
    }

    fn entry_at(&self, id: u32) -> Option<&Entry> {
        self.entries.get(usize::try_from(id).ok()?)
    }

    fn node(&self, id: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(id).ok()?)
    }

    fn node_mut(&mut self, id: u32) -> Option<&mut Node> {
        self.nodes.get_mut(usize::try_from(id).ok()?)
    }

    fn grow(&mut self) -> Option<u32> {
        let child = id(self.nodes.len())?;
        self.nodes.push(Node::default());
        Some(child)
    }

    fn method_id(&mut self, method: &str) -> Option<u16> {
        let known = self.methods.iter().position(|known| **known == *method);
        let place = known.unwrap_or_else(|| {
            self.methods.push(method.into());
            self.methods.len().saturating_sub(1)
        });
        method_number(place)
    }
}

const ROOT: u32 = 0;

/// No node, no entry.
const NONE: u32 = u32::MAX;

const ANY_METHOD: u16 = 0;

fn id(place: usize) -> Option<u32> {
    u32::try_from(place).ok().filter(|&id| id != NONE)
}

fn method_number(place: usize) -> Option<u16> {
    u16::try_from(place).ok()?.checked_add(1)
}

/// Where a segment leads, and what ends there.
#[derive(Debug, Clone)]
struct Node {
    /// The node behind `*` or `{name}`.
    one: u32,
    /// Patterns that end here.
    here: Ends,
    /// Patterns that end here with `**`.
    tail: Ends,
}

/// The entries of one pattern.
#[derive(Debug, Clone)]
struct Ends {
    /// The first entry for all hosts.
    any: u32,
    /// There are entries for some hosts.
    hosted: bool,
}

impl Default for Node {
    fn default() -> Self {
        let ends = Ends {
            any: NONE,
            hosted: false,
        };
        Self {
            one: NONE,
            here: ends.clone(),
            tail: ends,
        }
    }
}

impl Node {
    fn ends(&self, tail: bool) -> &Ends {
        if tail { &self.tail } else { &self.here }
    }

    fn ends_mut(&mut self, tail: bool) -> &mut Ends {
        if tail { &mut self.tail } else { &mut self.here }
    }
}

/// A method that has a value, and the next one of the same pattern and host.
#[derive(Debug, Clone)]
struct Entry {
    method: u16,
    next: u32,
}

/// What leads to an entry.
enum Before {
    /// The node where its pattern ends, with or without `**`.
    Node(u32, bool),
    Entry(u32),
}

/// From a node, by a text, to a node or an entry.
#[derive(Debug, Clone)]
struct Edge {
    from: u32,
    to: u32,
    text: Box<str>,
}

fn find(edges: &HashTable<Edge>, from: u32, text: &str) -> Option<u32> {
    let edge = edges.find(hash(from, text), |edge| {
        edge.from == from && equal(edge.text.as_bytes(), text.as_bytes())
    })?;
    Some(edge.to)
}

fn insert(edges: &mut HashTable<Edge>, from: u32, text: &str, to: u32) {
    let edge = Edge {
        from,
        to,
        text: text.into(),
    };
    edges.insert_unique(hash(from, text), edge, |edge| hash(edge.from, &edge.text));
}

/// What stands in the table was chosen by the operator, so the seed may be known.
fn hash(from: u32, text: &str) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write_u32(from);
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// How a host is written in the table: what it is a key of, and its name.
fn key(host: &HostPattern, tail: bool) -> String {
    let (exact, below) = kinds(tail);
    match host {
        HostPattern::Exact(name) => format!("{exact}{name}"),
        HostPattern::Below(name) => format!("{below}{name}"),
    }
}

/// The marks of an exact name and of the names below one.
fn kinds(tail: bool) -> (char, char) {
    if tail { ('#', '+') } else { ('=', '*') }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn routes(patterns: &[(&str, Option<&str>)]) -> Routes<String> {
        let mut routes = Routes::default();
        for &(pattern, method) in patterns {
            let text = format!(
                "{}{pattern}",
                method.map(|method| format!("{method} ")).unwrap_or_default()
            );
            routes
                .entry(&Pattern::parse(pattern).unwrap(), None, method, || text)
                .unwrap();
        }
        routes
    }

    #[test]
    fn what_is_removed_leaves_the_broader_pattern_in_force() {
        let mut routes = routes(&[("/a/**", None), ("/a/b", None), ("/a/b", Some("GET")), ("/a/*/c", None)]);
        let b = Pattern::parse("/a/b").unwrap();
        routes.remove(&b, Some("PUT"));
        routes.remove(&Pattern::parse("/x/y").unwrap(), None);
        assert_eq!(routes.find("/a/b", "", "GET").map(String::as_str), Some("GET /a/b"));
        routes.remove(&b, Some("GET"));
        assert_eq!(routes.find("/a/b", "", "GET").map(String::as_str), Some("/a/b"));
        routes.remove(&b, None);
        assert_eq!(routes.find("/a/b", "", "GET").map(String::as_str), Some("/a/**"));
        *routes.entry(&b, None, None, || "again".to_owned()).unwrap() = "again".into();
        assert_eq!(routes.find("/a/b", "", "GET").map(String::as_str), Some("again"));
        assert_eq!(routes.find("/a/x/c", "", "GET").map(String::as_str), Some("/a/*/c"));
        assert_eq!(routes.values.len(), 4, "the place is used again");
    }

    #[test]
    fn literals_mean_what_canonical_paths_say() {
        let routes = routes(&[("/café/%61b", None)]);
        assert!(routes.find("/caf%C3%A9/ab", "", "GET").is_some());
    }
}
