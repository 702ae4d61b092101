//! What a client and an upstream see of each other through the gateway.

#[cfg(test)]
mod harness;

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use harness::{Client, Gateway, Message, Stopwatch, Upstream};

/// One route `/` to one cluster.
fn in_front_of(upstream: &Upstream) -> Gateway {
    Gateway::start(&all_to(upstream, ""))
}

fn all_to(upstream: &Upstream, route: &str) -> String {
    format!(
        "routes: [ {{ prefix: /, cluster: up {route} }} ]\nclusters: {{ up: {{ endpoints: [\"{}\"] }} }}",
        upstream.address
    )
}

#[test]
fn the_longest_prefix_wins_and_strips() {
    let (one, two) = (Upstream::named("one"), Upstream::named("two"));
    let gateway = Gateway::start(&format!(
        r#"
routes:
  - {{ prefix: /service/, cluster: one, strip_prefix: /service }}
  - {{ prefix: /service/admin/, cluster: two, strip_prefix: /service/ }}
  - {{ prefix: /plain, cluster: one }}
  - {{ prefix: /whole, cluster: two, strip_prefix: /whole }}
clusters:
  one: {{ endpoints: ["{}"] }}
  two: {{ endpoints: ["{}"] }}
"#,
        one.address, two.address
    ));
    let mut client = gateway.connect();
    for (target, server, seen) in [
        ("/service/a/b?c=d", &one, "/a/b?c=d"),
        ("/service/?x", &one, "/?x"),
        ("/service/admin/report", &two, "/admin/report"),
        ("/plain", &one, "/plain"),
        ("/plain/x", &one, "/plain/x"),
        ("/whole", &two, "/"),
        ("/whole?q", &two, "/?q"),
        ("/whole/x", &two, "/x"),
        ("/service//x/../%2e%2F", &one, "//x/../%2e%2F"),
    ] {
        assert_eq!(client.get(target).status(), 200, "{target}");
        assert_eq!(server.last().target(), seen, "{target}");
    }
    for target in ["/", "/service", "/plainer", "/wholesale", "/other"] {
        let answer = client.get(target);
        assert_eq!((answer.status(), answer.text().as_str()), (404, ""), "{target}");
    }
}

#[test]
fn fields_for_the_upstream() {
    let upstream = Upstream::named("ok");
    let gateway = in_front_of(&upstream);
    let mut client = gateway.connect();
    client
        .send("GET / HTTP/1.1\r\nHost: shop.example:8081\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: gzip\r\nX-End: 2\r\nX-Forwarded-For: 10.1.1.1\r\nX-Forwarded-Proto: https\r\n\r\n")
        .receive();
    let seen = upstream.last();
    assert_eq!(seen.field("host"), Some("shop.example:8081"));
    assert_eq!(seen.field("x-end"), Some("2"));
    assert_eq!(seen.field("x-forwarded-for"), Some("10.1.1.1,127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    for gone in ["connection", "x-hop", "keep-alive", "te"] {
        assert_eq!(seen.field(gone), None, "{gone}");
    }
    client.get("/");
    assert_eq!(upstream.last().field("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn fields_for_the_client() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 200 Fine\r\nConnection: keep-alive, x-hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok".to_vec()
    });
    let answer = in_front_of(&upstream).connect().get("/");
    let cookies: Vec<_> = answer.fields.iter().filter(|(name, _)| name == "set-cookie").collect();
    assert_eq!(cookies.len(), 2);
    for gone in ["connection", "keep-alive", "x-hop", "transfer-encoding"] {
        assert_eq!(answer.field(gone), None, "{gone}");
    }
    assert_eq!(answer.field("content-length"), Some("2"));
}

#[test]
fn absolute_targets_arrive_in_origin_form() {
    let upstream = Upstream::named("ok");
    let gateway = in_front_of(&upstream);
    gateway
        .connect()
        .send("GET http://right.example/a?b HTTP/1.1\r\nHost: wrong.example\r\n\r\n")
        .receive();
    assert_eq!(upstream.last().target(), "/a?b");
    assert_eq!(upstream.last().field("host"), Some("right.example"));
}

#[test]
fn http_1_0_clients_are_served() {
    let upstream = Upstream::named("ok");
    let gateway = in_front_of(&upstream);
    let mut client = gateway.connect();
    let answer = client.send("GET / HTTP/1.0\r\n\r\n").receive();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    assert!(client.is_closed());
    assert!(upstream.last().start.ends_with("HTTP/1.1"));
    assert_eq!(upstream.last().field("host"), Some("up"));
}

#[test]
fn requests_that_cannot_be_forwarded_are_refused() {
    let upstream = Upstream::named("ok");
    let gateway = in_front_of(&upstream);
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            403,
        ),
        ("TRACE / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer t\r\n\r\n", 405),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        ("nonsense\r\n\r\n", 400),
    ] {
        let answer = gateway.connect().send(request).receive();
        assert_eq!(answer.status(), status, "{request:?}");
    }
    assert_eq!(upstream.connections(), 0);
    // A server may ignore an upgrade, and clients that offer h2c count on it.
    let h2c = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    assert_eq!(gateway.connect().send(h2c).receive().status(), 200);
    assert_eq!(upstream.last().field("upgrade"), None);
    assert_eq!(upstream.last().field("http2-settings"), None);
}

