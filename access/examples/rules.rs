//! What a decision costs with ten rules and with a hundred thousand, and how long those take to load.
//!
//! `cargo run --release -p postern-access --example rules` prints it. With two numbers, of rules and of decisions, it only
//! decides, for a tool that counts instructions:
//! `valgrind --tool=callgrind --toggle-collect='*decisions*' target/release/examples/rules 100000 10000`.

use std::fmt::Write;
use std::time::Instant;

use postern_access::policy::{Decision, Policy};
use postern_access::state::State;

/// So many paths are asked for in turn.
const PATHS: usize = 1000;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|number| number.parse().ok());
    if let (Some(rules), Some(count)) = (numbers.next(), numbers.next()) {
        let (policy, mut state) = load(&configuration(rules));
        println!("{} passed", decisions(&policy, &mut state, &requests(rules), count));
        return;
    }
    println!("{:>8} {:>10} {:>14}", "rules", "load", "per decision");
    for rules in [10, 1_000, 100_000] {
        let json = configuration(rules);
        let began = now();
        let (policy, mut state) = load(&json);
        let loaded = began.elapsed();
        let targets = requests(rules);
        // The best of several: what else runs on the machine only adds.
        let best = (0..20)
            .map(|_| {
                let began = now();
                decisions(&policy, &mut state, &targets, 100_000);
                began.elapsed()
            })
            .min()
            .unwrap_or_default();
        println!(
            "{rules:>8} {:>7} ms {:>11.1} ns",
            loaded.as_millis(),
            best.as_secs_f64() * 1e9 / 100_000.0
        );
    }
}

/// Public patterns, so that the lookup is nearly all there is to a decision.
fn configuration(rules: usize) -> String {
    let mut json = String::from(r#"{ "public": ["#);
    for rule in 0..rules {
        let comma = if rule == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(
            json,
            r#"{comma}"GET /service-{:03}/orders-{:02}/{{tenant}}/items/**""#,
            rule / 100,
            rule % 100
        );
    }
    json.push_str("] }");
    json
}

fn requests(rules: usize) -> Vec<String> {
    // As long as each other, however many rules there are.
    let rule = |n: usize| {
        if rules <= 10 {
            n % rules
        } else {
            n.wrapping_mul(7919) % rules
        }
    };
    (0..PATHS)
        .map(|n| {
            format!(
                "/service-{:03}/orders-{:02}/tenant-{:03}/items/7",
                rule(n) / 100,
                rule(n) % 100,
                n % 1000
            )
        })
        .collect()
}

fn load(json: &str) -> (Policy, State) {
    let policy = Policy::parse(json.as_bytes()).unwrap_or_else(|error| stop(&error.to_string()));
    let state = State::new(policy.config(), 1).unwrap_or_else(|error| stop(&error.to_string()));
    (policy, state)
}

/// Decides `count` times; returns how many passed.
#[inline(never)]
fn decisions(policy: &Policy, state: &mut State, targets: &[String], count: usize) -> usize {
    targets
        .iter()
        .cycle()
        .take(count)
        .filter(|target| {
            let headers: [(&[u8], &[u8]); 2] = [(b":method", b"GET"), (b":path", target.as_bytes())];
            matches!(
                policy.decide(&policy.read(headers.into_iter()), state, 0),
                Decision::Allow(_)
            )
        })
        .count()
}

#[expect(clippy::disallowed_methods, reason = "what is measured is time")]
fn now() -> Instant {
    Instant::now()
}

fn stop(error: &str) -> ! {
    eprintln!("error: {error}");
    std::process::exit(1)
}
