//! A server with profile `tkey` at `/sso`, and what its clients and browsers do.

use serde_json::Value;

use super::http::Answer;
use super::{FORM, Server, Setup, text};

/// The client of the published samples.
pub const CLIENT: &str = "client_id=test_client_id_1&client_secret=test_client_secret_1";
/// Where it is called back.
pub const CALLBACK: &str = "http://app.example.com/cb";

pub const CLIENTS: &[&str] = &[
    "test_client_id_1 --secret test_client_secret_1 --profile tkey --scopes all \
     --grants authorization_code,password,refresh_token,client_credentials --response-types code,token \
     --redirect-uris http://app.example.com/cb,http://app.example.com/cb?x=1,com.example.app:/cb",
    "other --secret other-secret --profile tkey --scopes all --grants authorization_code \
     --redirect-uris http://other.example.com/cb,http://app.example.com/cb",
    "robot --secret robot-secret --profile tkey --scopes all --grants client_credentials",
];

pub fn start() -> Server {
    with_compat("{}")
}

pub fn with_compat(compat: &'static str) -> Server {
    Server::with(Setup { compat, ..setup() })
}

pub fn setup() -> Setup {
    Setup {
        mounts: ", { profile: tkey, path: /sso }",
        clients: CLIENTS,
        ..Setup::default()
    }
}

/// `POST` of a form below `/sso`.
pub fn post(server: &Server, path: &str, form: &str) -> Answer {
    server.post_form(&format!("/sso{path}"), form)
}

/// The token endpoint, as the client of the samples.
pub fn token(server: &Server, form: &str) -> Answer {
    post(server, "/oauth/token", &format!("{form}&{CLIENT}"))
}

/// What the token endpoint must give.
pub fn tokens(server: &Server, form: &str) -> Value {
    let answer = token(server, form);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

pub fn introspect(server: &Server, token: &str, kind: &str) -> Answer {
    post(
        server,
        "/oauth/introspect",
        &format!("{CLIENT}&token={token}&token_type_hint={kind}"),
    )
}

pub fn userinfo(server: &Server, token: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    server.get("/sso/oauth/userinfo", &[("authorization", &authorization)])
}

/// The path of the authorization endpoint with the sample client's request for a code, and more of it.
pub fn authorize_path(more: &str) -> String {
    format!("/sso/oauth/authorize?response_type=code&client_id=test_client_id_1&redirect_uri={CALLBACK}{more}")
}

/// Logs `u1` in at the authorization endpoint, as a program does that is no browser.
pub fn log_in(server: &Server, path: &str) -> Answer {
    server.request("POST", path, &[("content-type", FORM)], "username=u1&password=password")
}

/// A fresh code for the sample client's callback; `more` goes to the request, as `&code_challenge=…`.
pub fn code(server: &Server, more: &str) -> String {
    let answer = log_in(server, &authorize_path(more));
    assert_eq!(answer.status, 302, "{answer:?}");
    let (_, query) = answer.header("location").unwrap().split_once("?code=").unwrap();
    query.split('&').next().unwrap().to_owned()
}

pub fn redeem(server: &Server, code: &str, more: &str) -> Answer {
    token(
        server,
        &format!("grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}{more}"),
    )
}

/// The cookie that a browser would send back.
pub fn cookie(answer: &Answer, name: &str) -> String {
    let set = answer.headers.iter().filter(|(key, _)| key == "set-cookie");
    let mut set = set.filter_map(|(_, value)| value.split(';').next());
    set.find(|pair| pair.starts_with(&format!("{name}=")))
        .unwrap()
        .to_owned()
}

/// The body of an error.
pub fn error(description: &str) -> String {
    format!(
        r#"{{"error":"invalid request","error_description":"{description}","error_uri_msg":"See the full API docs at https://github.com/cdk8s"}}"#
    )
}

/// Asserts that a value is a kind, a dash and 32 letters and digits.
pub fn assert_shape(value: &str, kind: &str) {
    let rest = value
        .strip_prefix(kind)
        .unwrap_or_else(|| panic!("no {kind} in {value}"));
    assert!(
        rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "{value}"
    );
}

/// The access and the refresh token of an answer.
pub fn pair(tokens: &Value) -> (&str, &str) {
    (text(tokens, "access_token"), text(tokens, "refresh_token"))
}
