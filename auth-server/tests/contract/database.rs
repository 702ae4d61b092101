//! The database itself: where it cannot be reached, when it goes away and comes back, and when many want it first.

use std::time::Duration;

use crate::harness::*;

/// Repeats until it is so; a minute is longer than any of it may take.
fn until(what: &str, so: impl Fn() -> bool) {
    let asked = now();
    while !so() {
        assert!(asked.elapsed() < Duration::from_secs(60), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn folder_with(database: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = yaml("http://127.0.0.1:8087", "{}");
    let location = config
        .lines()
        .find(|line| line.starts_with("database: "))
        .unwrap()
        .to_owned();
    let config = config.replace(&location, &format!("database: {database}"));
    std::fs::write(folder.path().join("auth.yaml"), config).unwrap();
    folder
}

#[test]
fn a_database_that_is_not_there_is_one_line_without_the_password() {
    for (database, place, cause) in [
        (
            "postgres://ann:geheim@127.0.0.1:1/auth",
            "127.0.0.1:1/auth",
            "Connection refused",
        ),
        (
            "postgres://ann@127.0.0.1:1/auth?password=geheim",
            "127.0.0.1:1/auth",
            "Connection refused",
        ),
        (
            "postgres://ann:geheim@nowhere.invalid/auth",
            "nowhere.invalid/auth",
            "failed to lookup address",
        ),
        ("sqlite:missing/auth.db", "missing/auth.db", "No such file or directory"),
    ] {
        let folder = folder_with(database);
        for command in [&["check"][..], &["serve"], &["client", "list"]] {
            let output = run_in(folder.path().to_owned(), command);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(
                said.starts_with("error: database ") && said.lines().count() == 1,
                "{said}"
            );
            assert!(
                said.contains(place) && said.contains(cause) && said.contains("; check that"),
                "{said}"
            );
            assert!(!said.contains("geheim") && output.stdout.is_empty(), "{said}");
        }
    }
}

#[test]
fn a_url_that_cannot_be_read_is_one_line_without_the_password() {
    for database in [
        "postgres://ann:geheim@127.0.0.1:port/auth",
        "postgres://ann@127.0.0.1/auth?pasword=geheim",
        "mysql://ann:geheim@127.0.0.1/auth",
    ] {
        let output = run_in(folder_with(database).path().to_owned(), &["check"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("auth.yaml:2:11: database: write") && said.lines().count() == 1,
            "{said}"
        );
        assert!(!said.contains("geheim"), "{said}");
    }
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let folder = folder_with("sqlite:notes.txt");
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "a shopping list, and not a database\n").unwrap();
    for command in [&["check"][..], &["serve"], &["client", "list"]] {
        let output = run_in(folder.path().to_owned(), command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.lines().count() == 1, "{said}");
        assert!(said.contains("notes.txt") && said.contains("database"), "{said}");
    }
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("a shopping list"));
    std::fs::write(&file, "").unwrap();
    assert!(run_in(folder.path().to_owned(), &["check"]).status.success());
}

#[test]
fn to_insist_on_tls_is_refused_before_anything_is_sent() {
    for database in [
        "postgres://ann:geheim@127.0.0.1:1/auth?sslmode=require",
        "postgres://ann:geheim@127.0.0.1:1/auth?sslmode=verify-full",
        "postgres://ann:geheim@127.0.0.1:1/auth?ssl-mode=verify-ca",
    ] {
        for command in [&["check"][..], &["serve"], &["client", "list"]] {
            let output = run_in(folder_with(database).path().to_owned(), command);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(
                said.contains("auth.yaml:2:11: database: sslmode (or PGSSLMODE) asks for TLS")
                    && said.lines().count() == 1,
                "{said}"
            );
            assert!(!said.contains("geheim"), "{said}");
        }
    }
}

#[test]
fn a_check_reaches_for_the_database_and_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("auth.yaml"), yaml("http://127.0.0.1:8087", "{}")).unwrap();
    let output = run_in(folder.path().to_owned(), &["check"]);
    assert!(output.status.success(), "{output:?}");
    let Some(postgres) = engine::postgres() else {
        assert!(!folder.path().join("auth.db").exists());
        return;
    };
    let location = engine::location(folder.path());
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(postgres.sql(&location, tables), "0\n");
    let missing = format!("{location}missing");
    let output = run_in(folder_with(&missing).path().to_owned(), &["check"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("does not exist") && said.lines().count() == 1,
        "{said}"
    );
}

#[test]
fn many_may_start_at_once_on_an_empty_database() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("auth.yaml"), yaml("http://127.0.0.1:1", "{}")).unwrap();
    let folder = std::sync::Arc::new(folder);
    let together = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        let servers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    Server::on(&folder)
                })
            })
            .collect();
        let commands: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    let add = format!("client add {DEMO} --if-missing");
                    run_in(folder.path().to_owned(), &add.split(' ').collect::<Vec<_>>())
                })
            })
            .collect();
        for command in commands {
            let output = command.join().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        let servers: Vec<Server> = servers.into_iter().map(|server| server.join().unwrap()).collect();
        let first = servers[0].snapshot();
        assert_eq!(
            first["issuers"][0]["jwks"]["inline"]["keys"].as_array().unwrap().len(),
            1
        );
        for server in &servers {
            let snapshot = server.snapshot();
            assert_eq!(snapshot["version"], first["version"], "they speak of one database");
            assert_eq!(snapshot["issuers"], first["issuers"], "with one key");
            assert_eq!(server.refresh("x").status, 400, "the client is registered");
        }
    });
}

