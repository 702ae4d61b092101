//! Many requests that wait for a server which does not answer: they are refused, and nobody else notices.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use postern_e2e::{
    client::{Request, at_once},
    host::Host,
    servers::Servers,
    upstream::EchoUpstream,
    visit::Visit,
};
use serde_json::json;
use xtask::stack::HostKind;

use crate::dpop::now;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// More than may wait for one thing in all VMs of a host (`docs/filter.md`), and by far.
const MANY: usize = 1500;

/// Longer than any request is held.
const FOR_EVER: Duration = Duration::from_secs(60);

/// Both servers: their feeds are there, and to questions there is no answer, or a late one.
fn start_servers() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A host that goes away in the middle ends the thread, which is all that is wanted.
            thread::spawn(move || serve(stream));
        }
    });
    port
}

fn serve(stream: TcpStream) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let begin = head.len();
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
            let line = head[begin..].to_lowercase();
            length = line
                .strip_prefix("content-length:")
                .and_then(|value| value.trim().parse().ok())
                .unwrap_or(length);
        }
        reader.read_exact(&mut vec![0; length])?;
        let target = head.split(' ').nth(1).unwrap_or_default();
        let body = match target.split('?').next().unwrap_or_default() {
            "/feed/tokens" | "/feed/permissions" if target.contains("after=") => {
                thread::sleep(FOR_EVER);
                return Ok(());
            }
            "/feed/tokens" => {
                let key = json!({ "kty": "oct", "alg": "HS256", "k": BASE64_URL_SAFE_NO_PAD.encode(SECRET) });
                json!({ "version": "1", "issuers": [ { "jwks": { "inline": { "keys": [key] } } } ],
                        "introspection": { "opaque": true } })
            }
            "/feed/permissions" => {
                json!({ "version": "1", "permissions": [], "changed_users": [["changed", now(), true]] })
            }
            "/oauth2/introspect" => {
                thread::sleep(Duration::from_secs(2));
                json!({ "active": true, "sub": "opaque", "jti": "o", "token_type": "Bearer", "exp": 4_102_444_800u64 })
            }
            _ => {
                thread::sleep(FOR_EVER);
                return Ok(());
            }
        };
        let body = body.to_string();
        write!(
            writer,
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
}

fn token(user: &str) -> String {
    let claims = json!({ "sub": user, "jti": user, "exp": 4_102_444_800u64, "iat": now() - 100 });
    jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &claims,
        &EncodingKey::from_secret(SECRET),
    )
    .expect("a token")
}

fn call(token: &str) -> Request {
    Request::get("/x").bearer(token)
}

fn start(kind: HostKind, upstream: &EchoUpstream) -> Host {
    let servers = Servers::shared();
    let stack = servers.for_host("crowds");
    let server = json!({ "cluster": "servers", "authority": "servers" });
    let clusters = [("up", upstream.port), ("servers", start_servers())];
    let configuration = json!({ "auth_server": server, "login_service": server, "unmatched": "authenticated" });
    Host::start_with_one_vm(&stack, kind, &clusters, &configuration)
}

/// Sends the same request very often, and meanwhile those of somebody else, who must not notice.
fn flood(host: &Host, request: &Request, calm: &Request) -> Vec<u16> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut sent = 0;
            while !over.load(Ordering::Relaxed) || sent < 10 {
                let answer = calm.send(host.port);
                assert_eq!(answer.status, 200, "{answer:?}");
                sent += 1;
                thread::sleep(Duration::from_millis(20));
            }
        });
        let answers = at_once(host.port, vec![request.clone(); MANY]);
        over.store(true, Ordering::Relaxed);
        others.join().expect("nobody else notices");
        for answer in &answers {
            let waits = answer.header("retry-after").is_some();
            assert!(answer.status == 200 || (answer.status == 503 && waits), "{answer:?}");
        }
        answers.iter().map(|answer| answer.status).collect()
    })
}

#[test]
fn crowds_that_wait_are_refused_and_nobody_else_notices() {
    for kind in postern_e2e::host::kinds() {
        let upstream = EchoUpstream::start();
        let host = start(kind, &upstream);
        let visit = Visit::new(Servers::shared(), &host);
        let calm = call(&token("calm"));
        visit.wait(Duration::from_secs(20), 200, &calm);
        // An exchange that is open all the while, in the same VM.
        let mut open = Request::new("POST", "/x").bearer(&token("calm")).open(host.port, 4);

        // The login service never says what this user may do now.
        let refused = flood(&host, &call(&token("changed")), &calm);
        assert!(refused.iter().all(|status| *status == 503), "{refused:?}");
        // The auth server says only after a while whose token this is.
        let opaque = call("AT-1-ZqT0vLxW8d1hKcPbN5sYfRj2mUaGe7i");
        let some = flood(&host, &opaque, &calm);
        assert!(some.contains(&200), "somebody waited: {some:?}");
        assert_eq!(visit.status(&opaque), 200);

        open.write(b"body");
        let answer = open.response();
        assert_eq!((answer.status, open.exactly(4)), (200, b"body".to_vec()), "{answer:?}");
        if kind == HostKind::Gateway {
            let metrics = Request::get("/metrics")
                .header("Connection", "close")
                .send(host.admin)
                .text();
            let traps = "postern_plugin_traps_total{plugin=\"auth\"} 0";
            assert!(metrics.contains(traps), "no {traps}");
        }
    }
}
