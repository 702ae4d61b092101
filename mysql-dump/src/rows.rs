//! From tokens to rows: the statements of a dump, and where to go on behind what cannot be read.

use std::borrow::Cow;
use std::sync::Arc;

use crate::lexer::{Lexer, Token, unescaped, unquoted};
use crate::{Error, Found, Problem, Reader, Row, Value};

/// The rows of one dump; see [`Reader::rows`].
#[derive(Debug)]
pub struct Rows<'r, 'd> {
    reader: &'r mut Reader,
    lexer: Lexer<'d>,
    /// What ends a statement. Dumps of triggers and procedures change it.
    delimiter: &'d [u8],
    /// The statement whose rows are being read.
    insert: Option<Insert>,
    /// Where the row or statement begins that is being read, and the number of its line.
    counted: (usize, u64),
    /// Said before anything else.
    first: Option<Error>,
}

/// `INSERT INTO table (columns) VALUES`
#[derive(Debug, Clone)]
struct Insert {
    table: &'static str,
    columns: Arc<[String]>,
}

/// What begins a definition in `CREATE TABLE` that is not a column. All are reserved: a column needs backticks to be named
/// like that.
const NOT_COLUMNS: [&str; 9] = [
    "key",
    "index",
    "unique",
    "primary",
    "fulltext",
    "spatial",
    "constraint",
    "foreign",
    "check",
];

/// What may stand between `INSERT` and the table.
const MODIFIERS: [&str; 5] = ["low_priority", "delayed", "high_priority", "ignore", "into"];

/// What a line begins with when a statement of interest does.
const STATEMENTS: [&[u8]; 3] = [b"insert", b"replace", b"create"];

impl<'r, 'd> Rows<'r, 'd> {
    pub(crate) fn new(reader: &'r mut Reader, dump: &'d [u8]) -> Self {
        let (dump, first) = match dump {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => (&dump[..0], Some(Problem::Utf16)),
            [0xef, 0xbb, 0xbf, rest @ ..] => (rest, None),
            dump => (dump, None),
        };
        Self {
            reader,
            lexer: Lexer { dump, at: 0 },
            delimiter: b";",
            insert: None,
            counted: (0, 1),
            first: first.map(|problem| Error {
                table: None,
                line: 1,
                problem,
            }),
        }
    }

