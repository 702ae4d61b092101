//! Any bytes as documents of the feeds: taken whole or not at all, and nothing becomes public by them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_access::policy::{Decision, Policy};
use postern_access::state::State;

const NOW: u64 = 1_800_000_000_000;

fuzz_target!(|bytes: &[u8]| {
    let policy = Policy::parse(include_bytes!("../seeds/config/feeds")).expect("a good configuration");
    let mut state = State::new(policy.config(), 1).expect("no keys");
    // Two documents, divided by an empty line; each may be of either feed.
    for document in bytes.split(|byte| *byte == b'\n').take(4) {
        let before = state.revocations();
        if state.apply_tokens(document, NOW).is_err() {
            assert_eq!(
                state.revocations(),
                before,
                "a document that is refused changes nothing"
            );
        }
        let _ = state.apply_permissions(document, NOW);
        let headers: [(&[u8], &[u8]); 2] = [(b":method", b"GET"), (b":path", b"/a/b")];
        let request = policy.read(headers.into_iter());
        let decision = policy.decide(&request, &mut state, NOW);
        assert!(!matches!(decision, Decision::Allow(_)), "let through without a token");
    }
    state.sweep(NOW);
});
