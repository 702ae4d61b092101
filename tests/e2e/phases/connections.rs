//! What guests do with the bytes of TCP connections.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use postern_e2e::{
    host::{Host, kinds},
    servers::Servers,
};
use serde_json::json;
use xtask::stack::HostKind;

use super::{Notes, guests};

/// Sends back what it reads, and says goodbye to who has ended; at `quit` it leaves itself.
fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || -> std::io::Result<()> {
                let mut bytes = [0; 1024];
                loop {
                    match stream.read(&mut bytes)? {
                        0 => return stream.write_all(b"bye"),
                        read if bytes[..read] == *b"quit" => return Ok(()),
                        read => stream.write_all(&bytes[..read])?,
                    }
                }
            });
        }
    });
    port
}

struct Client(TcpStream);

impl Client {
    fn connect(host: &Host) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, host.port)).expect("the host listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a timeout can be set");
        Self(stream)
    }

    fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).expect("it can be sent");
    }

    fn hear(&mut self, size: usize) -> String {
        let mut bytes = vec![0; size];
        self.0.read_exact(&mut bytes).expect("bytes come back");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// All that still comes; a reset is an end as well.
    fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let _reset = self.0.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[test]
fn bytes_of_connections() {
    let echo = echo();
    for kind in kinds() {
        let host = Host::start_on(&Servers::shared().stack, kind, |port, admin| {
            json!({
                "listeners": [ { "address": format!("127.0.0.1:{port}"), "tcp": { "cluster": "echo" },
                                 "plugins": [ "guest" ] } ],
                "admin": { "address": format!("127.0.0.1:{admin}") },
                "clusters": { "echo": { "endpoints": [ format!("127.0.0.1:{echo}") ] } },
                "plugins": [ { "name": "guest", "wasm": guests(), "configuration": "connection" } ],
            })
            .to_string()
        });
        let mut notes = Notes::of(&host);
        // Envoy tells of an upstream that has ended without saying who ended it, and is itself who closes a connection of
        // which both sides have.
        let (upstream, both) = match kind {
            HostKind::Gateway => ("upstream closed by Remote", "downstream closed by Remote"),
            HostKind::Envoy => ("upstream closed by Unknown", "downstream closed by Local"),
        };

        let mut client = Client::connect(&host);
        client.say("one");
        assert_eq!(client.hear(4), "one!", "{kind:?}");
        client.say("upper case");
        assert_eq!(client.hear(11), "UPPER CASE!", "{kind:?}");
        client.say("hold");
        // Were it not held, it would come back now.
        thread::sleep(Duration::from_millis(100));
        client.say(" and go");
        assert_eq!(client.hear(12), "hold and go!", "{kind:?}");
        client.0.shutdown(Shutdown::Write).expect("the client can end");
        assert_eq!(client.rest(), "bye!", "{kind:?}");
        let ended = notes.up_to(&host, "delete");
        assert_eq!(
            ended,
            [
                "new connection, source true",
                "downstream ends",
                "upstream ends",
                upstream,
                both,
                "done",
                "log",
                "delete"
            ],
            "{kind:?}"
        );

        let mut client = Client::connect(&host);
        client.say("close");
        assert_eq!(client.rest(), "", "{kind:?}");
        let mut ended = notes.up_to(&host, "delete");
        // If it was there already.
        ended.retain(|note| !note.starts_with("upstream closed by "));
        assert_eq!(
            ended,
            [
                "new connection, source true",
                "downstream closed by Local",
                "done",
                "log",
                "delete"
            ],
            "{kind:?}"
        );

        let mut client = Client::connect(&host);
        client.say("quit");
        assert_eq!(client.rest(), "", "{kind:?}");
        drop(client);
        let ended = notes.up_to(&host, "delete");
        assert_eq!(
            ended,
            [
                "new connection, source true",
                "upstream ends",
                upstream,
                "downstream ends",
                "downstream closed by Remote",
                "done",
                "log",
                "delete"
            ],
            "{kind:?}"
        );
    }
}
