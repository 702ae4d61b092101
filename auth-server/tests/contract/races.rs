//! Many identical calls at once: one token, no 5xx, and nothing half done. On PostgreSQL every race is run a second time
//! with two servers of one database, which get the calls in turn.

use std::collections::HashSet;
use std::time::Duration;

use crate::harness::http::Answer;
use crate::harness::tkey;
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
        mounts: ", { profile: uaa, path: /uaa }, { profile: principal, path: /authorization-server }",
        clients: &[
            "robot --secret s --profile spring --grants client_credentials --scopes all",
            "admin --secret s --profile uaa --grants client_credentials --scopes ADMIN",
            "open --secret s --profile principal --grants client_credentials --scopes read,write",
        ],
        ..Setup::default()
    };
    Servers::race(setup, |servers| {
        for (base, client) in [("", "robot"), ("/uaa", "admin"), ("/authorization-server", "open")] {
            let form = format!("grant_type=client_credentials&client_id={client}&client_secret=s");
            let path = format!("{base}/oauth/token");
            let answers = at_once(|index| servers.at(index).post_form(&path, &form));
            assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
            assert_eq!(distinct(&answers, "access_token").len(), 1, "{client}");
        }
    });
}

#[test]
fn identical_calls_of_profile_tkey_give_each_its_own_token() {
    Servers::race(tkey::setup, |servers| {
        for form in [
            "grant_type=client_credentials",
            "grant_type=password&username=u1&password=password",
        ] {
            let answers = at_once(|index| tkey::token(servers.at(index), form));
            assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
            let tokens = distinct(&answers, "access_token");
            assert_eq!(tokens.len(), MANY);
            for (index, token) in tokens.iter().enumerate() {
                assert_eq!(tkey::userinfo(servers.at(index), token).status, 200);
            }
        }
    });
}

#[test]
fn parallel_refreshes_of_profile_tkey_all_succeed() {
    Servers::race(tkey::setup, |servers| {
        let first = tkey::tokens(servers.at(0), "grant_type=password&username=u1&password=password");
        let form = format!(
            "grant_type=refresh_token&refresh_token={}",
            text(&first, "refresh_token")
        );
        let answers = at_once(|index| tkey::token(servers.at(index), &form));
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        for (index, token) in distinct(&answers, "access_token").iter().enumerate() {
            assert_eq!(tkey::userinfo(servers.at(index), token).status, 200);
        }
        assert_eq!(tkey::token(servers.at(1), &form).status, 200, "it is not used up");
    });
}

