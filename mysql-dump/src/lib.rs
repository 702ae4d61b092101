//! Reads the rows of chosen tables out of a MySQL dump: what `mysqldump` and `mariadb-dump` write, and what people write
//! by hand. No I/O, and no SQL parser: `CREATE TABLE` and `INSERT` of the chosen tables are read, all else is skipped.
//!
//! Values are bytes, as MySQL would store them: a dump may carry binary strings beside text of any encoding.
//!
//! Grammar: MySQL 8.0 Reference Manual, 11.1 Literal Values, 11.7 Comments, 15.1.20 CREATE TABLE, 15.2.7 INSERT,
//! 15.2.12 REPLACE.

mod error;
mod lexer;
mod rows;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

pub use self::error::{ColumnError, Error, Found, Problem};
pub use self::rows::Rows;

/// Reads dumps. What one says of the columns of a table also serves those that are read after it: a schema and its data
/// may come as two files.
#[derive(Debug)]
pub struct Reader {
    tables: &'static [&'static str],
    columns: HashMap<&'static str, Arc<[String]>>,
}

impl Reader {
    /// A reader of these tables, whose names are compared without regard to case and to the database they are in.
    pub fn new(tables: &'static [&'static str]) -> Self {
        Self {
            tables,
            columns: HashMap::new(),
        }
    }

    /// The rows of a dump, in its order.
    ///
    /// An error stands for what could not be read; the iterator goes on behind it: with the next row where its beginning
    /// is plain to see, else with the next line that begins a row or a statement.
    pub fn rows<'r, 'd>(&'r mut self, dump: &'d [u8]) -> Rows<'r, 'd> {
        Rows::new(self, dump)
    }

    /// The table of that name, if it is one to read.
    fn table(&self, name: &[u8]) -> Option<&'static str> {
        let mut tables = self.tables.iter().copied();
        tables.find(|table| table.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<'d> {
    /// The table, spelled as it was given to [`Reader::new`].
    pub table: &'static str,
    /// The names of the columns, as the dump spells them; as many as there are values.
    pub columns: Arc<[String]>,
    /// What they hold.
    pub values: Vec<Value<'d>>,
    /// Where the row begins; the first line is 1.
    pub line: u64,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'d> {
    /// `NULL`.
    Null,
    /// A string as MySQL would store it, or a number as it is written.
    Bytes(Cow<'d, [u8]>),
    /// What MySQL works out when it stores the row, as for `now()` and `DEFAULT`: not known here.
    Computed,
}

impl Row<'_> {
    /// What a column holds, its name compared without regard to case; `None` where the table has none of that name.
    pub fn get(&self, column: &str) -> Option<&Value<'_>> {
        let index = self.columns.iter().position(|name| name.eq_ignore_ascii_case(column))?;
        self.values.get(index)
    }

    /// The text of a column, `None` for `NULL`.
    ///
    /// Fails where there is no such column, its value is not in the dump, or is not UTF-8.
    pub fn text(&self, column: &'static str) -> Result<Option<&str>, ColumnError> {
        match self.get(column) {
            None => Err(ColumnError::Missing(column)),
            Some(Value::Computed) => Err(ColumnError::Computed(column)),
            Some(Value::Null) => Ok(None),
            Some(Value::Bytes(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(ColumnError::NotUtf8(column)),
            },
        }
    }
}
