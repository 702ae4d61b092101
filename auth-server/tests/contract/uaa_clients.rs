//! Profile `uaa`: a token of scope ADMIN registers and removes clients.

use std::thread;
use std::time::Duration;

use crate::harness::http::Answer;
use crate::harness::*;
use crate::uaa_token::{ADMIN_LOGIN, admin_token, server};

const REGISTER: &str = "/uaa/register";

fn register(server: &Server, token: &str, client: &str) -> Answer {
    server.post_form(
        REGISTER,
        &format!("access_token={token}&clientId={client}&clientSecret=acm"),
    )
}

fn delete(server: &Server, token: &str, client: &str) -> Answer {
    server.post_form(&format!("/uaa/delete/{client}"), &format!("access_token={token}"))
}

/// The client's own token, got with the secret it was registered with.
fn token_of(server: &Server, client: &str) -> Answer {
    let form = format!("client_id={client}&client_secret=acm&grant_type=client_credentials");
    server.post_form("/uaa/oauth/token", &form)
}

fn check(server: &Server, token: &str) -> (u16, String) {
    let answer = server.post_form("/uaa/oauth/check_token", &format!("token={token}"));
    (answer.status, answer.body)
}

/// A call with a token in the query, in a form or in the header, for each method that has them.
const WAYS: usize = 5;

fn call(server: &Server, way: usize, path: &str, token: &str, parameters: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let form = |headers: &[(&str, &str)], body: &str| {
        let headers = [&[("content-type", FORM)], headers].concat();
        server.request("POST", path, &headers, body)
    };
    match way {
        0 => server.get(&format!("{path}?access_token={token}&{parameters}"), &[]),
        1 => server.get(&format!("{path}?{parameters}"), &[("authorization", &bearer)]),
        2 => form(&[], &format!("access_token={token}&{parameters}")),
        3 => form(&[("authorization", &bearer)], parameters),
        // The header comes first.
        _ => form(
            &[("authorization", &bearer)],
            &format!("access_token=nonsense&{parameters}"),
        ),
    }
}

#[test]
fn a_client_is_registered_and_can_get_a_token_at_once() {
    let server = server(&[]);
    let answer = register(&server, &admin_token(&server), "acme");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.body,
        r#"{"clientId":"acme","clientSecret":"acm","scope":"CLIENT"}"#
    );
    assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let given = token_of(&server, "acme");
    assert_eq!((given.status, text(&given.json(), "scope")), (200, "CLIENT"));
    let (status, checked) = check(&server, text(&given.json(), "access_token"));
    assert_eq!(status, 200);
    assert!(checked.starts_with(r#"{"scope":["CLIENT"],"exp":"#), "{checked}");
    let list = server.succeed(&["client", "list"]);
    let expected = "acme (profile uaa)\n  grants: client_credentials\n  scopes: CLIENT\n";
    assert!(list.contains(expected), "{list}");
}

#[test]
fn by_get_and_by_post_with_a_token_in_query_form_or_header() {
    let server = server(&[]);
    let token = admin_token(&server);
    for way in 0..WAYS {
        let answer = call(&server, way, REGISTER, &token, "clientId=again&clientSecret=acm");
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = call(&server, way, "/uaa/delete/again", &token, "");
        assert_eq!((answer.status, answer.body.as_str()), (200, "{clientId:again}"));
    }
}

#[test]
fn a_client_is_removed_and_its_tokens_with_it() {
    let server = server(&[]);
    let admin = admin_token(&server);
    for _ in 0..2 {
        assert_eq!(register(&server, &admin, "acme3").status, 200);
        let token = text(&token_of(&server, "acme3").json(), "access_token").to_owned();
        let before = server.snapshot();
        let answer = delete(&server, &admin, "acme3");
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "{clientId:acme3}"),
            "{answer:?}"
        );
        assert_eq!(answer.header("content-type"), Some("text/plain;charset=UTF-8"));
        assert_eq!(token_of(&server, "acme3").status, 401);
        assert_eq!(
            check(&server, &token),
            (
                400,
                r#"{"error":"invalid_token","error_description":"Client not valid: acme3"}"#.into()
            )
        );
        // The gateways are told.
        let answer = server.feed(Some(text(&before, "version")), 10);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains("acme3"), "{answer:?}");
        let asked = server.post("/oauth2/introspect", ("gateway", "secret"), &format!("token={token}"));
        assert_eq!(asked.body, r#"{"active":false}"#);
    }
}

#[test]
fn the_answer_to_a_removal_may_be_json() {
    let server = Server::with(Setup {
        compat: "{ literal_delete_body: false }",
        mounts: ", { profile: uaa, path: /uaa }",
        clients: &[
            "admin --secret secret --profile uaa --grants client_credentials --scopes ADMIN",
            "acme --secret s --profile uaa --grants client_credentials --scopes CLIENT",
        ],
        ..Setup::default()
    });
    let answer = delete(&server, &admin_token(&server), "acme");
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"clientId":"acme"}"#));
    assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
}

