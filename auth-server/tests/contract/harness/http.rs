//! One HTTP/1.1 request over a connection of its own; nothing between the test and the bytes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub fn request(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let answer = try_request(address, method, path, headers, body).unwrap();
    answer.unwrap_or_else(|| panic!("no whole answer to {method} {path}"))
}

/// The same at a server that may end meanwhile. `None`: it broke off within the answer.
pub fn try_request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<Option<Answer>> {
    let mut stream = send(address, method, path, headers, body)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(read(method, &String::from_utf8(bytes).unwrap()))
}

/// Sends a request and hangs up a moment later, whatever became of it.
pub fn abandon(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str, after: Duration) {
    let stream = send(address, method, path, headers, body).unwrap();
    std::thread::sleep(after);
    drop(stream);
}

fn send(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(head.as_bytes())?;
    Ok(stream)
}

/// `None`: it is not whole.
fn read(method: &str, text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok())?;
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
    let answer = Answer {
        status,
        headers,
        body: body.to_owned(),
    };
    let length = answer.header("content-length").and_then(|length| length.parse().ok());
    let whole = method == "HEAD" || length.is_none_or(|length: usize| length == body.len());
    whole.then_some(answer)
}
