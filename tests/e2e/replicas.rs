//! Two auth servers on one PostgreSQL, each followed by a host of its own: what is said to one, the other's host hears.

use std::fs;

use postern_e2e::{
    client::Request,
    host::{Host, filter_plugin},
    ports,
    servers::Servers,
    visit::{Visit, compare_hosts},
};
use private_postgres::Postgres;
use xtask::stack::{ServerPorts, Stack};

use crate::calls::assert_invalid_token;

/// Names the database in `auth.yaml`.
fn use_database(stack: &Stack, url: &str) {
    let file = stack.folder.join("auth.yaml");
    let configuration = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let changed = configuration.replace("database: sqlite:auth.db", &format!("database: {url}"));
    assert_ne!(changed, configuration);
    fs::write(&file, changed).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

#[test]
fn a_logout_at_one_auth_server_reaches_the_gateway_of_the_other() {
    let Some(postgres) = Postgres::shared() else { return };
    compare_hosts(|kind| {
        let servers = Servers::start_without_auth("replicas");
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
        let _running = second.start_auth().expect("a second auth server");

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
