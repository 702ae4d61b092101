use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A request or response as it stood on the wire.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// `GET / HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub start: String,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Message {
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The second word of a request line.
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap()
    }

    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Reads a head; `None` at the end of the connection.
    pub fn read_head(reader: &mut impl BufRead) -> Option<Self> {
        let start = line(reader)?;
        Some(Self {
            start,
            fields: fields(reader)?,
            ..Self::default()
        })
    }

    /// Reads the body that the fields announce, but not one that lasts until the connection ends.
    pub fn read_body(&mut self, reader: &mut impl BufRead) -> Option<()> {
        if self
            .field("transfer-encoding")
            .is_some_and(|coding| coding.contains("chunked"))
        {
            loop {
                let size = usize::from_str_radix(&line(reader)?, 16).ok()?;
                if size == 0 {
                    self.trailers = fields(reader)?;
                    return Some(());
                }
                read(reader, size, &mut self.body)?;
                line(reader)?;
            }
        }
        let length = self.field("content-length").map_or(0, |length| length.parse().unwrap());
        read(reader, length, &mut self.body)
    }
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    match ended_or(reader.read_line(&mut line))? {
        0 => None,
        _ => Some(line.trim_end().to_owned()),
    }
}

/// What was read; `None` at the end of the connection. That nothing comes is no end: who waited in vain has failed.
fn ended_or<T>(read: io::Result<T>) -> Option<T> {
    match read {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("the connection neither goes on nor ends")
        }
        read => read.ok(),
    }
}

fn fields(reader: &mut impl BufRead) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = line(reader)?;
        if line.is_empty() {
            return Some(fields);
        }
        let (name, value) = line.split_once(':').unwrap();
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn read(reader: &mut impl Read, length: usize, body: &mut Vec<u8>) -> Option<()> {
    let start = body.len();
    body.resize(start + length, 0);
    ended_or(reader.read_exact(&mut body[start..]))
}

/// A client's connection.
pub struct Client {
    pub reader: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            reader: BufReader::new(stream),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.reader.get_mut().write_all(bytes.as_ref()).unwrap();
        self
    }

    pub fn get(&mut self, target: &str) -> Message {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: example\r\n\r\n"))
            .receive()
    }

    pub fn post(&mut self, target: &str, body: &str) -> Message {
        let length = body.len();
        self.send(format!(
            "POST {target} HTTP/1.1\r\nHost: example\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .receive()
    }

    pub fn receive(&mut self) -> Message {
        let mut message = self.receive_head();
        message.read_body(&mut self.reader).expect("the body broke off");
        message
    }

    pub fn receive_head(&mut self) -> Message {
        Message::read_head(&mut self.reader).expect("the connection ended before the response")
    }

    /// Whether the gateway has closed the connection without another byte.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).is_ok() && rest.is_empty()
    }
}
