//! What the legacy auth servers had open, by the rows of `docs/compatibility.md`: closed, through both hosts, as long as no
//! switch opens it. The other scenarios run with the demo's switches; these run without any.

use std::{fs, sync::LazyLock};

use postern_e2e::{
    client::{Request, Response},
    host::{Host, filter_plugin},
    servers::{Servers, folder},
    token::{claims, keys},
    visit::{Visit, compare_hosts},
};
use xtask::stack::{HostKind, Stack};

/// The servers with the configuration of the demo, but for its switches.
static SERVERS: LazyLock<Servers> = LazyLock::new(|| {
    let servers = Servers::start_without_auth("no-switches");
    let file = servers.stack.folder.join("auth.yaml");
    let mut text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{error}"));
    for (on, off) in [
        (", danger_open_check_token: true", ""),
        ("query_credentials: true", "query_credentials: false"),
    ] {
        assert!(text.contains(on), "{text}");
        text = text.replace(on, off);
    }
    fs::write(&file, text).unwrap_or_else(|error| panic!("{error}"));
    servers.start_auth();
    servers
});

fn host(kind: HostKind) -> &'static Host {
    static GATEWAY: LazyLock<Host> = LazyLock::new(|| start(HostKind::Gateway));
    static ENVOY: LazyLock<Host> = LazyLock::new(|| start(HostKind::Envoy));
    match kind {
        HostKind::Gateway => &GATEWAY,
        HostKind::Envoy => &ENVOY,
    }
}

fn start(kind: HostKind) -> Host {
    let stack = Stack {
        folder: folder("no-switches-host"),
        ..SERVERS.stack.clone()
    };
    Host::start(&stack, kind, &filter_plugin(&stack, &[]))
}

fn on_each_host(scenario: impl Fn(&Visit<'_>)) {
    compare_hosts(|kind| {
        let visit = Visit::new(&SERVERS, host(kind));
        scenario(&visit);
        visit.seen()
    });
}

fn assert_error(response: &Response, status: u16, error: &str) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.json()["error"], error, "{response:?}");
}

#[test]
fn secrets_in_the_query_of_a_url_are_refused() {
    on_each_host(|visit| {
        let user = visit.user("query-secret", &["tester"]);
        let token = visit.log_in(&user).access;
        let basic = |target: &str| Request::form(target, "").basic("demo", "demo-secret");
        let login = format!("grant_type=password&username={user}&password=password");
        for (request, error) in [
            (basic(&format!("/login/oauth/token?{login}")), "invalid_request"),
            (
                Request::form(
                    &format!("/login/oauth/token?client_id=demo&client_secret=demo-secret&{login}"),
                    "",
                ),
                "invalid_request",
            ),
            (
                basic("/login/oauth/token?grant_type=refresh_token&refresh_token=x"),
                "invalid_request",
            ),
            (
                basic(&format!("/login/oauth/check_token?token={token}")),
                "invalid_request",
            ),
            (
                Request::get(format!("/sso/oauth/userinfo?access_token={token}")),
                "invalid request",
            ),
            (
                Request::get(
                    "/sso/oauth/token?grant_type=client_credentials&client_id=test_client_id_1&client_secret=test_client_secret_1",
                ),
                "invalid request",
            ),
            (
                Request::get(format!(
                    "/uaa/register?access_token={token}&clientId=evil&clientSecret=evil"
                )),
                "invalid_request",
            ),
            (
                Request::form(
                    "/authorization-server/oauth/token?grant_type=client_credentials&client_id=platform&client_secret=platform-secret",
                    "",
                ),
                "invalid_request",
            ),
        ] {
            assert_error(&visit.send(&request), 400, error);
        }
    });
}

