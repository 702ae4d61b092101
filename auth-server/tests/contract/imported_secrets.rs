//! Secrets that came as bcrypt hashes: checked as such until the client has shown its secret once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::import::Form;
use crate::harness::dump::{Dump, bcrypt_of};
use crate::harness::http::Answer;
use crate::harness::*;

const LOGIN: &str = "grant_type=password&username=u1&password=password";

fn server(secret: &str) -> Server {
    let server = Server::start();
    server.import(
        &Dump::default().client("till", secret, "password"),
        Form::Mysqldump,
        &[],
    );
    server.snapshot();
    server
}

/// Calls at the same time, each on a connection of its own.
fn together(calls: usize, call: impl Fn() -> Answer + Sync) -> Vec<Answer> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..calls).map(|_| scope.spawn(&call)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn the_hash_is_replaced_at_the_first_success() {
    let hash = bcrypt_of("till-secret", 5);
    let mut server = server(&hash);
    assert_eq!(server.status("till", "wrong"), 401);
    assert_eq!(server.status("till", &hash), 401, "the hash is no secret");
    assert!(!server.log_with("listens").contains("replaced by one of ours"));
    assert_eq!(server.status("till", "till-secret"), 200);
    let log = server.log_with("replaced by one of ours");
    assert!(!log.contains("till-secret") && !log.contains(&hash), "{log}");
    assert_eq!(server.status("till", "wrong"), 401);
    assert_eq!(server.status("till", "till-secret"), 200);
    let replaced = |server: &Server| server.log_with("listens").matches("replaced by one of ours").count();
    assert_eq!(replaced(&server), 1);
    server.restart();
    assert_eq!(server.status("till", "till-secret"), 200);
    assert_eq!(replaced(&server), 0);
}

#[test]
fn the_doctor_names_a_client_that_has_not_shown_its_secret_since() {
    let server = server(&bcrypt_of("till-secret", 5));
    let finding = "- client till: imported bcrypt secret, not shown since\n";
    let findings = server.succeed(&["doctor"]);
    assert!(findings.contains(finding), "{findings}");
    assert!(
        findings.contains("do:  let it authenticate once, or `client remove till`"),
        "{findings}"
    );
    assert_eq!(server.status("till", "wrong"), 401);
    assert!(server.succeed(&["doctor"]).contains(finding));
    assert_eq!(server.status("till", "till-secret"), 200);
    let findings = server.succeed(&["doctor"]);
    assert!(!findings.contains(finding), "{findings}");
    assert!(findings.contains("- client till: password grant"), "{findings}");
}

#[test]
fn the_first_64_at_once_all_succeed_with_the_same_token() {
    let server = server(&bcrypt_of("till-secret", 8));
    let answers = together(64, || server.post("/oauth/token", ("till", "till-secret"), LOGIN));
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["access_token"], answers[0].json()["access_token"]);
    }
}

#[test]
fn more_guesses_than_can_be_checked_are_turned_away_with_503() {
    let server = server(&bcrypt_of("till-secret", 9));
    let answers = together(300, || server.post("/oauth/token", ("till", "wrong"), LOGIN));
    let turned_away: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(!turned_away.is_empty());
    for answer in turned_away {
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(
            answer.body,
            r#"{"error":"temporarily_unavailable","error_description":"Service Unavailable"}"#
        );
    }
    let others = answers
        .iter()
        .map(|answer| answer.status)
        .filter(|status| *status != 503);
    assert!(
        others.clone().all(|status| [401, 429].contains(&status)),
        "{:?}",
        others.collect::<Vec<_>>()
    );
    assert_eq!(server.status("till", "till-secret"), 200);
}

#[test]
fn guesses_at_one_client_turn_no_other_away() {
    let server = Server::start();
    let dump = Dump::default()
        .client("attacked", &bcrypt_of("attacked-secret", 8), "password")
        .client("other", &bcrypt_of("other-secret", 10), "password");
    server.import(&dump, Form::Mysqldump, &[]);
    server.snapshot();
    let (turned_away, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..300 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    if server.status("attacked", "wrong") == 503 {
                        turned_away.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(std::time::Duration::from_millis(100));
                    }
                }
            });
        }
        while turned_away.load(Ordering::Relaxed) < 100 {
            thread::sleep(std::time::Duration::from_millis(10));
        }
        let wrong = server.status("other", "wrong");
        let right = server.status("other", "other-secret");
        done.store(true, Ordering::Relaxed);
        assert_eq!((wrong, right), (401, 200));
    });
}