/// RFC 9112 section 6.1: such a message is read by its Transfer-Encoding, forwarded without Content-Length, and the
/// connection is closed after it.
#[test]
fn two_lengths_smuggle_nothing() {
    for lengths in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ] {
        let upstream = Upstream::named("ok");
        let gateway = in_front_of(&upstream);
        let mut client = gateway.connect();
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\n{lengths}\r\n0\r\n\r\n{smuggled}"
        ));
        assert_eq!(client.receive().status(), 200);
        assert!(client.is_closed());
        assert_eq!(upstream.received().len(), 1);
        assert_eq!(upstream.last().field("content-length"), None);
    }
}

#[test]
fn chunked_bodies_pass_both_ways_with_their_trailers() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\nx-sum: 7\r\n\r\n"
            .to_vec()
    });
    let listener = "{ address: \"127.0.0.1:0\", request_trailers: true, response_trailers: true }";
    let gateway = Gateway::start_on(2, listener, &all_to(&upstream, ""));
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: x-in\r\n\r\n");
    client
        .send("2\r\nhe\r\n")
        .send("3\r\nllo\r\n")
        .send("0\r\nx-in: 5\r\n\r\n");
    let answer = client.receive();
    assert_eq!(answer.text(), "abcdefg");
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    let seen = upstream.last();
    assert_eq!(seen.text(), "hello");
    assert_eq!(seen.trailers, [("x-in".to_owned(), "5".to_owned())]);
    assert_eq!(seen.field("te"), Some("trailers"));
    // The connection goes on.
    assert_eq!(client.get("/").text(), "abcdefg");
}