#[test]
fn check_token_is_for_clients_only() {
    on_each_host(|visit| {
        let form = "client_id=admin&client_secret=secret&grant_type=client_credentials";
        let answer = visit.send(&Request::form("/uaa/oauth/token", form));
        let token = answer.json()["access_token"].as_str().unwrap_or_default().to_owned();
        let question = Request::form("/uaa/oauth/check_token", &format!("token={token}"));
        assert_eq!(visit.send(&question).status, 401);
        assert_eq!(visit.send(&question.basic("admin", "wrong")).status, 401);
        let question = Request::form("/uaa/oauth/check_token", &format!("token={token}"));
        assert_eq!(visit.send(&question.basic("admin", "secret")).status, 200);
        // A token of another contract is nobody's there.
        let other = visit.log_in(&visit.user("checked", &[])).access;
        let question = Request::form("/uaa/oauth/check_token", &format!("token={other}"));
        assert_error(&visit.send(&question.basic("admin", "secret")), 400, "invalid_token");
    });
}

#[test]
fn the_implicit_grant_is_for_clients_registered_for_it() {
    on_each_host(|visit| {
        let form = Request::form("/login/oauth/token", "grant_type=implicit").basic("demo", "demo-secret");
        assert_error(&visit.send(&form), 400, "invalid_grant");
        let client = visit.own_name("page");
        visit.servers.auth(&format!(
            "client add {client} --secret page-secret --profile spring --grants authorization_code --scopes all \
             --redirect-uris http://localhost:3000/cb"
        ));
        let target = format!(
            "/login/oauth/authorize?response_type=token&client_id={client}&redirect_uri=http://localhost:3000/cb"
        );
        let answer = Request::get(target).send(visit.host.port);
        let location = answer.header("location").unwrap_or_default();
        assert!(
            location.starts_with("http://localhost:3000/cb?error=unsupported_response_type"),
            "{answer:?}"
        );
    });
}

#[test]
fn a_principal_says_what_is_on_the_list_and_no_password() {
    on_each_host(|visit| {
        let row = r#"{"id":7,"username":"full","password":"a-hash"}"#;
        let line = format!(
            "client add full --secret full-secret --profile principal --grants client_credentials --scopes read --principal {row}"
        );
        let Err(refused) = visit.servers.stack.auth_command(&line) else {
            panic!("it would be in every token");
        };
        let refused = format!("{refused:#}");
        assert!(refused.contains("`password` is never put into a token"), "{refused}");
        let form = Request::form("/authorization-server/oauth/token", "grant_type=client_credentials");
        let answer = form.basic("platform", "platform-secret").send(visit.host.port);
        assert_eq!(answer.status, 200, "{answer:?}");
        let token = answer.json()["access_token"].as_str().unwrap_or_default().to_owned();
        let claims = claims(&token);
        assert_eq!(
            keys(&claims["principal"]),
            ["id", "username", "type", "chineseName", "authorities", "userInfoDTO"]
        );
        assert!(!claims.to_string().contains("password"), "{claims}");
    });
}

#[test]
fn neither_the_security_context_nor_the_signing_key_is_told() {
    on_each_host(|visit| {
        let token = visit.log_in(&visit.user("context", &["tester"])).access;
        for path in [
            "/login/user",
            "/login/oauth/token_key",
            "/authorization-server/oauth/token_key",
        ] {
            assert_eq!(visit.send(&Request::get(path)).status, 404, "{path}");
            assert_eq!(visit.send(&Request::get(path).bearer(&token)).status, 404, "{path}");
            assert_eq!(
                visit.send(&Request::get(path).basic("demo", "demo-secret")).status,
                404,
                "{path}"
            );
        }
    });
}

#[test]
fn a_presented_token_is_repeated_in_no_header() {
    on_each_host(|visit| {
        let garbage = "opaque-garbage-0123456789";
        let refresh = Request::form(
            "/login/oauth/token",
            &format!("grant_type=refresh_token&refresh_token={garbage}"),
        );
        for request in [
            Request::form("/login/logout", "").bearer(garbage),
            Request::form("/uaa/register", "clientId=x&clientSecret=x").bearer(garbage),
            Request::get("/sso/oauth/userinfo").bearer(garbage),
            refresh.basic("demo", "demo-secret"),
        ] {
            let answer = visit.send(&request);
            assert!([400, 401].contains(&answer.status), "{answer:?}");
            assert!(
                answer.headers.iter().all(|(_, value)| !value.contains(garbage)),
                "{answer:?}"
            );
        }
    });
}
