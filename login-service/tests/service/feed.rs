//! The permission feed: snapshots, deltas, held polls.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer, BASIC, Engine, Folder, Service, on_each_engine, request};

on_each_engine![
    a_newcomer_gets_everything,
    an_empty_database_has_a_snapshot_too,
    nothing_new_is_304_after_the_wait,
    a_version_of_another_database_or_the_future_gets_a_snapshot_at_once,
    strangers_get_401,
    each_command_tells_whose_authorities_it_changed,
    a_changed_user_may_log_in_or_not,
    a_change_is_dated_in_unix_seconds,
    a_change_by_another_process_reaches_a_held_poll_at_once,
    a_delta_carries_all_changes_since_and_each_user_once,
    rows_that_came_and_went_are_told_as_they_are_now,
    very_many_changed_rows_are_told_as_a_whole_table,
    versions_outlive_a_restart,
    after_a_restored_backup_a_gateway_is_told_everything_anew,
    many_pollers_get_the_same_document,
    changes_older_than_the_retention_are_forgotten,
];

fn filled(engine: Engine) -> (Folder, Service) {
    let folder = Folder::new(engine, "");
    folder.fill();
    let service = folder.serve();
    (folder, service)
}

#[expect(clippy::disallowed_methods, reason = "these tests measure how soon a change arrives")]
fn now() -> Instant {
    Instant::now()
}

fn changed_users(document: &Value) -> Vec<&str> {
    let Some(users) = document.get("changed_users") else {
        return Vec::new();
    };
    users
        .as_array()
        .unwrap()
        .iter()
        .map(|user| user[0].as_str().unwrap())
        .collect()
}

/// The rows in a part of a document: `NAME /url`, with the method between them if there is one.
fn rows(document: &Value, part: &str) -> Vec<String> {
    let Some(rows) = document.get(part) else {
        return Vec::new();
    };
    let text = |row: &Value| {
        ["name", "method", "url"]
            .iter()
            .filter_map(|key| Some(row.get(key)?.as_str().unwrap()))
            .collect::<Vec<_>>()
            .join(" ")
    };
    rows.as_array().unwrap().iter().map(text).collect()
}

/// Holds a poll at the newest version while `change` runs; the answer, and how long after the change it came.
fn held(service: &Service, change: impl FnOnce()) -> (Answer, Duration) {
    let version = service.feed("")["version"].as_str().unwrap().to_owned();
    let address = service.address;
    let poll = std::thread::spawn(move || {
        let answer = request(
            address,
            "GET",
            &format!("/feed/permissions?after={version}&wait=20"),
            &[BASIC],
            "",
        );
        (answer, now())
    });
    std::thread::sleep(Duration::from_millis(200));
    assert!(!poll.is_finished(), "the poll must be held");
    change();
    let changed = now();
    let (answer, answered) = poll.join().unwrap();
    (answer, answered.saturating_duration_since(changed))
}

/// The delta since a version, once it says everything: the first poll may come before the last of the changes was seen.
fn told(service: &Service, version: &str, everything: impl Fn(&Value) -> bool) -> Value {
    let query = format!("?after={version}&wait=20");
    (0..100)
        .map(|_| service.feed(&query))
        .find(everything)
        .expect("the changes are told")
}

/// The delta that a command causes at a held poll.
fn delta(folder: &Folder, service: &Service, command: &str) -> Value {
    let (answer, _) = held(service, || folder.must(command));
    assert_eq!(answer.status, 200, "{command}");
    serde_json::from_str(&answer.body).unwrap()
}

