//! Equality of bytes in words of eight: the `memcmp` of wasm's C library goes byte by byte, tokens are long, and each request
//! has the names of its headers compared. Not for secrets: it ends at the first difference.

/// Whether both are the same bytes.
#[inline(always)]
pub(crate) fn equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && same(one, other)
}

/// The same for two of one length, of which most are not of one length.
#[inline(never)]
fn same(one: &[u8], other: &[u8]) -> bool {
    let (one_blocks, one_rest) = one.as_chunks::<32>();
    let (other_blocks, other_rest) = other.as_chunks::<32>();
    if !one_blocks.iter().zip(other_blocks).all(|(a, b)| differences(a, b) == 0) {
        return false;
    }
    let (one_words, _) = one_rest.as_chunks::<8>();
    let (other_words, _) = other_rest.as_chunks::<8>();
    if !one_words.iter().zip(other_words).all(|(a, b)| word(a) == word(b)) {
        return false;
    }
    // The last word again, or with bytes of the one before: no loop over what is left.
    match (one.last_chunk::<8>(), other.last_chunk::<8>()) {
        (Some(a), Some(b)) => word(a) == word(b),
        _ => match (one.last_chunk::<4>(), other.last_chunk::<4>()) {
            (Some(a), Some(b)) => a == b && one.first_chunk::<4>() == other.first_chunk::<4>(),
            _ => one.iter().zip(other).all(|(a, b)| a == b),
        },
    }
}

/// The bits in which two blocks differ, folded.
fn differences(one: &[u8; 32], other: &[u8; 32]) -> u64 {
    let (one, _) = one.as_chunks::<8>();
    let (other, _) = other.as_chunks::<8>();
    one.iter()
        .zip(other)
        .fold(0, |folded, (a, b)| folded | (word(a) ^ word(b)))
}

fn word(bytes: &[u8; 8]) -> u64 {
    u64::from_ne_bytes(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_seen_at_every_length() {
        for len in 0..100usize {
            let one: Vec<u8> = (0..len).map(|n| n.to_le_bytes()[0]).collect();
            assert!(equal(&one, &one.clone()), "{len}");
            for place in 0..len {
                let mut other = one.clone();
                if let Some(byte) = other.get_mut(place) {
                    *byte ^= 0x80;
                }
                assert!(!equal(&one, &other), "{len} at {place}");
            }
            assert!(!equal(&one, &[one.as_slice(), b"x"].concat()), "{len} and one more");
        }
    }
}
