//! `lint`: what a configuration says and probably does not mean.
//!
//! Who decides about a path is always asked of [`Policy`] itself, with a path made of the pattern in question.

use std::fmt;
use std::path::Path;

use postern_access::config::{Config, Expiry, Mode, Public, Rule, Unmatched};
use postern_access::config_text;
use postern_access::key_source::{Jwks, KeysAt, RemoteJwks};
use postern_access::policy::{Decider, Policy, Trace};
use postern_access::route::{Pattern, Segment};
use postern_access::state::State;
use serde_json::Value;

use crate::config_file::plugin_json;
use crate::offline;
use crate::output;
use crate::request::Written;

/// Reads a configuration and prints what there is to say. Whether all is well.
pub fn run(file: &Path, plugin: Option<&str>, permissions: Option<&Path>) -> Result<bool, String> {
    let json = plugin_json(file, plugin)?;
    let rows = permissions.map(offline::permissions).transpose()?;
    let findings = findings(&json.text, json.verbatim, rows.as_ref());
    for finding in &findings {
        output::line(finding)?;
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (errors, warnings, notes) = (count(Level::Error), count(Level::Warning), count(Level::Note));
    match findings.len() {
        0 => output::line(format_args!("{}: nothing to remark", file.display()))?,
        _ => output::line(format_args!(
            "{}: errors: {errors}, warnings: {warnings}, notes: {notes}",
            file.display()
        ))?,
    }
    Ok(errors == 0 && warnings == 0)
}

/// One remark.
#[derive(Debug)]
struct Finding {
    level: Level,
    /// Empty: the whole configuration.
    key: String,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// The filter will not load it.
    Error,
    /// It is hardly meant.
    Warning,
    /// It may be meant.
    Note,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "note",
        };
        match self.key.as_str() {
            "" => write!(f, "{level}: {}", self.message),
            key => write!(f, "{level}: {key}: {}", self.message),
        }
    }
}

fn finding(level: Level, key: impl ToString, message: impl Into<String>) -> Finding {
    Finding {
        level,
        key: key.to_string(),
        message: message.into(),
    }
}

/// `verbatim`: the lines of the text are those of the file.
fn findings(json: &str, verbatim: bool, rows: Option<&Value>) -> Vec<Finding> {
    let (config, mut findings) = without_unknown_keys(json, verbatim);
    let Some(config) = config else { return findings };
    match Policy::compile(config.clone()) {
        Err(error) => findings.push(finding(Level::Error, error.key, error.message)),
        Ok(policy) => {
            findings.extend(weak_settings(&config));
            findings.extend(Rules::new(&config, policy).findings());
            findings.extend(rows.map(|rows| unasked_rows(&config, rows)).unwrap_or_default());
        }
    }
    findings
}

/// Every unknown key, not only the first: each is noted and taken out, until the rest can be read.
fn without_unknown_keys(json: &str, verbatim: bool) -> (Option<Config>, Vec<Finding>) {
    let mut findings: Vec<Finding> = Vec::new();
    let mut text = json.to_owned();
    loop {
        let error = match config_text::read(text.as_bytes()) {
            Ok(config) => return (Some(config), findings),
            Err(error) => error,
        };
        let unknown = error
            .message
            .strip_prefix("unknown field `")
            .and_then(|rest| rest.split_once('`'));
        let rest = unknown.and_then(|(name, _)| without(&text, &error.key, name));
        // Without the first key, the lines are others.
        let message = match error.line.filter(|_| verbatim && findings.is_empty()) {
            Some(line) => format!("{} (line {line})", error.message),
            None => error.message,
        };
        findings.push(finding(Level::Error, error.key, message));
        match rest {
            Some(rest) => text = rest,
            None => return (None, findings),
        }
    }
}

