//! Many identical calls at once: one token, no 5xx, and nothing half done. On PostgreSQL every race is run a second time
//! with two servers of one database, which get the calls in turn.

use std::collections::HashSet;
use std::time::Duration;

use crate::harness::http::Answer;
use crate::harness::*;
use serde_json::Value;

const MANY: usize = 64;

/// The servers of one database.
struct Servers(Vec<Server>);

impl Servers {
    /// Runs a race with one server and, where the engine allows more, with two.
    fn race(setup: fn() -> Setup, race: impl Fn(&Self)) {
        let server = Server::with(setup());
        race(&Self(vec![server]));
        if engine::postgres().is_some() {
            let server = Server::with(setup());
            let second = server.beside();
            race(&Self(vec![server, second]));
        }
    }

    /// Whose turn it is.
    fn at(&self, index: usize) -> &Server {
        &self.0[index % self.0.len()]
    }
}

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
    Servers::race(Setup::default, |servers| {
        let answers = at_once(|index| {
            servers
                .at(index)
                .token("grant_type=password&username=u1&password=password")
        });
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        for member in ["access_token", "refresh_token", "jti"] {
            assert_eq!(distinct(&answers, member).len(), 1, "{member}");
        }
    });
}

#[test]
fn identical_client_tokens_give_one_token() {
    let setup = || Setup {
        clients: &["robot --secret s --profile spring --grants client_credentials --scopes all"],
        ..Setup::default()
    };
    Servers::race(setup, |servers| {
        let call = |server: &Server| server.post("/oauth/token", ("robot", "s"), "grant_type=client_credentials");
        let answers = at_once(|index| call(servers.at(index)));
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        assert_eq!(distinct(&answers, "access_token").len(), 1);
    });
}

#[test]
fn parallel_refreshes_leave_one_good_access_token() {
    Servers::race(Setup::default, |servers| {
        let tokens = servers.at(0).log_in("u1");
        let answers = at_once(|index| servers.at(index).refresh(text(&tokens, "refresh_token")));
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        let access = distinct(&answers, "access_token");
        assert_eq!(access.len(), MANY);
        for server in &servers.0 {
            let good = access.iter().filter(|token| server.check_token(token).status == 200);
            assert_eq!(good.count(), 1);
            assert_eq!(server.snapshot()["revoked_tokens"].as_array().unwrap().len(), MANY);
        }
    });
}

#[test]
fn of_parallel_rotations_one_wins() {
    let setup = || Setup {
        compat: "{ reuse_refresh_token: false }",
        ..Setup::default()
    };
    Servers::race(setup, |servers| {
        let tokens = servers.at(0).log_in("u1");
        let answers = at_once(|index| servers.at(index).refresh(text(&tokens, "refresh_token")));
        let won: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(won.len(), 1);
        assert!(
            answers
                .iter()
                .all(|answer| answer.status == 200 || answer.status == 400),
            "{answers:?}"
        );
        let won = won[0].json();
        assert_eq!(servers.at(1).check_token(text(&won, "access_token")).status, 200);
        assert_eq!(servers.at(1).refresh(text(&won, "refresh_token")).status, 200);
    });
}

#[test]
fn after_logouts_among_refreshes_every_token_is_good_or_revoked() {
    Servers::race(Setup::default, |servers| {
        let tokens: Value = servers.at(0).log_in("u1");
        let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
        let answers = at_once(|index| {
            if index % 8 < 2 {
                servers.at(index).log_out(access)
            } else {
                servers.at(index).refresh(refresh)
            }
        });
        assert!(
            answers
                .iter()
                .all(|answer| answer.status == 200 || answer.status == 400),
            "{answers:?}"
        );
        for server in &servers.0 {
            assert_eq!(server.check_token(access).status, 400);
            let revoked = revoked(server);
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
    });
}

#[test]
fn a_login_after_a_logout_never_gives_the_dead_token() {
    Servers::race(Setup::default, |servers| {
        let dead = at_once(|index| {
            let mut dead = Vec::new();
            for round in 0..4 {
                let tokens = servers.at(index + round).log_in("u1");
                let jti = text(&tokens, "jti").to_owned();
                assert!(!dead.contains(&jti), "{jti} was logged out");
                let answer = servers.at(index + round + 1).log_out(text(&tokens, "access_token"));
                assert_eq!(answer.status, 200);
                dead.push(jti);
            }
            dead
        });
        for server in &servers.0 {
            let revoked = revoked(server);
            assert!(dead.iter().flatten().all(|jti| revoked.contains(jti)));
        }
    });
}

#[test]
fn clients_that_hang_up_leave_nothing_behind() {
    Servers::race(Setup::default, |servers| {
        let form = "grant_type=password&username=u1&password=password";
        let authorization = basic(DEMO_CLIENT);
        let headers = [("authorization", authorization.as_str()), ("content-type", FORM)];
        for round in 0..4 {
            at_once(|index| {
                let server = servers.at(index);
                let tokens = server.log_in("u1");
                server.log_out(text(&tokens, "access_token"));
                let wait = Duration::from_micros((index * 97 + round * 13) as u64 % 4000);
                http::abandon(&server.address, "POST", "/oauth/token", &headers, form, wait);
            });
        }
        for server in &servers.0 {
            server.log_in("u1");
            server.log_in("u2");
            assert_eq!(server.get("/health/ready", &[]).status, 200);
        }
        // Needs the turn that nobody else may have a part of.
        servers.at(0).succeed(&["client", "remove", "demo"]);
        if let Some(postgres) = engine::postgres() {
            let forgotten =
                "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
            let location = engine::location(servers.at(0).folder.path());
            assert_eq!(postgres.sql(&location, forgotten), "");
        }
    });
}

/// The ids of the tokens that gateways must refuse.
fn revoked(server: &Server) -> HashSet<String> {
    let snapshot = server.snapshot();
    let revoked = snapshot["revoked_tokens"].as_array().cloned().unwrap_or_default();
    revoked
        .iter()
        .map(|entry| entry[0].as_str().unwrap().to_owned())
        .collect()
}
