//! An upstream that remembers each request whole, and answers as the test says.

use std::{
    io::{self, BufReader, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use crate::wire::Message;

/// What a request gets.
pub enum Answer {
    /// These bytes, a whole response.
    Is(String),
    /// The connection is closed.
    Closed,
    /// Nothing.
    Never,
}

/// Answers until the process ends.
pub struct Recorder {
    /// Where it listens.
    pub port: u16,
    requests: Arc<Mutex<Vec<Message>>>,
}

impl Recorder {
    /// Begins to listen.
    pub fn start(answer: fn(&Message) -> Answer) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let requests = Arc::<Mutex<Vec<Message>>>::default();
        let remembered = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let remembered = Arc::clone(&remembered);
                // A host that goes away in the middle ends the thread, which is all that is wanted.
                thread::spawn(move || serve(stream, &remembered, answer));
            }
        });
        Self { port, requests }
    }

    /// The requests since this was last asked.
    pub fn taken(&self) -> Vec<Message> {
        std::mem::take(&mut *lock(&self.requests))
    }
}

fn serve(stream: TcpStream, requests: &Mutex<Vec<Message>>, answer: fn(&Message) -> Answer) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = Message::read(&mut reader) {
        let answer = answer(&request);
        lock(requests).push(request);
        match answer {
            Answer::Is(response) => writer.write_all(response.as_bytes())?,
            Answer::Closed => return writer.shutdown(Shutdown::Both),
            Answer::Never => {}
        }
    }
    Ok(())
}

fn lock(requests: &Mutex<Vec<Message>>) -> MutexGuard<'_, Vec<Message>> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}
