//! What only PostgreSQL has: a server that may be away, and passwords in its URL.

use std::thread::sleep;
use std::time::Duration;

use private_postgres::Postgres;

use crate::harness::{BASIC, Folder, Service, request};

/// Repeats until it is so; a minute is longer than any of it may take.
fn until(what: &str, so: impl Fn() -> bool) {
    for _ in 0..600 {
        if so() {
            return;
        }
        sleep(Duration::from_millis(100));
    }
    panic!("{what} did not happen");
}

#[test]
fn a_server_that_is_not_there_is_one_line_without_the_password() {
    for (database, cause) in [
        ("postgres://ann:geheim@127.0.0.1:1/login", "Connection refused"),
        ("postgres://ann@127.0.0.1:1/login?password=geheim", "Connection refused"),
        (
            "postgres://ann:geheim@no-such-host.invalid:1/login",
            "failed to lookup address",
        ),
    ] {
        for command in ["check", "serve", "role list"] {
            let said = Folder::on(database, "").run(command);
            assert_eq!(said.code, Some(1), "{said:?}");
            assert!(
                said.stderr
                    .starts_with("error: login.yaml:2: database: cannot use the database postgres://ann@")
                    && said.stderr.contains(cause)
                    && said.stderr.contains("check that PostgreSQL runs there"),
                "{said:?}"
            );
            assert_eq!(said.stderr.lines().count(), 1, "{said:?}");
            assert!(
                !said.stderr.contains("geheim") && !said.stdout.contains("geheim"),
                "{said:?}"
            );
        }
    }
}

#[test]
fn a_url_that_cannot_be_read_is_one_line_without_the_password() {
    for database in [
        "postgres://ann:geheim@127.0.0.1:port/login",
        "postgres://ann@127.0.0.1/login?pasword=geheim",
        "mysql://ann:geheim@127.0.0.1/login",
    ] {
        let said = Folder::on(database, "").run("check");
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.stderr.starts_with("error: login.yaml:2:"), "{said:?}");
        assert!(
            said.stderr.lines().count() == 1 && !said.stderr.contains("geheim"),
            "{said:?}"
        );
    }
}

#[test]
fn to_insist_on_tls_is_refused_before_anything_is_sent() {
    for mode in ["require", "verify-ca", "verify-full"] {
        let database = format!("postgres://ann:geheim@127.0.0.1:1/login?sslmode={mode}");
        for command in ["check", "serve", "role list"] {
            let said = Folder::on(&database, "").run(command);
            assert_eq!(said.code, Some(1), "{said:?}");
            assert!(
                said.stderr.starts_with("error: login.yaml:2:") && said.stderr.contains("asks for TLS"),
                "{said:?}"
            );
            assert!(
                said.stderr.lines().count() == 1 && !said.stderr.contains("geheim"),
                "{said:?}"
            );
        }
    }
}

#[test]
fn a_check_connects_and_creates_nothing() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.database();
    let folder = Folder::on(&database, "");
    folder.must("check");
    assert_eq!(
        postgres.sql(&database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
        "0\n"
    );
    let missing = format!("{database}missing");
    let said = Folder::on(&missing, "").run("check");
    assert!(
        said.code == Some(1) && said.stderr.contains("does not exist"),
        "{said:?}"
    );
}

#[test]
fn another_programs_tables_are_told() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.database();
    let folder = Folder::on(&database, "");
    folder.must("role list");
    postgres.sql(&database, "UPDATE _sqlx_migrations SET checksum = 'another'");
    let said = folder.run("role list");
    assert!(
        said.code == Some(1) && said.stderr.contains("a database of its own") && said.stderr.lines().count() == 1,
        "{said:?}"
    );
}

#[test]
fn text_is_in_the_order_of_its_bytes_whatever_the_locale() {
    let Some(postgres) = Postgres::shared() else { return };
    let folder = Folder::on(&postgres.database(), "");
    folder.must("role add b\nrole add B\nrole add a\nrole add _");
    assert_eq!(folder.run("role list").stdout, "NAME  PERMISSIONS\nB\n_\na\nb\n");
}

#[test]
fn a_lost_database_is_told_once_and_followed_again_when_it_is_back() {
    let Some(postgres) = Postgres::shared() else { return };
    let (database, other) = (postgres.database(), postgres.database());
    let name = database.rsplit('/').next().unwrap();
    let folder = Folder::on(&database, "");
    folder.fill();
    let service = folder.serve();
    let version = service.feed("")["version"].as_str().unwrap().to_owned();
    let ready = |service: &Service| service.request("GET", "/health/ready", &[], "").status;

    postgres.sql(&other, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
    let ended = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    postgres.sql(&other, &ended);
    until("the loss", || ready(&service) == 503);
    assert_eq!(service.request("GET", "/health/live", &[], "").status, 200);
    assert_eq!(service.get("/getAllPermission").status, 500);
    let held = {
        let (address, target) = (service.address, format!("/feed/permissions?after={version}&wait=60"));
        std::thread::spawn(move || request(address, "GET", &target, &[BASIC], ""))
    };
    // Long enough for some attempts.
    sleep(Duration::from_secs(4));
    assert_eq!(
        service.logged("cannot look for changes").len(),
        1,
        "{:?}",
        service.logged("")
    );

    postgres.sql(&other, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
    until("the return", || ready(&service) == 200);
    folder.must("user revoke u1 tester");
    let answer = held.join().unwrap();
    assert!(answer.status == 200 && answer.body.contains("u1"), "{answer:?}");
    assert_eq!(
        service.logged("the database is back").len(),
        1,
        "{:?}",
        service.logged("")
    );
    assert!(service.logged("sqlx").is_empty(), "{:?}", service.logged("sqlx"));
}