#[test]
fn tokens_are_told_and_feeds_served_while_many_wait_to_write() {
    let Some(postgres) = engine::postgres() else { return };
    let server = Server::with_clients(&[
        "a --secret s --profile spring --grants password --scopes all",
        "b --secret s --profile spring --grants password --scopes all",
        "c --secret s --profile spring --grants password --scopes all",
        "d --secret s --profile spring --grants password --scopes all",
        "e --secret s --profile spring --grants password --scopes all",
        "f --secret s --profile spring --grants password --scopes all",
    ]);
    let location = engine::location(server.folder.path());
    let mut logins = Vec::new();
    for client in ["a", "b", "c", "d", "e", "f"] {
        for user in ["u0", "u1", "u2"] {
            let form = format!("grant_type=password&username={user}&password=password");
            let answer = server.post("/oauth/token", (client, "s"), &form);
            logins.push(text(&answer.json(), "access_token").to_owned());
        }
    }
    let tokens = server.log_in("u1");
    let access = text(&tokens, "access_token");
    std::thread::scope(|scope| {
        // Another process has its turn, for longer than anybody waits for a connection.
        let held = scope.spawn(|| postgres.sql(&location, "SELECT pg_advisory_lock(7331, 0), pg_sleep(8)"));
        let locks = |condition: &str| {
            let count = format!(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7331 AND {condition} \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            );
            postgres.sql(&location, &count).trim().parse::<u32>().unwrap()
        };
        until("the lock", || locks("granted") == 1);
        let server = &server;
        for login in &logins {
            scope.spawn(move || server.log_out(login));
        }
        until("the waiting", || locks("NOT granted") >= 12);
        for _ in 0..10 {
            assert_eq!(server.check_token(access).status, 200);
            assert_eq!(server.feed(None, 0).status, 200);
        }
        assert!(!held.is_finished(), "they were answered meanwhile");
    });
}

#[test]
fn lost_connections_are_made_anew() {
    let Some(postgres) = engine::postgres() else { return };
    let server = Server::start();
    let location = engine::location(server.folder.path());
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for round in 0..5 {
        let version = text(&server.snapshot(), "version").to_owned();
        // What is under way in this moment may fail; nothing is.
        std::thread::sleep(Duration::from_millis(200));
        postgres.sql(&location, end);
        let tokens = server.log_in("u1");
        let access = text(&tokens, "access_token");
        assert_eq!(server.check_token(access).status, 200, "round {round}");
        assert_eq!(server.log_out(access).status, 200);
        let told = server.feed(Some(&version), 20).json();
        assert_eq!(
            told["revoked_tokens"][0][0], tokens["jti"],
            "the listener's connection was one of them"
        );
    }
}

#[test]
fn a_lost_database_is_told_once_and_nothing_is_made_up_until_it_is_back() {
    let Some(postgres) = engine::postgres() else { return };
    let server = Server::start();
    let location = engine::location(server.folder.path());
    let name = location.rsplit('/').next().unwrap();
    let elsewhere = postgres.database();
    let tokens = server.log_in("u1");
    let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
    let version = text(&server.snapshot(), "version").to_owned();

    postgres.sql(&elsewhere, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
    postgres.sql(
        &elsewhere,
        &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
    );
    until("the loss", || server.get("/health/ready", &[]).status == 503);
    assert_eq!(server.get("/health/live", &[]).status, 200);
    let login = "grant_type=password&username=u1&password=password";
    for answer in [
        server.token(login),
        server.refresh(refresh),
        server.check_token(access),
        server.log_out(access),
    ] {
        assert_eq!(answer.status, 500, "{answer:?}");
    }
    std::thread::scope(|scope| {
        let held = scope.spawn(|| server.feed(Some(&version), 60));
        // Long enough for some attempts.
        std::thread::sleep(Duration::from_secs(4));
        assert!(!held.is_finished(), "nothing is known to be new");
        let log = server.log_with("changes cannot be followed");
        assert_eq!(log.matches("changes cannot be followed").count(), 1, "{log}");

        postgres.sql(&elsewhere, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
        until("the return", || server.get("/health/ready", &[]).status == 200);
        assert_eq!(server.check_token(access).status, 200);
        assert_eq!(server.log_in("u1")["jti"], tokens["jti"]);
        assert_eq!(server.log_out(access).status, 200);
        let told = held.join().unwrap().json();
        assert_eq!(told["revoked_tokens"][0][0], tokens["jti"]);
    });
    server.log_with("changes are followed in the database again");
}
