//! In which order an exchange's callbacks are called, however it ends.

use std::{
    io::Write,
    net::{Ipv4Addr, TcpStream},
};

use postern_e2e::host::kinds;
use xtask::stack::HostKind;

use super::{Notes, Stage, Trailers};

#[test]
fn every_exchange_ends_once() {
    for kind in kinds() {
        let stage = Stage::shared(kind, Trailers::Drop);
        let mut notes = Notes::of(&stage.host);
        let whole = |passed: &[&str], log: &str| {
            let mut end = ["done".to_owned(), format!("log {log}")];
            if kind == HostKind::Envoy {
                // The specification has it the other way round, and Envoy itself with TCP connections.
                end.reverse();
            }
            let mut whole: Vec<String> = passed.iter().map(|&note| note.to_owned()).collect();
            whole.extend(end);
            whole.push("delete".to_owned());
            whole
        };

        assert!(stage.send("life/pass", "GET").starts_with("200"));
        let passed = [
            "pass: request headers, end true",
            "response headers, end false",
            "response body ends",
        ];
        let expected = whole(&passed, r#"Some("GET") Some("200")"#);
        assert_eq!(notes.up_to(&stage.host, "delete"), expected, "{kind:?}");

        assert!(stage.send("life/pass?nothing", "POST\n\nhello").starts_with("204"));
        let passed = [
            "pass: request headers, end false",
            "request body ends",
            "response headers, end true",
        ];
        let expected = whole(&passed, r#"Some("POST") Some("204")"#);
        assert_eq!(notes.up_to(&stage.host, "delete"), expected, "{kind:?}");

        // A local response passes the plugin that gave it.
        assert!(stage.send("life/answer", "GET").starts_with("204"));
        let passed = ["answer: request headers, end true", "response headers, end true"];
        let expected = whole(&passed, r#"Some("GET") Some("204")"#);
        assert_eq!(notes.up_to(&stage.host, "delete"), expected, "{kind:?}");

        assert_eq!(stage.send("life/reset", "GET"), "", "{kind:?}");
        let expected = whole(&["reset: request headers, end true"], r#"Some("GET") None"#);
        assert_eq!(notes.up_to(&stage.host, "delete"), expected, "{kind:?}");

        // The client leaves while the plugin waits.
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, stage.host.port)).expect("the host listens");
        client
            .write_all(b"GET /life/wait HTTP/1.1\r\nhost: a\r\n\r\n")
            .expect("it can be sent");
        let began = notes.up_to(&stage.host, "wait");
        drop(client);
        let seen = [began, notes.up_to(&stage.host, "delete")].concat();
        let expected = whole(&["wait: request headers, end true"], r#"Some("GET") None"#);
        assert_eq!(seen, expected, "{kind:?}");
    }
}