#[test]
fn trailers_of_requests_are_dropped_unless_the_listener_lets_them_through() {
    let upstream = Upstream::named("ok");
    let gateway = in_front_of(&upstream);
    let mut client = gateway.connect();
    for _ in 0..2 {
        let answer = client
            .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-in\r\n\r\n")
            .send("5\r\nhello\r\n0\r\nx-in: 5\r\n\r\n")
            .receive();
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
        assert_eq!(upstream.last().text(), "hello");
        assert_eq!(upstream.last().trailers, []);
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn trailers_of_responses_are_dropped_unless_the_listener_lets_them_through() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n"
            .to_vec()
    });
    let gateway = in_front_of(&upstream);
    let mut client = gateway.connect();
    for _ in 0..2 {
        let answer = client
            .send("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n")
            .receive();
        assert_eq!((answer.status(), answer.text().as_str()), (200, "abc"));
        assert_eq!(answer.trailers, []);
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_malformed_body_is_the_mistake_of_the_client() {
    let upstream = Upstream::named("ok");
    let gateway = in_front_of(&upstream);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for good in ["", "2\r\nhe\r\n"] {
        let mut client = gateway.connect();
        let answer = client.send(format!("{head}{good}zz\r\n")).receive();
        assert_eq!((answer.status(), answer.text().as_str()), (400, "Bad Request"));
        assert!(client.is_closed());
    }
    assert_eq!(
        gateway.metric(r#"postern_gateway_requests_total{route="/",cluster="up",status="4xx"}"#),
        2
    );
    let causes = ["overflow", "connect", "connect_timeout", "reset", "protocol", "timeout"];
    for cause in causes {
        let errors = format!(r#"postern_gateway_upstream_errors_total{{cluster="up",cause="{cause}"}}"#);
        assert_eq!(gateway.metric(&errors), 0, "{cause}");
    }
    assert!(upstream.received().is_empty());
}

#[test]
fn bodies_of_known_length_are_not_chunked() {
    let upstream = Upstream::named("ok");
    let gateway = in_front_of(&upstream);
    let mut client = gateway.connect();
    assert_eq!(client.post("/", "hello").field("content-length"), Some("2"));
    assert_eq!(upstream.last().field("content-length"), Some("5"));
    assert_eq!(upstream.last().text(), "hello");
    client.post("/", "");
    assert_eq!(upstream.last().field("content-length"), Some("0"));
    assert_eq!(upstream.last().field("transfer-encoding"), None);
    client.send("POST / HTTP/1.1\r\nHost: a\r\n\r\n").receive();
    assert_eq!(
        upstream.last().field("content-length"),
        Some("0"),
        "some servers insist on a length"
    );
}

#[test]
fn responses_without_a_body() {
    let upstream = Upstream::answering(|request| match (request.method(), request.target()) {
        ("HEAD", "/chunked") => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        ("HEAD", _) => b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n".to_vec(),
        (_, "/204") => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".to_vec(),
    });
    let gateway = in_front_of(&upstream);
    let mut client = gateway.connect();
    let head = client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").receive_head();
    assert_eq!((head.status(), head.field("content-length")), (200, Some("1234")));
    let head = client.send("HEAD /chunked HTTP/1.1\r\nHost: a\r\n\r\n").receive_head();
    assert_eq!(head.status(), 200);
    let none = client.get("/204");
    assert_eq!(
        (
            none.status(),
            none.field("content-length"),
            none.field("transfer-encoding")
        ),
        (204, None, None)
    );
    let unchanged = client.get("/304");
    assert_eq!((unchanged.status(), unchanged.field("etag")), (304, Some("\"a\"")));
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn responses_that_end_with_their_connection() {
    let upstream = Upstream::serving(|mut peer| {
        peer.receive();
        peer.send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    });
    let gateway = in_front_of(&upstream);
    let mut client = gateway.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/").text(), "until the end");
    }
}

#[test]
fn large_heads_pass_up_to_a_limit() {
    let upstream = Upstream::named("ok");
    let gateway = in_front_of(&upstream);
    let with = |length: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX-Large: {}\r\n\r\n", "x".repeat(length));
    assert_eq!(gateway.connect().send(with(40_000)).receive().status(), 200);
    assert_eq!(upstream.last().field("x-large").map(str::len), Some(40_000));
    assert_eq!(gateway.connect().send(with(66_000)).receive().status(), 431);
    let many = "X-Field: 1\r\n".repeat(150);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n");
    assert_eq!(gateway.connect().send(many).receive().status(), 431);
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(20_000));
    assert_eq!(gateway.connect().send(long).receive().status(), 200);
}

#[test]
fn connections_are_reused() {
    let upstream = Upstream::named("ok");
    let gateway = in_front_of(&upstream);
    let mut client = gateway.connect();
    for _ in 0..20 {
        client.get("/");
        client.post("/", "body");
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::answering(|request| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", request.target()).into_bytes()
    });
    let gateway = in_front_of(&upstream);
    let mut client = gateway.connect();
    client
        .send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    for expected in ["/1", "/2", "/3"] {
        assert_eq!(client.receive().text(), expected);
    }
}

#[test]
fn a_connection_that_closed_while_idle_costs_nothing() {
    // One answer per connection, without saying that it is the last.
    let upstream = Upstream::serving(|mut peer| {
        peer.receive();
        peer.respond("ok");
    });
    let gateway = Gateway::start(&all_to(&upstream, ", retries: 0"));
    let mut client = gateway.connect();
    for _ in 0..20 {
        assert_eq!(
            client.get("/").status(),
            200,
            "sent again if the end of the connection comes too late to be seen"
        );
        std::thread::sleep(Duration::from_millis(10));
        assert_eq!(client.post("/", "body").status(), 200);
    }
}

#[test]
fn a_reused_connection_that_closes_instead_of_answering_is_replaced_once() {
    // The second request on a connection is read, and the connection closed without an answer.
    let upstream = Upstream::serving(|mut peer| {
        peer.receive();
        peer.respond("ok");
        peer.receive();
    });
    let gateway = Gateway::start_with_workers(1, &all_to(&upstream, ", retries: 0"));
    let mut client = gateway.connect();
    assert_eq!(client.get("/1").status(), 200);
    assert_eq!(client.get("/2").status(), 200, "idempotent, without a body: sent again");
    assert_eq!(
        client.post("/3", "body").status(),
        503,
        "the upstream may have acted on it"
    );
    let targets: Vec<String> = upstream
        .received()
        .iter()
        .map(|request| request.target().to_owned())
        .collect();
    assert_eq!(targets, ["/1", "/2", "/2", "/3"]);
}

#[test]
fn a_fresh_connection_that_closes_instead_of_answering_is_an_error() {
    let upstream = Upstream::serving(|mut peer| {
        peer.receive();
    });
    let gateway = Gateway::start(&all_to(&upstream, ", retries: 0"));
    let answer = gateway.connect().get("/");
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.field("content-type"), Some("text/plain"));
    assert_eq!(upstream.received().len(), 1);
    assert_eq!(
        gateway.metric(r#"postern_gateway_upstream_errors_total{cluster="up",cause="reset"}"#),
        1
    );
}

#[test]
fn answers_that_are_not_http_are_refused() {
    let upstream = Upstream::answering(|_| b"SSH-2.0-OpenSSH\r\n\r\n".to_vec());
    assert_eq!(in_front_of(&upstream).connect().get("/").status(), 502);
    let upstream = Upstream::answering(|_| b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n".to_vec());
    assert_eq!(in_front_of(&upstream).connect().get("/").status(), 502);
}

#[test]
fn a_response_that_breaks_off_breaks_off_for_the_client() {
    let upstream = Upstream::serving(|mut peer| {
        peer.receive();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    });
    let gateway = in_front_of(&upstream);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut answer = client.receive_head();
    assert!(answer.read_body(&mut client.reader).is_none());
}

#[test]
fn informational_responses_are_not_final() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
    });
    assert_eq!(in_front_of(&upstream).connect().get("/").text(), "ok");
}

