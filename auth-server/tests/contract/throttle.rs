//! Guessing is slowed down, and nobody is locked out by it (contract section 12).

use crate::harness::*;

const WRONG: &str = "grant_type=password&username=u1&password=wrong";
const RIGHT: &str = "grant_type=password&username=u1&password=password";

/// Calls at the same time, each on a connection of its own.
fn together(calls: usize, call: impl Fn() -> u16 + Sync) -> Vec<u16> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..calls).map(|_| scope.spawn(&call)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn guesses_at_a_user_are_turned_away_and_the_user_is_not_locked_out() {
    let server = Server::start();
    // Nobody is slowed down at first: 64 honest calls at once are all answered.
    assert_eq!(together(64, || server.token(RIGHT).status), [200; 64]);
    for _ in 0..10 {
        let answer = server.token(WRONG);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (
                400,
                r#"{"error":"invalid_grant","error_description":"password &lt;invalid&gt;"}"#
            )
        );
    }
    let asked = server.login.requests().len();
    let answers = together(16, || server.token(WRONG).status);
    let count = |wanted: u16| answers.iter().filter(|status| **status == wanted).count();
    let (refused, turned_away) = (count(400), count(429));
    assert!(turned_away > 0 && refused + turned_away == 16, "{answers:?}");
    assert_eq!(
        server.login.requests().len(),
        asked + refused,
        "the others were not even looked at"
    );
    // When the guessing stops, the right password is as good as ever, and so are other users.
    assert_eq!(server.token(RIGHT).status, 200);
    assert_eq!(server.log_in("u2")["userId"], "u2-id");
}

#[test]
fn who_is_turned_away_is_told_when_to_come_back() {
    let server = Server::start();
    for _ in 0..10 {
        server.token(WRONG);
    }
    let server = &server;
    std::thread::scope(|scope| {
        let answers: Vec<_> = (0..8).map(|_| scope.spawn(|| server.token(WRONG))).collect();
        let answers: Vec<_> = answers.into_iter().map(|thread| thread.join().unwrap()).collect();
        let answer = answers.iter().find(|answer| answer.status == 429).unwrap();
        assert_eq!(
            answer.body,
            r#"{"error":"temporarily_unavailable","error_description":"Too many failed attempts"}"#
        );
        assert_eq!(answer.header("retry-after"), Some("1"));
    });
}

#[test]
fn guesses_at_a_client_are_slow_and_the_client_is_not_turned_away() {
    let server = Server::start();
    for _ in 0..10 {
        assert_eq!(server.post("/oauth/token", ("demo", "wrong"), RIGHT).status, 401);
    }
    let answers = together(2, || {
        match server.post("/oauth/token", ("demo", "wrong"), RIGHT).status {
            401 => server.token(RIGHT).status,
            other => other,
        }
    });
    assert_eq!(answers, [200; 2]);
}
