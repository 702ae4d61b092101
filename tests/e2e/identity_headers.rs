//! What the upstream learns of the caller comes from the filter alone.

use postern_e2e::{
    client::Request,
    host::{Host, filter_plugin},
    servers::Servers,
    token,
    upstream::EchoUpstream,
    visit::{Visit, compare_hosts, on_each_host},
};

/// Spellings of identity headers that a client might try: some upstreams take `_` for `-`.
const SPOOFED: &[(&str, &str)] = &[
    ("x-user-id", "admin"),
    ("X-User-Id", "admin"),
    ("X_USER_ID", "admin"),
    ("x-user_id", "admin"),
    ("X-User-Name", "admin"),
    ("x-client-id", "admin"),
    ("X-Authorities", "ROLE_ADMIN"),
    ("x_authorities", "ROLE_ADMIN"),
    ("X-Scope", "everything"),
];

fn spoofed(request: Request) -> Request {
    SPOOFED
        .iter()
        .fold(request, |request, (name, value)| request.header(name, value))
}

#[test]
fn the_service_is_told_who_calls() {
    on_each_host(|visit| {
        let user = visit.user("identity", &["tester", "tester2"]);
        let request = Request::get("/service/demo/echo?a=b").bearer(&visit.log_in(&user).access);
        for request in [request.clone(), spoofed(request)] {
            let answer = visit.send(&request);
            assert_eq!(answer.status, 200, "{answer:?}");
            let mut headers = answer.json()["headers"].clone();
            headers.as_object_mut().expect("the echo shows headers").sort_keys();
            let ours = serde_json::json!({
                "x-authorities": "ROLE_TEST,ROLE_TEST2",
                "x-client-id": "demo",
                "x-scope": "all",
                "x-user-id": user,
                "x-user-name": user,
            });
            assert_eq!(headers, ours);
            assert_eq!(answer.json()["path"], "/demo/echo");
            assert_eq!(answer.json()["query"], "a=b");
        }
    });
}

#[test]
fn no_spelling_of_an_identity_header_reaches_the_upstream() {
    compare_hosts(|kind| {
        let servers = Servers::shared();
        let upstream = EchoUpstream::start();
        let stack = servers.for_host_before("identity-headers", upstream.port);
        let public = serde_json::json!(["/login/**", "/demo/open"]);
        let host = Host::start(&stack, kind, &filter_plugin(&stack, &[("public", public)]));
        let visit = Visit::new(servers, &host);
        let user = visit.user("spelling", &[]);
        let access = visit.log_in(&user).access;

        assert_eq!(visit.send(&spoofed(Request::get("/demo/open"))).status, 200);
        let head = upstream.heads().pop().expect("a request came");
        assert!(!head.contains("admin") && !head.contains("everything"), "{head}");

        assert_eq!(
            visit.send(&spoofed(Request::get("/demo/echo").bearer(&access))).status,
            200
        );
        let head = upstream.heads().pop().expect("a request came");
        assert!(!head.contains("admin") && !head.contains("everything"), "{head}");
        let told: Vec<&str> = head.lines().filter(|line| line.starts_with("x-user-id")).collect();
        assert_eq!(
            told,
            [format!(
                "x-user-id: {}",
                token::claims(&access)["userId"].as_str().unwrap_or_default()
            )]
        );

        // The echo takes what follows a head without a length for another head: what came behind the body shows there.
        let trailers = Request::new("POST", "/demo/open")
            .header("TE", "trailers")
            .header("Trailer", "X-User-Id, X_Scope, X-Sum")
            .chunks("3\r\nabc\r\n0\r\nX-User-Id: intruder\r\nX_Scope: intruder\r\nX-Sum: 7\r\n\r\n");
        assert_eq!(visit.status(&trailers), 200);
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(
            upstream.heads().iter().any(|head| head.contains("abc")),
            "the body came: {:?}",
            upstream.heads()
        );
        assert!(
            upstream.heads().iter().all(|head| !head.contains("intruder")),
            "{:?}",
            upstream.heads()
        );
        visit.seen()
    });
}
