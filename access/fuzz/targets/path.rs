//! Any bytes as a request target: what is checked is what is forwarded, and a canonical path is its own canonical form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_access::path::canonical;

fuzz_target!(|bytes: &[u8]| {
    let Ok(target) = canonical(bytes) else { return };
    let forwarded = match target.rewritten() {
        Some(rewritten) => rewritten.into_bytes(),
        None => bytes.to_vec(),
    };
    let again = canonical(&forwarded).expect("what is forwarded is not refused");
    assert_eq!(again.path, target.path, "what is forwarded means what was checked");
    assert_eq!(again.query, target.query, "the query stays as it came");
    assert!(again.rewritten().is_none(), "canonicalising twice changes nothing");

    let path = target.path.as_ref();
    assert!(path.starts_with('/') && !path.contains("//"));
    assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
    assert!(
        path.bytes()
            .all(|byte| (0x21..0x7f).contains(&byte) && !b"\\;?#\"<>^`{|}".contains(&byte))
    );
    let upper = path.to_ascii_uppercase();
    for hidden in ["%2F", "%5C", "%25", "%00", "%2E", "%3B"] {
        assert!(!upper.contains(hidden), "{hidden} in {path}");
    }
});
