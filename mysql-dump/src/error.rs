//! Why a part of a dump could not be read. Nothing here shows a value: the columns of users hold passwords.

/// What could not be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct Error {
    /// The table, where it is known.
    pub table: Option<&'static str>,
    /// Where the row or statement begins that is left out; the first line is 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a row or a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Something else stands where the grammar has one thing.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What should stand there.
        expected: &'static str,
        /// What stands there.
        found: Found,
    },
    /// A row with more or fewer values than there are columns.
    #[error("{columns} columns, but {values} values")]
    Count {
        /// How many columns there are.
        columns: usize,
        /// How many values the row has.
        values: usize,
    },
    /// `INSERT INTO t VALUES …` without `CREATE TABLE t` before it.
    #[error("the columns are not known; the file needs the CREATE TABLE of this table, or column names in its INSERT")]
    UnknownColumns,
    /// No end of a string, name or comment in the rest of the file.
    #[error("{0} that does not end")]
    Endless(&'static str),
    /// `x'…'` with something else than pairs of hexadecimal digits, or `b'…'` with something else than 0 and 1.
    #[error("a binary literal with a wrong digit")]
    BadDigits,
    /// Every second byte is 0, as a PowerShell redirection writes files.
    #[error("the file is UTF-16; write it with `mysqldump --result-file=FILE` or save it as UTF-8")]
    Utf16,
}

/// What stands in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A name or keyword.
    Word,
    /// A string.
    Text,
    /// A number, also a binary one.
    Number,
    /// A sign.
    Sign(char),
    /// Nothing more.
    End,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word => f.write_str("a word"),
            Self::Text => f.write_str("a string"),
            Self::Number => f.write_str("a number"),
            Self::Sign(sign) => write!(f, "`{}`", sign.escape_debug()),
            Self::End => f.write_str("the end of the file"),
        }
    }
}

/// Why a column gives no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    /// The table has no such column.
    #[error("there is no column `{0}`")]
    Missing(&'static str),
    /// The value is not in the dump.
    #[error("`{0}` is worked out by MySQL and not in the file")]
    Computed(&'static str),
    /// Another encoding, or binary.
    #[error("`{0}` is not UTF-8 text")]
    NotUtf8(&'static str),
}
