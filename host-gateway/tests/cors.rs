//! Calls from pages of other origins: preflights, and what is added to answers.

#[cfg(test)]
mod harness;

use harness::{Gateway, Message, Upstream};

/// Answers as a service that lets every page of the world read everything.
fn careless_upstream() -> Upstream {
    Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\nVary: Accept\r\nContent-Length: 2\r\n\r\nok".to_vec()
    })
}

fn gateway(upstream: &Upstream, cors: &str) -> Gateway {
    let dead = Upstream::dead();
    Gateway::start(&format!(
        "routes: [ {{ prefix: /up/, cluster: up }}, {{ prefix: /dead, cluster: dead, retries: 0 }} ]\n\
         clusters: {{ up: {{ endpoints: [\"{}\"] }}, dead: {{ endpoints: [\"{dead}\"] }} }}\n{cors}",
        upstream.address
    ))
}

const CORS: &str = "cors: { origins: [\"https://app.example.com\", \"http://localhost:*\"] }";

fn ask(gateway: &Gateway, method: &str, target: &str, fields: &str) -> Message {
    gateway
        .connect()
        .send(format!("{method} {target} HTTP/1.1\r\nHost: example\r\n{fields}\r\n"))
        .receive()
}

/// The fields of an answer that are about CORS and caches, in the order in which they stand.
fn told(answer: &Message) -> Vec<(&str, &str)> {
    let about = |name: &str| name.starts_with("access-control-") || name == "vary";
    let fields = answer.fields.iter().filter(|(name, _)| about(name));
    let mut fields: Vec<_> = fields.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    fields.sort_unstable();
    fields
}

const PREFLIGHT: &str =
    "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: authorization,x-request-id\r\n";

#[test]
fn a_preflight_of_a_known_origin_is_answered_before_anybody_else_sees_it() {
    let upstream = careless_upstream();
    let gateway = gateway(&upstream, CORS);
    for origin in ["https://app.example.com", "http://localhost:3000", "http://localhost"] {
        for target in ["/up/a", "/dead", "/nowhere"] {
            let answer = ask(&gateway, "OPTIONS", target, &format!("Origin: {origin}\r\n{PREFLIGHT}"));
            assert_eq!((answer.status(), answer.text().as_str()), (200, ""), "{target}");
            let expected = [
                ("access-control-allow-headers", "authorization,x-request-id"),
                ("access-control-allow-methods", "PUT"),
                ("access-control-allow-origin", origin),
                ("access-control-expose-headers", "www-authenticate"),
                ("access-control-max-age", "600"),
            ];
            assert_eq!(told(&answer), expected, "{origin} {target}");
        }
    }
    assert!(upstream.received().is_empty());
}

#[test]
fn a_preflight_says_what_the_configuration_lists() {
    let gateway = gateway(
        &careless_upstream(),
        "cors: { origins: [\"https://app.example.com\"], methods: [GET, POST], headers: [Authorization, x-a], \
         expose_headers: [x-b, x-c], allow_credentials: true, max_age: 1h }",
    );
    let answer = ask(
        &gateway,
        "OPTIONS",
        "/up/a",
        &format!("Origin: https://app.example.com\r\n{PREFLIGHT}"),
    );
    assert_eq!(
        told(&answer),
        [
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-headers", "authorization,x-a"),
            ("access-control-allow-methods", "GET,POST"),
            ("access-control-allow-origin", "https://app.example.com"),
            ("access-control-expose-headers", "x-b,x-c"),
            ("access-control-max-age", "3600"),
        ]
    );
}

#[test]
fn what_is_no_preflight_of_a_known_origin_goes_its_normal_way() {
    let upstream = careless_upstream();
    let gateway = gateway(&upstream, CORS);
    for (method, fields) in [
        ("OPTIONS", format!("Origin: https://evil.org\r\n{PREFLIGHT}")),
        ("OPTIONS", format!("Origin: null\r\n{PREFLIGHT}")),
        (
            "OPTIONS",
            format!("Origin: https://app.example.com.evil.org\r\n{PREFLIGHT}"),
        ),
        (
            "OPTIONS",
            format!("Origin: https://app.example.com\r\nOrigin: https://app.example.com\r\n{PREFLIGHT}"),
        ),
        ("OPTIONS", PREFLIGHT.to_owned()),
        ("OPTIONS", "Origin: https://app.example.com\r\n".to_owned()),
        ("GET", format!("Origin: https://app.example.com\r\n{PREFLIGHT}")),
    ] {
        let before = upstream.received().len();
        let answer = ask(&gateway, method, "/up/a", &fields);
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (200, "ok"),
            "{method} {fields}"
        );
        assert_eq!(answer.field("access-control-max-age"), None, "{method} {fields}");
        assert_eq!(upstream.received().len(), before + 1, "{method} {fields}");
    }
}

#[test]
fn every_answer_says_that_the_page_may_read_it() {
    let gateway = gateway(&careless_upstream(), CORS);
    for (target, status, vary) in [
        ("/up/a", 200, &[("vary", "Accept"), ("vary", "Origin")][..]),
        ("/dead", 503, &[("vary", "Origin")]),
        ("/nowhere", 404, &[("vary", "Origin")]),
    ] {
        let answer = ask(&gateway, "GET", target, "Origin: http://localhost:8080\r\n");
        assert_eq!(answer.status(), status, "{target}");
        // Once, and no longer everybody; and not with cookies, which the service allows to everybody.
        let mut expected = vec![
            ("access-control-allow-origin", "http://localhost:8080"),
            ("access-control-expose-headers", "www-authenticate"),
        ];
        expected.extend(vary);
        assert_eq!(told(&answer), expected, "{target}");
    }
}

#[test]
fn a_service_that_has_said_that_it_looks_at_the_origin_is_not_repeated() {
    for (vary, expected) in [
        ("Accept, origin", vec![("vary", "Accept, origin")]),
        ("Original", vec![("vary", "Origin"), ("vary", "Original")]),
    ] {
        let upstream =
            Upstream::answering(move |_| format!("HTTP/1.1 204 No Content\r\nVary: {vary}\r\n\r\n").into_bytes());
        let answer = ask(&gateway(&upstream, CORS), "GET", "/up/a", "");
        assert_eq!(told(&answer), expected);
    }
}

#[test]
fn other_answers_stay_as_they_are() {
    let upstream = careless_upstream();
    let careless = [
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-origin", "*"),
    ];
    let without = gateway(&upstream, "");
    let answer = ask(&without, "GET", "/up/a", "Origin: http://localhost:8080\r\n");
    assert_eq!(told(&answer), [careless[0], careless[1], ("vary", "Accept")]);

    let gateway = gateway(&upstream, CORS);
    let answer = ask(&gateway, "GET", "/up/a", "");
    assert_eq!(
        told(&answer),
        [careless[0], careless[1], ("vary", "Accept"), ("vary", "Origin")]
    );
    let answer = ask(&gateway, "GET", "/up/a", "Origin: https://evil.org\r\n");
    assert_eq!(told(&answer), [careless[1], ("vary", "Accept"), ("vary", "Origin")]);
    let answer = ask(&gateway, "GET", "/nowhere", "Origin: https://evil.org\r\n");
    assert_eq!(told(&answer), [("vary", "Origin")]);
}
