//! The process: its configuration, its load, its end.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Answer, BASIC, Engine, Folder, on_each_engine, request};

on_each_engine![
    too_many_password_checks_are_answered_503,
    health_and_metrics_need_no_credentials,
    the_service_stops_at_once_also_while_polls_are_held,
];

#[test]
fn configuration_errors_are_one_line_with_file_line_and_key() {
    let good = "listen: 127.0.0.1:0\ndatabase: sqlite:login.db\ncredentials: [ \"gateway:secret\" ]\n";
    for (yaml, start, hint) in [
        (format!("{good}listn: 1\n"), "error: login.yaml:4:", "listn"),
        ("listen: 127.0.0.1:0\n".into(), "error: login.yaml:", "database"),
        (
            good.replace("127.0.0.1:0", "nowhere"),
            "error: login.yaml:1:",
            "write it as in 127.0.0.1:8087",
        ),
        (
            good.replace("sqlite:", "mysql:"),
            "error: login.yaml:2:",
            "write `sqlite:` and a file",
        ),
        (
            good.replace("gateway:secret", "gateway"),
            "error: login.yaml:3:",
            "written `user:password`",
        ),
        (
            good.replace("\"gateway:secret\"", ""),
            "error: login.yaml:3: credentials:",
            "the list is empty",
        ),
        (
            format!("{good}changed_user_retention: 1 month\n"),
            "error: login.yaml:4:",
            "as in `30d`",
        ),
        (
            format!("{good}password_checks: {{ concurrent: 0 }}\n"),
            "error: login.yaml:4:",
            "nonzero",
        ),
        (
            good.replace("[ \"gateway:secret\" ]", "\n  - gateway"),
            "error: login.yaml:4:5: credentials: credentials are written",
            "",
        ),
        (
            format!("{good}password_checks:\n  queue: many\n"),
            "error: login.yaml:5:10: password_checks.queue: ",
            "u16",
        ),
        (
            format!("{good}danger_open_reserved: \"yes\"\n"),
            "error: login.yaml:4:23: danger_open_reserved: write true or false",
            "",
        ),
        (
            format!("{good}password_checks:\n  queu: 1\n"),
            "error: login.yaml:5:3: password_checks: ",
            "queu",
        ),
        (
            format!("{good}: :\n"),
            "error: login.yaml:4:1: there is no key before the `:`",
            "",
        ),
        (
            format!("{good}{good}"),
            "error: login.yaml:4:1: the key `listen` is there twice",
            "",
        ),
        (
            format!("{good}---\nlisten: x\n"),
            "error: login.yaml:5:1: a second document begins here; leave one, without `---`",
            "",
        ),
        (
            good.replace("[ \"gateway:secret\" ]", ": :"),
            "error: login.yaml:3:",
            "this is not YAML",
        ),
        (
            good.replace("sqlite:login.db", ""),
            "error: login.yaml:2:",
            "there is no value",
        ),
        (
            good.replace("[ \"gateway:secret\" ]", "gateway:secret"),
            "error: login.yaml:3:14: credentials: expected a list",
            "",
        ),
        ("listen: [\n".into(), "error: login.yaml:", ""),
    ] {
        let said = Folder::with(&yaml).run("check");
        assert_eq!(said.code, Some(1), "{yaml}: {said:?}");
        assert!(
            said.stderr.starts_with(start) && said.stderr.contains(hint),
            "{yaml}: {}",
            said.stderr
        );
        assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
    }
    assert_eq!(Folder::with(good).run("check").stdout.lines().count(), 1);
}

#[test]
fn a_check_looks_for_the_database_and_creates_nothing() {
    let good = Folder::new(Engine::Sqlite, "");
    assert_eq!(good.run("check").code, Some(0));
    assert!(!good.path().join("login.db").exists());
    good.must("role list\ncheck");

    for (database, cause) in [
        ("none/login.db", "No such file or directory"),
        ("login.yaml/login.db", "Not a directory"),
        (".", "is a directory"),
    ] {
        let folder = Folder::with(&format!(
            "listen: 127.0.0.1:0\ndatabase: sqlite:{database}\ncredentials: [ \"gateway:secret\" ]\n"
        ));
        let said = folder.run("check");
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(
            said.stderr.starts_with(&format!(
                "error: login.yaml:2: database: cannot use the database {database}: {cause}"
            )) && said
                .stderr
                .ends_with("check that the folder exists and may be written to\n"),
            "{said:?}"
        );
        assert_eq!(said.stderr.lines().count(), 1, "{said:?}");
    }
}

