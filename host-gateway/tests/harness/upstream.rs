use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::Message;

/// A server that remembers what it received. It runs until the test's process ends.
pub struct Upstream {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    received: Arc<Mutex<Vec<Message>>>,
}

/// One connection of the gateway to an upstream.
pub struct Peer {
    pub reader: BufReader<TcpStream>,
    /// How many connections came before.
    pub number: usize,
    received: Arc<Mutex<Vec<Message>>>,
}

impl Upstream {
    /// Hands each connection to a function on a thread of its own.
    pub fn serving(serve: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            received: Arc::default(),
        };
        let (connections, received) = (Arc::clone(&upstream.connections), Arc::clone(&upstream.received));
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let number = connections.fetch_add(1, Ordering::SeqCst);
                let (serve, received) = (Arc::clone(&serve), Arc::clone(&received));
                stream.set_nodelay(true).unwrap();
                std::thread::spawn(move || {
                    serve(Peer {
                        reader: BufReader::new(stream),
                        number,
                        received,
                    })
                });
            }
        });
        upstream
    }

    /// Answers every request by a function that writes the whole response.
    pub fn answering(answer: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::serving(move |mut peer| {
            while let Some(request) = peer.receive() {
                peer.send(answer(&request));
            }
        })
    }

    /// Answers every request with its name.
    pub fn named(name: &'static str) -> Self {
        Self::answering(move |_| response(name))
    }

    /// An address where nobody listens.
    pub fn dead() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn received(&self) -> Vec<Message> {
        self.received.lock().unwrap().clone()
    }

    pub fn last(&self) -> Message {
        self.received().last().expect("nothing was received").clone()
    }
}

fn response(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

impl Peer {
    /// The next request; `None` when the connection ended.
    pub fn receive(&mut self) -> Option<Message> {
        let mut request = Message::read_head(&mut self.reader)?;
        request.read_body(&mut self.reader)?;
        self.received.lock().unwrap().push(request.clone());
        Some(request)
    }

    pub fn receive_head(&mut self) -> Option<Message> {
        let request = Message::read_head(&mut self.reader)?;
        self.received.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// Errors are the gateway's leaving.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.reader.get_mut().write_all(bytes.as_ref()).is_ok()
    }

    pub fn respond(&mut self, body: &str) -> bool {
        self.send(response(body))
    }
}
