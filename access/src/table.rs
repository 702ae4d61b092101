//! `public` and `rules` of a configuration, compiled.

use std::collections::BTreeSet;
use std::rc::Rc;

use foldhash::fast::FixedState;
use hashbrown::HashSet;

use crate::config::{Mode, Public, Rule};
use crate::config_text::{ConfigError, at};
use crate::forwarded::Unchecked;
use crate::host::HostPattern;
use crate::permission::{ClaimCondition, Conditions, Expected};
use crate::route::{Pattern, Routes};

/// Which of `public` and `rules` speaks of a request.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// By place in `entries`.
    routes: Routes<usize>,
    /// First those of `rules`, then those of `public`, in their order.
    entries: Vec<Entry>,
    rules: usize,
    /// What rules require, once each: many require the same.
    requirements: HashSet<Rc<Conditions>, FixedState>,
    /// The claims that rules compare.
    compared: BTreeSet<String>,
}

/// One of `public` or `rules`.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) decider: Decider,
    pub(crate) requirement: Requirement,
    /// It only reports.
    pub(crate) shadow: bool,
    name: Option<Box<str>>,
}

/// What a path of the configuration requires.
#[derive(Debug)]
pub(crate) enum Requirement {
    /// No token; and what becomes of one.
    Public(Unchecked),
    Token(Rc<Conditions>),
}

/// What decided about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decider {
    /// The pattern with this index in `public`.
    Public(usize),
    /// The rule with this index in `rules`.
    Rule(usize),
    /// The permission table.
    Permissions,
    /// Nothing names the path: `unmatched`.
    Unmatched,
}

impl std::fmt::Display for Decider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Decider::Public(index) => write!(f, "public[{index}]"),
            Decider::Rule(index) => write!(f, "rules[{index}]"),
            Decider::Permissions => f.write_str("permissions"),
            Decider::Unmatched => f.write_str("unmatched"),
        }
    }
}

impl Table {
    /// Adds all rules.
    pub(crate) fn add_rules(&mut self, rules: Vec<Rule>) -> Result<(), ConfigError> {
        rules.into_iter().try_for_each(|rule| self.add_rule(rule))
    }

    /// Adds all of `public`, which come after the rules. `tokens`: what becomes of tokens where an entry does not say.
    pub(crate) fn add_all_public(&mut self, public: Vec<Public>, tokens: Unchecked) -> Result<(), ConfigError> {
        let mut public = public.into_iter().enumerate();
        public.try_for_each(|(index, public)| self.add_public(index, public, tokens))
    }

    /// The claims that rules compare.
    pub(crate) fn compared(&self) -> impl Iterator<Item = &str> {
        self.compared.iter().map(String::as_str)
    }

    /// Whether some entry is for some hosts only.
    pub(crate) fn by_host(&self) -> bool {
        self.routes.by_host()
    }

    /// The most specific entry that matches. All three are canonical.
    pub(crate) fn find(&self, path: &str, host: &str, method: &str) -> Option<&Entry> {
        self.entries.get(*self.routes.find(path, host, method)?)
    }

