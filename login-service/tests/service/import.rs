//! `import`: what a dump of a legacy system becomes.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{BASIC, Engine, Folder, Said, on_each_engine, request};

on_each_engine![
    what_mysqldump_wrote_is_taken_over,
    what_people_wrote_is_taken_over,
    passwords_of_every_known_encoding_sign_in,
    a_bcrypt_hash_is_replaced_when_its_user_signs_in,
    a_second_import_changes_nothing,
    what_was_removed_or_taken_away_since_does_not_come_back,
    what_changed_in_the_dump_is_brought_up_to_date,
    what_is_there_already_is_not_overwritten,
    a_broken_row_refuses_itself_alone,
    an_import_reaches_held_polls,
    many_users_come_in_batches_and_an_import_can_be_repeated,
    files_without_such_rows_are_an_error,
];

/// As mysqldump writes it; the names are of nobody.
const MYSQLDUMP: &str = include_str!("dumps/mysqldump.sql");
/// As people write it.
const BY_HAND: &str = include_str!("dumps/by_hand.sql");

/// Writes the dumps beside the configuration, and imports them.
fn import(folder: &Folder, dumps: &[&str]) -> Said {
    let mut line = String::from("import");
    for (number, dump) in dumps.iter().enumerate() {
        let file = folder.path().join(format!("{number}.sql"));
        std::fs::write(&file, dump).unwrap();
        line.push_str(&format!(" {}", file.display()));
    }
    let said = folder.run(&line);
    Said {
        stdout: said.stdout.replace(&format!("{}/", folder.path().display()), ""),
        ..said
    }
}

/// Taken, unchanged, changed and refused rows of each table, and the lines below.
fn report(said: &Said) -> (Vec<(&str, [usize; 4])>, Vec<&str>) {
    let mut lines = said.stdout.lines();
    let head = lines.next().unwrap_or_default();
    assert_eq!(
        head.split_whitespace().collect::<Vec<_>>(),
        ["TABLE", "TAKEN", "UNCHANGED", "CHANGED", "REFUSED"],
        "{said:?}"
    );
    let tables = lines
        .by_ref()
        .take(5)
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[0], [1, 2, 3, 4].map(|column| words[column].parse().unwrap()))
        })
        .collect();
    (tables, lines.collect())
}

fn counts(said: &Said) -> [[usize; 4]; 5] {
    assert_eq!(said.code, Some(0), "{said:?}");
    let tables = report(said).0;
    let count = |table| tables.iter().find(|(name, _)| *name == table).unwrap().1;
    [
        "sys_user",
        "sys_role",
        "sys_role_user",
        "sys_permission",
        "sys_permission_role",
    ]
    .map(count)
}

fn login(folder: &Folder, form: &str) -> String {
    folder.serve().form("/login", form).body
}

fn what_mysqldump_wrote_is_taken_over(engine: Engine) {
    let folder = Folder::new(engine, "");
    let said = import(&folder, &[MYSQLDUMP]);
    assert_eq!(
        counts(&said),
        [[3, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0], [3, 0, 0, 0], [4, 0, 0, 0]],
        "{said:?}"
    );
    assert_eq!(
        folder.run("user list").stdout,
        "NAME   ID  STATE    ROLES\n\
         ann    1   enabled  CLERK, KEEPER\n\
         bob    2   enabled  CLERK\n\
         o'dea  10  enabled\n"
    );
    assert_eq!(
        folder.run("role list").stdout,
        "NAME    PERMISSIONS\nCLERK   1\nKEEPER  1, 2, 7\n"
    );
    let service = folder.serve();
    assert_eq!(
        service.get("/getAllPermissionByUserId?userId=1").body,
        r#"[{"name":"SEE_SHELF","description":"Wer Bücher sieht; (auch alte)","id":"1","url":"/shelf"},{"name":"EDIT_SHELF","description":"","id":"2","url":"/shelf/edit"},{"name":"ALL","description":"","id":"7","url":"/shelf/**"}]"#
    );
    assert_eq!(
        service.form("/login", "username=o%27dea&password=it%27s%5Cx").body,
        r#"{"userId":"10"}"#
    );
}

