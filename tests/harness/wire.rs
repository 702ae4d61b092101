//! HTTP/1.1 messages as they stand on the wire, whole or cut off, and as text that two hosts can be compared by.

use std::{
    fmt::Write as _,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

/// Longer than anything here takes.
const TIMEOUT: Duration = Duration::from_secs(40);

/// A request or a response.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The first line.
    pub start: String,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// Without its framing.
    pub body: Vec<u8>,
    /// What follows the last chunk.
    pub trailers: Vec<(String, String)>,
    /// The connection ended within it.
    pub cut: bool,
}

impl Message {
    /// Reads a message; `None` at the end of the connection. Without a length or chunks, a response has all the rest for
    /// its body, and a request has none.
    pub fn read(reader: &mut impl BufRead) -> Option<Self> {
        let mut message = Self {
            start: line(reader)?,
            ..Self::default()
        };
        match fields(reader) {
            Some(headers) => message.headers = headers,
            None => message.cut = true,
        }
        let chunked = message.first("transfer-encoding") == Some("chunked");
        let length = message.first("content-length").and_then(|length| length.parse().ok());
        if chunked {
            message.cut |= message.read_chunks(reader).is_none();
        } else if let Some(length) = length {
            message.cut |= message.read_exactly(reader, length).is_none();
        } else if message.start.starts_with("HTTP/") && !message.start.contains(" 204") {
            until_it_ends(reader.read_to_end(&mut message.body));
        }
        Some(message)
    }

    /// The first value of a field.
    pub fn first(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// A line for the start, each field (ordered by name), the body, each trailer, and the end if it is cut off. Fields
    /// with these names are left out.
    pub fn shown(&self, without: &[&str]) -> String {
        let mut text = match self.start.strip_prefix("HTTP/1.1 ") {
            // The words behind the status are the host's.
            Some(status) => status.split(' ').next().unwrap_or_default().to_owned(),
            None => self.start.trim_end_matches(" HTTP/1.1").to_owned(),
        };
        let show = |fields: &[(String, String)], mark: &str| {
            let mut fields: Vec<_> = fields
                .iter()
                .filter(|(name, _)| !without.contains(&name.as_str()))
                .collect();
            fields.sort_by_key(|(name, _)| name);
            fields
                .iter()
                .map(|(name, value)| format!("\n{mark}{name}: {value}"))
                .collect::<String>()
        };
        let (headers, trailers) = (show(&self.headers, ""), show(&self.trailers, "+ "));
        text.push_str(&headers);
        if !self.body.is_empty() {
            let _written = write!(
                text,
                "\n| {}",
                String::from_utf8_lossy(&self.body).replace('\n', "\n| ")
            );
        }
        text.push_str(&trailers);
        if self.cut {
            text.push_str("\n(cut)");
        }
        text
    }

    fn read_exactly(&mut self, reader: &mut impl BufRead, length: usize) -> Option<()> {
        until_it_ends(reader.take(length as u64).read_to_end(&mut self.body));
        (self.body.len() >= length).then_some(())
    }

    fn read_chunks(&mut self, reader: &mut impl BufRead) -> Option<()> {
        loop {
            let size = line(reader)?;
            let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
            if size == 0 {
                self.trailers = fields(reader)?;
                return Some(());
            }
            let end = self.body.len() + size;
            until_it_ends(reader.take(size as u64).read_to_end(&mut self.body));
            if self.body.len() < end || !line(reader)?.is_empty() {
                return None;
            }
        }
    }
}

/// Sends bytes to a port of 127.0.0.1 and reads the answer; `None` when there is none.
pub fn exchange(port: u16, request: &[u8]) -> Option<Message> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .unwrap_or_else(|error| panic!("cannot connect to port {port}: {error}"));
    stream
        .set_read_timeout(Some(TIMEOUT))
        .expect("a timeout that is not zero");
    match stream.write_all(request) {
        // A host that has answered already may have closed: the answer tells.
        Err(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
            panic!("cannot write to the host: {error}")
        }
        _ => {}
    }
    loop {
        let message = Message::read(&mut BufReader::new(&stream))?;
        // 1xx: the answer is still to come.
        if !message.start.starts_with("HTTP/1.1 1") {
            return Some(message);
        }
    }
}

/// What came before a reset counts; who neither goes on nor ends is a failure of the test.
fn until_it_ends(read: io::Result<usize>) {
    match read {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("a message neither goes on nor ends for {TIMEOUT:?}")
        }
        _ => {}
    }
}

/// Without its end; `None` when the connection ends within it.
fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut bytes = Vec::new();
    until_it_ends(reader.read_until(b'\n', &mut bytes));
    let text = bytes.strip_suffix(b"\r\n")?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Up to an empty line.
fn fields(reader: &mut impl BufRead) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = line(reader)?;
        let Some((name, value)) = line.split_once(':') else {
            return Some(fields);
        };
        fields.push((name.to_lowercase(), value.trim().to_owned()));
    }
}
