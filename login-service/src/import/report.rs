//! What became of the rows of an import.

use super::{Dump, TABLES};

/// What became of the rows, table by table, and what is to be said of single ones.
#[derive(Debug)]
pub struct Report {
    files: Vec<String>,
    counts: Vec<Counts>,
    /// `FILE:LINE: table: what`, in the order of the work.
    lines: Vec<String>,
}

/// How many rows of a table ended how.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    taken: usize,
    unchanged: usize,
    changed: usize,
    refused: usize,
}

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which of the files.
    pub file: usize,
    /// The line; the first is 1.
    pub line: u64,
}

impl Report {
    pub(super) fn new(dumps: &[Dump]) -> Self {
        Self {
            files: dumps.iter().map(|dump| dump.name.clone()).collect(),
            counts: vec![Counts::default(); TABLES.len()],
            lines: Vec::new(),
        }
    }

    /// For each table its name and how many rows were taken, unchanged, changed and refused.
    pub fn tables(&self) -> Vec<[String; 5]> {
        let row = |(table, counts): (&&str, &Counts)| {
            [
                (*table).to_owned(),
                counts.taken.to_string(),
                counts.unchanged.to_string(),
                counts.changed.to_string(),
                counts.refused.to_string(),
            ]
        };
        TABLES.iter().zip(&self.counts).map(row).collect()
    }

    /// What is to be said of single rows, a line each.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Not a single row could be read.
    pub fn is_empty(&self) -> bool {
        let rows = |counts: &Counts| counts.taken + counts.unchanged + counts.changed + counts.refused;
        self.counts.iter().all(|counts| rows(counts) == 0)
    }

    pub(super) fn taken(&mut self, table: &str) {
        self.count(table, |counts| counts.taken += 1);
    }

    pub(super) fn unchanged(&mut self, table: &str) {
        self.count(table, |counts| counts.unchanged += 1);
    }

    /// Unchanged, because another row already says it.
    pub(super) fn same(&mut self, place: Place, table: &str, what: String) {
        self.unchanged(table);
        self.say(place, table, what);
    }

    pub(super) fn changed(&mut self, place: Place, table: &str, what: String) {
        self.count(table, |counts| counts.changed += 1);
        self.say(place, table, format!("changed: {what}"));
    }

    pub(super) fn refused(&mut self, place: Place, table: &str, why: String) {
        self.count(table, |counts| counts.refused += 1);
        self.say(place, table, format!("refused: {why}"));
    }

    /// A part of a file that could not be read and is of no known table.
    pub(super) fn unread(&mut self, place: Place, why: String) {
        self.say(place, "not read", why);
    }

    fn count(&mut self, table: &str, one_more: impl FnOnce(&mut Counts)) {
        let index = TABLES.iter().position(|known| *known == table);
        if let Some(counts) = index.and_then(|index| self.counts.get_mut(index)) {
            one_more(counts);
        }
    }

    fn say(&mut self, place: Place, table: &str, what: String) {
        let file = self.files.get(place.file).map_or("", |file| file);
        // Names come from the file: they shall not break the line.
        let what: String = what
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect();
        self.lines.push(format!("{file}:{}: {table}: {what}", place.line));
    }
}
