//! Any bytes as a plugin configuration: refused with a reason, or compiled; and what was compiled can be written and read
//! again as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_access::policy::Policy;
use postern_access::state::State;

fuzz_target!(|bytes: &[u8]| {
    let policy = match Policy::parse(bytes) {
        Ok(policy) => policy,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let written = serde_json::to_vec(policy.config()).expect("a configuration can be written");
    let again = Policy::parse(&written).expect("what was written is read");
    assert_eq!(again.config(), policy.config());
    let _ = State::new(policy.config(), 1);
});