/// The document without one key. `at`: the path of the object that has it, or of the key itself.
fn without(json: &str, at: &str, name: &str) -> Option<String> {
    let mut document: Value = serde_json::from_str(json).ok()?;
    let object = at.strip_suffix(name).map_or(at, |object| object.trim_end_matches('.'));
    let mut place = &mut document;
    for step in object
        .split(['.', '['])
        .map(|step| step.trim_end_matches(']'))
        .filter(|step| !step.is_empty())
    {
        place = match place {
            Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?)?,
            other => other.get_mut(step)?,
        };
    }
    place.as_object_mut()?.remove(name)?;
    Some(document.to_string())
}

fn weak_settings(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut warn = |key: &str, message: &str| found.push(finding(Level::Warning, key, message));
    if config.mode == Mode::Shadow {
        warn("mode", "in shadow mode nothing is refused");
    }
    if config.token.query.is_some() {
        warn(
            "token.query",
            "tokens in addresses end up in logs and histories; leave it out",
        );
    }
    if config.leeway.millis > 300_000 {
        warn(
            "leeway",
            "tokens are good for minutes after they expired; a minute is enough for any clock",
        );
    }
    if config.max_stale.millis > 3_600_000 {
        warn(
            "max_stale",
            "a lost feed goes unnoticed for more than an hour, and so does every revocation",
        );
    }
    if config.issuers.is_empty() && config.auth_server.is_none() {
        warn(
            "issuers",
            "there are no issuers and no auth server, so no token can be good",
        );
    }
    if config.rules.is_empty() && config.login_service.is_none() && config.unmatched == Unmatched::Deny {
        warn(
            "rules",
            "there are no rules and no login service, so nothing but `public` can pass",
        );
    }
    for (index, issuer) in config.issuers.iter().enumerate() {
        if issuer.audiences.is_empty() {
            let message = "tokens that the issuer made for other services are good here too; name the `aud` of yours";
            found.push(finding(Level::Warning, format!("issuers[{index}].audiences"), message));
        }
        if issuer.expiry == Expiry::Optional {
            let message = "a token without `exp` is good until somebody revokes it";
            found.push(finding(Level::Warning, format!("issuers[{index}].expiry"), message));
        }
        match &issuer.jwks {
            Some(Jwks::Remote(RemoteJwks {
                at: KeysAt::Uri(uri) | KeysAt::Discovery { base: uri, .. },
                ..
            })) if uri.starts_with("http://") => {
                let message = "keys that come without TLS are anybody's who stands between";
                found.push(finding(Level::Note, format!("issuers[{index}].jwks.uri"), message));
            }
            Some(Jwks::Inline { inline }) if inline.to_string().contains(r#""d":"#) => {
                let message = "the private half of a key (`d`) stands here; take it out: who verifies does not need it";
                found.push(finding(Level::Warning, format!("issuers[{index}].jwks"), message));
            }
            Some(Jwks::Inline { inline }) if inline.to_string().contains(r#""oct""#) => {
                let message = "whoever has this configuration can make tokens with its `oct` keys";
                found.push(finding(Level::Note, format!("issuers[{index}].jwks"), message));
            }
            _ => {}
        }
    }
    if config.unmatched == Unmatched::Authenticated {
        let message = "paths that nothing names are open to every good token";
        found.push(finding(Level::Note, "unmatched", message));
    }
    if config.debug.is_some() {
        let message = "whoever has the secret sees why requests are refused; take it out when you are done";
        found.push(finding(Level::Note, "debug", message));
    }
    found
}

/// More entries than this are not compared with what would decide without them: each comparison compiles them all.
const COMPARED: usize = 500;

/// A segment that no literal of a configuration is.
const ANY: &str = "~any~";

/// The same as a label of a host.
const ANY_HOST: &str = "any-host.invalid";

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// `public` and `rules`, one looked at after the other.
struct Rules<'c> {
    config: &'c Config,
    policy: Policy,
    state: Option<State>,
}

