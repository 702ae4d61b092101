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
    assert!(!engine::stored(folder.path(), "client").contains(secret));
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
    let database = engine::location(folder.path());
    let mut wrong = String::new();
    for (from, to, expected) in [
        ("compat: {}", "compat: { reuse: true }", "auth.yaml:6:"),
        ("compat: {}", "compat: { reuse: true }", "reuse"),
        ("timeout: 2s", "timeout: 2", "timeout: `2` is not a length of time"),
        ("gateway:secret", "gateway", "credentials: write user:password"),
        (
            "profile: spring, path: /login",
            "profile: summer, path: /login",
            "auth.yaml:5:22: profile: `summer` is none of spring, tkey, uaa, principal; write one of them",
        ),
        ("path: /login", "path: login", "auth.yaml:5:36: mounts[0].path: `login`"),
        (
            "path: /login",
            "pth: /login",
            "auth.yaml:5:30: mounts: there is no key `pth`; possible are profile, path, danger_open_check_token, secure_cookies",
        ),
        ("path: /login", "path: /", "auth.yaml:5:66: mounts[1].path: `/` is"),
        (
            &database,
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
        ("compat: {}", "compat: { a", "not YAML: "),
        (
            "compat: {}",
            "compat: [ a ]",
            "auth.yaml:6:9: compat: write keys below it, as in `key: value`",
        ),
        (
            "compat: {}",
            "compat: x",
            "auth.yaml:6:9: compat: write keys below it, as in `key: value`",
        ),
        (
            "compat: {}",
            "compat: { reuse_refresh_token: \"yes\" }",
            "auth.yaml:6:32: reuse_refresh_token: write true or false",
        ),
        (
            "compat: {}",
            "compat: { spring_oauth: 9 }",
            "auth.yaml:6:25: spring_oauth: `9` is none of 2.0.7, 2.0.13, 2.3, 2.5; write one of them",
        ),
        (
            "compat: {}",
            "compat: {}\ncompat: {}",
            "auth.yaml:7:1: the key `compat` is there twice; remove one",
        ),
        (
            "compat: {}",
            "compat: *nothing",
            "auth.yaml:6:9: compat: it refers to an anchor that is not there",
        ),
        (
            "compat: {}",
            "issuer: [ a ]",
            "auth.yaml:6:9: issuer: write a single value, not a list or keys",
        ),
        (
            "compat: {}",
            "issuer:",
            "auth.yaml:6:7: issuer: there is no value; write one",
        ),
        (
            "compat: {}",
            "...\n---\nlisten: x",
            "there are several documents in it; leave one",
        ),
        (
            "[ \"gateway:secret\" ]",
            "gateway:secret",
            "auth.yaml:4:22: credentials: write a list, as in `[ a, b ]`",
        ),
        (
            "feed: { credentials: [ \"gateway:secret\" ] }",
            "feed: {}",
            "auth.yaml:4:7: feed: the key `credentials` is missing; add it",
        ),
        ("listen: 127.0.0.1:0", "", "the key `listen` is missing; add it"),
        (
            "compat: {}",
            "cors: { origins: [ \"https://a.example.com\", \"https://b.example.com/\" ] }",
            "auth.yaml:6:45: origins: `https://b.example.com/` is no origin: the host is not written as browsers write it",
        ),
        (
            "compat: {}",
            "cors:\n  origins:\n    - \"null\"",
            "auth.yaml:8:7: origins: `null` is no origin: it would let every page call; write https://app.example.com, or http://localhost:* where the port may be any",
        ),
        (
            "listen: 127.0.0.1:0",
            "listen: here",
            "auth.yaml:1:9: listen: `here` is not an address",
        ),
    ] {
        std::fs::write(&file, good.replace(from, to)).unwrap();
        let error = failure(&folder, &["check"]);
        if !error.contains("auth.yaml") || !error.contains(expected) {
            wrong.push_str(&format!("{expected} in {error}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
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

/// Everything on that reopens something.
const OPEN: &str = r#"
listen: 0.0.0.0:8086
database: sqlite:auth.db
login_service: { url: "http://login.example.com" }
feed: { credentials: [ "gateway:secret" ] }
mounts:
  - { profile: spring, path: /login, danger_open_check_token: true }
  - { profile: principal, path: /authorization-server }
  - { profile: uaa, path: /uaa, danger_open_check_token: true }
  - { profile: tkey, path: /sso }
  - { profile: tkey, path: /old, secure_cookies: false }
  - { profile: tkey, path: /new, secure_cookies: true }
compat: { query_credentials: true, reuse_refresh_token: true, spring_oauth: "2.0.7" }
cors: { origins: [ "http://app.example.com", "https://app.example.com:*" ] }
"#;

/// The same without any of it.
const CLOSED: &str = r#"
listen: 127.0.0.1:8086
database: sqlite:auth.db
login_service: { url: "http://127.0.0.1:8087", credentials: "auth:0123456789abcdef" }
feed: { credentials: [ "gateway:0123456789abcdef" ] }
mounts: []
compat: { reuse_refresh_token: false }
cors: { origins: [ "https://app.example.com" ] }
"#;

#[test]
fn the_doctor_names_every_switch_that_is_on_with_why_and_what_to_do() {
    let folder = folder();
    std::fs::write(folder.path().join("auth.yaml"), OPEN).unwrap();
    let add = |client: &str| {
        let arguments: Vec<&str> = ["client", "add"].into_iter().chain(client.split(' ')).collect();
        success(&folder, &arguments);
    };
    add("old --secret= --profile spring --grants password --scopes , --refresh-token-validity 0");
    add("lazy --secret lazySecret --profile spring --grants client_credentials --scopes a --access-token-validity 0");
    add(
        "page --secret a-long-secret-of-its-own --profile tkey --grants authorization_code --scopes a --response-types code,token --redirect-uris http://page.example.com/cb,http://127.0.0.1:3000/cb",
    );
    let findings = success(&folder, &["doctor"]);
    for expected in [
        "- mounts: profile spring signs with HS256",
        "- mounts: profile principal signs with HS256",
        "- mounts: danger_open_check_token of profile spring at /login/",
        "- mounts: danger_open_check_token of profile uaa at /uaa/",
        "- mounts: secure_cookies of profile tkey at /sso/: not set, so that X-Forwarded-Proto decides",
        "- mounts: secure_cookies of profile tkey at /old/: false",
        "- compat.spring_oauth: errors repeat the presented token in their body",
        "- compat.query_credentials: true",
        "- compat.reuse_refresh_token: true",
        "- cors.origins: http://app.example.com is plain HTTP",
        "- cors.origins: https://app.example.com:* stands for every port",
        "- feed.credentials: the password of gateway is shorter than 16 characters",
        "- login_service.credentials: none",
        "- login_service.url: http://login.example.com is plain HTTP to another machine",
        "- listen: 0.0.0.0:8086 is reachable from other machines without TLS",
        "- client old: password grant",
        "- client old: empty secret",
        "- client old: no registered scopes",
        "- client old: access tokens live 43200 s",
        "- client old: refresh tokens never expire",
        "- client lazy: its secret is among the first that anybody would guess",
        "- client lazy: access tokens live for ever",
        "- client page: implicit grant (response type token)",
        "- client page: redirect URI http://page.example.com/cb is plain HTTP",
    ] {
        assert!(
            findings.lines().any(|line| line == expected),
            "{expected} in {findings}"
        );
    }
    assert!(!findings.contains("gateway:secret"), "{findings}");
    assert!(!findings.contains("http://127.0.0.1:3000"), "{findings}");
    assert_eq!(findings.matches("why: ").count(), findings.matches("do:  ").count());
}

#[test]
fn the_doctor_names_switches_in_the_files_of_the_other_programs_too() {
    let folder = folder();
    std::fs::write(folder.path().join("auth.yaml"), CLOSED).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let settings = r#"{ "auth_server": { "credentials": "gateway:secret" }, "token": { "query": "access_token" } }"#;
    write(
        "gateway.yaml",
        &format!("plugins: [ {{ name: auth, configuration: {settings} }} ]\n"),
    );
    write(
        "bootstrap.yaml",
        &format!("filters:\n  - configuration: {{ value: '{settings}' }}\n"),
    );
    write(
        "shut.yaml",
        "plugins: [ { configuration: { issuers: [], token: { query: null } } } ]\n",
    );
    write(
        "login.yaml",
        "credentials: [ \"gateway:secret\" ]\ndanger_open_reserved: true\n",
    );
    let findings = success(
        &folder,
        &[
            "doctor",
            "--gateway",
            "gateway.yaml",
            "--gateway",
            "bootstrap.yaml",
            "--gateway",
            "shut.yaml",
            "--login",
            "login.yaml",
        ],
    );
    for expected in [
        "- gateway.yaml: token.query: access_token",
        "- bootstrap.yaml: token.query: access_token",
        "- login.yaml: danger_open_reserved: true",
        "3 findings",
    ] {
        assert!(
            findings.lines().any(|line| line == expected),
            "{expected} in {findings}"
        );
    }
    write("none.yaml", "plugins: []\n");
    for (option, file, said) in [
        (
            "--gateway",
            "none.yaml",
            "none.yaml: there are no settings of the filter in it",
        ),
        (
            "--login",
            "gateway.yaml",
            "gateway.yaml: it is no configuration of postern-login",
        ),
        ("--login", "missing.yaml", "missing.yaml cannot be read"),
    ] {
        let output = run_in(folder.path().to_owned(), &["doctor", option, file]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(said), "{error}");
    }
}

#[test]
fn the_doctor_finds_nothing_where_nothing_is_open() {
    let folder = folder();
    std::fs::write(folder.path().join("auth.yaml"), CLOSED).unwrap();
    let add = "client add robot --generate-secret --profile uaa --grants client_credentials --scopes ADMIN --access-token-validity 3600";
    success(&folder, &add.split(' ').collect::<Vec<_>>());
    let findings = success(&folder, &["doctor"]);
    assert_eq!(findings, "nothing found that is weaker than today's best practice\n");
}

#[test]
fn clients_of_the_authorization_code_grant_have_redirect_uris() {
    let folder = folder();
    let add = |uris: &'static str| {
        let add = "client add page --secret s --profile spring --grants authorization_code --scopes all";
        let more = if uris.is_empty() {
            vec![]
        } else {
            vec!["--redirect-uris", uris]
        };
        add.split(' ').chain(more).collect::<Vec<_>>()
    };
    for (uris, expected) in [
        ("", "--redirect-uris: the authorization_code grant needs one"),
        ("/callback", "`/callback` is not absolute"),
        ("//app.example.com/cb", "is not absolute"),
        ("https://app.example.com/cb#x", "has a fragment"),
        ("https://app.example.com/a b", "has a fragment, a blank"),
        ("javascript:alert(1)", "has a scheme to which nothing can be sent"),
    ] {
        let error = failure(&folder, &add(uris));
        assert!(error.contains(expected), "{expected} in {error}");
    }
    success(&folder, &add("https://app.example.com/cb?a=b,com.example.app:/cb"));
    let list = success(&folder, &["client", "list"]);
    assert!(
        list.contains("redirect URIs: https://app.example.com/cb?a=b, com.example.app:/cb"),
        "{list}"
    );
}

#[test]
fn what_profile_tkey_asks_of_a_client() {
    let folder = folder();
    let add = |id: &'static str, more: &'static str| {
        let add = "--secret s --profile tkey --grants client_credentials --scopes all";
        let start = ["client", "add", id].into_iter();
        start
            .chain(add.split(' '))
            .chain(more.split_whitespace())
            .collect::<Vec<_>>()
    };
    let error = failure(&folder, &add("my-app", ""));
    assert!(error.contains("letters, digits and underscores"), "{error}");
    let error = failure(&folder, &add("my_app", "--response-types token"));
    assert!(
        error.contains("--redirect-uris: response type token needs one"),
        "{error}"
    );
    success(
        &folder,
        &add(
            "my_app",
            "--response-types token --redirect-uris https://app.example.com/cb",
        ),
    );
}

#[test]
fn who_stops_reading_early_sees_no_error() {
    let folder = folder();
    success(
        &folder,
        &[
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
        ],
    );
    for command in [&["schema"][..], &["doctor"], &["client", "list"]] {
        let mut child = std::process::Command::new(BINARY)
            .args(command)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert!(
            ended.status.success() && ended.stderr.is_empty(),
            "{command:?}: {ended:?}"
        );
    }
}

#[test]
fn the_schema_describes_every_key() {
    let folder = folder();
    let schema: serde_json::Value = serde_json::from_str(&success(&folder, &["schema"])).unwrap();
    for key in [
        "listen",
        "database",
        "login_service",
        "feed",
        "mounts",
        "compat",
        "cors",
    ] {
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
