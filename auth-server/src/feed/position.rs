//! The versions of the feed: `<lineage>-<number>`, and between the parts of a large document `<lineage>-<number>-<seen>`.

/// How far somebody has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// Every revocation up to this change.
    pub number: i64,
    /// Everything else up to this one, which is not before `number`: the first part of a large document carries the keys
    /// of its time, while its revocations are as old as the oldest token.
    pub seen: i64,
}

impl Position {
    /// Reads a version of a database; `None`: it is none.
    pub fn read(version: &str, lineage: &str) -> Option<Self> {
        let numbers = version.strip_prefix(lineage)?.strip_prefix('-')?;
        let (number, seen) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let (number, seen) = (number.parse().ok()?, seen.parse().ok()?);
        (0 <= number && number <= seen).then_some(Self { number, seen })
    }

    /// The version that says so.
    pub fn version(self, lineage: &str) -> String {
        let Self { number, seen } = self;
        if number == seen {
            format!("{lineage}-{number}")
        } else {
            format!("{lineage}-{number}-{seen}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_it_was_written() {
        for (number, seen) in [(0, 0), (7, 7), (7, 12)] {
            let position = Position { number, seen };
            assert_eq!(Position::read(&position.version("ab"), "ab"), Some(position));
        }
        for wrong in ["ab", "ab-", "ab-x", "ab-1-", "ab-2-1", "ab--1", "abc-1", "ab-1-2-3"] {
            assert_eq!(Position::read(wrong, "ab"), None, "{wrong}");
        }
    }
}