fn a_newcomer_gets_everything(engine: Engine) {
    let (_folder, service) = filled(engine);
    let answer = service.get("/feed/permissions");
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/json"))
    );
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    assert!(document.get("since").is_none());
    assert_eq!(
        document["permissions"],
        json!([
            { "name": "ROLE_TEST", "url": "/service/demo/test" },
            { "name": "ROLE_TEST2", "url": "/service/demo/test2" },
            { "name": "ROLE_ADMIN", "url": "/service/demo/admin/**", "method": "GET" },
        ])
    );
    assert_eq!(changed_users(&document), ["u1", "u2"]);
    let version = document["version"].as_str().unwrap();
    let [lineage, number, mark] = version.split('-').collect::<Vec<_>>()[..] else {
        panic!("{version}")
    };
    assert!(
        lineage.len() == 16 && lineage.bytes().all(|b| b.is_ascii_hexdigit()),
        "{version}"
    );
    assert!(number.parse::<u64>().unwrap() > 0 && u64::from_str_radix(mark, 16).unwrap() > 0);
}

fn an_empty_database_has_a_snapshot_too(engine: Engine) {
    let folder = Folder::new(engine, "");
    let service = folder.serve();
    let document = service.feed("");
    assert_eq!(document["permissions"], json!([]));
    let delta = delta(&folder, &service, "permission add ROLE_X --url /x");
    assert_eq!(delta["since"], document["version"]);
}

fn nothing_new_is_304_after_the_wait(engine: Engine) {
    let (_folder, service) = filled(engine);
    let version = service.feed("")["version"].as_str().unwrap().to_owned();
    let start = now();
    let answer = service.get(&format!("/feed/permissions?after={version}&wait=1"));
    let waited = start.elapsed();
    assert_eq!((answer.status, answer.body.as_str()), (304, ""));
    assert!(
        waited >= Duration::from_millis(900) && waited < Duration::from_secs(5),
        "{waited:?}"
    );
    assert_eq!(
        service.get(&format!("/feed/permissions?after={version}&wait=0")).status,
        304
    );
    assert_eq!(
        service
            .get(&format!("/feed/permissions?after={version}&wait=soon"))
            .status,
        400
    );
}

fn a_version_of_another_database_or_the_future_gets_a_snapshot_at_once(engine: Engine) {
    let (_folder, service) = filled(engine);
    let version = service.feed("")["version"].as_str().unwrap().to_owned();
    let lineage = version.split_once('-').unwrap().0;
    for after in [
        format!("{lineage}-999999-1"),
        format!("{lineage}-1-1"),
        // As versions were written before changes had marks.
        format!("{lineage}-1"),
        "0123456789abcdef-1-1".into(),
        format!("{lineage}--1-1"),
        "x".into(),
    ] {
        let document = service.feed(&format!("?after={after}&wait=20"));
        assert!(
            document.get("since").is_none() && document.get("permissions").is_some(),
            "{after}"
        );
        assert_eq!(document["version"], *version);
    }
}

fn strangers_get_401(engine: Engine) {
    let (_folder, service) = filled(engine);
    assert_eq!(service.request("GET", "/feed/permissions", &[], "").status, 401);
    for header in [
        "Authorization: Basic Z2F0ZXdheTp3cm9uZw==",
        "Authorization: Bearer x",
        "Authorization: Basic %",
    ] {
        assert_eq!(
            service.request("GET", "/feed/permissions", &[header], "").status,
            401,
            "{header}"
        );
    }
    assert_eq!(service.request("POST", "/feed/permissions", &[BASIC], "").status, 405);
}

fn each_command_tells_whose_authorities_it_changed(engine: Engine) {
    let (folder, service) = filled(engine);
    for (command, users, added, removed) in [
        ("user grant u1 tester2", vec!["u1"], vec![], vec![]),
        ("user revoke u1 tester2", vec!["u1"], vec![], vec![]),
        ("role revoke tester 1", vec!["u1", "u2"], vec![], vec![]),
        ("role grant tester 1", vec!["u1", "u2"], vec![], vec![]),
        ("user disable u1", vec!["u1"], vec![], vec![]),
        ("user enable u1", vec!["u1"], vec![], vec![]),
        (
            "permission add ROLE_NEW --url /new/*",
            vec![],
            vec!["ROLE_NEW /new/*"],
            vec![],
        ),
        (
            "permission remove 2",
            vec!["u2"],
            vec![],
            vec!["ROLE_TEST2 /service/demo/test2"],
        ),
        ("role remove tester", vec!["u1", "u2"], vec![], vec![]),
        ("user remove u1", vec!["u1"], vec![], vec![]),
        ("user add u1 --password password", vec!["u1"], vec![], vec![]),
        ("user add u3 --password password", vec!["u3"], vec![], vec![]),
    ] {
        let document = delta(&folder, &service, command);
        assert!(document.get("since").is_some(), "{command}");
        assert_eq!(changed_users(&document), users, "{command}");
        assert_eq!(rows(&document, "added"), added, "{command}");
        assert_eq!(rows(&document, "removed"), removed, "{command}");
        assert!(
            document.get("permissions").is_none(),
            "{command}: a delta carries no table"
        );
    }
}

