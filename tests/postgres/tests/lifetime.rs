//! A server is private, and leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use private_postgres::{Postgres, find};

/// Set for the copy of this program that is to die.
const DIES: &str = "PRIVATE_POSTGRES_TEST_DIES";

fn data_folder(postgres: &Postgres, url: &str) -> String {
    postgres.sql(url, "SHOW data_directory").trim().to_owned()
}

#[test]
fn each_database_is_empty_and_commits_are_durable() {
    let Some(postgres) = Postgres::shared() else { return };
    let (one, other) = (postgres.database(), postgres.database());
    assert_ne!(one, other);
    postgres.sql(&one, "CREATE TABLE t (x int)");
    assert_eq!(
        postgres.sql(&one, "INSERT INTO t VALUES (1), (2) RETURNING x, x + 1"),
        "1|2\n2|3\n"
    );
    assert_eq!(
        postgres.sql(&other, "SELECT count(*) FROM pg_tables WHERE tablename = 't'"),
        "0\n"
    );
    assert_eq!(postgres.sql(&other, "SHOW fsync"), "on\n");
    assert_eq!(postgres.sql(&other, "SHOW server_encoding"), "UTF8\n");
}

#[test]
fn nothing_is_left_when_a_server_is_dropped() {
    let Ok(Some(installed)) = find() else { return };
    let postgres = Postgres::start(installed);
    let folder = data_folder(&postgres, &postgres.database());
    assert!(Path::new(&folder).exists());
    drop(postgres);
    assert!(!Path::new(&folder).exists());
}

#[test]
fn nothing_is_left_when_the_process_is_killed() {
    if find().unwrap().is_none() {
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "dies", "--nocapture", "--test-threads=1"])
        .env(DIES, "")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), None, "it must have died of a signal");
    let text = String::from_utf8(output.stdout).unwrap();
    let folder = text.split("folder=").nth(1).unwrap().lines().next().unwrap().to_owned();
    for _ in 0..600 {
        if !Path::new(&folder).parent().unwrap().exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{folder} is still there");
}

/// Not a test but for the copy that [`nothing_is_left_when_the_process_is_killed`] starts.
#[test]
fn dies() {
    if std::env::var_os(DIES).is_none() {
        return;
    }
    let postgres = Postgres::shared().unwrap();
    println!("folder={}", data_folder(postgres, &postgres.database()));
    std::process::abort();
}
