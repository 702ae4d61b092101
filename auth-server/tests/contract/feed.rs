//! `GET /feed/tokens`: who may read it, what it says, and how fast.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::harness::*;

#[test]
fn only_gateways_may_read_it() {
    let server = Server::start();
    for headers in [
        vec![],
        vec![("authorization", basic(("gateway", "wrong")))],
        vec![("authorization", basic(DEMO_CLIENT))],
    ] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = server.get("/feed/tokens", &headers);
        assert_eq!((answer.status, answer.body.as_str()), (401, ""));
    }
}

#[test]
fn a_newcomer_gets_the_issuer_with_its_key() {
    let server = Server::start();
    let snapshot = server.snapshot();
    assert_eq!(keys(&snapshot), "version, issuers, introspection");
    let issuer = &snapshot["issuers"][0];
    assert!(issuer.get("issuer").is_none());
    assert_eq!(
        issuer["claims"].to_string(),
        r#"{"user_id":"userId","user_name":"user_name","client_id":"client_id","authorities":["authorities"],"scope":"scope","token_id":"jti"}"#
    );
    assert_eq!(issuer["forbidden_claims"].to_string(), r#"["ati"]"#);
    let key = &issuer["jwks"]["inline"]["keys"][0];
    assert_eq!(keys(key), "kty, alg, use, k");
    assert_eq!(text(key, "k").len(), 43, "256 bits");
}

#[test]
fn nothing_new_is_304_after_the_wait() {
    let server = Server::start();
    let version = text(&server.snapshot(), "version").to_owned();
    let answer = server.feed(Some(&version), 1);
    assert_eq!((answer.status, answer.body.as_str()), (304, ""));
}

#[test]
fn a_version_of_elsewhere_or_of_the_future_gets_a_snapshot_at_once() {
    let server = Server::start();
    let version = text(&server.snapshot(), "version").to_owned();
    let [lineage, number, mark] = version.split('-').collect::<Vec<_>>()[..] else {
        panic!("{version}")
    };
    let future = format!("{lineage}-{}-{mark}", number.parse::<i64>().unwrap() + 1);
    let another_past = format!("{lineage}-{number}-1");
    // As versions were written before changes had marks.
    let unmarked = format!("{lineage}-{number}");
    for after in ["other-1-1", &future, &another_past, &unmarked, "nonsense", lineage] {
        let answer = server.feed(Some(after), 20);
        assert_eq!(answer.status, 200);
        assert!(answer.json().get("since").is_none());
    }
}

#[test]
fn a_logout_reaches_a_waiting_gateway_at_once() {
    let server = Server::start();
    let tokens = server.log_in("u1");
    let version = text(&server.snapshot(), "version").to_owned();
    std::thread::scope(|scope| {
        let poll = scope.spawn(|| server.feed(Some(&version), 20));
        std::thread::sleep(Duration::from_millis(200));
        server.log_out(text(&tokens, "access_token"));
        // Not 304, as after the wait.
        let delta = poll.join().unwrap().json();
        assert_eq!(keys(&delta), "version, since, revoked_tokens");
        assert_eq!(delta["since"].as_str(), Some(version.as_str()));
        assert_eq!(delta["revoked_tokens"][0][0], tokens["jti"]);
        let exp = claims(text(&tokens, "access_token"))["exp"].as_i64().unwrap();
        assert!((exp..=exp + 1).contains(&delta["revoked_tokens"][0][1].as_i64().unwrap()));
    });
}

#[test]
fn a_change_by_the_command_line_reaches_a_waiting_gateway_at_once() {
    let server = Server::start();
    let version = text(&server.snapshot(), "version").to_owned();
    std::thread::scope(|scope| {
        let poll = scope.spawn(|| server.feed(Some(&version), 20));
        std::thread::sleep(Duration::from_millis(200));
        server.succeed(&["keys", "rotate", "--profile", "spring"]);
        let delta = poll.join().unwrap().json();
        assert_eq!(keys(&delta), "version, since, issuers, introspection");
        assert_eq!(
            delta["issuers"][0]["jwks"]["inline"]["keys"].as_array().unwrap().len(),
            2
        );
    });
}

#[test]
fn a_removed_client_is_revoked_and_an_added_one_starts_clean() {
    let server = Server::start();
    let tokens = server.log_in("u1");
    let version = text(&server.snapshot(), "version").to_owned();
    server.succeed(&["client", "remove", "demo"]);
    let delta = server.feed(Some(&version), 20).json();
    assert_eq!(keys(&delta), "version, since, revoked_clients");
    assert_eq!(delta["revoked_clients"][0][0], "demo");
    assert_eq!(
        server.token("grant_type=password&username=u1&password=password").status,
        401
    );
    assert_eq!(server.refresh(text(&tokens, "refresh_token")).status, 401);

    let add = "client add demo --secret demo-secret --profile spring --grants password,refresh_token --scopes all";
    server.succeed(&add.split(' ').collect::<Vec<_>>());
    let snapshot = server.feed(Some(text(&delta, "version")), 20).json();
    assert!(
        snapshot.get("since").is_none(),
        "a revocation by client must not outlive its client: {snapshot}"
    );
    assert!(snapshot.get("revoked_clients").is_none());
    assert_eq!(
        snapshot["revoked_tokens"][0][0], tokens["jti"],
        "the old tokens stay revoked one by one"
    );
    assert_ne!(server.log_in("u1")["jti"], tokens["jti"]);
    assert_eq!(server.refresh(text(&tokens, "refresh_token")).status, 400);
}

#[test]
fn what_is_too_much_for_one_document_follows_without_waiting() {
    let server = Server::start();
    let before = text(&server.snapshot(), "version").to_owned();
    revoke_many(&server, 60_000);
    let newcomer = server.snapshot();
    let delta = server.feed(Some(&before), 0).json();
    assert_eq!(keys(&newcomer), "version, more, issuers, introspection, revoked_tokens");
    assert_eq!(keys(&delta), "version, since, more, revoked_tokens");
    for first in [newcomer, delta] {
        let rest = server.feed(Some(text(&first, "version")), 20).json();
        assert_eq!(keys(&rest), "version, since, revoked_tokens");
        assert_eq!(rest["since"], first["version"]);
        let parts = [&first, &rest].map(|part| part["revoked_tokens"].as_array().unwrap());
        assert_eq!(parts.map(Vec::len), [50_000, 10_000]);
        assert_eq!(server.feed(Some(text(&rest, "version")), 0).status, 304);
    }
}

/// Writes revocations straight into the database beside the running server.
fn revoke_many(server: &Server, count: u32) {
    let script = format!(
        "WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {count}) \
         INSERT INTO change (kind, subject, at_ms) SELECT 'token_revoked', 't' || n, 9999999999999 FROM series; \
         INSERT INTO revoked_token (token_id, number) SELECT subject, number FROM change WHERE kind = 'token_revoked'"
    );
    engine::run(server.folder.path(), script);
}

#[test]
fn versions_go_on_after_a_restart() {
    let mut server = Server::start();
    let tokens = server.log_in("u1");
    let version = text(&server.snapshot(), "version").to_owned();
    server.log_out(text(&tokens, "access_token"));
    server.restart();
    let delta = server.feed(Some(&version), 20).json();
    assert_eq!(delta["since"].as_str(), Some(version.as_str()));
    assert_eq!(delta["revoked_tokens"][0][0], tokens["jti"]);
    assert_eq!(server.snapshot()["revoked_tokens"][0][0], tokens["jti"]);
}

/// Everything that a gateway at a version knows to be revoked once it has been told of `last`.
fn followed(server: &Server, mut version: String, mut known: BTreeSet<String>, last: &str) -> BTreeSet<String> {
    for _ in 0..100 {
        let document = server.feed(Some(&version), 20).json();
        if document.get("since").is_none() {
            known.clear();
        }
        let revoked = document["revoked_tokens"].as_array().into_iter().flatten();
        known.extend(revoked.map(|token| token[0].as_str().unwrap().to_owned()));
        version = text(&document, "version").to_owned();
        if known.contains(last) {
            return known;
        }
    }
    panic!("{last} is never told: {known:?}")
}

#[test]
fn after_a_restored_backup_a_gateway_is_told_everything_anew() {
    let mut server = Server::start();
    let revoke = |server: &Server, id: &str| {
        let script = format!(
            "INSERT INTO change (kind, subject, at_ms) VALUES ('token_revoked', '{id}', 1); \
             INSERT INTO revoked_token (token_id, number) SELECT '{id}', MAX(number) FROM change"
        );
        engine::run(server.folder.path(), script);
    };
    // Restored beside the running server, and while it is stopped.
    for running in [true, false] {
        let begin = text(&server.snapshot(), "version").to_owned();
        let [kept, lost, new] = ["kept", "lost", "new"].map(|word| format!("{word}-{running}"));
        revoke(&server, &kept);
        followed(&server, begin, BTreeSet::new(), &kept);
        let version = text(&server.snapshot(), "version").to_owned();
        let number: i64 = version.split('-').nth(1).unwrap().parse().unwrap();
        let known = BTreeSet::from([kept.clone()]);
        revoke(&server, &format!("{lost}-1"));
        revoke(&server, &format!("{lost}-2"));
        let known = followed(&server, version, known, &format!("{lost}-2"));
        let version = text(&server.snapshot(), "version").to_owned();

        if !running {
            server.terminate();
        }
        let sequence = match engine::postgres() {
            Some(_) => format!("ALTER TABLE change ALTER COLUMN number RESTART WITH {}", number + 1),
            None => format!("UPDATE sqlite_sequence SET seq = {number} WHERE name = 'change'"),
        };
        let back = format!(
            "DELETE FROM revoked_token WHERE number > {number}; DELETE FROM change WHERE number > {number}; {sequence}"
        );
        engine::run(server.folder.path(), back);
        for n in 1..4 {
            revoke(&server, &format!("{new}-{n}"));
        }
        if !running {
            server.start_again();
        }
        let known = followed(&server, version, known, &format!("{new}-3"));
        assert!(known.contains(&kept), "{known:?}");
        for n in 1..4 {
            assert!(known.contains(&format!("{new}-{n}")), "{known:?}");
            assert!(!known.contains(&format!("{lost}-{n}")), "{known:?}");
        }
    }
}

#[test]
fn a_stop_does_not_wait_for_held_polls() {
    let mut server = Server::start();
    let version = text(&server.snapshot(), "version").to_owned();
    let address = server.address.clone();
    let poll = std::thread::spawn(move || {
        let path = format!("/feed/tokens?after={version}&wait=25");
        crate::harness::http::request(
            &address,
            "GET",
            &path,
            &[("authorization", &basic(("gateway", "secret")))],
            "",
        )
    });
    std::thread::sleep(Duration::from_millis(300));
    let (code, took) = server.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(poll.join().unwrap().status, 304);
}

#[test]
fn metrics_and_health() {
    let server = Server::start();
    assert_eq!(server.get("/health/live", &[]).status, 200);
    assert_eq!(server.get("/health/ready", &[]).status, 200);
    let tokens = server.log_in("u1");
    server.log_in("u1");
    server.log_out(text(&tokens, "access_token"));
    server.refresh("x");
    let text = server.get("/metrics", &[]).body;
    for line in [
        r#"postern_auth_tokens_issued_total{grant="password",repeated="false"} 1"#,
        r#"postern_auth_tokens_issued_total{grant="password",repeated="true"} 1"#,
        r#"postern_auth_refusals_total{error="invalid_grant"} 1"#,
        "postern_auth_feed_pollers 0",
        "postern_auth_revocations_live 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}