fn what_people_wrote_is_taken_over(engine: Engine) {
    let folder = Folder::new(engine, "");
    let said = import(&folder, &[BY_HAND]);
    assert_eq!(
        counts(&said),
        [[2, 0, 0, 0], [2, 0, 0, 0], [2, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0]],
        "{said:?}"
    );
    assert_eq!(
        folder.run("user list").stdout,
        "NAME  ID  STATE    ROLES\nann   1   enabled  KEEPER\nbob   2   enabled  CLERK\n"
    );
    assert_eq!(login(&folder, "username=ann&password=ann-word"), r#"{"userId":"1"}"#);
}

fn passwords_of_every_known_encoding_sign_in(engine: Engine) {
    let folder = Folder::new(engine, "");
    let argon2 = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$VbWVGv8RIGbVyOyz0aSLqbIgvrM2dBlJIUKyBjkZP3E";
    let bcrypt = "$2a$04$0123456789abcdefghijkuCrtJhC0zOwHCImwFgNu.oQZdpeTlz2u";
    let (two_b, two_y) = (bcrypt.replace("2a", "2b"), bcrypt.replace("2a", "2y"));
    let stored = [
        "plain",
        "{noop}plain",
        "{noop}{x}",
        bcrypt,
        &two_b,
        &two_y,
        &format!("{{bcrypt}}{bcrypt}"),
        argon2,
    ];
    let rows: Vec<String> = (1..)
        .zip(stored)
        .map(|(id, stored)| format!("({id}, 'u{id}', '{stored}')"))
        .collect();
    let dump = format!(
        "INSERT INTO sys_user (id, username, password) VALUES {};",
        rows.join(",\n")
    );
    assert_eq!(counts(&import(&folder, &[&dump]))[0], [8, 0, 0, 0]);
    let service = folder.serve();
    let passwords = ["plain", "plain", "{x}", "sesame-9", "sesame-9", "sesame-9", "sesame-9"];
    // Twice: the second time their hashes are of the one kind.
    for _ in 0..2 {
        for (id, password) in (1..).zip(passwords) {
            let form = format!("username=u{id}&password={password}");
            assert_eq!(
                service.form("/login", &form).body,
                format!(r#"{{"userId":"{id}"}}"#),
                "{password}"
            );
            for wrong in [format!("{form}x"), form.replace(password, "%7Bnoop%7Dplain")] {
                let answer = service.form("/login", &wrong).body;
                assert_eq!(answer, r#"{"errorMsg":"password invalid"}"#, "{wrong}");
            }
        }
    }
}

fn a_bcrypt_hash_is_replaced_when_its_user_signs_in(engine: Engine) {
    let folder = Folder::new(engine, "");
    // bcrypt looks no further than 72 bytes, as the system that made the hash; the hash that replaces it is of all.
    let dump = "INSERT INTO sys_user (id, username, password) VALUES \
                (1, 'ann', '{bcrypt}$2y$04$0123456789abcdefghijkuCrtJhC0zOwHCImwFgNu.oQZdpeTlz2u');";
    assert_eq!(counts(&import(&folder, &[dump]))[0], [1, 0, 0, 0]);
    let service = folder.serve();
    let version = service.feed("")["version"].clone();
    let answers: Vec<String> = std::thread::scope(|threads| {
        let logins: Vec<_> = (0..8)
            .map(|_| threads.spawn(|| service.form("/login", "username=ann&password=sesame-9").body))
            .collect();
        logins.into_iter().map(|login| login.join().unwrap()).collect()
    });
    assert!(
        answers.iter().all(|answer| answer == r#"{"userId":"1"}"#),
        "{answers:?}"
    );
    let hash = match engine {
        Engine::Sqlite => {
            String::from_utf8_lossy(&std::fs::read(folder.path().join("login.db-wal")).unwrap()).into_owned()
        }
        Engine::Postgres(postgres) => postgres.sql(&folder.database(), "SELECT password_hash FROM users"),
    };
    assert!(hash.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert_eq!(
        service.form("/login", "username=ann&password=sesame-9").body,
        r#"{"userId":"1"}"#
    );
    assert_eq!(service.feed("")["version"], version, "no gateway need know");
}

fn a_second_import_changes_nothing(engine: Engine) {
    for dump in [MYSQLDUMP, BY_HAND] {
        let folder = Folder::new(engine, "");
        let first = counts(&import(&folder, &[dump]));
        folder.must("user password ann --password changed-since");
        let lists = ["user list", "role list", "permission list"].map(|list| folder.run(list).stdout);
        let version = folder.serve().feed("")["version"].clone();
        let second = import(&folder, &[dump]);
        assert_eq!(counts(&second), first.map(|[taken, ..]| [0, taken, 0, 0]), "{second:?}");
        assert!(report(&second).1.is_empty(), "{second:?}");
        assert_eq!(
            ["user list", "role list", "permission list"].map(|list| folder.run(list).stdout),
            lists
        );
        assert_eq!(
            folder.serve().feed("")["version"],
            version,
            "no gateway is told anything"
        );
        assert_eq!(
            login(&folder, "username=ann&password=changed-since"),
            r#"{"userId":"1"}"#
        );
    }
}

fn what_was_removed_or_taken_away_since_does_not_come_back(engine: Engine) {
    let folder = Folder::new(engine, "");
    import(&folder, &[MYSQLDUMP]);
    folder.must(
        "user revoke ann KEEPER
         user remove bob
         role revoke KEEPER 2
         permission remove 7",
    );
    let lists = || ["user list", "role list", "permission list"].map(|list| folder.run(list).stdout);
    let before = lists();
    let version = folder.serve().feed("")["version"].clone();
    let said = import(&folder, &[MYSQLDUMP]);
    assert_eq!(
        counts(&said),
        [[0, 2, 0, 1], [0, 2, 0, 0], [0, 2, 0, 1], [0, 2, 0, 1], [0, 4, 0, 0]],
        "{said:?}"
    );
    let lines = report(&said).1.join("\n");
    for line in [
        "refused: user bob: was removed here since it was imported; `user add` adds such a user again",
        "refused: the user 2 was refused",
        "refused: permission 7 was removed here since it was imported; `permission add` adds it again",
    ] {
        assert!(lines.contains(line), "{line} in {lines}");
    }
    assert_eq!(lists(), before);
    assert_eq!(
        folder.serve().feed("")["version"],
        version,
        "no gateway is told anything"
    );
    folder.must("role remove CLERK");
    let before = lists();
    import(&folder, &[MYSQLDUMP]);
    assert_eq!(lists(), before);
    // What is new in the dump is taken all the same, but not for who was removed.
    let more = "INSERT INTO sys_role (id, name) VALUES (77, 'NEW');
        INSERT INTO sys_role_user (user_id, role_id) VALUES ('1', '77'), ('2', '77');";
    import(&folder, &[MYSQLDUMP, more]);
    let users = folder.run("user list").stdout;
    assert!(users.contains("ann    1   enabled  NEW\n"), "{users}");
    assert!(!users.contains("bob"), "{users}");
}

fn what_changed_in_the_dump_is_brought_up_to_date(engine: Engine) {
    let folder = Folder::new(engine, "");
    import(&folder, &[BY_HAND]);
    folder.must("permission add KEPT --url /kept --method GET --id 50");
    let changed = BY_HAND
        .replace("'/shelf/edit'", "'/shelf/*/edit'")
        .replace("'ann-word'", "'another'")
        .replace("(1, 1, 2,", "(1, 1, 1,");
    let said = import(&folder, &[&changed]);
    assert_eq!(
        counts(&said),
        [[0, 2, 0, 0], [0, 2, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 3, 0, 0]],
        "{said:?}"
    );
    assert_eq!(
        report(&said).1,
        [
            "0.sql:20: sys_permission: changed: permission 2 is now EDIT_SHELF for /shelf/*/edit; it was EDIT_SHELF for /shelf/edit"
        ]
    );
    let users = folder.run("user list").stdout;
    assert!(
        users.contains("ann   1   enabled  CLERK, KEEPER\n"),
        "nothing is taken away: {users}"
    );
    assert!(folder.run("permission list").stdout.contains("/kept"));
    assert_eq!(login(&folder, "username=ann&password=ann-word"), r#"{"userId":"1"}"#);
}

fn what_is_there_already_is_not_overwritten(engine: Engine) {
    let folder = Folder::new(engine, "");
    folder.must(
        "user add eve --id 1 --password eves
         user add bob --id b --password bobs
         permission add SEE_SHELF --url /shelf --id 9
         permission add EDIT_SHELF --url /old --method GET --id 2
         role add KEEPER",
    );
    let said = import(&folder, &[BY_HAND]);
    assert_eq!(
        counts(&said),
        [[0, 0, 0, 2], [1, 1, 0, 0], [0, 0, 0, 2], [0, 1, 1, 0], [3, 0, 0, 0]],
        "{said:?}"
    );
    assert_eq!(
        report(&said).1,
        [
            "0.sql:19: sys_permission: says the same as permission 9, which stands for it",
            "0.sql:20: sys_permission: changed: permission 2 is now EDIT_SHELF for /shelf/edit; it was EDIT_SHELF for /old",
            "0.sql:15: sys_role_user: refused: the user 1 was refused",
            "0.sql:12: sys_user: refused: user ann: the id 1 is that of the user eve",
            "0.sql:16: sys_role_user: refused: the user 2 was refused",
            "0.sql:12: sys_user: refused: user bob: there is already a user of that name, with the id b",
        ]
    );
    assert_eq!(
        folder.run("user list").stdout,
        "NAME  ID  STATE    ROLES\nbob   b   enabled\neve   1   enabled\n",
        "nobody gets the roles of another"
    );
    assert_eq!(
        folder.run("role list").stdout,
        "NAME    PERMISSIONS\nCLERK   9\nKEEPER  2, 9\n"
    );
    assert!(
        folder
            .run("permission list")
            .stdout
            .contains("2   EDIT_SHELF  GET     /shelf/edit")
    );
}

fn a_broken_row_refuses_itself_alone(engine: Engine) {
    let folder = Folder::new(engine, "");
    let dump = "\
CREATE TABLE sys_user (id int, username varchar(255), password varchar(255), UPDATE_TIME timestamp);
INSERT INTO sys_user VALUES (1, 'ann', 'a', now()), (2, 'bob'), (3, NULL, 'c', NULL), (4, 'dan', NULL, NULL);
INSERT INTO sys_user VALUES (5, 'eve', '{MD5}0cc175b9c0f1b6a831c399e269772661', NULL);
INSERT INTO sys_user VALUES (6, 'fay', 'it's', NULL);
INSERT INTO sys_user VALUES (1, 'gus', 'g', NULL), (NULL, 'hal', 'h', NULL), (7, 'ann', 'a', NULL);
INSERT INTO sys_user VALUES (8, 'ida', _binary 'i', NULL), (9, _binary '\\0', 'j', NULL);
INSERT INTO sys_role (id, name) VALUES (1, 'CLERK'), (2, NULL), (3, 'CLERK'), (1, 'KEEPER');
INSERT INTO sys_permission (id, name, url) VALUES (1, 'SEE', '/see'), (2, 'SEE', '/see'), (3, 'A B', '/x');
INSERT INTO sys_permission (id, name, url) VALUES (4, 'BAD', '/a/**/b'), (5, 'NO', NULL), ('x', 'NO', '/x');
INSERT INTO sys_permission_role (role_id, permission_id) VALUES ('1', '1'), ('3', '2'), ('2', '1'), ('1', '4');
INSERT INTO sys_role_user (user_id, role_id) VALUES ('1', '1'), ('8', '3'), ('4', '1'), ('99', '1'), ('1', '9');
INSERT INTO sys_role_user (user_id, role_id) VALUES (NULL, '1'), ('1', '1');
DROP TABLE 'x;
";
    let said = import(&folder, &[dump]);
    assert_eq!(
        counts(&said),
        [[2, 0, 0, 9], [1, 1, 0, 2], [2, 1, 0, 4], [1, 1, 0, 4], [1, 1, 0, 2]],
        "{said:?}"
    );
    assert_eq!(
        report(&said).1,
        [
            "0.sql:2: sys_user: refused: 4 columns, but 2 values",
            "0.sql:2: sys_user: refused: its `username` is NULL",
            "0.sql:2: sys_user: refused: user dan: its `password` is NULL",
            "0.sql:3: sys_user: refused: user eve: its password is encoded as {MD5}, which cannot be checked; set one with `user add`",
            "0.sql:4: sys_user: refused: expected `,` or `)`, found a word",
            "0.sql:5: sys_user: refused: user gus: the id 1 is there twice; its first row counts",
            "0.sql:5: sys_user: refused: its `id` is NULL",
            "0.sql:6: sys_user: refused: `\\0` cannot be the name of a user",
            "0.sql:7: sys_role: refused: its `name` is NULL",
            "0.sql:7: sys_role: refused: role KEEPER: the id 1 is there twice; its first row counts",
            "0.sql:8: sys_permission: refused: `A B` cannot be the name of a permission; write letters, digits and signs without spaces and commas, as in ROLE_TEST",
            "0.sql:9: sys_permission: refused: permission BAD: the url `/a/**/b` has `**` before its end; only the last segment may be `**`",
            "0.sql:9: sys_permission: refused: permission NO: its `url` is NULL",
            "0.sql:9: sys_permission: refused: the id x is not a whole number from 1 on",
            "0.sql:12: sys_role_user: refused: its `user_id` is NULL",
            "0.sql:13: not read: a string that does not end",
            "0.sql:8: sys_permission: says the same as permission 1, which stands for it",
            "0.sql:10: sys_permission_role: refused: no role with the id 2 was taken",
            "0.sql:10: sys_permission_role: refused: no permission with the id 4 was taken",
            "0.sql:11: sys_role_user: refused: no role with the id 9 was taken",
            "0.sql:5: sys_user: refused: user ann: there is already a user of that name, with the id 1",
            "0.sql:11: sys_role_user: refused: there is no user with the id 4",
            "0.sql:11: sys_role_user: refused: there is no user with the id 99",
        ]
    );
    assert_eq!(
        folder.run("user list").stdout,
        "NAME  ID  STATE    ROLES\nann   1   enabled  CLERK\nida   8   enabled  CLERK\n"
    );
    assert!(!said.stdout.contains("0cc175") && said.stderr.is_empty(), "{said:?}");
}

fn an_import_reaches_held_polls(engine: Engine) {
    let folder = Folder::new(engine, "");
    let service = folder.serve();
    let version = service.feed("")["version"].as_str().unwrap().to_owned();
    let (address, target) = (service.address, format!("/feed/permissions?after={version}&wait=20"));
    let held = std::thread::spawn(move || request(address, "GET", &target, &[BASIC], ""));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(import(&folder, &[MYSQLDUMP]).code, Some(0));
    let document: Value = serde_json::from_str(&held.join().unwrap().body).unwrap();
    assert_eq!(document["since"], *version);
    assert_eq!(document["added"].as_array().unwrap().len(), 3);
    // The users may have come a moment later.
    let users = service.feed("")["changed_users"].clone();
    let ids: Vec<&str> = users
        .as_array()
        .unwrap()
        .iter()
        .map(|user| user[0].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["1", "10", "2"]);
}

fn many_users_come_in_batches_and_an_import_can_be_repeated(engine: Engine) {
    let folder = Folder::new(engine, "");
    let hash = "$2y$04$0123456789abcdefghijkuCrtJhC0zOwHCImwFgNu.oQZdpeTlz2u";
    let users = |range: std::ops::Range<u32>| {
        let rows: Vec<String> = range.map(|id| format!("({id},'user{id}','{hash}',NULL)")).collect();
        format!(
            "INSERT INTO `sys_user` (id, username, password, x) VALUES {};\n",
            rows.join(",")
        )
    };
    // As if the first import had been cut short.
    assert_eq!(counts(&import(&folder, &[&users(1..301)]))[0], [300, 0, 0, 0]);
    let said = import(&folder, &[&users(1..601)]);
    assert_eq!(counts(&said)[0], [300, 300, 0, 0]);
    assert_eq!(
        said.stderr,
        "postern-login: 256 of 600 users\npostern-login: 512 of 600 users\n"
    );
    assert_eq!(
        login(&folder, "username=user600&password=sesame-9"),
        r#"{"userId":"600"}"#
    );
}

fn files_without_such_rows_are_an_error(engine: Engine) {
    let folder = Folder::new(engine, "");
    let said = import(
        &folder,
        &["CREATE TABLE other (id int); INSERT INTO other VALUES (1);", ""],
    );
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.stderr.starts_with("error: there are no rows of sys_user"),
        "{said:?}"
    );
    let said = folder.run("import nowhere.sql");
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (
            Some(1),
            "error: cannot read nowhere.sql: No such file or directory (os error 2)\n"
        )
    );
    assert_eq!(folder.run("import").code, Some(2), "a file is needed");
}
