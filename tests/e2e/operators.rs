//! What operators set and see: rules for hosts, denials, shadow mode, counters, log lines, the debug header.

use std::{fs, thread, time::Duration};

use postern_e2e::{
    client::Request,
    host::{self, Host, filter_plugin},
    servers::{Servers, folder},
    upstream::EchoUpstream,
    visit::{Visit, compare_hosts},
};
use serde_json::{Value, json};
use xtask::stack::{HostKind, ServerPorts, Stack};

/// Longer than counters and log lines take to appear.
const SOON: Duration = Duration::from_secs(10);

fn start(name: &str, kind: HostKind, changes: &[(&str, Value)]) -> (&'static Servers, Stack, Host) {
    let servers = Servers::shared();
    let stack = servers.for_host(name);
    let host = Host::start(&stack, kind, &filter_plugin(&stack, changes));
    (servers, stack, host)
}

/// The lines of the filter in a host's log, from the one on that has this in it.
fn refusals(host: &Host) -> Vec<Value> {
    let log = fs::read(&host.log).unwrap_or_default();
    String::from_utf8_lossy(&log).lines().filter_map(json_of).collect()
}

/// The JSON of a refusal in a line of a host's own format; text inside a JSON log is escaped once more.
fn json_of(line: &str) -> Option<Value> {
    let line = if line.contains("{\\\"event\\\"") {
        line.replace("\\\"", "\"")
    } else {
        line.into()
    };
    let begin = line.find("{\"event\"")?;
    let end = line.rfind('}')?;
    serde_json::from_str(line.get(begin..=end)?).ok()
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..SOON.as_millis() / 50 {
        if let Some(found) = look() {
            return found;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not come within {SOON:?}")
}

#[test]
fn rules_for_hosts_and_denials() {
    compare_hosts(|kind| {
        let rules = json!([
            { "path": "/demo/echo" },
            { "path": "/demo/data", "deny": true },
            { "path": "/demo/test", "hosts": [ "*.example.com" ], "methods": [ "GET" ] },
            { "path": "/demo/test", "hosts": [ "closed.example.com" ], "deny": true }
        ]);
        let public = json!(["/login/**", { "path": "/demo/test2", "hosts": ["www.example.com"] }]);
        let (servers, _, host) = start("hosts", kind, &[("rules", rules), ("public", public)]);
        let visit = Visit::new(servers, &host);
        let token = visit.log_in(&visit.user("hosts", &[])).access;
        for (method, path, at, with_token, without) in [
            ("GET", "/demo/test", "a.example.com", 200, 401),
            ("GET", "/demo/test", "A.Example.com:8081", 200, 401),
            ("GET", "/demo/test", "b.a.example.com.", 200, 401),
            ("GET", "/demo/test", "closed.example.com", 403, 401),
            ("GET", "/demo/test", "closed.example.com.:80", 403, 401),
            // Here the permission table decides, and this user has none.
            ("GET", "/demo/test", "example.com", 403, 401),
            ("POST", "/demo/test", "a.example.com", 403, 401),
            ("GET", "/demo/test2", "www.example.com", 200, 200),
            ("GET", "/demo/test2", "any.org", 403, 401),
            ("GET", "/demo/echo", "any.org", 200, 401),
            ("GET", "/demo/data", "any.org", 403, 401),
        ] {
            let request = Request::new(method, path).host(at);
            assert_eq!(
                visit.status(&request.clone().bearer(&token)),
                with_token,
                "{method} {at}{path}"
            );
            assert_eq!(visit.status(&request), without, "{method} {at}{path} without a token");
        }
        visit.seen()
    });
}

#[test]
fn a_rule_in_shadow_mode_lets_pass_and_is_reported() {
    compare_hosts(|kind| {
        let rules = json!([
            { "path": "/demo/echo", "any_authority": [ "ROLE_NOBODY" ], "mode": "shadow", "name": "tried-out" },
            { "path": "/demo/data", "any_authority": [ "ROLE_NOBODY" ] }
        ]);
        let (servers, _, host) = start("shadow", kind, &[("rules", rules)]);
        let visit = Visit::new(servers, &host);
        let user = visit.user("shadow", &[]);
        let token = visit.log_in(&user).access;
        // In shadow mode nobody waits for the feeds: this one does, at every worker.
        visit.wait(SOON, 403, &Request::get("/demo/data").bearer(&token));
        let answer = visit.send(&Request::get("/demo/echo").bearer(&token));
        assert_eq!(answer.status, 200, "{answer:?}");
        // Of a good token the upstream learns who calls, as it will when the rule is enforced.
        assert_eq!(answer.json()["headers"]["x-user-id"], user.as_str());
        assert_eq!(visit.send(&Request::get("/demo/echo")).status, 200);
        assert_eq!(visit.send(&Request::get("/demo/data").bearer(&token)).status, 403);
        // The workers write as they please.
        for expected in [
            "would_refuse forbidden tried-out",
            "would_refuse no_token tried-out",
            "refused forbidden rules[1]",
        ] {
            eventually(expected, || {
                let shown = |line: &Value| format!("{} {} {}", line["event"], line["reason"], line["rule"]);
                let lines = refusals(&host);
                lines
                    .iter()
                    .any(|line| shown(line).replace('"', "") == expected)
                    .then_some(())
            });
        }
        visit.seen()
    });
}

#[test]
fn shadow_mode_as_a_whole_lets_everything_pass_at_once() {
    compare_hosts(|kind| {
        // Nobody listens where the feed should come from: nothing can ever be decided.
        let servers = Servers::shared();
        let stack = Stack {
            folder: folder("all-shadow"),
            ports: ServerPorts {
                login: postern_e2e::ports::free(),
                ..servers.stack.ports
            },
            ..servers.stack.clone()
        };
        let changes = [("mode", json!("shadow")), ("hold", json!("60s"))];
        let host = Host::start(&stack, kind, &filter_plugin(&stack, &changes));
        let visit = Visit::new(servers, &host);
        let token = visit.log_in(&visit.user("all-shadow", &[])).access;
        assert_eq!(visit.status(&Request::get("/demo/echo").bearer(&token)), 200);
        assert_eq!(visit.status(&Request::get("/demo/echo")), 200);
        assert_eq!(visit.status(&Request::get("/demo/test2").bearer("rubbish")), 200);
        visit.seen()
    });
}

#[test]
fn a_refusal_is_one_line_without_the_token_and_nobody_writes_lines_of_their_own() {
    compare_hosts(|kind| {
        let (servers, stack, host) = start("lines", kind, &[]);
        let visit = Visit::new(servers, &host);
        let token = visit.log_in(&visit.user("lines", &[])).access;
        let forged = format!("{}x", token);
        let path = "/demo/a%22%7D%0Aevent%22";
        for request in [
            Request::get("/nothing?access_token=query-secret").bearer(&token),
            Request::get("/demo/test").bearer(&forged),
            Request::get(path),
        ] {
            assert!(visit.status(&request) >= 400);
        }
        let lines = eventually("three lines", || {
            let lines = refusals(&host);
            (lines.len() >= 3).then_some(lines)
        });
        assert_eq!(lines.len(), 3, "{lines:?}");
        let of = |path: &str| {
            let line = lines.iter().find(|line| line["path"] == path);
            line.unwrap_or_else(|| panic!("no line for {path} in {lines:?}"))
        };
        let id = postern_e2e::token::claims(&token)["jti"].clone();
        let forbidden = of("/nothing");
        assert_eq!(
            (&forbidden["reason"], &forbidden["token_id"]),
            (&json!("forbidden"), &id)
        );
        assert_eq!(
            (&forbidden["status"], &forbidden["rule"]),
            (&json!(403), &json!("unmatched"))
        );
        let bad = of("/demo/test");
        assert_eq!((&bad["reason"], &bad["claimed_token_id"]), (&json!("bad_token"), &id));
        assert_eq!(of(path)["reason"], "path");
        let log = fs::read_to_string(stack.log(&log_name(&host))).unwrap_or_default();
        for secret in [token.as_str(), &forged, "query-secret"] {
            assert!(!log.contains(secret), "the log holds a token");
        }
        visit.seen()
    });
}

fn log_name(host: &Host) -> String {
    format!("{}-{}", host::name(host.kind), host.port)
}

/// The value of one of the filter's counters, as the host shows it to operators; 0 when it is not there.
fn counter(host: &Host, name: &str) -> u64 {
    let (path, line) = match host.kind {
        HostKind::Gateway => ("/metrics", format!("name=\"{name}\"}} ")),
        HostKind::Envoy => ("/stats", format!("wasmcustom.{name}: ")),
    };
    let text = Request::get(path).header("Connection", "close").send(host.admin).text();
    let value = text
        .lines()
        .find_map(|text| text.split_once(line.as_str()).map(|(_, value)| value.trim()));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[test]
fn requests_are_counted_by_outcome_and_by_rule() {
    compare_hosts(|kind| {
        let rules = json!([{ "path": "/demo/echo", "name": "echo" }, { "path": "/demo/data", "deny": true }]);
        let (servers, _, host) = start("counters", kind, &[("rules", rules)]);
        let visit = Visit::new(servers, &host);
        let token = visit.log_in(&visit.user("counters", &["tester"])).access;
        for _ in 0..40 {
            visit.status(&Request::get("/demo/echo").bearer(&token));
        }
        for path in ["/demo/data", "/demo/test", "/demo/test2", "/nothing"] {
            visit.status(&Request::get(path).bearer(&token));
        }
        visit.status(&Request::get("/demo/echo"));
        visit.status(&Request::get("/demo/echo").bearer("rubbish.rubbish.rubbish"));
        visit.status(&Request::get("/demo//echo"));
        for (name, value) in [
            // The log-in, the echoes, and what the permission table allows.
            ("postern.requests.allowed", 42),
            ("postern.requests.refused.forbidden", 3),
            ("postern.requests.refused.no_token", 1),
            ("postern.requests.refused.bad_token", 1),
            ("postern.requests.refused.path", 1),
            ("postern.public.allowed", 1),
            ("postern.rule.echo.allowed", 40),
            ("postern.rule.echo.refused", 2),
            ("postern.rule.1.refused", 1),
            ("postern.permissions.allowed", 1),
            ("postern.permissions.refused", 1),
            ("postern.unmatched.refused", 1),
        ] {
            eventually(name, || (counter(&host, name) >= value).then_some(()));
            assert_eq!(counter(&host, name), value, "{name}");
        }
        let histogram = match kind {
            HostKind::Gateway => Request::get("/metrics"),
            HostKind::Envoy => Request::get("/stats/prometheus"),
        };
        eventually("the histogram", || {
            let text = histogram.clone().header("Connection", "close").send(host.admin).text();
            let counts = |line: &&str| line.contains("decision_microseconds_count") && !line.ends_with(" 0");
            text.lines().find(counts).map(drop)
        });
        visit.seen()
    });
}

#[test]
fn the_debug_header_needs_the_secret_and_never_goes_on() {
    compare_hosts(|kind| {
        const HEADER: &str = "x-postern-debug";
        const SECRET: &str = "a-secret-of-operators";
        let servers = Servers::shared();
        let upstream = EchoUpstream::start();
        let stack = servers.for_host_before("debug", upstream.port);
        let changes = [
            ("debug", json!({ "header": HEADER, "secret": SECRET })),
            (
                "rules",
                json!([{ "path": "/demo/echo" }, { "path": "/demo/data", "deny": true }]),
            ),
        ];
        let host = Host::start(&stack, kind, &filter_plugin(&stack, &changes));
        let visit = Visit::new(servers, &host);
        let token = visit.log_in(&visit.user("debug", &[])).access;
        let data = Request::get("/demo/data").bearer(&token);
        // Who had to wait for the feeds is not told the time.
        visit.wait(SOON, 403, &data);
        // The time differs from run to run.
        let explained = |request: &Request| {
            let answer = request.send(host.port);
            let text = answer
                .header(HEADER)
                .map(|text| text.split("; time=").next().unwrap_or_default().to_owned());
            if let Some(text) = answer.header(HEADER) {
                assert!(text.ends_with("us"), "{text}");
            }
            (answer.status, text)
        };
        let forbidden = r#"refused; reason=forbidden; detail="not permitted"; rule=rules[1]"#.to_owned();
        assert_eq!(
            explained(&data.clone().header(HEADER, SECRET)),
            (403, Some(forbidden.clone()))
        );
        for wrong in ["", "a-secret-of-operatorS", "a-secret-of-operator", ";probe"] {
            assert_eq!(explained(&data.clone().header(HEADER, wrong)), (403, None));
        }
        assert_eq!(explained(&data), (403, None));
        let none = r#"refused; reason=no_token; detail="no token"; rule=rules[0]"#.to_owned();
        assert_eq!(
            explained(&Request::get("/demo/echo").header(HEADER, SECRET)),
            (401, Some(none))
        );

        let echo = Request::get("/demo/echo").bearer(&token);
        let probe = format!("{SECRET};probe");
        let before = upstream.heads().len();
        let allowed = "allowed; rule=rules[0]".to_owned();
        assert_eq!(explained(&echo.clone().header(HEADER, &probe)), (204, Some(allowed)));
        assert_eq!(explained(&data.header(HEADER, &probe)), (403, Some(forbidden)));
        assert_eq!(upstream.heads().len(), before, "a probe does not go on");
        for value in [SECRET, "wrong", &probe.replace("secret", "guess")] {
            assert_eq!(
                explained(
                    &echo
                        .clone()
                        .header("X-Postern-Debug", value)
                        .header("x_postern_debug", "1")
                ),
                (200, None)
            );
        }
        let heads = upstream.heads().join("");
        assert!(
            heads.contains("/demo/echo") && !heads.contains("postern-debug") && !heads.contains("postern_debug"),
            "{heads}"
        );
        visit.seen()
    });
}
