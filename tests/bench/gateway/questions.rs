//! What is asked of a run: ratios of two subjects, or of what plugins add to two hosts, and the goals for them.

use std::fmt;

use postern_e2e::spread::Spread;
use serde_json::{Value, json};

use crate::{Comparison, peers::Subject};

/// A question and what the blocks of the run answered.
pub struct Answer {
    question: &'static Ratio,
    /// Whether the ratio is of what plugins add to each host.
    added: bool,
    /// The subjects: what is divided and by what; of what is added, each followed by its host without plugins.
    asks: Vec<usize>,
    ratios: Vec<f64>,
}

/// The questions of a comparison whose subjects are all there.
pub fn among(comparison: Comparison, subjects: &[Subject]) -> Vec<Answer> {
    let (ratios, added) = match comparison {
        Comparison::Gateway => (GATEWAY, &[][..]),
        Comparison::Filter => (FILTER, &[][..]),
        Comparison::Plugins => (PLUGINS, ADDED),
    };
    let find = |names: &[&str]| -> Option<Vec<usize>> {
        let position = |name: &&str| subjects.iter().position(|subject| subject.name == *name);
        names.iter().map(position).collect()
    };
    let answer = |question: &'static Ratio, added: bool| {
        let asks = if added {
            find(&[question.0, "host-gateway", question.1, "Envoy"])
        } else {
            find(&[question.0, question.1])
        };
        Some(Answer {
            question,
            added,
            asks: asks?,
            ratios: Vec::new(),
        })
    };
    let ratios = ratios.iter().filter_map(|question| answer(question, false));
    ratios
        .chain(added.iter().filter_map(|question| answer(question, true)))
        .collect()
}

impl Answer {
    /// Which subjects a block measures.
    pub fn asks(&self) -> &[usize] {
        &self.asks
    }

    /// A block: the CPU time per request of each subject that the question asks for.
    pub fn add(&mut self, cpu: &[f64]) {
        let ratio = match cpu {
            [ours, theirs] => ours / theirs,
            [ours, our_host, theirs, their_host] => (ours - our_host) / (theirs - their_host),
            _ => f64::NAN,
        };
        self.ratios.push(ratio);
    }

    /// As it stands in a report for programs.
    pub fn json(&self) -> Value {
        let (ours, theirs, goal) = self.question;
        json!({ "of": ours, "to": theirs, "added": self.added, "at_most": goal,
                "ratio": Spread::of(self.ratios.clone()).json() })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, theirs, goal) = self.question;
        let Spread { median, min, max } = Spread::of(self.ratios.clone());
        let added = if self.added { "what is added: " } else { "" };
        write!(f, "{median:>5.2} ({min:.2}–{max:.2})  {added}{ours} ÷ {theirs}")?;
        match goal {
            Some(goal) if median <= *goal => write!(f, " (at most {goal}: met)"),
            Some(goal) => write!(f, " (at most {goal}: NOT met)"),
            None => Ok(()),
        }
    }
}

/// A subject, what it is divided by, and what the ratio is to be at most, where there is a goal.
type Ratio = (&'static str, &'static str, Option<f64>);

// What two comparisons ask.
const OURS_HS256: Ratio = ("host-gateway + filter HS256", "host-gateway", Some(1.2));
const OURS_RS256: Ratio = ("host-gateway + filter RS256", "host-gateway", Some(1.2));
const ENVOY_HS256: Ratio = (
    "Envoy + filter HS256",
    "Envoy jwt_authn (cache) + RBAC HS256",
    Some(1.0),
);
const ENVOY_RS256: Ratio = (
    "Envoy + filter RS256",
    "Envoy jwt_authn (cache) + RBAC RS256",
    Some(0.85),
);

const GATEWAY: &[Ratio] = &[
    ("host-gateway", "Envoy", Some(0.45)),
    OURS_HS256,
    OURS_RS256,
    (
        "host-gateway + filter HS256",
        "Envoy jwt_authn (cache) + RBAC HS256",
        Some(0.40),
    ),
    (
        "host-gateway + filter RS256",
        "Envoy jwt_authn (cache) + RBAC RS256",
        Some(0.40),
    ),
    ENVOY_HS256,
    ENVOY_RS256,
];

const FILTER: &[Ratio] = &[
    ENVOY_HS256,
    ENVOY_RS256,
    (
        "Envoy + filter ES256",
        "Envoy jwt_authn (cache) + RBAC ES256",
        Some(0.85),
    ),
    (
        "Envoy + filter EdDSA",
        "Envoy jwt_authn (cache) + RBAC EdDSA",
        Some(0.85),
    ),
    // The same work on both sides.
    (
        "Envoy + filter RS256, no identity headers",
        "Envoy jwt_authn (cache) + RBAC RS256",
        Some(0.85),
    ),
    (
        "Envoy + filter RS256",
        "Envoy jwt_authn (cache) + RBAC RS256, identity headers",
        Some(0.85),
    ),
    // What Envoy asks for any filter: nobody gets below.
    ("Envoy + empty filter", "Envoy jwt_authn (cache) + RBAC RS256", None),
    ("Envoy + filter RS256", "Envoy + trivial filter", Some(1.1)),
    (
        "Envoy + filter RS256 cold",
        "Envoy jwt_authn + RBAC RS256 cold",
        Some(0.9),
    ),
    (
        "Envoy + filter ES256 cold",
        "Envoy jwt_authn + RBAC ES256 cold",
        Some(1.0),
    ),
    OURS_HS256,
    OURS_RS256,
    ("host-gateway + filter ES256", "host-gateway", Some(1.2)),
    ("host-gateway + filter EdDSA", "host-gateway", Some(1.2)),
    (
        "host-gateway + filter RS256 cold",
        "Envoy jwt_authn + RBAC RS256 cold",
        Some(0.45),
    ),
    (
        "host-gateway + filter ES256 cold",
        "Envoy jwt_authn + RBAC ES256 cold",
        Some(0.6),
    ),
    (
        "host-gateway + filter RS256, 100000 rules",
        "host-gateway + filter RS256",
        Some(1.05),
    ),
    ("Envoy + filter RS256, 100000 rules", "Envoy + filter RS256", Some(1.05)),
    (
        "host-gateway + filter RS256, 1000000 revocations",
        "host-gateway + filter RS256",
        Some(1.05),
    ),
    (
        "Envoy + filter RS256, 1000000 revocations",
        "Envoy + filter RS256",
        Some(1.05),
    ),
];

const PLUGINS: &[Ratio] = &[
    ("host-gateway + trivial filter", "host-gateway", None),
    ("Envoy + trivial filter", "Envoy", None),
    ("host-gateway + 10 trivial filters", "host-gateway", None),
    ("Envoy + 10 trivial filters", "Envoy", None),
];

/// What plugins add to our gateway, divided by what they add to Envoy.
const ADDED: &[Ratio] = &[
    ("host-gateway + trivial filter", "Envoy + trivial filter", Some(0.25)),
    (
        "host-gateway + 10 trivial filters",
        "Envoy + 10 trivial filters",
        Some(0.25),
    ),
];
