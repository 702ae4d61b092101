//! The service and the provider as real processes: the provider goes and comes back, the service always answers.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, also in what tests share"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// One of the two programs; killed when dropped.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_postern-demo"))
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| Some(line.split_once("listening on http://")?.1.parse().unwrap()))
            .expect("the program ended before it listened");
        // Somebody must read on, or the program would block on its log one day.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    fn provider(listen: &str) -> Self {
        Self::start(&["provider", "--listen", listen])
    }

    fn service(provider: SocketAddr) -> Self {
        Self::start(&[
            "service",
            "--listen",
            "127.0.0.1:0",
            "--provider",
            &format!("http://{provider}"),
        ])
    }

    fn data(&self) -> Value {
        let (status, body) = request(self.address, "GET", "/demo/data", "", "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request on a connection of its own: status and body.
fn request(address: SocketAddr, method: &str, target: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[expect(clippy::disallowed_methods, reason = "these tests measure time")]
fn now() -> Instant {
    Instant::now()
}

/// Asks for data until it comes from `source`.
fn wait_for(service: &Program, source: &str) -> Value {
    let start = now();
    loop {
        let data = service.data();
        if data["source"] == source {
            return data;
        }
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "no data from the {source}: {data}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_provider_goes_and_comes_back() {
    let provider = Program::provider("127.0.0.1:0");
    let address = provider.address;
    let service = Program::service(address);
    let there = json!({ "source": "provider", "items": [{ "id": 1, "name": "first" }, { "id": 2, "name": "second" }] });
    assert_eq!(service.data(), there);

    drop(provider);
    let fallback = json!({ "source": "fallback", "items": [] });
    for _ in 0..10 {
        assert_eq!(service.data(), fallback);
    }
    let (_, metrics) = request(service.address, "GET", "/metrics", "", "");
    assert!(metrics.contains("postern_demo_breaker_open 1\n"), "{metrics}");

    let _provider = Program::provider(&address.to_string());
    assert_eq!(wait_for(&service, "provider"), there);
}

#[test]
fn a_provider_that_hangs_is_cut_off_and_then_not_asked() {
    // Accepts connections in its backlog and never answers.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let service = Program::service(hanging.local_addr().unwrap());
    for _ in 0..3 {
        let start = now();
        assert_eq!(service.data()["source"], "fallback");
        let took = start.elapsed();
        assert!(
            took >= Duration::from_millis(450) && took < Duration::from_secs(3),
            "{took:?}"
        );
    }
    let fastest = (0..5)
        .map(|_| {
            let start = now();
            assert_eq!(service.data()["source"], "fallback");
            start.elapsed()
        })
        .min()
        .unwrap();
    assert!(
        fastest < Duration::from_millis(100),
        "an open breaker answers at once, not after {fastest:?}"
    );
}

#[test]
fn the_test_pages_answer_ok_to_any_method() {
    let service = Program::service("127.0.0.1:9".parse().unwrap());
    for target in ["/demo/test", "/demo/test2", "/demo/admin/report", "/demo/test?a=b"] {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            assert_eq!(
                request(service.address, method, target, "", ""),
                (200, "ok".into()),
                "{method} {target}"
            );
        }
    }
    for target in ["/health/live", "/health/ready"] {
        assert_eq!(request(service.address, "GET", target, "", "").0, 200);
    }
    assert_eq!(request(service.address, "GET", "/nowhere", "", "").0, 404);
}

#[test]
fn echo_shows_the_request_and_its_identity_headers_only() {
    let service = Program::service("127.0.0.1:9".parse().unwrap());
    let headers =
        "X-User-Id: u1\r\nX-Authorities: ROLE_TEST\r\nX-Authorities: ROLE_TEST2\r\nAuthorization: Bearer x\r\n";
    let (status, body) = request(service.address, "POST", "/demo/echo?a=1", headers, "12345");
    assert_eq!(status, 200);
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        json!({
            "method": "POST", "path": "/demo/echo", "query": "a=1", "body_bytes": 5,
            "headers": { "x-authorities": "ROLE_TEST, ROLE_TEST2", "x-user-id": "u1" },
        })
    );
}

#[test]
fn a_taken_port_is_one_line_and_sigterm_ends() {
    let mut provider = Program::provider("127.0.0.1:0");
    let taken = Command::new(env!("CARGO_BIN_EXE_postern-demo"))
        .args(["provider", "--listen", &provider.address.to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8(taken.stderr).unwrap();
    assert_eq!(taken.status.code(), Some(1));
    assert!(
        said.starts_with("error: --listen 127.0.0.1:") && said.lines().count() == 1,
        "{said}"
    );

    let kill = Command::new("kill")
        .args(["-TERM", &provider.child.id().to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
    assert_eq!(provider.child.wait().unwrap().code(), Some(0));
}