    /// The next statement. A row only of `INSERT … SET`, which has no more than one.
    fn statement(&mut self) -> Result<Option<Row<'d>>, Problem> {
        if self.lexer.rest().starts_with(self.delimiter) {
            self.lexer.at += self.delimiter.len();
            return Ok(None);
        }
        let token = self.lexer.next()?;
        if token.is("delimiter") {
            let start = self.lexer.at;
            self.lexer.skip_line();
            let delimiter = self.lexer.dump[start..self.lexer.at].trim_ascii();
            if !delimiter.is_empty() {
                self.delimiter = delimiter;
            }
        } else if token.is("insert") || token.is("replace") {
            return self.insert();
        } else if token.is("create") {
            self.create()?;
            self.skip_statement()?;
        } else {
            self.skip_statement()?;
        }
        Ok(None)
    }

    /// `CREATE TABLE name (…)`: notes the names of the columns.
    fn create(&mut self) -> Result<(), Problem> {
        // TEMPORARY, OR REPLACE
        while matches!(self.lexer.peek()?, Token::Word(_)) && !self.lexer.peek()?.is("table") {
            self.lexer.next()?;
        }
        if !self.lexer.next()?.is("table") {
            return Ok(());
        }
        for word in ["if", "not", "exists"] {
            self.take(word)?;
        }
        let name = self.name("the name of a table")?;
        let Some(table) = self.reader.table(&name) else {
            return Ok(());
        };
        // A table like another, or of a query: whatever was known of the name no longer holds.
        self.reader.columns.remove(table);
        if self.lexer.peek()? != Token::Sign(b'(') {
            return Ok(());
        }
        self.lexer.next()?;
        let mut columns = Vec::new();
        loop {
            let definition = self.lexer.peek()?;
            if !NOT_COLUMNS.iter().any(|keyword| definition.is(keyword)) {
                columns.push(text(self.name("the name of a column")?));
            }
            match self.skip_to_comma()? {
                Token::Sign(b')') => break,
                Token::Sign(b',') => {}
                token => return Err(expected("`,` or `)`", &token)),
            }
        }
        self.reader.columns.insert(table, columns.into());
        Ok(())
    }

    /// Goes behind the `,` or `)` that ends what stands at this depth of parentheses, and returns it.
    fn skip_to_comma(&mut self) -> Result<Token<'d>, Problem> {
        let mut depth = 0_usize;
        loop {
            let token = self.lexer.next()?;
            match token {
                Token::Sign(b'(') => depth += 1,
                Token::Sign(b')') if depth > 0 => depth -= 1,
                Token::Sign(b')' | b',') if depth == 0 => return Ok(token),
                // In the midst of a definition: somebody forgot to close it.
                Token::End | Token::Sign(b';') => return Ok(token),
                _ => {}
            }
        }
    }

    /// From behind `INSERT` or `REPLACE` up to the first row.
    fn insert(&mut self) -> Result<Option<Row<'d>>, Problem> {
        while MODIFIERS
            .iter()
            .any(|word| self.lexer.peek().is_ok_and(|token| token.is(word)))
        {
            self.lexer.next()?;
        }
        let name = self.name("the name of a table")?;
        let Some(table) = self.reader.table(&name) else {
            self.skip_statement()?;
            return Ok(None);
        };
        if self.take("partition")? {
            self.names()?;
        }
        if self.take("set")? {
            return self.assignments(table).map(Some);
        }
        let columns = if self.lexer.peek()? == Token::Sign(b'(') {
            self.names()?.into()
        } else {
            let known = self.reader.columns.get(table).map(Arc::clone);
            known.ok_or(Problem::UnknownColumns)?
        };
        if !self.take("values")? && !self.take("value")? {
            return Err(expected("VALUES", &self.lexer.next()?));
        }
        self.insert = Some(Insert { table, columns });
        Ok(None)
    }

    /// `column = value, …`
    fn assignments(&mut self, table: &'static str) -> Result<Row<'d>, Problem> {
        let line = self.counted.1;
        let (mut columns, mut values) = (Vec::new(), Vec::new());
        loop {
            columns.push(text(self.name("the name of a column")?));
            self.sign(b'=', "`=`")?;
            values.push(self.value()?);
            if self.lexer.peek()? != Token::Sign(b',') {
                break;
            }
            self.lexer.next()?;
        }
        self.end_of_rows()?;
        Ok(Row {
            table,
            columns: columns.into(),
            values,
            line,
        })
    }

    /// The next row of a statement, from its parenthesis on.
    fn row(&mut self, insert: Insert) -> Result<Row<'d>, Problem> {
        let line = self.counted.1;
        self.sign(b'(', "`(`")?;
        let mut values = Vec::with_capacity(insert.columns.len());
        while values.is_empty() || self.comma_or_end()? {
            values.push(self.value()?);
        }
        if self.lexer.peek()? == Token::Sign(b',') {
            self.lexer.next()?;
        } else {
            self.insert = None;
            self.end_of_rows()?;
        }
        if values.len() != insert.columns.len() {
            return Err(Problem::Count {
                columns: insert.columns.len(),
                values: values.len(),
            });
        }
        Ok(Row {
            table: insert.table,
            columns: insert.columns,
            values,
            line,
        })
    }

    /// Behind the last row: the statement ends, or says what to do with rows that are there already.
    fn end_of_rows(&mut self) -> Result<(), Problem> {
        self.lexer.skip_blank()?;
        let end = self.lexer.rest().is_empty() || self.lexer.rest().starts_with(self.delimiter);
        let token = self.lexer.peek()?;
        if end || token.is("on") || token.is("as") {
            return self.skip_statement();
        }
        Err(expected("`,` or `;`", &token))
    }

    fn comma_or_end(&mut self) -> Result<bool, Problem> {
        match self.lexer.next()? {
            Token::Sign(b',') => Ok(true),
            Token::Sign(b')') => Ok(false),
            token => Err(expected("`,` or `)`", &token)),
        }
    }

    fn value(&mut self) -> Result<Value<'d>, Problem> {
        let token = self.lexer.next()?;
        Ok(match token {
            Token::Text(text, quote) => Value::Bytes(unescaped(text, quote)),
            Token::Binary(bytes) => Value::Bytes(bytes.into()),
            Token::Number(number) => Value::Bytes(number.into()),
            Token::Sign(sign @ (b'-' | b'+')) => match self.lexer.next()? {
                Token::Number(number) if sign == b'-' => Value::Bytes([b"-", number].concat().into()),
                Token::Number(number) => Value::Bytes(number.into()),
                token => return Err(expected("a number", &token)),
            },
            token if token.is("null") => Value::Null,
            token if token.is("true") => Value::Bytes(Cow::Borrowed(b"1")),
            token if token.is("false") => Value::Bytes(Cow::Borrowed(b"0")),
            // The character set of the string behind it, as in `_binary 'abc'`.
            Token::Word([b'_', ..]) => match self.lexer.next()? {
                Token::Text(text, quote) => Value::Bytes(unescaped(text, quote)),
                Token::Binary(bytes) => Value::Bytes(bytes.into()),
                token => return Err(expected("a string", &token)),
            },
            Token::Word(_) => {
                if self.lexer.peek()? == Token::Sign(b'(') {
                    self.skip_parentheses()?;
                }
                Value::Computed
            }
            token => return Err(expected("a value", &token)),
        })
    }

    /// Goes behind an opening parenthesis and the one that closes it.
    fn skip_parentheses(&mut self) -> Result<(), Problem> {
        let mut depth = 0_usize;
        loop {
            match self.lexer.next()? {
                Token::Sign(b'(') => depth += 1,
                Token::Sign(b')') if depth <= 1 => return Ok(()),
                Token::Sign(b')') => depth -= 1,
                token @ (Token::End | Token::Sign(b';')) => return Err(expected("`)`", &token)),
                _ => {}
            }
        }
    }

    /// A name, without the database in front of it. In some dumps names have double quotes.
    fn name(&mut self, what: &'static str) -> Result<Vec<u8>, Problem> {
        loop {
            let name = match self.lexer.next()? {
                Token::Word(word) => word.to_vec(),
                Token::Name(name) => unquoted(name),
                Token::Text(text, b'"') => unescaped(text, b'"').into_owned(),
                token => return Err(expected(what, &token)),
            };
            if self.lexer.peek()? != Token::Sign(b'.') {
                return Ok(name);
            }
            self.lexer.next()?;
        }
    }

    /// `(name, …)`
    fn names(&mut self) -> Result<Vec<String>, Problem> {
        self.sign(b'(', "`(`")?;
        let mut names = Vec::new();
        while names.is_empty() || self.comma_or_end()? {
            names.push(text(self.name("the name of a column")?));
        }
        Ok(names)
    }

    /// Takes a keyword where it is the next token.
    fn take(&mut self, keyword: &str) -> Result<bool, Problem> {
        let there = self.lexer.peek()?.is(keyword);
        if there {
            self.lexer.next()?;
        }
        Ok(there)
    }

    fn sign(&mut self, sign: u8, what: &'static str) -> Result<(), Problem> {
        match self.lexer.next()? {
            Token::Sign(there) if there == sign => Ok(()),
            token => Err(expected(what, &token)),
        }
    }

    /// Goes behind the end of the statement.
    fn skip_statement(&mut self) -> Result<(), Problem> {
        loop {
            self.lexer.skip_blank()?;
            if self.lexer.rest().starts_with(self.delimiter) {
                self.lexer.at += self.delimiter.len();
                return Ok(());
            }
            let start = self.lexer.at;
            match self.lexer.next()? {
                Token::End => return Ok(()),
                // Some delimiters, `$$`, could be part of a word.
                Token::Word(word) => {
                    let mut parts = word.windows(self.delimiter.len());
                    if let Some(before) = parts.position(|part| part == self.delimiter) {
                        self.lexer.at = start + before + self.delimiter.len();
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
    }

    /// Finds where to go on after `start` could not be read: behind the row, where it can be skipped within its line; else
    /// at the next line that begins a row or a statement, for what breaks a row is often a quote, and quotes that are
    /// counted wrong swallow all that follows.
    fn recover(&mut self, start: usize, insert: Option<&Insert>) {
        if let Some(insert) = insert {
            self.lexer.at = start;
            let skipped = self.skip_row();
            let within = self.lexer.dump.get(start..self.lexer.at).unwrap_or_default();
            if skipped.is_ok_and(|skipped| skipped) && !within.contains(&b'\n') {
                self.insert = Some(insert.clone());
                return;
            }
        }
        self.lexer.at = start;
        self.insert = None;
        loop {
            self.lexer.skip_line();
            let Some(line) = self.lexer.rest().get(1..) else {
                self.lexer.at = self.lexer.dump.len();
                return;
            };
            self.lexer.at += 1;
            let begins = line.trim_ascii_start();
            if begins.starts_with(b"(") && insert.is_some() {
                self.insert = insert.cloned();
                return;
            }
            if STATEMENTS.iter().any(|word| {
                begins.len() > word.len()
                    && begins[..word.len()].eq_ignore_ascii_case(word)
                    && begins[word.len()].is_ascii_whitespace()
            }) {
                return;
            }
        }
    }

    /// Goes behind a row and its comma. `false`: this is not what stands here.
    fn skip_row(&mut self) -> Result<bool, Problem> {
        if self.lexer.peek()? != Token::Sign(b'(') {
            return Ok(false);
        }
        self.skip_parentheses()?;
        Ok(self.lexer.next()? == Token::Sign(b','))
    }

    /// The number of the line of the position, counted on from the last time. Called where a row or statement begins.
    fn line(&mut self) -> u64 {
        let (at, line) = self.counted;
        if self.lexer.at >= at {
            let lines = self.lexer.dump[at..self.lexer.at].iter().filter(|byte| **byte == b'\n');
            self.counted = (self.lexer.at, line + lines.count() as u64);
        }
        self.counted.1
    }
}

impl<'d> Iterator for Rows<'_, 'd> {
    type Item = Result<Row<'d>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.first.take() {
            return Some(Err(error));
        }
        loop {
            // A comment without an end is found by whoever reads the next token.
            let _ = self.lexer.skip_blank();
            if self.lexer.rest().is_empty() {
                return match self.insert.take() {
                    None => None,
                    Some(insert) => Some(Err(Error {
                        table: Some(insert.table),
                        line: self.line(),
                        problem: Problem::Expected {
                            expected: "`(`",
                            found: Found::End,
                        },
                    })),
                };
            }
            let start = self.lexer.at;
            let line = self.line();
            let insert = self.insert.clone();
            let read = match &insert {
                Some(insert) => self.row(insert.clone()).map(Some),
                None => self.statement(),
            };
            match read {
                Ok(None) => {}
                Ok(Some(row)) => return Some(Ok(row)),
                Err(problem) => {
                    // A row with the wrong number of values was read to its end.
                    if !matches!(problem, Problem::Count { .. }) {
                        self.recover(start, insert.as_ref());
                    }
                    return Some(Err(Error {
                        table: insert.map(|insert| insert.table),
                        line,
                        problem,
                    }));
                }
            }
        }
    }
}

fn expected(expected: &'static str, found: &Token<'_>) -> Problem {
    Problem::Expected {
        expected,
        found: found.found(),
    }
}

fn text(name: Vec<u8>) -> String {
    String::from_utf8_lossy(&name).into_owned()
}
