//! The versions of the feed: `<lineage>-<number>-<mark>`, and between the parts of a large document
//! `<lineage>-<number>-<seen>-<mark>`. The mark, in hexadecimal, is that of the change `seen`.

use crate::db::change::Stamp;

/// How far somebody has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// Every revocation up to this change.
    pub number: i64,
    /// Everything else up to this one, which is not before `number`: the first part of a large document carries the keys
    /// of its time, while its revocations are as old as the oldest token.
    pub seen: Stamp,
}

impl Position {
    /// Reads a version of a database; `None`: it is none.
    pub fn read(version: &str, lineage: &str) -> Option<Self> {
        let (numbers, mark) = version.strip_prefix(lineage)?.strip_prefix('-')?.rsplit_once('-')?;
        let (number, seen) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let (number, seen) = (number.parse().ok()?, seen.parse().ok()?);
        let mark = u64::from_str_radix(mark, 16).ok()?.cast_signed();
        let position = Self {
            number,
            seen: Stamp { number: seen, mark },
        };
        (0 <= number && number <= seen).then_some(position)
    }

    /// The version that says so.
    pub fn version(self, lineage: &str) -> String {
        let Self { number, seen } = self;
        let mark = seen.mark.cast_unsigned();
        if number == seen.number {
            format!("{lineage}-{number}-{mark:x}")
        } else {
            format!("{lineage}-{number}-{}-{mark:x}", seen.number)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_it_was_written() {
        for (number, seen, mark) in [(0, 0, 0), (7, 7, 3), (7, 12, -1), (9, 9, i64::MIN)] {
            let seen = Stamp { number: seen, mark };
            let position = Position { number, seen };
            assert_eq!(Position::read(&position.version("ab"), "ab"), Some(position));
        }
        for wrong in [
            "ab",
            "ab-",
            "ab-x",
            "ab-1",
            "ab-1-",
            "ab-1-x",
            "ab-2-1-f",
            "ab--1",
            "ab--1-f",
            "abc-1-f",
            "ab-1-2-3-f",
        ] {
            assert_eq!(Position::read(wrong, "ab"), None, "{wrong}");
        }
    }
}