/// An entry, and what it says.
struct Entry<'c> {
    decider: Decider,
    path: &'c str,
    methods: Vec<&'c str>,
    hosts: &'c [String],
    rule: Option<&'c Rule>,
}

/// A request that an entry should decide about.
#[derive(Debug, Clone)]
struct Example {
    method: String,
    host: String,
    path: String,
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path.replace(ANY, "x"))
    }
}

impl<'c> Rules<'c> {
    fn new(config: &'c Config, policy: Policy) -> Self {
        let state = State::new(policy.config(), 1).ok();
        Self { config, policy, state }
    }

    fn findings(&mut self) -> Vec<Finding> {
        let mut found = Vec::new();
        let config = self.config;
        let entries: Vec<Entry<'c>> = entries(config).collect();
        for entry in &entries {
            let colon = entry
                .path
                .split('/')
                .find(|segment| segment.starts_with(':') && segment.len() > 1);
            if let Some(segment) = colon {
                let message = format!(
                    "`{segment}` is this text and nothing else; for any segment, write `{{{}}}`",
                    &segment[1..]
                );
                found.push(finding(Level::Warning, entry.decider, message));
            }
            let examples = examples(entry);
            let decided = examples
                .iter()
                .find(|example| self.decider(example) == Some(entry.decider))
                .cloned();
            let Some(example) = decided else {
                let other = examples.first().and_then(|example| self.decider(example));
                let other = other.map_or_else(String::new, |other| format!(": {} decides", self.shown(other)));
                let message = format!("`{}` never decides{other}", entry.path);
                found.push(finding(Level::Warning, entry.decider, message));
                continue;
            };
            if entry.rule.is_some_and(|rule| rule.mode == Mode::Shadow) {
                let message = format!("in shadow mode everybody passes: `{example}` needs no token");
                found.push(finding(Level::Note, entry.decider, message));
            }
            found.extend(self.other_methods(entry, &example));
            found.extend(self.trailing_slash(entry, &example));
            if entries.len() <= COMPARED {
                found.extend(self.without(entry, &example));
            }
        }
        if entries.len() > COMPARED {
            let message = format!("with more than {COMPARED} entries, they are not compared with each other");
            found.push(finding(Level::Note, "rules", message));
        }
        found
    }

    /// A rule for some methods, beside something weaker for the others.
    fn other_methods(&mut self, entry: &Entry<'_>, example: &Example) -> Option<Finding> {
        if entry.methods.is_empty() || !entry.protects() {
            return None;
        }
        let others = METHODS.iter().copied().filter(|method| !entry.methods.contains(method));
        let decided: Vec<_> = others
            .map(|method| {
                let example = Example {
                    method: method.into(),
                    ..example.clone()
                };
                (method, self.decider(&example))
            })
            .collect();
        let (method, other) = decided.into_iter().find(|(_, other)| self.is_weaker(*other, entry))?;
        let message = format!(
            "`{}` is protected for {} only: {method} is decided by {}, which requires less",
            entry.path,
            entry.methods.join(", "),
            self.shown_or_unmatched(other)
        );
        Some(finding(Level::Warning, entry.decider, message))
    }

    /// A strict pattern, beside a broad and weaker one that takes the same path with a slash at its end.
    fn trailing_slash(&mut self, entry: &Entry<'_>, example: &Example) -> Option<Finding> {
        if entry.path.ends_with("**") || entry.path.ends_with('/') || !entry.protects() {
            return None;
        }
        let slash = Example {
            path: format!("{}/", example.path),
            ..example.clone()
        };
        let other = self.decider(&slash);
        if !self.is_weaker(other, entry) {
            return None;
        }
        let message = format!(
            "`{slash}` is decided by {}, which requires less; if your service takes it for the same, write `{}/**` too",
            self.shown_or_unmatched(other),
            entry.path
        );
        Some(finding(Level::Warning, entry.decider, message))
    }

