//! What was decided, counted in memory; the shell hands the sums to the host now and then, so that a request costs an
//! addition and no host call.

use crate::denial::Denial;
use crate::policy::{Decider, Policy, Trace};
use crate::report::Verdict;

/// So many rules have series of their own; the others share one.
pub const MAX_RULES: usize = 100;

/// Every 16th decision is timed: that is enough for a histogram, and a clock costs a host call.
pub const TIMED: u64 = 16;

/// How many times are kept until they are handed over.
const MAX_TIMES: usize = 256;

/// The reasons that refusals are counted by: the names of [`Denial::name`].
const REASONS: [&str; 11] = [
    "path",
    "method",
    "host",
    "several_tokens",
    "no_token",
    "bad_token",
    "forbidden",
    "scope",
    "step_up",
    "bad_proof",
    "unavailable",
];

/// What may become of a request that something decided about.
const BY_RULE: [&str; 3] = ["allowed", "refused", "would_refuse"];

/// Counts since the last [`Counters::drain`].
#[derive(Debug)]
pub struct Counters {
    names: Vec<String>,
    counts: Vec<u64>,
    /// How many rules have series of their own.
    rules: usize,
    decisions: u64,
    times: Vec<u64>,
}

impl Counters {
    /// All at zero.
    pub fn new(policy: &Policy) -> Self {
        let mut names: Vec<String> = ["allowed", "held", "undecided", "refused.other", "would_refuse.other"]
            .iter()
            .map(|name| format!("postern.requests.{name}"))
            .collect();
        for kind in ["refused", "would_refuse"] {
            names.extend(REASONS.iter().map(|reason| format!("postern.requests.{kind}.{reason}")));
        }
        let rules = policy.rules().min(MAX_RULES);
        let deciders = ["public", "permissions", "unmatched", "other_rules"].map(str::to_owned);
        let rule = |index| match policy.name_of(Decider::Rule(index)) {
            name if name.contains('[') => format!("rule.{index}"),
            name => format!("rule.{name}"),
        };
        for decider in deciders.into_iter().chain((0..rules).map(rule)) {
            names.extend(BY_RULE.iter().map(|what| format!("postern.{decider}.{what}")));
        }
        Self {
            counts: vec![0; names.len()],
            names,
            rules,
            decisions: 0,
            times: Vec::new(),
        }
    }

    /// The names of the counters, in the order in which [`Counters::drain`] numbers them. Two rules of one name have the
    /// same name here too: they share a series.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The name of the histogram of decision times, in microseconds.
    pub const TIMES: &'static str = "postern.decision_microseconds";

    /// Counts one request.
    pub fn count(&mut self, verdict: &Verdict<'_>, trace: &Trace) {
        let (requests, by_rule) = match verdict {
            Verdict::Allowed => (0, Some(0)),
            Verdict::Held => (1, None),
            Verdict::Undecided => (2, None),
            Verdict::Refused(denial) => (reason(denial).map_or(3, |reason| FIXED.saturating_add(reason)), Some(1)),
            Verdict::WouldRefuse(denial) => {
                let reason =
                    reason(denial).map_or(4, |reason| FIXED.saturating_add(REASONS.len()).saturating_add(reason));
                (reason, Some(2))
            }
        };
        self.add(requests);
        if let (Some(by_rule), Some(decider)) = (by_rule, trace.decider) {
            let group = match decider {
                Decider::Public(_) => 0,
                Decider::Permissions => 1,
                Decider::Unmatched => 2,
                Decider::Rule(index) if index < self.rules => index.saturating_add(4),
                Decider::Rule(_) => 3,
            };
            self.add(
                group
                    .saturating_mul(BY_RULE.len())
                    .saturating_add(BY_GROUP)
                    .saturating_add(by_rule),
            );
        }
    }

    /// Whether to time the decision that begins now.
    pub fn time_this(&mut self) -> bool {
        let timed = self.decisions.is_multiple_of(TIMED);
        self.decisions = self.decisions.wrapping_add(1);
        timed
    }

    /// How long a decision took, in microseconds.
    pub fn took(&mut self, micros: u64) {
        if self.times.len() < MAX_TIMES {
            self.times.push(micros);
        }
    }

    /// Hands over what was counted since the last time: the number of each counter that grew, and by how much.
    pub fn drain(&mut self) -> impl Iterator<Item = (usize, u64)> {
        let counts = self.counts.iter_mut().enumerate();
        counts
            .filter(|(_, count)| **count > 0)
            .map(|(number, count)| (number, std::mem::take(count)))
    }

    /// Hands over the times since the last time, in microseconds.
    pub fn drain_times(&mut self) -> impl Iterator<Item = u64> {
        self.times.drain(..)
    }

    fn add(&mut self, number: usize) {
        if let Some(count) = self.counts.get_mut(number) {
            *count = count.saturating_add(1);
        }
    }
}

/// Counters before those of the reasons.
const FIXED: usize = 5;

/// Counters before those of the groups: two for each reason.
const BY_GROUP: usize = FIXED.saturating_add(REASONS.len().saturating_mul(2));

fn reason(denial: &Denial) -> Option<usize> {
    let name = denial.name();
    REASONS.iter().position(|reason| *reason == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(counters: &mut Counters) -> Vec<(String, u64)> {
        let grown: Vec<_> = counters.drain().collect();
        grown
            .into_iter()
            .map(|(number, by)| (counters.names()[number].clone(), by))
            .collect()
    }

    #[test]
    fn each_request_is_counted_by_outcome_and_by_what_decided() {
        let rules: Vec<String> = (0..150)
            .map(|n| {
                format!(
                    r#"{{ "path": "/{n}"{} }}"#,
                    if n == 1 { r#", "name": "one""# } else { "" }
                )
            })
            .collect();
        let policy = Policy::parse(format!(r#"{{ "rules": [{}] }}"#, rules.join(",")).as_bytes()).unwrap();
        let mut counters = Counters::new(&policy);
        let by = |decider| Trace {
            decider: Some(decider),
            ..Trace::default()
        };
        for _ in 0..3 {
            counters.count(&Verdict::Allowed, &by(Decider::Public(7)));
        }
        counters.count(&Verdict::Refused(&Denial::Forbidden), &by(Decider::Rule(0)));
        counters.count(&Verdict::WouldRefuse(&Denial::NoToken), &by(Decider::Rule(1)));
        counters.count(&Verdict::Refused(&Denial::Method), &Trace::default());
        counters.count(&Verdict::Allowed, &by(Decider::Rule(100)));
        counters.count(&Verdict::Allowed, &by(Decider::Rule(149)));
        counters.count(&Verdict::Held, &by(Decider::Rule(0)));
        let mut expected = [
            ("postern.requests.allowed", 5),
            ("postern.requests.held", 1),
            ("postern.requests.refused.forbidden", 1),
            ("postern.requests.refused.method", 1),
            ("postern.requests.would_refuse.no_token", 1),
            ("postern.public.allowed", 3),
            ("postern.rule.0.refused", 1),
            ("postern.rule.one.would_refuse", 1),
            ("postern.other_rules.allowed", 2),
        ]
        .map(|(name, by)| (name.to_owned(), by));
        expected.sort();
        let mut grown = drained(&mut counters);
        grown.sort();
        assert_eq!(grown, expected);
        assert_eq!(drained(&mut counters), []);
    }
}
