//! What an import took and what it did not, with place and reason.

use std::collections::BTreeMap;
use std::fmt;

use super::{ACCESS_TOKENS, Place, REFRESH_TOKENS, TABLES};

/// So many places are named for one reason; of the others only their number.
const MOST_PLACES: usize = 10;

/// The report of an import. Its `Display` is for people; it shows no secret and no token.
#[derive(Default)]
pub struct Report(BTreeMap<&'static str, Table>);

/// What became of the rows of a table.
#[derive(Default)]
struct Table {
    taken: u64,
    encodings: u64,
    changed: u64,
    unchanged: u64,
    expired: u64,
    left_out: u64,
    refused: u64,
    remarks: Vec<Remark>,
}

struct Remark {
    place: String,
    /// Whom it is about, as in `client demo`; may be empty.
    subject: String,
    text: String,
}

impl Report {
    /// A row was taken.
    pub fn take(&mut self, table: &'static str) {
        self.table(table).taken += 1;
    }

    /// What was there was changed to what the row says.
    pub fn change(&mut self, table: &'static str) {
        self.table(table).changed += 1;
    }

    /// What the row says is there already.
    pub fn keep(&mut self, table: &'static str) {
        self.table(table).unchanged += 1;
    }

    /// So many tokens were new, of so many that could be taken.
    pub fn count_tokens(&mut self, table: &'static str, taken: u64, of: u64) {
        if of == 0 {
            return;
        }
        let table = self.table(table);
        table.taken += taken;
        table.unchanged += of.saturating_sub(taken);
    }

    /// So many more encodings of refresh tokens were new.
    pub fn count_encodings(&mut self, table: &'static str, taken: u64) {
        if taken > 0 {
            self.table(table).encodings += taken;
        }
    }

    /// The time of a token is over.
    pub fn expire(&mut self, table: &'static str) {
        self.table(table).expired += 1;
    }

    /// Nothing is ever taken of this table.
    pub fn leave_out(&mut self, table: &'static str) {
        self.table(table).left_out += 1;
    }

    /// A row was not taken.
    pub fn refuse(&mut self, table: &'static str, place: &Place, subject: &str, reason: impl fmt::Display) {
        self.table(table).refused += 1;
        self.remark(table, place, subject, format!("refused: {reason}"));
    }

    /// A row was taken, but not as it stands.
    pub fn note(&mut self, table: &'static str, place: &Place, subject: &str, note: impl fmt::Display) {
        self.remark(table, place, subject, note.to_string());
    }

    /// Whether there is anything new in the database.
    pub fn changed_something(&self) -> bool {
        self.0
            .values()
            .any(|table| table.taken + table.encodings + table.changed > 0)
    }

    fn remark(&mut self, table: &'static str, place: &Place, subject: &str, text: String) {
        self.table(table).remarks.push(Remark {
            place: place.to_string(),
            subject: subject.to_owned(),
            text,
        });
    }

    fn table(&mut self, table: &'static str) -> &mut Table {
        self.0.entry(table).or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = TABLES.iter().filter_map(|name| self.0.get_key_value(name));
        let unknown = self.0.iter().filter(|(name, _)| !TABLES.contains(name));
        for (name, table) in known.chain(unknown) {
            let counts = [
                (table.taken, "taken"),
                (table.encodings, "later encodings taken"),
                (table.changed, "changed"),
                (table.unchanged, "unchanged"),
                (table.expired, "expired, not taken"),
                (table.left_out, "not taken"),
                (table.refused, "refused"),
            ];
            let counts: Vec<String> = counts
                .iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}"))
                .collect();
            let why = if table.left_out > 0 { why_left_out(name) } else { "" };
            writeln!(f, "{name}: {}{why}", counts.join(", "))?;
            table.write_remarks(f)?;
        }
        if self.changed_something() {
            Ok(())
        } else {
            writeln!(f, "nothing changed")
        }
    }
}

impl Table {
    /// In the order of the rows, those for the same reason together.
    fn write_remarks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut texts: Vec<&str> = Vec::new();
        let mut by_text: BTreeMap<&str, Vec<&Remark>> = BTreeMap::new();
        for remark in &self.remarks {
            let same = by_text.entry(&remark.text).or_default();
            if same.is_empty() {
                texts.push(&remark.text);
            }
            same.push(remark);
        }
        for text in texts {
            let remarks = by_text.get(text).map(Vec::as_slice).unwrap_or_default();
            for Remark { place, subject, .. } in remarks.iter().take(MOST_PLACES) {
                match subject.as_str() {
                    "" => writeln!(f, "  {place}: {text}")?,
                    subject => writeln!(f, "  {place}: {subject}: {text}")?,
                }
            }
            if remarks.len() > MOST_PLACES {
                writeln!(f, "  and {} more rows: {text}", remarks.len() - MOST_PLACES)?;
            }
        }
        Ok(())
    }
}

/// Why nothing is taken of a table.
fn why_left_out(table: &str) -> &'static str {
    match table {
        "oauth_client_token" => " (tokens that other servers gave to the old one)",
        "oauth_code" => " (codes live for minutes; whoever has one logs in again)",
        ACCESS_TOKENS | REFRESH_TOKENS => " (--without-tokens)",
        "oauth_approvals" => " (no page asks users for approval, so there is none to remember)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::CLIENTS;

    fn place(line: u64) -> Place {
        Place {
            file: "a.sql".into(),
            line,
        }
    }

    #[test]
    fn the_same_reason_is_told_of_ten_rows_only() {
        let mut report = Report::default();
        for line in 1..=12 {
            report.refuse(ACCESS_TOKENS, &place(line), "client a", "so");
        }
        report.take(CLIENTS);
        report.leave_out("oauth_code");
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "oauth_client_details: 1 taken",
                "oauth_access_token: 12 refused",
                "  a.sql:1: client a: refused: so",
            ]
        );
        assert_eq!(
            lines[12..],
            [
                "  and 2 more rows: refused: so",
                "oauth_code: 1 not taken (codes live for minutes; whoever has one logs in again)",
            ]
        );
    }

    #[test]
    fn that_nothing_changed_is_said() {
        let mut report = Report::default();
        report.keep(CLIENTS);
        assert_eq!(
            report.to_string(),
            "oauth_client_details: 1 unchanged\nnothing changed\n"
        );
    }
}
