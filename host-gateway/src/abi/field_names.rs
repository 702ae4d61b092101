//! Names of fields as guests write them, read once: a plugin sets the same few fields on every request.

use std::cell::RefCell;

use http::HeaderName;
use http::header::InvalidHeaderName;

/// So many names are remembered by each worker.
const PLACES: usize = 64;

/// Longer ones are not.
const LONGEST: usize = 256;

thread_local! {
    static NAMES: RefCell<[Option<HeaderName>; PLACES]> = const { RefCell::new([const { None }; PLACES]) };
}

/// The name that a guest wrote, in lower case.
pub(super) fn name(written: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
    NAMES.with_borrow_mut(|names| {
        let known = &mut names[place(written)];
        match known {
            Some(name) if name.as_str().as_bytes() == written => Ok(name.clone()),
            _ => HeaderName::from_bytes(written).inspect(|name| {
                if written.len() <= LONGEST {
                    *known = Some(name.clone());
                }
            }),
        }
    })
}

/// Names that share a place push each other out.
fn place(name: &[u8]) -> usize {
    let ends = name.first().zip(name.last());
    let (first, last) = ends.map_or((0, 0), |(first, last)| (usize::from(*first), usize::from(*last)));
    (name.len() * 7 + first * 3 + last * 5) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_they_would_be_without_a_memory() {
        let names = [
            "x-user-id",
            "X-User-Id",
            "accept",
            "x-uses-id",
            "x user",
            "",
            "é",
            "x-user-id",
        ];
        for written in names.iter().chain(&names) {
            let (known, read) = (name(written.as_bytes()), HeaderName::from_bytes(written.as_bytes()));
            assert_eq!(known.ok(), read.ok(), "{written}");
        }
    }
}