#[test]
fn without_a_token() {
    let server = server(&[]);
    for answer in [
        server.get("/uaa/register?clientId=a&clientSecret=b", &[]),
        server.post_form(REGISTER, "clientId=a&clientSecret=b"),
        server.post_form("/uaa/delete/admin", ""),
        // Client credentials are no token.
        server.post(REGISTER, ("admin", "secret"), "clientId=a&clientSecret=b"),
    ] {
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_eq!(
            answer.body,
            r#"{"error":"unauthorized","error_description":"Full authentication is required to access this resource"}"#
        );
        assert_eq!(
            answer.header("www-authenticate"),
            Some(
                r#"Bearer realm="oauth2-resource", error="unauthorized", error_description="Full authentication is required to access this resource""#
            )
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn with_a_token_that_is_not_good() {
    let server = server(&[
        "brief --secret s --profile uaa --grants client_credentials --scopes ADMIN --access-token-validity 1",
        "gone --secret acm --profile uaa --grants client_credentials --scopes ADMIN",
    ]);
    let invalid = |token: &str, description: &str, header: &str| {
        for answer in [register(&server, token, "acme"), delete(&server, token, "admin")] {
            assert_eq!(answer.status, 401, "{answer:?}");
            assert_eq!(
                answer.body,
                format!(r#"{{"error":"invalid_token","error_description":"{description}"}}"#)
            );
            // A presented token is repeated in the body only: proxies log headers.
            let expected =
                format!(r#"Bearer realm="oauth2-resource", error="invalid_token", error_description="{header}""#);
            assert_eq!(answer.header("www-authenticate"), Some(expected.as_str()));
        }
    };
    let unknown = "d854c661-4c4d-4614-9fa7-ed90d7dccb25";
    invalid(
        unknown,
        &format!("Invalid access token: {unknown}"),
        "Invalid access token",
    );
    // A good token of another contract.
    let of_spring = server.log_in("u1");
    let of_spring = text(&of_spring, "access_token");
    invalid(
        of_spring,
        &format!("Invalid access token: {of_spring}"),
        "Invalid access token",
    );

    let brief = server
        .post("/uaa/oauth/token", ("brief", "s"), "grant_type=client_credentials")
        .json();
    let brief = text(&brief, "access_token");
    thread::sleep(Duration::from_millis(1100));
    invalid(brief, &format!("Access token expired: {brief}"), "Access token expired");

    let gone = text(&token_of(&server, "gone").json(), "access_token").to_owned();
    server.succeed(&["client", "remove", "gone"]);
    invalid(&gone, "Client not valid: gone", "Client not valid: gone");
}

#[test]
fn with_a_token_of_a_registered_client() {
    let server = server(&[]);
    let admin = admin_token(&server);
    assert_eq!(register(&server, &admin, "acme").status, 200);
    let token = text(&token_of(&server, "acme").json(), "access_token").to_owned();
    let mut answers = Vec::new();
    for way in 0..WAYS {
        answers.push(call(&server, way, REGISTER, &token, "clientId=other&clientSecret=acm"));
        answers.push(call(&server, way, "/uaa/delete/admin", &token, ""));
    }
    // Before anything else is looked at.
    answers.push(server.post_form(REGISTER, &format!("access_token={token}")));
    answers.push(delete(&server, &token, "nobody"));
    for answer in answers {
        assert_eq!(answer.status, 403, "{answer:?}");
        assert_eq!(
            answer.body,
            r#"{"error":"insufficient_scope","error_description":"Insufficient scope for this resource","scope":"ADMIN"}"#
        );
        assert_eq!(
            answer.header("www-authenticate"),
            Some(
                r#"Bearer error="insufficient_scope", error_description="Insufficient scope for this resource", scope="ADMIN""#
            )
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("pragma"), Some("no-cache"));
    }
    assert_eq!(token_of(&server, "other").status, 401);
}

#[test]
fn a_client_that_there_is_already() {
    let server = server(&[]);
    let admin = admin_token(&server);
    assert_eq!(register(&server, &admin, "acme2").status, 200);
    // An id of another contract's client is taken, too.
    for client in ["acme2", "admin", "demo"] {
        let answer = register(&server, &admin, client);
        assert_eq!(answer.status, 500, "{answer:?}");
        assert_eq!(
            masked(&answer.body, &[]),
            format!(
                r#"{{"timestamp":<now>,"status":500,"error":"Internal Server Error","exception":"org.springframework.security.oauth2.provider.ClientAlreadyExistsException","message":"Client already exists: {client}","path":"/uaa/register"}}"#
            )
        );
    }
    let wrong = server.post_form(
        REGISTER,
        &format!("access_token={admin}&clientId=acme2&clientSecret=another"),
    );
    assert_eq!(wrong.status, 500);
    assert_eq!(token_of(&server, "acme2").status, 200);
}

#[test]
fn a_client_that_there_is_not() {
    let server = server(&[]);
    let admin = admin_token(&server);
    // A client of another contract is none of this one's.
    for client in ["acm", "demo"] {
        let answer = delete(&server, &admin, client);
        assert_eq!(answer.status, 500, "{answer:?}");
        assert_eq!(
            masked(&answer.body, &[]),
            format!(
                r#"{{"timestamp":<now>,"status":500,"error":"Internal Server Error","exception":"org.springframework.security.oauth2.provider.NoSuchClientException","message":"No client with requested id: {client}","path":"/uaa/delete/{client}"}}"#
            )
        );
    }
    assert_eq!(
        server.token("grant_type=password&username=u1&password=password").status,
        200
    );
}

#[test]
fn without_client_id_or_client_secret() {
    let server = server(&[]);
    let admin = admin_token(&server);
    for (parameters, missing) in [
        ("", "clientId"),
        ("&clientSecret=s", "clientId"),
        ("&clientId=&clientSecret=s", "clientId"),
        ("&clientId=acme", "clientSecret"),
        ("&clientId=acme&clientSecret=", "clientSecret"),
    ] {
        let answer = server.post_form(REGISTER, &format!("access_token={admin}{parameters}"));
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(
            masked(&answer.body, &[]),
            format!(
                r#"{{"timestamp":<now>,"status":400,"error":"Bad Request","exception":"org.springframework.web.bind.MissingServletRequestParameterException","message":"Required String parameter '{missing}' is not present","path":"/uaa/register"}}"#
            )
        );
    }
}

#[test]
fn an_id_that_no_client_can_have() {
    let server = server(&[]);
    let admin = admin_token(&server);
    for id in ["a%3Ab", "a%0Ab", "+acme", &"a".repeat(256)] {
        let answer = register(&server, &admin, id);
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (400, &"Bad Request".into()),
            "{id}"
        );
    }
}

#[test]
fn other_methods_register_and_remove_nothing() {
    let server = server(&[]);
    let bearer = format!("Bearer {}", admin_token(&server));
    for method in ["HEAD", "PUT", "DELETE"] {
        for path in ["/uaa/register?clientId=acme&clientSecret=acm", "/uaa/delete/admin"] {
            let answer = server.request(method, path, &[("authorization", &bearer)], "");
            assert_eq!(
                (answer.status, answer.header("allow")),
                (405, Some("GET, POST")),
                "{method} {path}"
            );
        }
    }
    assert_eq!(token_of(&server, "acme").status, 401);
    assert_eq!(server.post_form("/uaa/oauth/token", ADMIN_LOGIN).status, 200);
}

#[test]
fn a_client_registered_anew_has_none_of_the_tokens_of_its_predecessor() {
    let server = server(&[]);
    let admin = admin_token(&server);
    register(&server, &admin, "acme");
    let old = text(&token_of(&server, "acme").json(), "access_token").to_owned();
    delete(&server, &admin, "acme");
    assert_eq!(register(&server, &admin, "acme").status, 200);
    let new = text(&token_of(&server, "acme").json(), "access_token").to_owned();
    assert_ne!(new, old);
    assert_eq!((check(&server, &old).0, check(&server, &new).0), (400, 200));
}

#[test]
fn of_many_registrations_of_one_id_one_succeeds() {
    let server = server(&[]);
    let admin = admin_token(&server);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let calls: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| register(&server, &admin, "raced").status))
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        1,
        "{statuses:?}"
    );
    assert!(
        statuses.iter().all(|status| [200, 500].contains(status)),
        "{statuses:?}"
    );
    assert_eq!(token_of(&server, "raced").status, 200);
}

#[test]
fn secrets_and_tokens_are_kept_nowhere_as_they_are() {
    let mut server = server(&[]);
    let admin = admin_token(&server);
    let secret = "a-secret-that-nobody-else-has";
    let query = format!("/uaa/register?access_token={admin}&clientId=acme&clientSecret={secret}");
    assert_eq!(server.get(&query, &[]).status, 200);
    assert_eq!(server.get(&query, &[]).status, 500);
    server.get(
        &format!("{}x", query.replace("acme", "acme4")),
        &[("authorization", "Bearer nonsense")],
    );
    let log = server.log_with("refused");
    server.terminate();
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    for file in std::fs::read_dir(server.folder.path()).unwrap() {
        let file = file.unwrap().path();
        let bytes = std::fs::read(&file).unwrap();
        assert!(!holds(&bytes, secret) && !holds(&bytes, &admin), "{}", file.display());
    }
    assert!(!log.contains(secret) && !log.contains(&admin), "{log}");
}
