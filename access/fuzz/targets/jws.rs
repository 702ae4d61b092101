//! Any bytes as a token: nothing but the one token that was signed is let through.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use postern_access::policy::{Decision, Policy};
use postern_access::state::State;

/// Signed with the key of the configuration: `{"alg":"HS256"}`, `{"exp":4000000000,"sub":"u1"}`.
const GOOD: &[u8] = include_bytes!("../seeds/jws/good");
const NOW: u64 = 1_800_000_000_000;

thread_local! {
    static WORLD: RefCell<(Policy, State)> = RefCell::new({
        let policy = Policy::parse(include_bytes!("../seeds/config/jws")).expect("a good configuration");
        let state = State::new(policy.config(), 1).expect("good keys");
        (policy, state)
    });
}

fuzz_target!(|token: &[u8]| {
    let header = [b"Bearer ", token].concat();
    let headers: [(&[u8], &[u8]); 3] = [(b":method", b"GET"), (b":path", b"/a"), (b"authorization", &header)];
    WORLD.with_borrow_mut(|(policy, state)| {
        let request = policy.read(headers.into_iter());
        let decision = policy.decide(&request, state, NOW);
        let passes = matches!(decision, Decision::Allow(_));
        assert_eq!(passes, without_trailing_space(token) == GOOD, "{decision:?}");
    });
});

/// Spaces and tabs at its end belong to no field value (RFC 9110 section 5.5).
fn without_trailing_space(mut token: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = token {
        token = rest;
    }
    token
}
