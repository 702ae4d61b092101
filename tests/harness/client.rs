//! A raw HTTP/1.1 client: what a scenario writes is what goes over the wire, whatever a library would make of it.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    thread,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

/// Longer than anything here takes; a test that hangs should say where.
const TIMEOUT: Duration = Duration::from_secs(40);

/// A request, byte for byte.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: Vec<u8>,
    host: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    /// The body announces itself by headers of the test's own.
    framed: bool,
}

impl Request {
    /// A request without a body.
    pub fn new(method: &str, target: impl AsRef<[u8]>) -> Self {
        Self {
            method: method.into(),
            target: target.as_ref().into(),
            host: "localhost:8081".into(),
            headers: Vec::new(),
            body: None,
            framed: false,
        }
    }

    /// `GET`.
    pub fn get(target: impl AsRef<[u8]>) -> Self {
        Self::new("GET", target)
    }

    /// `POST` with a form.
    pub fn form(target: &str, form: &str) -> Self {
        Self::new("POST", target)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form)
    }

    /// Another host than that of the demo.
    pub fn host(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    /// One more header; the same name may be given several times.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// `Authorization: bearer …`, in the lower case of the legacy clients.
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("bearer {token}"))
    }

    /// `Authorization: Basic …`.
    pub fn basic(self, user: &str, password: &str) -> Self {
        let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
        self.header("Authorization", &format!("Basic {credentials}"))
    }

    /// The body, announced by `Content-Length`, also when it is empty. Without this call no length is announced.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(body.as_ref().into());
        self
    }

    /// A body as it stands on the wire: chunks and trailers.
    pub fn chunks(mut self, wire: impl AsRef<[u8]>) -> Self {
        self.framed = true;
        self.header("Transfer-Encoding", "chunked").body(wire)
    }

    /// Sends it to a port of 127.0.0.1 on a connection of its own and reads the answer.
    pub fn send(&self, port: u16) -> Response {
        let mut connection = Connection::open(
            port,
            &self.head(self.body.as_ref().filter(|_| !self.framed).map(Vec::len)),
        );
        connection.write(self.body.as_deref().unwrap_or_default());
        let mut response = connection.response();
        if self.method != "HEAD" {
            response.body = connection.rest(&response);
        }
        response
    }

    /// Like [`Self::send`], but hands over the connection after the head, for bodies that are written and read bit by bit.
    pub fn open(&self, port: u16, body_length: usize) -> Connection {
        Connection::open(port, &self.head(Some(body_length)))
    }

    fn head(&self, body_length: Option<usize>) -> Vec<u8> {
        let mut head = [
            self.method.as_bytes(),
            b" ",
            &self.target,
            b" HTTP/1.1\r\nHost: ",
            self.host.as_bytes(),
            b"\r\n",
        ]
        .concat();
        for (name, value) in &self.headers {
            head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if let Some(body_length) = body_length {
            head.extend_from_slice(format!("Content-Length: {body_length}\r\n").as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header that must not stand there twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "several {name} headers in {self:?}");
        value
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }
}

/// Sends each request on a connection of its own, all at the same time.
pub fn at_once(port: u16, requests: Vec<Request>) -> Vec<Response> {
    thread::scope(|scope| {
        let sent: Vec<_> = requests
            .into_iter()
            .map(|request| scope.spawn(move || request.send(port)))
            .collect();
        sent.into_iter().map(|sent| sent.join().expect("an answer")).collect()
    })
}

/// A connection with one exchange on it.
pub struct Connection {
    stream: TcpStream,
    /// What was read and not yet handed out.
    buffer: Vec<u8>,
}

impl Connection {
    fn open(port: u16, head: &[u8]) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .unwrap_or_else(|error| panic!("cannot connect to port {port}: {error}"));
        stream
            .set_read_timeout(Some(TIMEOUT))
            .expect("a timeout that is not zero");
        stream
            .set_write_timeout(Some(TIMEOUT))
            .expect("a timeout that is not zero");
        let mut connection = Self {
            stream,
            buffer: Vec::new(),
        };
        connection.write(head);
        connection
    }

    /// Sends bytes of the body. A host that has answered already may have closed: the answer tells.
    pub fn write(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                panic!("cannot write to the host: {error}")
            }
            _ => {}
        }
    }

    /// Reads the head of the answer.
    pub fn response(&mut self) -> Response {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Response::new(&mut headers);
            let parsed = head.parse(&self.buffer).expect("an HTTP/1.1 response head");
            let httparse::Status::Complete(length) = parsed else {
                assert!(self.fill() > 0, "the host closed the connection without an answer");
                continue;
            };
            let response = Response {
                status: head.code.expect("a complete head has a status"),
                headers: head
                    .headers
                    .iter()
                    .map(|header| {
                        (
                            header.name.to_lowercase(),
                            String::from_utf8_lossy(header.value).into_owned(),
                        )
                    })
                    .collect(),
                body: Vec::new(),
            };
            self.buffer.drain(..length);
            // 1xx: the answer is still to come.
            if response.status >= 200 {
                return response;
            }
        }
    }

    /// Reads exactly so many bytes of a body that is announced by `Content-Length`.
    pub fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert!(self.fill() > 0, "the host closed the connection within the body");
        }
        self.buffer.drain(..length).collect()
    }

    /// Reads what is left of the body.
    fn rest(&mut self, response: &Response) -> Vec<u8> {
        if response
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            return self.chunks();
        }
        match response.header("content-length") {
            Some(length) => self.exactly(length.parse().expect("a content length is a number")),
            None if matches!(response.status, 204 | 304) => Vec::new(),
            // To the end of the connection.
            None => {
                while self.fill() > 0 {}
                std::mem::take(&mut self.buffer)
            }
        }
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.line();
            let size = line.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size.trim(), 16).expect("a chunk begins with its size");
            if size == 0 {
                // Trailers, if any, and the empty line.
                while !self.line().is_empty() {}
                return body;
            }
            body.extend(self.exactly(size));
            assert_eq!(self.line(), "", "a chunk ends with an empty line");
        }
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return line;
            }
            assert!(self.fill() > 0, "the host closed the connection within a chunk");
        }
    }

    /// Reads more; 0 at the end of the connection.
    fn fill(&mut self) -> usize {
        let mut bytes = vec![0; 64 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(length) => {
                self.buffer.extend_from_slice(&bytes[..length]);
                length
            }
            // A refusal is sometimes followed by a reset, because the rest of the request was not read.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("cannot read from the host: {error}"),
        }
    }
}
