//! `kill -9` at random moments of a mixed load, again and again: what was acknowledged holds; of what was not, all of it
//! happened or nothing.
//!
//! Each thread has a user of its own and knows what must be true of its tokens. Only of the one request that was under
//! way at a kill it does not know whether it happened. `POSTERN_SEED` repeats the choices of a run; the timing of the
//! machine it cannot repeat.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::harness::http::Answer;
use crate::harness::*;

/// One thread each.
const USERS: [&str; 4] = ["u1", "u2", "d1", "d2"];
/// Whichever comes first.
const MOST_ROUNDS: usize = 30;
const LONGEST: Duration = Duration::from_secs(15);
/// How many of the newest things of a kind are looked at after each kill.
const REMEMBERED: usize = 16;

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let seed = std::env::var("POSTERN_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut random = Random(seed.unwrap_or_else(|| u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    println!("POSTERN_SEED={}", random.0);
    let mut server = Server::with(Setup {
        compat: "{ reuse_refresh_token: false }",
        clients: &[
            "robot --secret s --profile spring --grants client_credentials --scopes all",
            "web --secret s --profile spring --grants authorization_code,refresh_token --scopes all \
             --redirect-uris http://localhost:3000/cb",
        ],
        ..Setup::default()
    });
    for user in USERS {
        server.login.set_permissions(user, vec!["ROLE_TEST"]);
    }
    let mut gateway = Gateway::default();
    let mut threads = USERS.map(Thread::new);
    let began = now();
    let (mut rounds, mut acknowledged) = (0, 0);
    while rounds < MOST_ROUNDS && began.elapsed() < LONGEST {
        gateway.follow(&server);
        for thread in &mut threads {
            thread.prepare(&server, &mut random);
        }
        let kill_after = Duration::from_millis(30 + random.below(470));
        acknowledged += load_until_killed(&mut server, &mut threads, &mut random, kill_after);
        wait_for_what_is_under_way(&server);
        server.start_again();
        gateway.follow(&server);
        for thread in &mut threads {
            thread.verify(&server, &gateway.revoked);
        }
        rounds += 1;
    }
    println!(
        "{rounds} kills, {acknowledged} requests acknowledged, in {:?}",
        began.elapsed()
    );
    assert!(acknowledged > rounds, "the load was a load");
}