    /// What would decide if the entry were not there.
    fn without(&mut self, entry: &Entry<'_>, example: &Example) -> Option<Finding> {
        let mut config = self.config.clone();
        match entry.decider {
            Decider::Public(index) => drop(config.public.remove(index)),
            Decider::Rule(index) => drop(config.rules.remove(index)),
            _ => return None,
        }
        let mut without = Rules::new(self.config, Policy::compile(config).ok()?);
        // One entry of its kind before it is missing.
        let other = without.decider(example).map(|other| match (other, entry.decider) {
            (Decider::Public(other), Decider::Public(index)) if other >= index => Decider::Public(other + 1),
            (Decider::Rule(other), Decider::Rule(index)) if other >= index => Decider::Rule(other + 1),
            (other, _) => other,
        })?;
        let (level, message) = match (entry.rule, self.rule(other)) {
            (None, Some(rule)) if rule.mode == Mode::Enforce => {
                let message = format!("it opens a part of {}: `{example}` needs no token", self.shown(other));
                (Level::Warning, message)
            }
            (None, None) => (
                Level::Note,
                format!("it changes nothing: {} is public already", self.shown(other)),
            ),
            (Some(rule), Some(broader)) if requirement(rule) == requirement(broader) && rule.mode == broader.mode => (
                Level::Note,
                format!("it changes nothing: {} requires the same", self.shown(other)),
            ),
            (Some(rule), Some(broader)) if !requires(rule) && requires(broader) => {
                let message = format!(
                    "any good token will do for `{example}`, where {} requires more",
                    self.shown(other)
                );
                (Level::Note, message)
            }
            _ => return None,
        };
        Some(finding(level, entry.decider, message))
    }

    /// Who decides about a request, as far as the configuration names it.
    fn decider(&mut self, example: &Example) -> Option<Decider> {
        let mut written = Written::parse(&format!("{} {}", example.method, example.path)).ok()?;
        written.header(":authority", &example.host);
        let mut trace = Trace::default();
        let request = self.policy.read(written.pairs());
        self.policy.trace(&request, self.state.as_mut()?, 0, &mut trace);
        trace.decider
    }

    /// Whether a request that `other` decides about meets less than `entry` would ask of it.
    fn is_weaker(&self, other: Option<Decider>, entry: &Entry<'_>) -> bool {
        if other == Some(entry.decider) {
            return false;
        }
        match other {
            Some(Decider::Public(_)) => true,
            Some(decider) => self
                .rule(decider)
                .is_some_and(|rule| rule.mode == Mode::Shadow || (!requires(rule) && entry.rule.is_some_and(requires))),
            // The permission table asks for an authority, if it names the path.
            None => {
                self.config.unmatched == Unmatched::Authenticated
                    && self.config.login_service.is_none()
                    && entry.rule.is_some_and(requires)
            }
        }
    }

    fn rule(&self, decider: Decider) -> Option<&'c Rule> {
        match decider {
            Decider::Rule(index) => self.config.rules.get(index),
            _ => None,
        }
    }

    /// `rules[3] (`/orders/**`)`.
    fn shown(&self, decider: Decider) -> String {
        let entry = entries(self.config).find(|entry| entry.decider == decider);
        entry.map_or_else(|| decider.to_string(), |entry| format!("{decider} (`{}`)", entry.path))
    }

    fn shown_or_unmatched(&self, decider: Option<Decider>) -> String {
        decider.map_or_else(|| "`unmatched`".into(), |decider| self.shown(decider))
    }
}

impl Entry<'_> {
    fn protects(&self) -> bool {
        self.rule.is_some_and(|rule| rule.mode == Mode::Enforce)
    }
}

