//! An upstream that echoes the body of each request as it comes in, and remembers the heads of the requests. A request
//! says by `x-answer` which header its answer is to have.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Echoes until the process ends.
pub struct EchoUpstream {
    /// Where it listens.
    pub port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl EchoUpstream {
    /// Begins to listen.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let remembered = Arc::clone(&heads);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let remembered = Arc::clone(&remembered);
                // A host that goes away in the middle ends the thread, which is all that is wanted.
                thread::spawn(move || echo(stream, &remembered));
            }
        });
        Self { port, heads }
    }

    /// The head of each request, in lower case.
    pub fn heads(&self) -> Vec<String> {
        lock(&self.heads).iter().map(|head| head.to_lowercase()).collect()
    }
}

/// Serves one connection. Requests must announce their length.
fn echo(stream: TcpStream, heads: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let length = fields(&head, "content-length")
            .next()
            .and_then(|length| length.parse().ok());
        let mut length = length.unwrap_or(0);
        let told: String = fields(&head, "x-answer").map(|field| format!("{field}\r\n")).collect();
        lock(heads).push(head);
        write!(
            writer,
            "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n{told}content-length: {length}\r\n\r\n"
        )?;
        let mut bytes = vec![0; 64 * 1024];
        while length > 0 {
            let read = reader.read(&mut bytes)?;
            if read == 0 {
                return Ok(());
            }
            writer.write_all(&bytes[..read])?;
            length -= read;
        }
    }
}

/// The values of the headers with this name.
fn fields<'h>(head: &'h str, name: &'h str) -> impl Iterator<Item = &'h str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields
        .filter(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

fn lock(heads: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    heads.lock().unwrap_or_else(PoisonError::into_inner)
}
