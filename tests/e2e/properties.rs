//! The properties that plugins read: what `docs/plugins.md` says of each, and the same on both hosts.

#![allow(clippy::expect_used, reason = "a test may panic")]

use std::fs;

use postern_e2e::{
    client::Request,
    host::Host,
    servers::{Servers, folder, workspace},
    upstream::EchoUpstream,
    visit::compare_hosts,
};
use serde_json::json;

/// A row of the table: a path, its type, and from when on it is there.
struct Row {
    path: String,
    kind: String,
    from: String,
}

fn rows() -> Vec<Row> {
    let page = workspace().root.join("docs/plugins.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let (_, section) = page.split_once("\n## Properties\n").expect("there is a section");
    let table = section.lines().skip_while(|line| !line.starts_with("| ---")).skip(1);
    let mut rows = Vec::new();
    for line in table.take_while(|line| line.starts_with('|')) {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let mut next = || cells.next().expect("a row has three cells");
        let (paths, kind, from) = (next(), next(), next());
        for path in paths.split(", ") {
            rows.push(Row {
                path: path.trim_matches('`').to_owned(),
                kind: kind.to_owned(),
                from: from.to_owned(),
            });
        }
    }
    rows
}

/// The host's own, or different from one exchange to the next: only its type is compared.
fn varies(path: &str) -> bool {
    let own = [
        "xds.node",
        "request.headers",
        "request.time",
        "request.total_size",
        "connection.id",
    ];
    path.ends_with("address") || path.ends_with("port") || own.contains(&path)
}

/// Whether bytes, in hexadecimal digits, may be a value of a type.
fn is_of(kind: &str, value: &str) -> bool {
    match kind {
        "text" | "message" => true,
        "number" => value.len() == 16,
        "truth" => value.len() == 2,
        // Their number, and for each two sizes, and two NULs at least.
        "pairs" => {
            let count = value
                .get(..8)
                .and_then(|count| u32::from_str_radix(count, 16).ok())
                .map(u32::swap_bytes);
            count.is_some_and(|count| value.len() / 2 >= 4 + 10 * count as usize)
        }
        "parts" | "none" => value.is_empty(),
        _ => panic!("no type is called {kind}"),
    }
}

#[test]
fn properties_are_what_their_table_says() {
    let upstream = EchoUpstream::start();
    let rows = rows();
    assert!(rows.len() > 60, "the table was not found whole");
    compare_hosts(|kind| {
        let stack = &Servers::shared().stack;
        let wasm = folder("properties").join("property.wasm");
        let guest = wat::parse_str(include_str!("../guests/property.wat")).expect("the guest is good WAT");
        fs::write(&wasm, guest).expect("the folder can be written");
        let metadata = |of: &str| json!({ "filter_metadata": { "of": { "what": of } } });
        let host = Host::start_on(stack, kind, |port, admin| {
            json!({
                "listeners": [ {
                    "address": format!("127.0.0.1:{port}"),
                    "traffic_direction": "outbound",
                    "metadata": metadata("listener"),
                } ],
                "admin": { "address": format!("127.0.0.1:{admin}") },
                "routes": [ { "prefix": "/", "cluster": "up", "metadata": metadata("route") } ],
                "clusters": { "up": {
                    "endpoints": [ {
                        "address": format!("127.0.0.1:{}", upstream.port),
                        "metadata": metadata("upstream_host"),
                    } ],
                    "metadata": metadata("cluster"),
                } },
                "plugins": [ { "name": "guest", "wasm": wasm } ],
            })
            .to_string()
        });
        // The status, and the value in hexadecimal digits.
        let read = |path: &str, from: &str| {
            let answer = Request::get("/a?b=c")
                .header("x-path", &path.replace('.', "/").replace("NAME", "content-type"))
                .header("content-type", "text/plain")
                .header("referer", "from")
                .header("user-agent", "agent")
                .header("x-request-id", "id")
                .send(host.port);
            let when = if from == "request" { "x-early" } else { "x-late" };
            let read = answer.header(when).expect("the plugin was there");
            let (status, value) = read.split_at(1);
            (status.to_owned(), value.to_owned())
        };
        let mut seen = Vec::new();
        for Row { path, kind, from } in &rows {
            // Not before the answer is out.
            if from == "log" {
                continue;
            }
            let (status, value) = read(path, from);
            let expected = match kind.as_str() {
                "none" => "1",
                "parts" => "3",
                _ => "0",
            };
            assert_eq!(status, expected, "{path}");
            assert!(is_of(kind, &value), "{path} is no {kind}: {value}");
            // The order of fields is each host's own.
            if !varies(path) && kind != "pairs" {
                seen.push(format!("{path} {value}"));
            }
        }
        for (of, from) in [
            ("listener", "request"),
            ("route", "request"),
            ("cluster", "request"),
            ("upstream_host", "response"),
        ] {
            let read = read(&format!("xds.{of}_metadata.filter_metadata.of.what"), from);
            let text: String = of.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(read, ("0".to_owned(), text));
        }
        seen
    });
}