/// Lets every thread work until the server is gone; returns how many requests were answered.
fn load_until_killed(server: &mut Server, threads: &mut [Thread], random: &mut Random, after: Duration) -> usize {
    let address = server.address.clone();
    std::thread::scope(|scope| {
        let workers: Vec<_> = threads
            .iter_mut()
            .map(|thread| {
                let (address, mut random) = (&address, Random(random.next()));
                scope.spawn(move || {
                    let mut answered = 0;
                    while thread.work(address, &mut random).is_some() {
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        std::thread::sleep(after);
        server.kill();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    })
}

/// PostgreSQL may still be carrying out the last statement of a client that is gone.
fn wait_for_what_is_under_way(server: &Server) {
    let Some(postgres) = engine::postgres() else { return };
    let location = engine::location(server.folder.path());
    let others = "SELECT count(*) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    while postgres.sql(&location, others).trim() != "0" {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[derive(Clone)]
struct Tokens {
    access: String,
    refresh: String,
    jti: String,
}

impl Tokens {
    fn of(answer: &Answer) -> Self {
        let tokens = answer.json();
        Self {
            access: text(&tokens, "access_token").to_owned(),
            refresh: text(&tokens, "refresh_token").to_owned(),
            jti: text(&tokens, "jti").to_owned(),
        }
    }
}

enum Deed {
    LogIn,
    Refresh,
    LogOut,
    Redeem,
}

/// One thread's user, and what is acknowledged of it.
struct Thread {
    user: &'static str,
    /// The tokens that are good now.
    login: Option<Tokens>,
    /// Codes that can be redeemed.
    codes: Vec<String>,
    /// Codes that were redeemed, with what they were exchanged for.
    redeemed: Vec<(String, String)>,
    /// Tokens that were logged out, or whose refresh token was rotated: neither part is good.
    gone: Vec<Tokens>,
    /// The access token of client `robot`, once it has one.
    robot: Option<String>,
    under_way: Option<Deed>,
}

impl Thread {
    fn new(user: &'static str) -> Self {
        Self {
            user,
            login: None,
            codes: Vec::new(),
            redeemed: Vec::new(),
            gone: Vec::new(),
            robot: None,
            under_way: None,
        }
    }

    /// Gives the user some codes to redeem, straight in the database.
    fn prepare(&mut self, server: &Server, random: &mut Random) {
        self.codes = (0..16)
            .map(|_| format!("{:016x}{:016x}", random.next(), random.next()))
            .collect();
        let blob = |code: &str| {
            let digits: String = Sha256::digest(code).iter().map(|byte| format!("{byte:02x}")).collect();
            match engine::postgres() {
                Some(_) => format!("'\\x{digits}'"),
                None => format!("x'{digits}'"),
            }
        };
        let user = self.user;
        let rows: Vec<String> = self
            .codes
            .iter()
            .map(|code| {
                format!(
                    "({}, 'spring', 'web', '{user}-id', '{user}', 'all', '', '', 9999999999999)",
                    blob(code)
                )
            })
            .collect();
        let columns =
            "code_hash, profile, client_id, user_id, user_name, scope, redirect_uri, code_challenge, expires_at_ms";
        engine::run(
            server.folder.path(),
            format!("INSERT INTO authorization_code ({columns}) VALUES {}", rows.join(", ")),
        );
    }

    /// One request; `None`: the server is gone, and whether it happened is not known.
    fn work(&mut self, address: &str, random: &mut Random) -> Option<()> {
        match (random.below(10), self.login.take()) {
            (0, login) if !self.codes.is_empty() => {
                self.login = login;
                let code = self.codes.pop()?;
                self.under_way = Some(Deed::Redeem);
                self.redeemed.push((code.clone(), String::new()));
                let answer = token(address, "web", &format!("grant_type=authorization_code&code={code}"))?;
                assert_eq!(answer.status, 200, "{answer:?}");
                self.redeemed.last_mut().unwrap().1 = Tokens::of(&answer).access;
            }
            (1, login) => {
                self.login = login;
                let answer = token(address, "robot", "grant_type=client_credentials")?;
                assert_eq!(answer.status, 200, "{answer:?}");
                let given = text(&answer.json(), "access_token").to_owned();
                assert_eq!(
                    *self.robot.get_or_insert_with(|| given.clone()),
                    given,
                    "the same token while valid"
                );
            }
            (2..=4, Some(tokens)) => {
                self.login = Some(tokens.clone());
                self.under_way = Some(Deed::LogOut);
                let bearer = format!("bearer {}", tokens.access);
                let answer = ask(address, "/logout", &[("authorization", &bearer)], "")?;
                assert_eq!(answer.status, 200, "{answer:?}");
                self.login = None;
                self.gone.push(tokens);
            }
            (5..=7, Some(tokens)) => {
                self.login = Some(tokens.clone());
                self.under_way = Some(Deed::Refresh);
                let answer = token(
                    address,
                    "demo",
                    &format!("grant_type=refresh_token&refresh_token={}", tokens.refresh),
                )?;
                assert_eq!(answer.status, 200, "{answer:?}");
                self.login = Some(Tokens::of(&answer));
                self.gone.push(tokens);
            }
            (_, before) => {
                self.login = before.clone();
                self.under_way = Some(Deed::LogIn);
                let answer = token(
                    address,
                    "demo",
                    &format!("grant_type=password&username={}&password=password", self.user),
                )?;
                assert_eq!(answer.status, 200, "{answer:?}");
                let tokens = Tokens::of(&answer);
                if let Some(before) = before {
                    assert_eq!(before.jti, tokens.jti, "the same token while valid");
                }
                self.login = Some(tokens);
            }
        }
        self.under_way = None;
        Some(())
    }

    /// Looks whether everything is so, and finds out what became of the request that was under way.
    fn verify(&mut self, server: &Server, revoked: &HashSet<String>) {
        let user = self.user;
        let good = |tokens: &Tokens| server.check_token(&tokens.access).status == 200;
        let forget = |length: usize| length.saturating_sub(REMEMBERED);
        self.gone.drain(..forget(self.gone.len()));
        for gone in &self.gone {
            assert!(!good(gone), "{user}: an acknowledged logout or refresh is undone");
            assert!(
                revoked.contains(&gone.jti),
                "{user}: gateways are not told of a revocation"
            );
            assert_eq!(
                server.refresh(&gone.refresh).status,
                400,
                "{user}: a refresh token is usable twice"
            );
        }
        if let Some(robot) = &self.robot {
            assert_eq!(server.check_token(robot).status, 200, "an acknowledged token is lost");
        }

        let tokens = self.login.take();
        match (self.under_way.take(), tokens) {
            (Some(deed @ (Deed::LogOut | Deed::Refresh)), Some(tokens)) => {
                let happened = revoked.contains(&tokens.jti);
                assert_eq!(good(&tokens), !happened, "{user}: half a logout or refresh");
                if happened {
                    assert_eq!(
                        server.refresh(&tokens.refresh).status,
                        400,
                        "{user}: half a logout or refresh"
                    );
                    self.gone.push(tokens);
                } else if let Deed::Refresh = deed {
                    let again = server.refresh(&tokens.refresh);
                    assert_eq!(
                        again.status, 200,
                        "{user}: a refresh that did not happen has spent its token"
                    );
                    self.login = Some(Tokens::of(&again));
                    self.gone.push(tokens);
                } else {
                    self.login = Some(tokens);
                }
            }
            (_, Some(tokens)) => {
                assert!(good(&tokens), "{user}: an acknowledged token is lost");
                assert_eq!(
                    text(&server.log_in(user), "jti"),
                    tokens.jti,
                    "{user}: an acknowledged token is lost"
                );
                self.login = Some(tokens);
            }
            (_, None) => {}
        }

        self.redeemed.drain(..forget(self.redeemed.len()));
        for (code, access) in &mut self.redeemed {
            let form = format!("grant_type=authorization_code&code={code}");
            let answer = server.post("/oauth/token", ("web", "s"), &form);
            if access.is_empty() && answer.status == 200 {
                // Its redemption was under way, and had not happened.
                *access = Tokens::of(&answer).access;
                continue;
            }
            assert_eq!(answer.status, 400, "{user}: a code is usable twice");
        }
    }
}

fn token(address: &str, client: &str, form: &str) -> Option<Answer> {
    let secret = if client == "demo" { "demo-secret" } else { "s" };
    let authorization = basic((client, secret));
    ask(
        address,
        "/oauth/token",
        &[("authorization", &authorization), ("content-type", FORM)],
        form,
    )
}

/// `None`: the server is gone.
fn ask(address: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<Answer> {
    http::try_request(address, "POST", path, headers, body).ok()?
}

/// A gateway that follows the feed from before a kill to after it, and holds what it was told.
#[derive(Default)]
struct Gateway {
    version: Option<String>,
    revoked: HashSet<String>,
}

impl Gateway {
    fn follow(&mut self, server: &Server) {
        loop {
            std::thread::sleep(Duration::from_millis(60));
            let answer = server.feed(self.version.as_deref(), 0);
            if answer.status == 304 {
                return;
            }
            assert_eq!(answer.status, 200, "{answer:?}");
            let document = answer.json();
            assert_eq!(
                document["since"].as_str(),
                self.version.as_deref(),
                "a kill is no reason to start again"
            );
            self.version = Some(text(&document, "version").to_owned());
            let told = document["revoked_tokens"].as_array().cloned().unwrap_or_default();
            self.revoked
                .extend(told.iter().map(|entry: &Value| entry[0].as_str().unwrap().to_owned()));
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