#[test]
fn who_stops_reading_early_sees_no_error() {
    let folder = Folder::new(Engine::Sqlite, "");
    folder.must("role add tester");
    for command in ["schema", "role list"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_postern-login"))
            .args(command.split(' '))
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert!(
            ended.status.success() && ended.stderr.is_empty(),
            "{command}: {ended:?}"
        );
    }
}

#[test]
fn the_schema_names_every_key() {
    let said = Folder::new(Engine::Sqlite, "").run("schema");
    let schema: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    for key in [
        "listen",
        "database",
        "credentials",
        "danger_open_reserved",
        "password_checks",
        "changed_user_retention",
    ] {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
}

#[test]
fn a_taken_port_and_a_missing_folder_are_one_line() {
    let first = Folder::new(Engine::Sqlite, "");
    let service = first.serve();
    let port = service.address.port();
    let second = Folder::with(&format!(
        "listen: 127.0.0.1:{port}\ndatabase: sqlite:login.db\ncredentials: [ \"gateway:secret\" ]\n"
    ));
    let said = second.run("serve");
    assert_eq!(said.code, Some(1));
    assert!(
        said.stderr.starts_with(&format!(
            "error: login.yaml:1: listen: cannot listen on 127.0.0.1:{port}"
        )),
        "{said:?}"
    );
    assert_eq!(said.stderr.lines().count(), 1, "{said:?}");

    let third =
        Folder::with("listen: 127.0.0.1:0\ndatabase: sqlite:none/login.db\ncredentials: [ \"gateway:secret\" ]\n");
    let said = third.run("role list");
    assert_eq!(said.code, Some(1));
    assert!(
        said.stderr
            .starts_with("error: login.yaml:2: database: cannot use the database"),
        "{said:?}"
    );
    assert_eq!(said.stderr.lines().count(), 1, "{said:?}");
}

fn too_many_password_checks_are_answered_503(engine: Engine) {
    let folder = Folder::new(engine, "password_checks: { concurrent: 1, queue: 1 }");
    // A hash that takes long to check keeps the one place busy.
    let hash = "$argon2id$v=19$m=65536,t=8,p=1$c2FsdHNhbHRzYWx0$VbWVGv8RIGbVyOyz0aSLqbIgvrM2dBlJIUKyBjkZP3E";
    folder.must(&format!("user add slow --password-hash {hash}"));
    let service = folder.serve();
    let address = service.address;
    let logins: Vec<_> = (0..6)
        .map(|_| std::thread::spawn(move || request(address, "GET", "/login?username=slow&password=x", &[BASIC], "")))
        .collect();
    let answers: Vec<Answer> = logins.into_iter().map(|login| login.join().unwrap()).collect();
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!((3..=5).contains(&refused.len()), "{answers:?}");
    assert_eq!(refused[0].header("retry-after"), Some("1"));
    assert_eq!(
        refused[0].timeless_body(),
        r#"{"timestamp":0,"status":503,"error":"Service Unavailable","message":"Too many password checks at once, try again","path":"/login"}"#
    );
    assert!(
        answers
            .iter()
            .filter(|answer| answer.status != 503)
            .all(|answer| answer.status == 200)
    );
    assert_eq!(
        service.get("/getAllPermission").status,
        200,
        "only passwords are bounded"
    );
}

fn health_and_metrics_need_no_credentials(engine: Engine) {
    let folder = Folder::new(engine, "");
    let service = folder.serve();
    for target in ["/health/live", "/health/ready"] {
        let answer = service.request("GET", target, &[], "");
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"UP"}"#));
    }
    service.get("/login?username=u&password=p");
    let metrics = service.request("GET", "/metrics", &[], "").body;
    assert!(
        metrics.contains("postern_login_logins_total{outcome=\"refused\"} 1\n"),
        "{metrics}"
    );
    assert_eq!(service.get("/nowhere").status, 404);
}

fn the_service_stops_at_once_also_while_polls_are_held(engine: Engine) {
    let folder = Folder::new(engine, "");
    let mut service = folder.serve();
    let version = service.feed("")["version"].as_str().unwrap().to_owned();
    let address = service.address;
    let polls: Vec<_> = (0..5)
        .map(|_| {
            let target = format!("/feed/permissions?after={version}&wait=25");
            std::thread::spawn(move || request(address, "GET", &target, &[BASIC], "").status)
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    #[expect(clippy::disallowed_methods, reason = "this test measures how soon the service ends")]
    let start = Instant::now();
    service.terminate();
    assert_eq!(service.wait(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    for poll in polls {
        assert_eq!(poll.join().unwrap(), 304);
    }
}