fn entries(config: &Config) -> impl Iterator<Item = Entry<'_>> {
    let public = config.public.iter().enumerate().map(|(index, public)| {
        let (path, methods, hosts) = match public {
            Public::Text(text) => match text.split_once(' ') {
                Some((method, path)) => (path.trim_start(), vec![method], &[][..]),
                None => (text.as_str(), Vec::new(), &[][..]),
            },
            Public::Route(route) => (
                route.path.as_str(),
                route.methods.iter().map(String::as_str).collect(),
                route.hosts.as_slice(),
            ),
        };
        Entry {
            decider: Decider::Public(index),
            path,
            methods,
            hosts,
            rule: None,
        }
    });
    let rules = config.rules.iter().enumerate().map(|(index, rule)| Entry {
        decider: Decider::Rule(index),
        path: &rule.path,
        methods: rule.methods.iter().map(String::as_str).collect(),
        hosts: &rule.hosts,
        rule: Some(rule),
    });
    public.chain(rules)
}

/// Whether it asks for more than a good token.
fn requires(rule: &Rule) -> bool {
    requirement(rule) != requirement(&Rule::default())
}

/// What a rule requires, apart from where.
fn requirement(rule: &Rule) -> Rule {
    Rule {
        name: None,
        path: String::new(),
        methods: Vec::new(),
        hosts: Vec::new(),
        mode: Mode::Enforce,
        ..rule.clone()
    }
}

/// Requests that an entry speaks of and, where it can be, no more specific one.
fn examples(entry: &Entry<'_>) -> Vec<Example> {
    let Ok(pattern) = Pattern::parse(entry.path) else {
        return Vec::new();
    };
    let tails: &[&[&str]] = match pattern.segments().last() {
        Some(Segment::Tail) => &[&[ANY, ANY], &[ANY], &[], &[""]],
        _ => &[&[]],
    };
    let paths = tails.iter().map(|tail| {
        let segments = pattern.segments().iter().filter_map(|segment| match segment {
            Segment::Literal(text) => Some(&**text),
            Segment::One(_) => Some(ANY),
            Segment::Tail => None,
        });
        format!(
            "/{}",
            segments.chain(tail.iter().copied()).collect::<Vec<_>>().join("/")
        )
    });
    let methods = if entry.methods.is_empty() {
        METHODS.to_vec()
    } else {
        entry.methods.clone()
    };
    let hosts: Vec<String> = match entry.hosts {
        [] => vec![ANY_HOST.into()],
        hosts => hosts.iter().map(|host| host.replace('*', "any-host")).collect(),
    };
    let mut examples = Vec::new();
    for path in paths {
        for host in &hosts {
            examples.extend(methods.iter().map(|method| Example {
                method: (*method).into(),
                host: host.clone(),
                path: path.clone(),
            }));
        }
    }
    examples
}

/// Rows of the permission table that are never asked, as the configuration names their paths.
fn unasked_rows(config: &Config, rows: &Value) -> Vec<Finding> {
    let Ok(policy) = Policy::compile(config.clone()) else {
        return Vec::new();
    };
    let mut rules = Rules::new(config, policy);
    let rows = rows.get("permissions").and_then(Value::as_array).into_iter().flatten();
    rows.filter_map(|row| {
        let text = |key: &str| row.get(key).and_then(Value::as_str);
        let (name, url) = (text("name")?, text("url")?);
        let key = format!("permission {name} {url}");
        let entry = Entry {
            decider: Decider::Permissions,
            path: url,
            methods: text("method").into_iter().collect(),
            hosts: &[],
            rule: None,
        };
        if let Err(error) = Pattern::parse(url) {
            return Some(finding(Level::Warning, key, format!("it is left out: {error}")));
        }
        let examples = examples(&entry);
        let decided: Vec<_> = examples.iter().map(|example| rules.decider(example)).collect();
        let other = decided.first().copied().flatten()?;
        decided.iter().all(Option::is_some).then(|| {
            let message = format!("it is never asked: {} decides", rules.shown(other));
            finding(Level::Warning, key, message)
        })
    })
    .collect()
}
