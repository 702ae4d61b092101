//! A token feed with very many revocations, in place of an auth server's.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// How many tokens one document revokes.
const PART: usize = 50_000;

/// Serves `GET /feed/tokens` until the process ends: the issuer, and so many revoked tokens, none of which is ever shown.
/// Returns the port.
pub fn serve(issuer: &Value, revoked: usize) -> Result<u16> {
    let parts = revoked.div_ceil(PART);
    let document = |part: usize| {
        let tokens: Vec<Value> = (part * PART..revoked.min((part + 1) * PART))
            .map(|number| json!([format!("revoked-{number:024}"), 4_102_444_800_u64]))
            .collect();
        let mut document = json!({ "version": part.to_string(), "revoked_tokens": tokens });
        if part == 0 {
            document["issuers"] = json!([issuer]);
        } else {
            document["since"] = (part - 1).to_string().into();
        }
        if part + 1 < parts {
            document["more"] = true.into();
        }
        document.to_string()
    };
    let documents: Arc<[String]> = (0..parts).map(document).collect();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot serve a feed")?;
    let port = listener.local_addr().context("the feed has no address")?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let documents = Arc::clone(&documents);
            // A host that goes away ends the thread, which is all that is wanted.
            thread::spawn(move || answer(stream, &documents));
        }
    });
    Ok(port)
}

fn answer(stream: TcpStream, documents: &[String]) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let after = head.split_once("after=").map(|(_, rest)| rest);
        let after: Option<usize> = after.and_then(|rest| {
            rest.split(|c: char| !c.is_ascii_digit())
                .next()
                .and_then(|text| text.parse().ok())
        });
        match documents.get(after.map_or(0, |after| after + 1)) {
            Some(document) => {
                let length = document.len();
                write!(
                    writer,
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{document}"
                )?;
            }
            None => {
                thread::sleep(Duration::from_secs(20));
                write!(writer, "HTTP/1.1 304 Not Modified\r\n\r\n")?;
            }
        }
    }
}