fn a_changed_user_may_log_in_or_not(engine: Engine) {
    let (folder, service) = filled(engine);
    for (command, may_log_in) in [
        ("user disable u1", false),
        ("user grant u1 tester2", false),
        ("user enable u1", true),
        ("user remove u1", false),
        ("user add another --id u1 --password password", true),
        ("user disable another", false),
        ("user remove another", false),
    ] {
        let document = delta(&folder, &service, command);
        let change = &document["changed_users"][0];
        assert_eq!(changed_users(&document), ["u1"], "{command}");
        assert_eq!(
            *change,
            json!(["u1", change[1].as_u64().unwrap(), may_log_in]),
            "{command}"
        );
        let snapshot = service.feed("");
        assert_eq!(changed_users(&snapshot), ["u1", "u2"], "{command}");
        assert_eq!(snapshot["changed_users"][0], *change, "{command}");
        assert_eq!(snapshot["changed_users"][1][2], true, "{command}: u2 is not concerned");
    }
}

fn a_change_is_dated_in_unix_seconds(engine: Engine) {
    let (folder, service) = filled(engine);
    let document = delta(&folder, &service, "user revoke u1 tester");
    let at = document["changed_users"][0][1].as_i64().unwrap();
    #[expect(clippy::disallowed_methods, reason = "compared with the time in the document")]
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64;
    assert!((now - 15..=now).contains(&at), "{at} is not about now ({now})");
}

fn a_change_by_another_process_reaches_a_held_poll_at_once(engine: Engine) {
    let (folder, service) = filled(engine);
    // The best of some: what is measured includes the end of the command's process, on a machine that is busy.
    let fastest = (0..5)
        .map(|round| {
            held(&service, || {
                folder.must(&format!("permission add ROLE_{round} --url /r{round}"))
            })
            .1
        })
        .min()
        .unwrap();
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
}

fn a_delta_carries_all_changes_since_and_each_user_once(engine: Engine) {
    let (folder, service) = filled(engine);
    let version = service.feed("")["version"].as_str().unwrap().to_owned();
    folder.must("user revoke u1 tester\nuser grant u1 tester\npermission add ROLE_X --url /x");
    let document = told(&service, &version, |document| document.get("added").is_some());
    assert_eq!(document["since"], *version);
    assert_eq!(changed_users(&document), ["u1"]);
    assert_eq!(rows(&document, "added"), ["ROLE_X /x"]);
}

fn rows_that_came_and_went_are_told_as_they_are_now(engine: Engine) {
    let (folder, service) = filled(engine);
    let version = service.feed("")["version"].as_str().unwrap().to_owned();
    let id = |name: &str| -> u64 {
        let listed = folder.run("permission list").stdout;
        let row = listed.lines().find(|line| line.contains(name)).unwrap();
        row.split_whitespace().next().unwrap().parse().unwrap()
    };
    folder.must("permission add ROLE_X --url /x --method PUT\npermission add ROLE_Y --url /y");
    folder.must(&format!("permission remove {}\npermission remove 2", id("ROLE_Y")));
    folder.must("permission add ROLE_TEST2 --url /service/demo/test2");
    let document = told(&service, &version, |document| {
        document.get("removed").is_some() && rows(document, "added").len() == 2
    });
    assert_eq!(
        rows(&document, "added"),
        ["ROLE_TEST2 /service/demo/test2", "ROLE_X PUT /x"]
    );
    assert_eq!(rows(&document, "removed"), ["ROLE_Y /y"]);
    assert!(document.get("permissions").is_none());
}