#[test]
fn a_slow_upstream_is_given_up() {
    let upstream = Upstream::serving(|mut peer| {
        while peer.receive().is_some_and(|request| request.target() == "/fast") {
            peer.respond("ok");
        }
        std::thread::sleep(Duration::from_secs(5));
    });
    let gateway = Gateway::start(&all_to(&upstream, ", timeout: 300ms"));
    let mut client = gateway.connect();
    assert_eq!(client.get("/fast").status(), 200);
    for _ in 0..2 {
        let began = Stopwatch::start();
        let answer = client.get("/slow");
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (504, "upstream request timeout")
        );
        assert!(
            (250..2000).contains(&began.elapsed().as_millis()),
            "{:?}",
            began.elapsed()
        );
    }
    assert_eq!(client.get("/fast").status(), 200);
    assert_eq!(
        gateway.metric(r#"postern_gateway_upstream_errors_total{cluster="up",cause="timeout"}"#),
        2
    );
}

#[test]
fn a_slow_upload_is_not_given_up() {
    let upstream = Upstream::named("ok");
    let gateway = Gateway::start(&all_to(&upstream, ", timeout: 400ms"));
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(150));
        client.send("x");
    }
    assert_eq!(client.receive().status(), 200);
}

#[test]
fn a_dead_endpoint_is_passed_over() {
    let upstream = Upstream::named("ok");
    for balancing in ["least_request", "round_robin", "random"] {
        let gateway = Gateway::start(&format!(
            "routes: [ {{ prefix: /, cluster: up }} ]\nclusters: {{ up: {{ endpoints: [\"{}\", \"{}\"], load_balancing: {balancing} }} }}",
            Upstream::dead(),
            upstream.address
        ));
        for _ in 0..20 {
            assert_eq!(gateway.connect().get("/").status(), 200, "{balancing}");
            assert_eq!(gateway.connect().post("/", "body").status(), 200, "{balancing}");
        }
    }
}

