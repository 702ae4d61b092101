//! The wire contract of a single sign-on server with opaque tokens: `AT-…`, `RT-…`, `OC-…`, `TGC-…`.

/// The value of a token: its kind, a dash and 32 letters and digits (190 bits).
pub fn token_value(kind: &str, bytes: &[u8; 32]) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let characters = bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
    format!("{kind}-{}", characters.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_the_shape_of_the_samples() {
        assert_eq!(token_value("AT", &[0; 32]), format!("AT-{}", "0".repeat(32)));
        assert_eq!(token_value("RT", &[255; 32]), format!("RT-{}", "7".repeat(32)));
    }
}
