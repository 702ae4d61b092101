//! The feeds when the auth server is not there: at the start, and in between.

use std::{fs, thread, time::Duration};

use postern_e2e::{
    client::Request,
    host::{Host, filter_plugin},
    servers::Servers,
    visit::{Visit, compare_hosts, password_grant, tokens},
};

/// How long a host may take to notice. Generous: the machine may be busy with other tests.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn the_first_requests_are_held_until_the_first_snapshot() {
    compare_hosts(|kind| {
        let servers = Servers::start_without_auth("held");
        servers.start_auth();
        let direct = Request::form("/oauth/token", "grant_type=password&username=u1&password=password");
        let token = tokens(&direct.basic("demo", "demo-secret").send(servers.stack.ports.auth)).access;
        servers.kill_auth();

        let host = Host::start(
            &servers.stack,
            kind,
            &filter_plugin(&servers.stack, &[("hold", "30s".into())]),
        );
        let visit = Visit::new(&servers, &host);
        thread::scope(|scope| {
            let port = host.port;
            let good = scope.spawn(move || Request::get("/demo/test").bearer(&token).send(port));
            thread::sleep(Duration::from_millis(500));
            assert!(!good.is_finished(), "answered before there was anything to decide with");
            servers.start_auth();
            let answer = good.join().expect("an answer");
            assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{answer:?}");
        });
        visit.seen()
    });
}

#[test]
fn without_the_auth_server_it_goes_on_deciding_and_then_refuses() {
    compare_hosts(|kind| {
        let servers = Servers::start_without_auth("auth-server-down");
        servers.start_auth();
        let plugin = filter_plugin(&servers.stack, &[("max_stale", "2s".into())]);
        let host = Host::start(&servers.stack, kind, &plugin);
        let visit = Visit::new(&servers, &host);
        let token = tokens(&visit.send(&password_grant("u1", "password"))).access;
        let (allowed, forbidden) = ("/demo/test", "/demo/test2");
        let call = |path: &str| Request::get(path).bearer(&token);

        servers.kill_auth();
        assert_eq!(visit.status(&call(allowed)), 200);
        assert_eq!(visit.status(&call(forbidden)), 403);
        assert_eq!(visit.status(&Request::get(allowed)), 401);

        visit.wait(SOON, 503, &call(allowed));
        let refusal = visit.send(&call(allowed));
        assert_eq!(refusal.json()["status"], 503, "{refusal:?}");
        assert!(refusal.header("retry-after").is_some(), "{refusal:?}");

        servers.start_auth();
        visit.wait(SOON, 200, &call(allowed));
        assert_eq!(visit.status(&call(forbidden)), 403);
        visit.seen()
    });
}

/// Copies what is there of the auth server's database from one folder to another.
fn copy_database(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
    for file in ["auth.db", "auth.db-wal", "auth.db-shm"] {
        let _absent = fs::remove_file(to.join(file));
        if from.join(file).exists() {
            fs::copy(from.join(file), to.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
    }
}

#[test]
fn a_restored_backup_takes_back_what_it_does_not_know_and_hides_nothing_new() {
    compare_hosts(|kind| {
        let servers = Servers::start_without_auth("restored");
        for n in 1..6 {
            let add = "--secret s --profile spring --grants password --scopes all";
            servers.auth(&format!("client add c{n} {add}"));
        }
        servers.start_auth();
        let host = Host::start(&servers.stack, kind, &filter_plugin(&servers.stack, &[]));
        let visit = Visit::new(&servers, &host);
        let calls: Vec<Request> = (1..6)
            .map(|n| {
                let form = "username=u1&password=password&grant_type=password";
                let granted = Request::form("/login/oauth/token", form).basic(&format!("c{n}"), "s");
                let answer = granted.send(host.port).json();
                Request::get("/demo/test").bearer(answer["access_token"].as_str().expect("a token"))
            })
            .collect();
        for call in &calls {
            visit.wait(SOON, 200, call);
        }
        let (data, backup) = (&servers.stack.folder, servers.stack.folder.join("backup"));
        servers.kill_auth();
        copy_database(data, &backup);
        servers.start_auth();
        for n in [1, 2] {
            servers.auth(&format!("client remove c{n}"));
        }
        for call in &calls[..2] {
            visit.wait(SOON, 401, call);
        }

        servers.kill_auth();
        copy_database(&backup, data);
        // More than was lost, before any gateway asks: what it knows by number has another meaning now.
        for n in [3, 4, 5] {
            servers.auth(&format!("client remove c{n}"));
        }
        servers.start_auth();
        for call in &calls[2..] {
            visit.wait(SOON, 401, call);
        }
        for call in &calls[..2] {
            visit.wait(SOON, 200, call);
        }
        visit.seen()
    });
}
