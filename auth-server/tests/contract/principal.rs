//! Profile `principal`: client tokens with a `principal` in them.

use crate::harness::*;

const MOUNT: &str = ", { profile: principal, path: /authorization-server }";
const TOKEN: &str = "/authorization-server/oauth/token";
const LOGIN: &str = "grant_type=client_credentials&client_id=platform&client_secret=platform-secret";

/// The client of the samples, and what it is registered with.
const PLATFORM: &str = r#"platform --secret platform-secret --profile principal --grants client_credentials --scopes read,write --principal {"userInfoDTO":{"orgId":1,"username":"admin","userType":"1","chineseName":"管理员","orgName":"平台","orgType":"1","phone":null,"email":null},"id":1,"username":"admin","type":"1","chineseName":"管理员"}"#;

fn server(compat: &'static str) -> Server {
    Server::with(Setup {
        compat,
        mounts: MOUNT,
        clients: &[
            PLATFORM,
            "plain --secret s --profile principal --grants client_credentials --scopes read --authorities ROLE_B,ROLE_A",
        ],
        ..Setup::default()
    })
}

#[test]
fn a_token_by_query_by_form_and_by_basic() {
    let server = server("{ query_credentials: true }");
    let answers = [
        server.request("POST", &format!("{TOKEN}?{LOGIN}"), &[], ""),
        server.request(
            "POST",
            TOKEN,
            &[
                ("accept", "application/json;charset=UTF-8"),
                ("content-type", "application/x-www-form-urlencoded;charset=UTF-8"),
            ],
            LOGIN,
        ),
        server.post(
            &format!("{TOKEN}?grant_type=client_credentials"),
            ("platform", "platform-secret"),
            "",
        ),
    ];
    for answer in answers {
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        let (token, expires_in) = (text(&body, "access_token"), body["expires_in"].as_i64().unwrap());
        // Never 7200: as in the original, what is left is rounded down.
        assert!((7_190..=7_199).contains(&expires_in), "{body}");
        // No jti here, and no refresh token.
        assert_eq!(
            answer.body,
            format!(
                r#"{{"access_token":"{token}","token_type":"bearer","expires_in":{expires_in},"scope":"read write"}}"#
            )
        );
        assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn the_claims_of_a_token_in_their_order() {
    let server = server("{}");
    let tokens = server.post_form(TOKEN, LOGIN).json();
    let token = text(&tokens, "access_token");
    assert!(token.starts_with("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."), "{token}");
    let claims = claims(token);
    let (exp, jti) = (claims["exp"].as_i64().unwrap(), text(&claims, "jti"));
    assert_eq!(jti.len(), 36);
    assert_eq!(
        payload(token),
        format!(
            r#"{{"principal":{{"id":1,"username":"admin","type":"1","chineseName":"管理员","userInfoDTO":{{"username":"admin","userType":"1","chineseName":"管理员","orgId":1,"orgName":"平台","orgType":"1","phone":null,"email":null}}}},"scope":["read","write"],"exp":{exp},"jti":"{jti}","client_id":"platform"}}"#
        )
    );
}

#[test]
fn a_client_without_a_principal_and_with_authorities() {
    let server = server("{}");
    let tokens = server
        .post(TOKEN, ("plain", "s"), "grant_type=client_credentials")
        .json();
    let payload = payload(text(&tokens, "access_token"));
    let begins = r#"{"principal":{"authorities":["ROLE_A","ROLE_B"]},"scope":["read"],"exp":"#;
    assert!(payload.starts_with(begins), "{payload}");
}

#[test]
fn the_same_token_while_it_is_valid() {
    let server = server("{}");
    let first = server.post_form(TOKEN, LOGIN).json();
    assert_eq!(
        server.post_form(TOKEN, LOGIN).json()["access_token"],
        first["access_token"]
    );
    let narrower = server.post_form(TOKEN, &format!("{LOGIN}&scope=read")).json();
    assert_eq!(text(&narrower, "scope"), "read");
    assert_ne!(narrower["access_token"], first["access_token"]);
}

#[test]
fn errors_are_those_of_the_spring_systems() {
    let server = server("{}");
    for (form, status, body) in [
        (
            "grant_type=client_credentials&client_id=platform&client_secret=wrong",
            401,
            r#"{"error":"invalid_client","error_description":"Bad client credentials"}"#,
        ),
        // A client of another contract.
        (
            "grant_type=password&client_id=demo&client_secret=demo-secret",
            401,
            r#"{"error":"invalid_client","error_description":"Bad client credentials"}"#,
        ),
        (
            "client_id=platform&client_secret=platform-secret",
            400,
            r#"{"error":"invalid_request","error_description":"Missing grant type"}"#,
        ),
        (
            "grant_type=client_credentials&client_id=platform&client_secret=platform-secret&scope=admin",
            400,
            r#"{"error":"invalid_scope","error_description":"Invalid scope: admin","scope":"read write"}"#,
        ),
        (
            "grant_type=password&client_id=platform&client_secret=platform-secret",
            401,
            r#"{"error":"invalid_client","error_description":"Unauthorized grant type: password"}"#,
        ),
    ] {
        let answer = server.post_form(TOKEN, form);
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{form}");
    }
    let query = server.request("POST", &format!("{TOKEN}?{LOGIN}"), &[], "");
    assert_eq!(query.status, 400, "{query:?}");
}

#[test]
fn the_gateways_read_who_it_is_from_the_principal() {
    let server = server("{}");
    let snapshot = server.snapshot();
    let issuers = snapshot["issuers"].as_array().unwrap();
    let issuer = issuers
        .iter()
        .find(|issuer| issuer["claims"]["user_id"] == "principal.id")
        .unwrap_or_else(|| panic!("{snapshot}"));
    assert_eq!(issuer["claims"]["user_name"], "principal.username");
    assert_eq!(issuer["required_claims"], serde_json::json!(["principal"]));
    // Whoever the login service knows by the same id is somebody else.
    assert_eq!(issuer["foreign_users"], true);
    let others = issuers.iter().filter(|issuer| issuer["foreign_users"] == true);
    assert_eq!(others.count(), 1, "{snapshot}");
}

#[test]
fn a_password_is_not_registered_and_a_file_may_hold_the_principal() {
    let server = server("{}");
    let add = |id: &str, principal: &str| {
        let words = "--secret s --profile principal --grants client_credentials --scopes read --principal";
        let words: Vec<&str> = words.split(' ').collect();
        server.run(&[&["client", "add", id], &words[..], &[principal]].concat())
    };
    for (principal, complaint) in [
        (r#"{"id":1,"password":"x"}"#, "`password` is never put into a token"),
        (r#"{"id":true}"#, "`id` is no name"),
        (r#"{"id":1.5}"#, "`id` is no name"),
        (r#"{"id":1,"username":100000000000000000001}"#, "`username` is no name"),
        (r#"{"userInfoDTO":{"password":"x"}}"#, "`userInfoDTO.password` is never"),
        (r#"{"id":{"password":"x"}}"#, "`id` is never"),
        ("[]", "write a JSON object"),
        ("@nowhere.json", "nowhere.json cannot be read"),
    ] {
        let output = add("wrong", principal);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{principal}");
        assert!(error.contains(complaint) && error.lines().count() == 1, "{error}");
    }
    std::fs::write(server.folder.path().join("p.json"), "{ \"id\": 7 }\n").unwrap();
    assert!(add("filed", "@p.json").status.success());
    server.snapshot();
    let tokens = server
        .post(TOKEN, ("filed", "s"), "grant_type=client_credentials")
        .json();
    assert_eq!(
        claims(text(&tokens, "access_token"))["principal"],
        serde_json::json!({ "id": 7 })
    );
    let spring = "client add other --secret s --profile spring --grants password --scopes all --principal {}";
    let refused = server.run(&spring.split(' ').collect::<Vec<_>>());
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("tokens of profile spring have none"), "{error}");
}