    pub(crate) fn name_of(&self, decider: Decider) -> Option<&str> {
        match decider {
            Decider::Rule(index) => self.entries.get(index)?.name.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn rules(&self) -> usize {
        self.rules
    }

    fn add_public(&mut self, index: usize, public: Public, tokens: Unchecked) -> Result<(), ConfigError> {
        let decider = Decider::Public(index);
        let tokens = match &public {
            Public::Route(parts) => parts.authorization.unwrap_or(tokens),
            Public::Text(_) => tokens,
        };
        let ((path, methods, hosts), in_parts) = match public {
            Public::Text(text) => match text.split_once(' ') {
                Some((method, path)) => (route(path.trim_start(), &[method]), false),
                None => (route(&text, &[]), false),
            },
            Public::Route(parts) => ((parts.path, parts.methods, parts.hosts), true),
        };
        let key = Key { decider, in_parts };
        let pattern = Pattern::parse(&path).map_err(|error| at(|| key.part("path"), error))?;
        self.entries.push(Entry {
            decider,
            requirement: Requirement::Public(tokens),
            shadow: false,
            name: None,
        });
        self.put(&pattern, &hosts, &methods, &key)
    }

    /// Adds the next rule.
    pub(crate) fn add_rule(&mut self, mut rule: Rule) -> Result<(), ConfigError> {
        let key = Key {
            decider: Decider::Rule(self.rules),
            in_parts: true,
        };
        let pattern = Pattern::parse(&rule.path).map_err(|error| at(|| key.part("path"), error))?;
        if let Some(name) = &rule.name
            && !is_name(name)
        {
            let message =
                format!("`{name}`: a name begins with a letter and has at most 64 letters, digits, `-` and `_`");
            return Err(at(|| key.part("name"), message));
        }
        let (hosts, methods) = (std::mem::take(&mut rule.hosts), std::mem::take(&mut rule.methods));
        self.rules = self.rules.saturating_add(1);
        self.compared.extend(rule.claims.keys().cloned());
        let (shadow, name) = (rule.mode == Mode::Shadow, rule.name.take());
        let conditions = Rc::new(conditions(rule, &pattern, &key)?);
        self.entries.push(Entry {
            decider: key.decider,
            shadow,
            name: name.map(String::into_boxed_str),
            requirement: Requirement::Token(self.requirements.get_or_insert_with(&conditions, Rc::clone).clone()),
        });
        self.put(&pattern, &hosts, &methods, &key)
    }

    /// Puts the last entry at each of its hosts and methods.
    fn put(&mut self, pattern: &Pattern, hosts: &[String], methods: &[String], key: &Key) -> Result<(), ConfigError> {
        for (place, method) in methods.iter().enumerate() {
            if !is_method(method) {
                let message = format!("`{method}` is not a method; write it in capital letters, as in `GET /health`");
                return Err(at(|| key.part(&format!("methods[{place}]")), message));
            }
        }
        if hosts.is_empty() {
            return self.put_for_host(pattern, None, methods, key);
        }
        for (place, host) in hosts.iter().enumerate() {
            let part = || key.part(&format!("hosts[{place}]"));
            let host = HostPattern::parse(host).map_err(|error| at(part, error))?;
            self.put_for_host(pattern, Some(&host), methods, key)?;
        }
        Ok(())
    }

    fn put_for_host(
        &mut self,
        pattern: &Pattern,
        host: Option<&HostPattern>,
        methods: &[String],
        key: &Key,
    ) -> Result<(), ConfigError> {
        if methods.is_empty() {
            return self.put_one(pattern, host, None, key);
        }
        for method in methods {
            self.put_one(pattern, host, Some(method), key)?;
        }
        Ok(())
    }

    fn put_one(
        &mut self,
        pattern: &Pattern,
        host: Option<&HostPattern>,
        method: Option<&str>,
        key: &Key,
    ) -> Result<(), ConfigError> {
        let mut fresh = false;
        let there = self.routes.entry(pattern, host, method, || {
            fresh = true;
            self.entries.len().saturating_sub(1)
        });
        if fresh {
            return Ok(());
        }
        let other = there.and_then(|place| self.entries.get(*place));
        let message = match other {
            Some(other) if other.decider != key.decider => {
                let other = other.decider;
                format!("the same pattern, host and method stand in `{other}`; which of the two is meant?")
            }
            _ => "a host or a method stands there twice".into(),
        };
        Err(at(|| key.part("path"), message))
    }
}

/// The place of an entry in the configuration.
struct Key {
    decider: Decider,
    /// It is an object, no text.
    in_parts: bool,
}

impl Key {
    fn part(&self, part: &str) -> String {
        if self.in_parts {
            format!("{}.{part}", self.decider)
        } else {
            self.decider.to_string()
        }
    }
}

fn route(path: &str, methods: &[&str]) -> (String, Vec<String>, Vec<String>) {
    let methods = methods.iter().map(|&method| method.to_owned()).collect();
    (path.to_owned(), methods, Vec::new())
}

/// As a rule may be called: the name of a metric is made of it. It is no number, as a rule without a name is called by its
/// place.
fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.len() <= 64 && name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.bytes().all(good)
}

/// Whether a method is written as rules write it: all methods in use are in capital letters (RFC 9110 section 16.1.2), and
/// some servers take small letters for the same.
pub(crate) fn is_method(method: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&method.len()) && method.bytes().all(good)
}

/// What a rule requires.
fn conditions(rule: Rule, pattern: &Pattern, key: &Key) -> Result<Conditions, ConfigError> {
    let requires = !rule.any_authority.is_empty()
        || !rule.all_authorities.is_empty()
        || !rule.scopes.is_empty()
        || !rule.claims.is_empty()
        || !rule.acr.is_empty()
        || rule.max_age.is_some();
    if rule.deny && requires {
        let message = "it stands alone: who would meet the other requirements is refused all the same";
        return Err(at(|| key.part("deny"), message));
    }
    for (part, names) in [
        ("any_authority", &rule.any_authority),
        ("all_authorities", &rule.all_authorities),
        ("scopes", &rule.scopes),
        ("acr", &rule.acr),
    ] {
        if let Some(place) = names.iter().position(String::is_empty) {
            return Err(at(|| key.part(&format!("{part}[{place}]")), "it is empty"));
        }
    }
    for (part, names) in [("scopes", &rule.scopes), ("acr", &rule.acr)] {
        // They stand in challenges, in quotes and with spaces between them.
        let bad = |name: &String| {
            !name
                .bytes()
                .all(|byte| matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\'))
        };
        if let Some(place) = names.iter().position(bad) {
            let message =
                "visible ASCII without spaces, `\"` and `\\`; write several as several (RFC 6749 section 3.3)";
            return Err(at(|| key.part(&format!("{part}[{place}]")), message));
        }
    }
    if rule.claims.contains_key("") {
        return Err(at(|| key.part("claims"), "a claim has a name"));
    }
    let mut claims = Vec::with_capacity(rule.claims.len());
    for (claim, expected) in rule.claims {
        let name = expected.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
        let expected = match name.map(|name| (name, pattern.position(name))) {
            Some((_, Some(position))) => Expected::Segment(position),
            Some((name, None)) => {
                let message = format!("`{{{name}}}` is no segment of `{}`", rule.path);
                return Err(at(|| key.part(&format!("claims.{claim}")), message));
            }
            None if expected.contains(['{', '}']) => {
                let message = format!("`{expected}`: a text, or `{{name}}` of the pattern and nothing beside it");
                return Err(at(|| key.part(&format!("claims.{claim}")), message));
            }
            None => Expected::Text(expected),
        };
        claims.push(ClaimCondition { claim, expected });
    }
    Ok(Conditions {
        deny: rule.deny,
        any_authority: rule.any_authority,
        all_authorities: rule.all_authorities,
        scopes: rule.scopes,
        claims,
        acr: rule.acr,
        max_age: rule.max_age.map(|age| age.millis),
    })
}
