//! Start, stop, and what an operator sees.

#[cfg(test)]
mod harness;

use std::time::Duration;

use harness::{Client, Gateway, Stopwatch, Upstream, folder, run, run_limited};

fn slow_upstream() -> Upstream {
    Upstream::serving(|mut peer| {
        while peer.receive().is_some() {
            std::thread::sleep(Duration::from_millis(600));
            peer.respond("done");
        }
    })
}

fn all_to(upstream: &Upstream) -> String {
    format!(
        "routes: [ {{ prefix: /, cluster: up }} ]\nclusters: {{ up: {{ endpoints: [\"{}\"] }} }}\n",
        upstream.address
    )
}

#[test]
fn a_stop_lets_running_exchanges_finish() {
    let upstream = slow_upstream();
    let mut gateway = Gateway::start(&all_to(&upstream));
    let mut idle = gateway.connect();
    assert_eq!(idle.get("/").status(), 200);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    while upstream.received().len() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let began = Stopwatch::start();
    gateway.terminate();
    let answer = client.receive();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "done"));
    assert!(client.is_closed());
    assert!(idle.is_closed());
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(std::net::TcpStream::connect(gateway.address).is_err());
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let upstream = Upstream::serving(|mut peer| {
        peer.receive();
        std::thread::sleep(Duration::from_secs(60));
    });
    let mut gateway = Gateway::start(&format!("{}drain_timeout: 300ms", all_to(&upstream)));
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    while upstream.received().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let began = Stopwatch::start();
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn a_port_in_use_is_one_line() {
    let upstream = Upstream::named("ok");
    // A second gateway could share the port by SO_REUSEPORT without noticing.
    let gateway = Gateway::start(&all_to(&upstream));
    let folder = folder();
    let address = gateway.address;
    std::fs::write(
        folder.join("gateway.yaml"),
        format!("listeners: [ {{ address: \"{address}\" }} ]"),
    )
    .unwrap();
    let finished = run(&["run", "--config", "gateway.yaml"], &folder);
    assert_eq!(finished.status.code(), Some(1));
    assert_eq!(
        finished.stderr,
        format!(
            "error: gateway.yaml:1:25: listeners[0].address: cannot listen on {address}: the port is in use; stop the other program or choose another address\n"
        )
    );
}

/// What `run` says of each mistake that only the system can find.
#[test]
fn what_cannot_be_opened_or_found_is_one_line_with_its_place() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let folder = folder();
    let free = "listeners: [ { address: \"127.0.0.1:0\" } ]\n";
    for (config, expected) in [
        (
            format!("{free}admin: {{ address: \"{taken}\" }}"),
            format!("2:19: admin.address: cannot listen on {taken}: the port is in use; stop the other program or choose another address"),
        ),
        // Set aside for documentation (RFC 5737).
        (
            "listeners: [ { address: \"192.0.2.7:80\" } ]".to_owned(),
            "1:25: listeners[0].address: cannot listen on 192.0.2.7:80: this machine does not have that address; 0.0.0.0 is all that it has".to_owned(),
        ),
        (
            format!("{free}access_log: {{ path: none/access.log }}"),
            "2:21: access_log.path: cannot write ./none/access.log: No such file or directory (os error 2); the folder must be there, and the gateway's user may write to it".to_owned(),
        ),
    ] {
        std::fs::write(folder.join("gateway.yaml"), config).unwrap();
        let finished = run(&["run", "--config", "gateway.yaml"], &folder);
        let expected = format!("error: gateway.yaml:{expected}\n");
        assert_eq!((finished.status.code(), finished.stderr), (Some(1), expected));
    }
    // What a name server says is its own.
    let config = format!("{free}clusters:\n  up:\n    endpoints:\n      - 127.0.0.1:9\n      - a..b:80\n");
    std::fs::write(folder.join("gateway.yaml"), config).unwrap();
    let finished = run(&["run", "--config", "gateway.yaml"], &folder);
    let begin = "error: gateway.yaml:6:9: clusters.up.endpoints[1]: cannot look up `a..b`: ";
    let end =
        "; names are looked up once, at the start: is it right, and does the name server of this machine know it?\n";
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        finished.stderr.starts_with(begin) && finished.stderr.ends_with(end),
        "{}",
        finished.stderr
    );
    assert_eq!(finished.stderr.lines().count(), 1);
}

#[test]
fn an_endpoint_that_takes_no_connection_is_told_and_not_for_each_request() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let gateway = Gateway::start_with_workers(
        1,
        &format!(
            "routes: [ {{ prefix: /, cluster: up }} ]\nclusters: {{ up: {{ endpoints: [\"{nobody}\"] }} }}\naccess_log: {{ path: \"-\" }}"
        ),
    );
    for _ in 0..5 {
        assert_eq!(gateway.connect().get("/").status(), 503);
    }
    let said = gateway.says("no connection to");
    let expected = format!(
        "no connection to clusters.up.endpoints[0]: is it running there? cluster=\"up\" endpoint=\"{nobody}\" \
         reason=\"Connection refused (os error 111)\""
    );
    assert!(said.contains("WARN") && said.ends_with(&expected), "{said}");
    gateway.terminate();
    let next = gateway.says("");
    assert!(next.contains("stopping"), "{next}");
}