#[test]
fn a_cluster_without_a_living_endpoint_is_unavailable_until_one_returns() {
    let address = Upstream::dead();
    let gateway = Gateway::start(&format!(
        "routes: [ {{ prefix: /, cluster: up }} ]\nclusters: {{ up: {{ endpoints: [\"{address}\"] }} }}"
    ));
    let mut client = gateway.connect();
    let answer = client.get("/");
    assert_eq!(answer.status(), 503);
    assert!(answer.text().starts_with("upstream connect error"));
    let listener = std::net::TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1000]);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
    });
    assert_eq!(client.get("/").status(), 200);
}

#[test]
fn load_is_spread_over_the_endpoints() {
    let (one, two) = (Upstream::named("one"), Upstream::named("two"));
    for balancing in ["least_request", "round_robin", "random"] {
        let before = (one.received().len(), two.received().len());
        let gateway = Gateway::start_with_workers(
            1,
            &format!(
                "routes: [ {{ prefix: /, cluster: up }} ]\nclusters: {{ up: {{ endpoints: [\"{}\", \"{}\"], load_balancing: {balancing} }} }}",
                one.address, two.address
            ),
        );
        let mut client = gateway.connect();
        for _ in 0..40 {
            client.get("/");
        }
        let (one, two) = (one.received().len() - before.0, two.received().len() - before.1);
        assert!(one >= 8 && two >= 8, "{balancing}: {one} and {two}");
    }
}

#[test]
fn an_ill_endpoint_is_passed_over() {
    let healthy = Arc::new(AtomicBool::new(true));
    let well = Arc::clone(&healthy);
    let one = Upstream::answering(move |request| {
        let status = if request.target() != "/health" || well.load(Ordering::SeqCst) {
            "200 OK"
        } else {
            "503 Ill"
        };
        format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\n\r\none").into_bytes()
    });
    let two = Upstream::named("two");
    let gateway = Gateway::start(&format!(
        "routes: [ {{ prefix: /, cluster: up }} ]\nclusters: {{ up: {{ endpoints: [\"{}\", \"{}\"], load_balancing: round_robin, health_check: {{ path: /health, interval: 30ms }} }} }}",
        one.address, two.address
    ));
    let answered_by_one = || (0..10).filter(|_| gateway.connect().get("/").text() == "one").count();
    let eventually = |expected: fn(usize) -> bool| {
        (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            expected(answered_by_one())
        })
    };
    assert!(eventually(|count| count >= 3));
    healthy.store(false, Ordering::SeqCst);
    assert!(eventually(|count| count == 0));
    healthy.store(true, Ordering::SeqCst);
    assert!(eventually(|count| count >= 3));
}

#[test]
fn connections_are_limited_and_requests_wait_for_them() {
    let upstream = Upstream::serving(|mut peer| {
        while peer.receive().is_some() {
            std::thread::sleep(Duration::from_millis(100));
            peer.respond("ok");
        }
    });
    let limited = |max_pending: usize| {
        Gateway::start(&format!(
            "routes: [ {{ prefix: /, cluster: up }} ]\nclusters: {{ up: {{ endpoints: [\"{}\"], max_connections: 1, max_pending: {max_pending} }} }}",
            upstream.address
        ))
    };
    let at_once = |gateway: &Gateway| {
        let address = gateway.address;
        let clients: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(move || Client::connect(address).get("/")))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect::<Vec<_>>()
    };
    let before = upstream.connections();
    let patient = limited(10);
    assert!(at_once(&patient).iter().all(|answer| answer.status() == 200));
    // One at a time, though both workers needed one.
    assert!(upstream.connections() - before <= 4);

    let strict = limited(0);
    let statuses: Vec<u16> = at_once(&strict).iter().map(Message::status).collect();
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
}

#[test]
fn the_client_is_asked_for_the_body_when_the_upstream_takes_it() {
    let upstream = Upstream::named("ok");
    let gateway = in_front_of(&upstream);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.receive_head().status(), 100);
    assert_eq!(client.send("body").receive().status(), 200);
    assert_eq!(upstream.last().text(), "body");
    assert_eq!(upstream.last().field("expect"), None);

    // Refused without the body: the client is never asked for it.
    let gateway = Gateway::start("routes: []\nclusters: {}");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.receive().status(), 404);
}

