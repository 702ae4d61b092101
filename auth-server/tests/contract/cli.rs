//! The command line: what people and scripts see.

use std::process::Stdio;

use crate::harness::*;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("auth.yaml"), yaml("http://127.0.0.1:8087", "{}")).unwrap();
    folder
}

/// Runs a command that must fail with exit code 1 and one line on stderr.
fn failure(folder: &tempfile::TempDir, arguments: &[&str]) -> String {
    let output = run_in(folder.path().to_owned(), arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("error: ") && error.lines().count() == 1, "{error}");
    error
}

fn success(folder: &tempfile::TempDir, arguments: &[&str]) -> String {
    let output = run_in(folder.path().to_owned(), arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn clients_are_added_listed_and_removed() {
    let folder = folder();
    let add = [
        "client",
        "add",
        "demo",
        "--secret",
        "s",
        "--profile",
        "spring",
        "--grants",
        "password",
        "--scopes",
        "all",
    ];
    let none = run_in(folder.path().to_owned(), &["client", "list"]);
    assert!(none.status.success() && none.stdout.is_empty(), "{none:?}");
    assert_eq!(
        String::from_utf8(none.stderr).unwrap(),
        "no client is registered yet; `client add` registers one\n"
    );
    assert_eq!(success(&folder, &add), "client demo registered\n");
    assert!(failure(&folder, &add).contains("already registered"));
    assert_eq!(
        success(&folder, &[&add[..], &["--if-missing"]].concat()),
        "client demo is already registered\n"
    );
    let list = success(&folder, &["client", "list"]);
    assert!(
        list.contains("demo (profile spring)") && list.contains("grants: password"),
        "{list}"
    );
    assert_eq!(
        success(&folder, &["client", "remove", "demo"]),
        "client demo removed, its tokens revoked\n"
    );
    assert!(failure(&folder, &["client", "remove", "demo"]).contains("no client demo"));
}

#[test]
fn a_generated_secret_is_shown_once() {
    let folder = folder();
    let add = [
        "client",
        "add",
        "x",
        "--generate-secret",
        "--profile",
        "spring",
        "--grants",
        "password",
        "--scopes",
        "all",
    ];
    let shown = success(&folder, &add);
    let secret = shown.lines().find_map(|line| line.strip_prefix("secret: ")).unwrap();
    assert_eq!(secret.len(), 64);
    assert!(!success(&folder, &["client", "list"]).contains(secret));
    let database = std::fs::read(folder.path().join("auth.db")).unwrap();
    assert!(!database.windows(secret.len()).any(|window| window == secret.as_bytes()));
}

#[test]
fn wrong_arguments_say_what_to_write() {
    let folder = folder();
    let add = |grants, scopes| {
        let add = [
            "client",
            "add",
            "x",
            "--secret",
            "s",
            "--profile",
            "spring",
            "--grants",
            grants,
            "--scopes",
            scopes,
        ];
        failure(&folder, &add)
    };
    assert!(
        add("magic", "all").contains(
            "profile spring does not serve `magic`; possible are password, refresh_token, client_credentials"
        )
    );
    assert!(add("password,implicit", "all").contains("does not serve `implicit`; possible are"));
    assert!(add(",", "all").contains("name at least one"));
    assert!(add("password", "a b").contains("no blanks"));
}

#[test]
fn a_wrong_configuration_names_file_line_and_key() {
    let folder = folder();
    let file = folder.path().join("auth.yaml");
    let good = std::fs::read_to_string(&file).unwrap();
    for (from, to, expected) in [
        ("compat: {}", "compat: { reuse: true }", "auth.yaml:6:"),
        ("compat: {}", "compat: { reuse: true }", "reuse"),
        ("timeout: 2s", "timeout: 2", "timeout: `2` is not a length of time"),
        ("gateway:secret", "gateway", "credentials: write user:password"),
        (
            "profile: spring, path: /login",
            "profile: summer, path: /login",
            "profile: unknown variant",
        ),
        ("path: /login", "path: login", "auth.yaml:5:36: mounts[0].path: `login`"),
        (
            "path: /login",
            "pth: /login",
            "auth.yaml:5:30: mounts: unknown field `pth`",
        ),
        ("path: /login", "path: /", "auth.yaml:5:66: mounts[1].path: `/` is"),
        (
            "sqlite:auth.db",
            "mysql://u:secret@x",
            "auth.yaml:2:11: database: write sqlite:FILE",
        ),
        ("http://127", "https://127", "auth.yaml:3:23: login_service.url"),
        (
            "[ \"gateway:secret\" ]",
            "[ \"gateway:secret\", \"other\" ]",
            "auth.yaml:4:42: credentials: write user:password",
        ),
        (
            "feed: { credentials: [ \"gateway:secret\" ] }",
            "feed:\n  credentials:\n    - gateway:secret\n    - other",
            "auth.yaml:7:7: credentials: write user:password",
        ),
        ("compat: {}", ": [", "not YAML: "),
        (
            "listen: 127.0.0.1:0",
            "listen: here",
            "auth.yaml:1:9: listen: `here` is not an address",
        ),
    ] {
        std::fs::write(&file, good.replace(from, to)).unwrap();
        let error = failure(&folder, &["check"]);
        assert!(
            error.contains("auth.yaml") && error.contains(expected),
            "{expected} in {error}"
        );
    }
    std::fs::write(&file, good).unwrap();
    assert_eq!(success(&folder, &["check"]), "auth.yaml can be used\n");
    assert!(failure(&folder, &["check", "--config", "missing.yaml"]).contains("missing.yaml"));
}

#[test]
fn a_port_in_use_is_one_line() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = folder.path().join("auth.yaml");
    let config = std::fs::read_to_string(&file).unwrap().replace("127.0.0.1:0", &address);
    std::fs::write(&file, config).unwrap();
    let error = failure(&folder, &["serve"]);
    assert!(error.contains(&format!("cannot listen on {address}")), "{error}");
}

#[test]
fn keys_are_rotated_and_listed_without_their_secrets() {
    let folder = folder();
    assert!(failure(&folder, &["keys", "list"]).contains("no keys yet"));
    success(&folder, &["keys", "rotate", "--profile", "spring"]);
    assert!(success(&folder, &["keys", "list"]).contains("256 bits, 0 days old, signs and verifies"));
    success(&folder, &["keys", "rotate", "--profile", "spring"]);
    assert!(success(&folder, &["keys", "list"]).contains("signs in a moment"));
}

#[test]
fn keys_are_not_rotated_as_often_as_would_lock_users_out() {
    let server = Server::start();
    let tokens = server.log_in("u1");
    let rotate = ["keys", "rotate", "--profile", "spring"];
    for _ in 1..32 {
        server.succeed(&rotate);
    }
    let error = failure(&server.folder, &rotate);
    assert!(
        error.contains("profile spring has 32 keys") && error.contains("wait until"),
        "{error}"
    );
    assert_eq!(server.check_token(text(&tokens, "access_token")).status, 200);
}

#[test]
fn the_doctor_names_each_weakness_with_why_and_what_to_do() {
    let folder = folder();
    let add = [
        "client",
        "add",
        "old",
        "--secret",
        "",
        "--profile",
        "spring",
        "--grants",
        "password",
        "--scopes",
        ",",
    ];
    success(&folder, &[&add[..], &["--refresh-token-validity", "0"]].concat());
    let findings = success(&folder, &["doctor"]);
    for expected in [
        "profile spring signs with HS256",
        "feed.credentials: the password of gateway is shorter than 16 characters",
        "login_service.credentials: the password of gateway is shorter than 16 characters",
        "reuse_refresh_token",
        "client old: password grant",
        "client old: empty secret",
        "client old: no registered scopes",
        "client old: access tokens live 43200 s",
        "client old: refresh tokens never expire",
    ] {
        assert!(findings.contains(expected), "{expected} in {findings}");
    }
    assert!(!findings.contains("gateway:secret"), "{findings}");
    assert_eq!(findings.matches("why: ").count(), findings.matches("do: ").count());
}

#[test]
fn the_schema_describes_every_key() {
    let folder = folder();
    let schema: serde_json::Value = serde_json::from_str(&success(&folder, &["schema"])).unwrap();
    for key in ["listen", "database", "login_service", "feed", "mounts", "compat"] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
}

#[test]
fn help_is_complete() {
    let output = std::process::Command::new(BINARY)
        .arg("--help")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for command in [
        "serve",
        "check",
        "schema",
        "client",
        "keys",
        "doctor",
        "--config",
        "--log-format",
        "--log-level",
    ] {
        assert!(help.contains(command), "{command} in {help}");
    }
}