#[test]
fn an_endpoint_that_is_ill_is_told_with_the_reason() {
    // A server of HTTP/1.0 ends the connection with its answer.
    let upstream = Upstream::serving(|mut peer| {
        let asked = peer.receive().is_some_and(|request| request.target() == "/well");
        let status = if asked { 200 } else { 404 };
        peer.send(format!("HTTP/1.0 {status} X\r\nContent-Length: 0\r\n\r\n").as_bytes());
    });
    let checked = |path: &str| {
        Gateway::start(&format!(
            "clusters: {{ up: {{ endpoints: [\"{}\"], health_check: {{ path: {path}, interval: 10ms }} }} }}",
            upstream.address
        ))
    };
    let said = checked("/ill").says("endpoint is ill");
    assert!(said.contains("reason=\"it answers 404\""), "{said}");
    let gateway = checked("/well");
    let asked = || {
        upstream
            .received()
            .iter()
            .filter(|request| request.target() == "/well")
            .count()
    };
    while asked() < 10 {
        std::thread::sleep(Duration::from_millis(10));
    }
    gateway.terminate();
    let next = gateway.says("");
    assert!(next.contains("stopping"), "{next}");
}

#[test]
fn health_and_metrics() {
    let upstream = Upstream::named("ok");
    let gateway = Gateway::start(&all_to(&upstream));
    let mut admin = Client::connect(gateway.admin);
    assert_eq!(admin.get("/health/live").status(), 200);
    assert_eq!(admin.get("/health/ready").status(), 200);
    assert_eq!(admin.get("/other").status(), 404);
    let mut client = gateway.connect();
    for _ in 0..3 {
        client.get("/");
    }
    client.send("GET / HTTP/1.1\r\n\r\n").receive();
    assert_eq!(
        gateway.metric(r#"postern_gateway_requests_total{route="/",cluster="up",status="2xx"}"#),
        3
    );
    assert_eq!(
        gateway.metric(r#"postern_gateway_requests_total{route="",cluster="",status="4xx"}"#),
        1
    );
    assert_eq!(
        gateway.metric(r#"postern_gateway_upstream_connections_total{cluster="up"}"#),
        1
    );
    assert_eq!(gateway.metric("postern_gateway_connections_active"), 1);
}

#[test]
fn the_access_log_tells_no_secrets() {
    let upstream = Upstream::named("ok");
    let mut gateway = Gateway::start(&format!("{}access_log: {{ path: access.log }}", all_to(&upstream)));
    let mut client = gateway.connect();
    client
        .send("GET /a?access_token=abc.def&x=1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc.def\r\nUser-Agent: t\r\n\r\n")
        .receive();
    drop(client);
    gateway.terminate();
    gateway.wait();
    let log = std::fs::read_to_string(gateway.folder.join("access.log")).unwrap();
    let line: serde_json::Value = serde_json::from_str(log.trim_end()).unwrap();
    assert_eq!(line["path"], "/a?access_token=-&x=1");
    assert_eq!(line["status"], 200);
    assert_eq!(line["bytes"], 2);
    assert_eq!(line["cluster"], "up");
    assert_eq!(line["upstream"], upstream.address.to_string());
    assert_eq!(line["complete"], true);
    assert!(!log.contains("abc.def"));
}

/// A plugin that calls the cluster `up` when it starts.
const CALLING: &str = r#"(module
  (import "env" "proxy_http_call"
    (func $http_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "up")
  (data (i32.const 64)
    "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (i32.eqz (call $http_call (i32.const 16) (i32.const 2) (i32.const 64) (i32.const 61)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 20000) (i32.const 512)))))"#;

#[test]
fn an_answer_too_large_for_a_plugin_is_told() {
    let upstream = Upstream::answering(|_| {
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 17 << 20).into_bytes();
        answer.resize(answer.len() + (17 << 20), b'x');
        answer
    });
    let plugin = folder().join("calling.wasm");
    std::fs::write(&plugin, wat::parse_str(CALLING).unwrap()).unwrap();
    let plugins = format!("plugins: [ {{ name: calling, wasm: \"{}\" }} ]", plugin.display());
    let gateway = Gateway::start(&format!("{}{plugins}", all_to(&upstream)));
    let line = gateway.says("the answer is larger than 16 MiB");
    assert!(line.contains("WARN") && line.contains("up"), "{line}");
}

#[test]
fn help_names_every_command() {
    let finished = run(&["--help"], &folder());
    assert!(finished.status.success());
    for command in ["run", "check", "envoy", "schema", "--log-format", "--log-level"] {
        assert!(finished.stdout.contains(command), "{command}");
    }
}

#[test]
#[cfg(unix)]
fn where_no_pool_can_be_reserved_vms_are_made_one_by_one() {
    let upstream = Upstream::named("ok");
    let folder = folder();
    let wasm = r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 0)))"#;
    std::fs::write(
        folder.join("guest.wasm"),
        wat::parse_str(wasm).expect("the guest is no WAT"),
    )
    .expect("cannot write");
    let text = format!(
        "listeners: [ {{ address: \"127.0.0.1:0\" }} ]\n{}plugins: [ {{ name: guest, wasm: guest.wasm }} ]\n",
        all_to(&upstream)
    );
    std::fs::write(folder.join("gateway.yaml"), text).expect("cannot write");
    // 32 GiB of addresses: enough for a few memories, not for a pool of them.
    let finished = run_limited("ulimit -v 33554432", &["check", "--config", "gateway.yaml"], &folder);
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("VMs are allocated on demand"),
        "{}",
        finished.stderr
    );
}