#[test]
fn of_parallel_redemptions_one_wins_and_keeps_its_tokens() {
    Servers::race(tkey::setup, |servers| {
        let code = tkey::code(servers.at(0), "");
        let answers = at_once(|index| tkey::redeem(servers.at(index), &code, ""));
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!(won.len(), 1);
        assert!(lost.iter().all(|answer| answer.status == 400), "{lost:?}");
        assert!(
            lost.iter()
                .all(|answer| answer.json()["error_description"] == "code 无效"),
            "{lost:?}"
        );
        let tokens = won[0].json();
        assert_eq!(tkey::userinfo(servers.at(1), text(&tokens, "access_token")).status, 200);
        let refresh = text(&tokens, "refresh_token");
        assert_eq!(tkey::introspect(servers.at(1), refresh, "refresh_token").status, 200);
    });
    let setup = || Setup {
        clients: &[
            "web --secret s --profile spring --grants authorization_code,refresh_token --scopes all \
                    --redirect-uris http://localhost:3000/cb",
        ],
        ..Setup::default()
    };
    Servers::race(setup, |servers| {
        let redirect = "redirect_uri=http://localhost:3000/cb";
        let path = format!("/oauth/authorize?response_type=code&client_id=web&{redirect}");
        let answer = servers.at(0).post_form(&path, "username=u1&password=password");
        let (_, code) = answer.header("location").unwrap().split_once("code=").unwrap();
        let form = format!("grant_type=authorization_code&code={code}&{redirect}");
        let answers = at_once(|index| servers.at(index).post("/oauth/token", ("web", "s"), &form));
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!(won.len(), 1);
        let body = format!(r#"{{"error":"invalid_grant","error_description":"Invalid authorization code: {code}"}}"#);
        assert!(
            lost.iter().all(|answer| answer.status == 400 && answer.body == body),
            "{lost:?}"
        );
        let tokens = won[0].json();
        assert_eq!(servers.at(1).check_token(text(&tokens, "access_token")).status, 200);
        let refresh = format!(
            "grant_type=refresh_token&refresh_token={}",
            text(&tokens, "refresh_token")
        );
        assert_eq!(servers.at(1).post("/oauth/token", ("web", "s"), &refresh).status, 200);
    });
}

#[test]
fn a_client_registered_at_one_server_is_served_at_the_other_at_once() {
    let setup = || Setup {
        mounts: ", { profile: uaa, path: /uaa }",
        clients: &["admin --secret s --profile uaa --grants client_credentials --scopes ADMIN"],
        ..Setup::default()
    };
    Servers::race(setup, |servers| {
        let token = |index: usize, client: &str| {
            let form = format!("grant_type=client_credentials&client_id={client}&client_secret=s");
            servers.at(index).post_form("/uaa/oauth/token", &form)
        };
        let admin = token(0, "admin").json();
        let admin = text(&admin, "access_token");
        at_once(|index| {
            let client = format!("c{index}");
            let form = format!("access_token={admin}&clientId={client}&clientSecret=s");
            let registered = servers.at(index).post_form("/uaa/register", &form);
            assert_eq!(registered.status, 200, "{registered:?}");
            let given = token(index + 1, &client);
            assert_eq!(given.status, 200, "{given:?}");
            let given = text(&given.json(), "access_token").to_owned();
            let form = format!("access_token={admin}");
            let deleted = servers.at(index).post_form(&format!("/uaa/delete/{client}"), &form);
            assert_eq!(deleted.status, 200, "{deleted:?}");
            assert_eq!(token(index + 1, &client).status, 401, "it is removed");
            let check = servers
                .at(index + 1)
                .post("/uaa/oauth/check_token", ("admin", "s"), &format!("token={given}"));
            assert_eq!(check.status, 400, "its token is revoked");
        });
    });
}

#[test]
fn users_of_a_client_that_the_server_has_not_heard_of_can_log_in() {
    const CLIENTS: &[&str] = &[
        "web --secret s --profile spring --grants authorization_code --scopes all --redirect-uris http://app.example.com/cb",
        tkey::CLIENTS[0],
    ];
    let server = Server::with(Setup {
        clients: CLIENTS,
        ..tkey::setup()
    });
    // The row without its entry in the table of changes: to the server that is as early as it gets.
    for (known, new) in [("web", "web2"), ("test_client_id_1", "sso2")] {
        let columns = "profile, secret_mac, grants, scopes, authorities, resource_ids, redirect_uris, response_types, \
                       additional_information, created_at_ms";
        let copy = format!(
            "INSERT INTO client (client_id, {columns}) SELECT '{new}', {columns} FROM client WHERE client_id = '{known}'"
        );
        engine::run(server.folder.path(), copy);
    }
    for (base, client, other) in [("", "web2", "sso2"), ("/sso", "sso2", "web2")] {
        let path = |client: &str| {
            let callback = tkey::CALLBACK;
            format!("{base}/oauth/authorize?response_type=code&client_id={client}&redirect_uri={callback}")
        };
        let page = server.get(&path(client), &[]);
        assert!(page.body.contains(r#"name="password""#), "{page:?}");
        let location = tkey::log_in(&server, &path(client));
        let location = location.header("location").unwrap_or_default();
        assert!(
            location.starts_with(&format!("{}?code=", tkey::CALLBACK)),
            "{client}: {location}"
        );
        // A mount serves the clients of its own profile, also when it looks twice.
        let page = server.get(&path(other), &[]);
        assert!(!page.body.contains(r#"name="password""#), "{page:?}");
    }
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

/// Tokens of clients are told from memory: what one server takes back, the other must not know better.
#[test]
fn a_logout_at_one_server_is_known_at_the_other_at_once() {
    let setup = || {
        // A scope for each: nobody takes back the token of another.
        let scopes: Vec<String> = (0..MANY).map(|index| format!("s{index}")).collect();
        let robot = format!(
            "robot --secret s --profile spring --grants client_credentials --scopes {}",
            scopes.join(",")
        );
        let robot: &'static str = robot.leak();
        Setup {
            clients: vec![robot].leak(),
            ..Setup::default()
        }
    };
    Servers::race(setup, |servers| {
        at_once(|index| {
            let (one, other) = (servers.at(index), servers.at(index + 1));
            let form = format!("grant_type=client_credentials&scope=s{index}");
            let mut dead = Vec::new();
            for _ in 0..4 {
                let [given, again] = [one, other].map(|server| {
                    let answer = server.post("/oauth/token", ("robot", "s"), &form);
                    assert_eq!(answer.status, 200, "{answer:?}");
                    text(&answer.json(), "access_token").to_owned()
                });
                assert_eq!(given, again, "the same token while valid");
                assert!(!dead.contains(&given), "it was logged out");
                for server in [one, other, one, other] {
                    assert_eq!(server.check_token(&given).status, 200);
                }
                assert_eq!(one.log_out(&given).status, 200);
                assert_eq!(other.check_token(&given).status, 400, "it was logged out");
                dead.push(given);
            }
        });
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