#[test]
fn a_client_that_leaves_cancels_the_request() {
    let left = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&left);
    let upstream = Upstream::serving(move |mut peer| {
        peer.receive();
        // Nothing comes: the connection ends.
        assert!(peer.receive().is_none());
        seen.fetch_add(1, Ordering::SeqCst);
    });
    let gateway = in_front_of(&upstream);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until(|| !upstream.received().is_empty());
    assert_eq!(left.load(Ordering::SeqCst), 0);
    drop(client);
    wait_until(|| left.load(Ordering::SeqCst) == 1);
    wait_until(|| gateway.metric("postern_gateway_connections_active") == 0);
}

#[test]
fn an_early_answer_reaches_a_client_that_still_sends() {
    let upstream = Upstream::serving(|mut peer| {
        peer.receive_head();
        peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        std::thread::sleep(Duration::from_millis(500));
    });
    let gateway = in_front_of(&upstream);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin");
    assert_eq!(client.receive().status(), 413);
}

#[test]
fn a_reader_that_stops_stops_the_upstream() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let upstream = Upstream::serving(move |mut peer| {
        peer.receive();
        let block = vec![b'x'; 64 * 1024];
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 268435456\r\n\r\n");
        while counter.load(Ordering::SeqCst) < 256 * 1024 * 1024 && peer.send(&block) {
            counter.fetch_add(block.len(), Ordering::SeqCst);
        }
    });
    let gateway = in_front_of(&upstream);
    let before = gateway.memory();
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.receive_head();
    assert_eq!(head.field("content-length"), Some("268435456"));
    let stalled_at = stalls(&sent);
    assert!(
        stalled_at < 64 * 1024 * 1024,
        "{stalled_at} bytes were taken for a client that reads nothing"
    );
    assert!(
        gateway.memory() < before + 8 * 1024,
        "{before} KiB grew to {} KiB",
        gateway.memory()
    );
    let mut rest = 0;
    let mut block = vec![0; 1 << 20];
    while rest < 256 * 1024 * 1024 {
        let n = client.reader.read(&mut block).unwrap();
        assert!(n > 0);
        rest += n;
    }
    assert!(
        gateway.memory() < before + 8 * 1024,
        "{before} KiB grew to {} KiB",
        gateway.memory()
    );
}

#[test]
fn an_upstream_that_stops_reading_stops_the_client() {
    let release = Arc::new(AtomicBool::new(false));
    let released = Arc::clone(&release);
    let upstream = Upstream::serving(move |mut peer| {
        let mut request = peer.receive_head().unwrap();
        while !released.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        request.read_body(&mut peer.reader).unwrap();
        peer.respond(&request.body.len().to_string());
    });
    let gateway = Gateway::start(&all_to(&upstream, ", timeout: 0"));
    let before = gateway.memory();
    let mut client = gateway.connect();
    let length = 128 * 1024 * 1024;
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
    ));
    let sent = Arc::new(AtomicUsize::new(0));
    let (counter, mut sink) = (Arc::clone(&sent), client.reader.get_ref().try_clone().unwrap());
    let sender = std::thread::spawn(move || {
        let block = vec![b'x'; 64 * 1024];
        while counter.load(Ordering::SeqCst) < length {
            sink.write_all(&block).unwrap();
            counter.fetch_add(block.len(), Ordering::SeqCst);
        }
    });
    let stalled_at = stalls(&sent);
    assert!(
        stalled_at < 64 * 1024 * 1024,
        "{stalled_at} bytes were taken for an upstream that reads nothing"
    );
    assert!(
        gateway.memory() < before + 8 * 1024,
        "{before} KiB grew to {} KiB",
        gateway.memory()
    );
    release.store(true, Ordering::SeqCst);
    sender.join().unwrap();
    assert_eq!(client.receive().text(), length.to_string());
}

/// Waits until a count stops growing.
fn stalls(count: &AtomicUsize) -> usize {
    let mut last = 0;
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let now = count.load(Ordering::SeqCst);
        if now == last && now > 0 {
            return now;
        }
        last = now;
    }
}

fn wait_until(condition: impl Fn() -> bool) {
    let waiting = Stopwatch::start();
    while !condition() {
        assert!(
            waiting.elapsed() < Duration::from_secs(10),
            "it did not happen within ten seconds"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}
