//! Two auth servers on one PostgreSQL, each followed by a host of its own, or both by one: what is said to one, every host
//! hears.

use std::{fs, time::Duration};

use postern_e2e::{
    client::Request,
    host::{Host, filter_plugin},
    ports,
    servers::Servers,
    visit::{Visit, compare_hosts, password_grant, tokens},
};
use private_postgres::Postgres;
use serde_json::json;
use xtask::{
    program::Program,
    stack::{ServerPorts, Stack},
};

use crate::calls::assert_invalid_token;

/// Names the database in `auth.yaml`.
fn use_database(stack: &Stack, url: &str) {
    let file = stack.folder.join("auth.yaml");
    let configuration = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let changed = configuration.replace("database: sqlite:auth.db", &format!("database: {url}"));
    assert_ne!(changed, configuration);
    fs::write(&file, changed).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

/// The servers with a second auth server beside the first, on the same database: the stack of the second.
fn start_two(name: &str, postgres: &Postgres) -> (Servers, Stack, Program) {
    let servers = Servers::start_without_auth(name);
    let url = postgres.database();
    use_database(&servers.stack, &url);
    servers.stack.load_data().expect("the demo's data can be loaded");
    servers.start_auth();
    let second = Stack {
        ports: ServerPorts {
            auth: ports::free(),
            ..servers.stack.ports
        },
        folder: servers.stack.folder.join("second"),
        ..servers.stack.clone()
    };
    second.write_configuration().expect("a folder of its own");
    use_database(&second, &url);
    let running = second.start_auth().expect("a second auth server");
    (servers, second, running)
}

/// The polls of a host go now to the one, now to the other: what either says of a version, the other must understand.
#[test]
fn two_auth_servers_behind_one_address() {
    let Some(postgres) = Postgres::shared() else { return };
    compare_hosts(|kind| {
        let (servers, second, running) = start_two("one-address", postgres);
        let stack = &servers.stack;
        let host = Host::start_on(stack, kind, |port, admin| {
            let at = |port: u16| format!("127.0.0.1:{port}");
            let configuration: serde_json::Value =
                serde_json::from_str(&filter_plugin(stack, &[]).configuration).expect("it is JSON");
            json!({
                "listeners": [ { "address": at(port) } ],
                "admin": { "address": at(admin) },
                "routes": [
                    { "prefix": "/login/", "cluster": "auth-server", "strip_prefix": "/login" },
                    { "prefix": "/demo/", "cluster": "demo" }
                ],
                "clusters": {
                    "auth-server": { "endpoints": [ at(stack.ports.auth), at(second.ports.auth) ] },
                    "login-service": { "endpoints": [ at(stack.ports.login) ] },
                    "demo": { "endpoints": [ at(stack.ports.service) ] }
                },
                "plugins": [ { "name": "auth", "wasm": stack.workspace.filter(), "configuration": configuration } ],
            })
            .to_string()
        });
        let visit = Visit::new(&servers, &host);
        let login = || tokens(&password_grant("u1", "password").send(host.port)).access;
        let log_out = |token: &str| {
            let logout = Request::new("POST", "/login/logout").bearer(token);
            assert_eq!(logout.send(host.port).status, 200);
        };
        for _ in 0..6 {
            let token = login();
            assert_eq!(login(), token, "the same token while valid, whoever is asked");
            let call = Request::get("/demo/test").bearer(&token);
            visit.wait(Duration::from_secs(20), 200, &call);
            log_out(&token);
            visit.until("a logout at one of two auth servers", 401, &call);
        }
        // One of them goes away: its polls are asked anew of the other, with the version that it gave out.
        let token = login();
        let call = Request::get("/demo/test").bearer(&token);
        visit.wait(Duration::from_secs(20), 200, &call);
        drop(running);
        let logout = Request::new("POST", "/logout").bearer(&token);
        assert_eq!(logout.send(stack.ports.auth).status, 200);
        visit.wait(Duration::from_secs(20), 401, &call);
        visit.seen()
    });
}

#[test]
fn a_logout_at_one_auth_server_reaches_the_gateway_of_the_other() {
    let Some(postgres) = Postgres::shared() else { return };
    compare_hosts(|kind| {
        let (servers, second, _running) = start_two("replicas", postgres);
        let hosts = [&servers.stack, &second].map(|stack| Host::start(stack, kind, &filter_plugin(stack, &[])));
        let visits = hosts.each_ref().map(|host| Visit::new(&servers, host));
        for round in 0..6 {
            let (here, there) = (&visits[round % 2], &visits[(round + 1) % 2]);
            let tokens = here.log_in("u1");
            assert_eq!(there.log_in("u1").access, tokens.access, "the same token while valid");
            let call = Request::get("/demo/test").bearer(&tokens.access);
            assert_eq!((here.status(&call), there.status(&call)), (200, 200));
            let logout = here.send(&Request::new("POST", "/login/logout").bearer(&tokens.access));
            assert_eq!(logout.status, 200);
            there.until("a logout at the other auth server", 401, &call);
            assert_invalid_token(&there.send(&call), &tokens.access);
            assert_ne!(there.log_in("u1").access, tokens.access, "nobody gives it out again");
        }
        visits.into_iter().flat_map(Visit::seen).collect()
    });
}