fn very_many_changed_rows_are_told_as_a_whole_table(engine: Engine) {
    let (folder, service) = filled(engine);
    let version = service.feed("")["version"].as_str().unwrap().to_owned();
    let rows_of_it: Vec<String> = (1000..3001).map(|n| format!("({n}, 'ROLE_M', '/m/{n}')")).collect();
    let dump = format!(
        "INSERT INTO sys_permission (id, name, url) VALUES {};",
        rows_of_it.join(", ")
    );
    let file = folder.path().join("many.sql");
    std::fs::write(&file, dump).unwrap();
    folder.must(&format!("import {}", file.display()));
    let document = told(&service, &version, |document| document.get("permissions").is_some());
    assert_eq!(document["since"], *version);
    assert_eq!(rows(&document, "permissions").len(), 2004);
    assert!(document.get("added").is_none() && document.get("removed").is_none());
}

fn versions_outlive_a_restart(engine: Engine) {
    let (folder, service) = filled(engine);
    let version = service.feed("")["version"].as_str().unwrap().to_owned();
    drop(service);
    let service = folder.serve();
    assert_eq!(
        service.get(&format!("/feed/permissions?after={version}&wait=0")).status,
        304
    );
    drop(service);
    folder.must("user revoke u2 tester2");
    let document = folder.serve().feed(&format!("?after={version}&wait=20"));
    assert_eq!(document["since"], *version);
    assert_eq!(changed_users(&document), ["u2"]);
}

fn after_a_restored_backup_a_gateway_is_told_everything_anew(engine: Engine) {
    let (folder, service) = filled(engine);
    drop(service);
    let backup = folder.backup(engine);
    folder.must("permission add ROLE_LOST --url /lost\npermission add ROLE_LOST2 --url /lost2");
    let service = folder.serve();
    let version = service.feed("")["version"].as_str().unwrap().to_owned();
    drop(service);
    folder.restore(&backup);
    // One more than was lost: the number of the gateway's version has been given again.
    for round in 1..4 {
        folder.must(&format!("permission add ROLE_{round} --url /r{round}"));
    }
    let document = folder.serve().feed(&format!("?after={version}&wait=20"));
    assert!(document.get("since").is_none(), "{document}");
    let permissions = rows(&document, "permissions").join(", ");
    assert!(
        permissions.ends_with("ROLE_1 /r1, ROLE_2 /r2, ROLE_3 /r3"),
        "{permissions}"
    );
    assert!(!permissions.contains("LOST"), "{permissions}");
}

fn many_pollers_get_the_same_document(engine: Engine) {
    let (folder, service) = filled(engine);
    let version = service.feed("")["version"].as_str().unwrap().to_owned();
    let address = service.address;
    let pollers: Vec<_> = (0..100)
        .map(|_| {
            let target = format!("/feed/permissions?after={version}&wait=20");
            std::thread::spawn(move || request(address, "GET", &target, &[BASIC], "").body)
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    folder.must("user revoke u1 tester");
    let bodies: Vec<String> = pollers.into_iter().map(|poller| poller.join().unwrap()).collect();
    assert!(bodies[0].contains("u1"));
    assert!(bodies.iter().all(|body| *body == bodies[0]));
}

fn changes_older_than_the_retention_are_forgotten(engine: Engine) {
    let folder = Folder::new(engine, "changed_user_retention: 1s");
    folder.fill();
    std::thread::sleep(Duration::from_millis(2100));
    let service = folder.serve();
    let document = service.feed("");
    assert_eq!(changed_users(&document), Vec::<&str>::new());
    assert_eq!(document["permissions"].as_array().unwrap().len(), 3);
    let lineage = document["version"].as_str().unwrap().split_once('-').unwrap().0;
    let document = service.feed(&format!("?after={lineage}-0&wait=20"));
    assert!(
        document.get("since").is_none(),
        "a delta from before the oldest change that is kept would not be complete"
    );
}
