//! Many identical calls at once: one token, no 5xx, and nothing half done.

use std::collections::HashSet;

use crate::harness::http::Answer;
use crate::harness::*;
use serde_json::Value;

const MANY: usize = 64;

fn at_once<T: Send>(call: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = std::sync::Barrier::new(MANY);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..MANY)
            .map(|index| {
                let (barrier, call) = (&barrier, &call);
                scope.spawn(move || {
                    barrier.wait();
                    call(index)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn distinct(answers: &[Answer], member: &str) -> HashSet<String> {
    answers
        .iter()
        .map(|answer| text(&answer.json(), member).to_owned())
        .collect()
}

#[test]
fn identical_logins_give_one_token() {
    let server = Server::start();
    let answers = at_once(|_| server.token("grant_type=password&username=u1&password=password"));
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    for member in ["access_token", "refresh_token", "jti"] {
        assert_eq!(distinct(&answers, member).len(), 1, "{member}");
    }
}

#[test]
fn identical_client_tokens_give_one_token() {
    let server = Server::with_clients(&["robot --secret s --profile spring --grants client_credentials --scopes all"]);
    let answers = at_once(|_| server.post("/oauth/token", ("robot", "s"), "grant_type=client_credentials"));
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(distinct(&answers, "access_token").len(), 1);
}

#[test]
fn parallel_refreshes_leave_one_good_access_token() {
    let server = Server::start();
    let tokens = server.log_in("u1");
    let answers = at_once(|_| server.refresh(text(&tokens, "refresh_token")));
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let access = distinct(&answers, "access_token");
    assert_eq!(access.len(), MANY);
    let good = access
        .iter()
        .filter(|token| server.check_token(token).status == 200)
        .count();
    assert_eq!(good, 1);
    assert_eq!(server.snapshot()["revoked_tokens"].as_array().unwrap().len(), MANY);
}

#[test]
fn of_parallel_rotations_one_wins() {
    let server = Server::with(Setup {
        compat: "{ reuse_refresh_token: false }",
        ..Setup::default()
    });
    let tokens = server.log_in("u1");
    let answers = at_once(|_| server.refresh(text(&tokens, "refresh_token")));
    let won: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 || answer.status == 400),
        "{answers:?}"
    );
    assert_eq!(server.check_token(text(&won[0].json(), "access_token")).status, 200);
}

#[test]
fn after_logouts_among_refreshes_every_token_is_good_or_revoked() {
    let server = Server::start();
    let tokens: Value = server.log_in("u1");
    let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
    let answers = at_once(|index| {
        if index % 8 == 0 {
            server.log_out(access)
        } else {
            server.refresh(refresh)
        }
    });
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 || answer.status == 400),
        "{answers:?}"
    );
    assert_eq!(server.check_token(access).status, 400);
    let snapshot = server.snapshot();
    let revoked: HashSet<&str> = snapshot["revoked_tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| text_at(entry, 0))
        .collect();
    assert!(revoked.contains(text(&tokens, "jti")));
    for answer in answers
        .iter()
        .filter(|answer| answer.status == 200 && !answer.body.is_empty())
    {
        let issued = answer.json();
        let good = server.check_token(text(&issued, "access_token")).status == 200;
        assert_eq!(
            good,
            !revoked.contains(text(&issued, "jti")),
            "what the server says and what gateways hold agree"
        );
    }
}

fn text_at(entry: &Value, index: usize) -> &str {
    entry[index].as_str().unwrap()
}
