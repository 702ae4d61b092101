//! `postern-auth import`: what is taken of a dump, what is not, and what the report says of it.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::harness::dump::{Column, Dump, Token, bcrypt_of, now_s};
use crate::harness::*;

const LOGIN: &str = "grant_type=password&username=u1&password=password";

impl Server {
    /// Imports a dump in one of its two forms; the report.
    pub fn import(&self, dump: &Dump, form: Form, more: &[&str]) -> String {
        let file = self.dump(dump, form);
        self.succeed(&[&["import"], more, &[file.to_str().unwrap()]].concat())
    }

    fn dump(&self, dump: &Dump, form: Form) -> PathBuf {
        let file = self.folder.path().join("oauth2.sql");
        match form {
            Form::Mysqldump => dump.write(&file),
            Form::ByHand => dump.write_by_hand(&file),
        }
        file
    }

    /// The report without the folder of the dump.
    fn report(&self, dump: &Dump, form: Form, more: &[&str]) -> String {
        let folder = format!("{}/", self.folder.path().display());
        self.import(dump, form, more).replace(&folder, "")
    }

    /// What a client gets with its secret.
    pub fn status(&self, client: &str, secret: &str) -> u16 {
        self.post("/oauth/token", (client, secret), LOGIN).status
    }
}

/// How a dump is written.
#[derive(Clone, Copy)]
pub enum Form {
    Mysqldump,
    ByHand,
}

pub const FORMS: [Form; 2] = [Form::Mysqldump, Form::ByHand];

/// One client of each kind.
fn clients() -> Dump {
    Dump::default()
        .client("shop", "it's a \"secret\"\\", "password,refresh_token")
        .client("desk", "{noop}desk-secret", "password")
        .client("till", &bcrypt_of("till-secret", 4), "password,refresh_token")
        .client(
            "kiosk",
            &format!("{{bcrypt}}{}", bcrypt_of("kiosk-secret", 4)),
            "password",
        )
        .client_of(&[
            ("client_id", "open"),
            ("authorized_grant_types", "password"),
            ("scope", "all"),
        ])
        .client("blank", "", "password")
        .client(
            "hashed",
            "{pbkdf2}5d923b44a6d129f3ddf3e3c8d29412723dcbde72445e8ef6bf3b508fbf17fa4ed4d6b99ca763d8dc",
            "password",
        )
        .client(
            "costly",
            "$2a$31$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzabcde",
            "password",
        )
        .client("a:b", "secret", "password")
        .client_of(&[
            ("client_id", "whole"),
            ("client_secret", "whole-secret"),
            ("resource_ids", "orders,stock"),
            ("scope", "read,write"),
            (
                "authorized_grant_types",
                "client_credentials,authorization_code,implicit,sms_code",
            ),
            ("web_server_redirect_uri", "https://shop.example/cb,/relative"),
            ("authorities", "ROLE_SHOP"),
            ("access_token_validity", "600"),
            ("refresh_token_validity", "7200"),
            ("additional_information", r#"{"owner":"team a"}"#),
            ("autoapprove", "true"),
        ])
}

const REPORT: &str = r#"oauth_client_details: 5 taken, 5 refused
  PLACE: client open: refused: it has no secret, and whoever knew its id was let in; register it with `client add`
  PLACE: client blank: refused: it has no secret, and whoever knew its id was let in; register it with `client add`
  PLACE: client hashed: refused: its secret is stored in `{pbkdf2}`; register it with `client add`
  PLACE: client costly: refused: its secret is a bcrypt hash of a cost beyond 4 to 15
  PLACE: refused: its client_id contains a colon
  PLACE: client whole: profile spring does not serve its grant `sms_code`; left out
  PLACE: client whole: the redirect URI `/relative` is not absolute, as https://app.example.com/callback is; left out
  PLACE: client whole: its autoapprove is not needed: no page asks users for approval
"#;

/// Every `oauth2.sql:17` becomes `PLACE`, once it was seen to be a line of the file that holds the row.
fn without_lines(report: &str) -> String {
    let mut shown = String::new();
    for line in report.lines() {
        let plain = match line.strip_prefix("  oauth2.sql:") {
            Some(rest) => {
                let (number, text) = rest.split_once(": ").unwrap();
                assert!(number.parse::<u32>().unwrap() > 1, "{line}");
                format!("  PLACE: {text}")
            }
            None => line.to_owned(),
        };
        shown += &format!("{plain}\n");
    }
    shown
}

#[test]
fn clients_are_taken_with_the_secrets_they_have() {
    for form in FORMS {
        let server = Server::start();
        assert_eq!(without_lines(&server.report(&clients(), form, &[])), REPORT);
        // The server has been running all the while.
        server.snapshot();
        for (client, secret) in [
            ("shop", "it's a \"secret\"\\"),
            ("desk", "desk-secret"),
            ("till", "till-secret"),
            ("kiosk", "kiosk-secret"),
        ] {
            assert_eq!(server.status(client, "wrong"), 401, "{client}");
            assert_eq!(server.status(client, secret), 200, "{client}");
            assert_eq!(server.status(client, secret), 200, "{client}, again");
            assert_eq!(server.status(client, "wrong"), 401, "{client}");
        }
        for client in ["open", "blank", "hashed", "costly"] {
            assert_eq!(server.status(client, ""), 401, "{client}");
        }
        let list = server.succeed(&["client", "list"]);
        let (_, whole) = list.split_once("whole (profile spring)").unwrap();
        for line in [
            "grants: client_credentials, authorization_code",
            "scopes: read, write",
            "authorities: ROLE_SHOP",
            "resource ids: orders, stock",
            "redirect URIs: https://shop.example/cb",
            "access token 600 s, refresh token 7200 s",
        ] {
            assert!(whole.contains(line), "{line} in {whole}");
        }
        let own = server.post(
            "/oauth/token",
            ("whole", "whole-secret"),
            "grant_type=client_credentials",
        );
        assert_eq!(text(&own.json(), "scope"), "read write");
        let claims = claims(text(&own.json(), "access_token"));
        assert_eq!(claims["authorities"][0], "ROLE_SHOP");
        assert_eq!(claims["aud"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn the_lines_are_those_of_the_rows() {
    let server = Server::start();
    let file = server.folder.path().join("two.sql");
    let dump = "insert into oauth_client_details (client_id, client_secret, authorized_grant_types)\n\
                values ('a', 'secret', 'password'),\n\
                       ('b', null, 'password'), ('c', 'secret', 'saml');\n\
                insert into oauth_client_details (client_id, client_secret, authorized_grant_types) values ('d', 'x');\n";
    std::fs::write(&file, dump).unwrap();
    let report = server.succeed(&["import", file.to_str().unwrap()]);
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines[0], "oauth_client_details: 1 taken, 3 refused");
    for (line, number, reason) in [
        (lines[1], 4, "refused: 3 columns, but 2 values"),
        (lines[2], 3, "client b: refused: it has no secret"),
        (
            lines[3],
            3,
            "client c: refused: profile spring serves none of its grants",
        ),
    ] {
        assert!(line.contains(&format!("two.sql:{number}: {reason}")), "{report}");
    }
}

#[test]
fn a_second_import_changes_nothing_and_says_so() {
    for form in FORMS {
        let server = Server::start();
        let refresh = Token::refresh("u1", "r1", "a1", 7200);
        let dump = clients()
            .access_token(&Token::access("u1", "a1", 3600), "u1", "shop", Some(&refresh))
            .refresh_token(&refresh);
        let report = server.report(&dump, form, &[]);
        assert!(
            report.contains("oauth_access_token: 1 taken\noauth_refresh_token: 1 taken\n"),
            "{report}"
        );
        assert!(!report.contains("nothing changed"), "{report}");
        let version = server.snapshot()["version"].clone();
        for again in [&[][..], &["--overwrite"]] {
            let report = server.report(&dump, form, again);
            assert!(
                report.starts_with("oauth_client_details: 5 unchanged, 5 refused\n"),
                "{report}"
            );
            assert!(
                report.contains("oauth_access_token: 1 unchanged\noauth_refresh_token: 1 unchanged\n"),
                "{report}"
            );
            assert!(report.ends_with("nothing changed\n"), "{report}");
        }
        assert_eq!(server.snapshot()["version"], version);
        // Also when a hash was replaced since.
        assert_eq!(server.status("till", "till-secret"), 200);
        let version = server.snapshot()["version"].clone();
        assert!(server.report(&dump, form, &[]).ends_with("nothing changed\n"));
        assert_eq!(server.snapshot()["version"], version);
    }
}

#[test]
fn a_client_that_was_removed_since_does_not_come_back() {
    let server = Server::start();
    let token = Token::access("u1", "a1", 3600);
    let dump = clients().access_token(&token, "u1", "shop", None);
    server.report(&dump, Form::Mysqldump, &[]);
    server.succeed(&["client", "remove", "shop"]);
    let version = server.snapshot()["version"].clone();
    for again in [&[][..], &["--overwrite"]] {
        let report = server.report(&dump, Form::Mysqldump, again);
        assert!(
            report.starts_with("oauth_client_details: 4 unchanged, 6 refused\n"),
            "{report}"
        );
        assert!(
            report.contains("client shop: refused: it was removed here since it was imported; `client add` registers"),
            "{report}"
        );
        assert!(report.ends_with("nothing changed\n"), "{report}");
    }
    assert_eq!(server.snapshot()["version"], version);
    assert_eq!(server.status("shop", "it's a \"secret\"\\"), 401);
    // Nor with another secret; but an operator may have it again.
    let report = server.report(
        &Dump::default().client("shop", "another", "password"),
        Form::ByHand,
        &[],
    );
    assert!(report.contains("refused: it was removed here"), "{report}");
    server.succeed(&[
        "client",
        "add",
        "shop",
        "--secret",
        "s",
        "--profile",
        "spring",
        "--grants",
        "password",
        "--scopes",
        "all",
    ]);
    let report = server.report(&dump, Form::Mysqldump, &["--overwrite"]);
    assert!(report.contains("client shop: changed: secret"), "{report}");
}

#[test]
fn a_server_goes_on_beside_an_import_which_goes_on_where_it_was_cut_short() {
    let server = Server::start();
    let tokens: Vec<Token> = (0..6000)
        .map(|number| Token::access("u1", &format!("a{number}"), 36_000))
        .collect();
    let dump = Dump::default().client("shop", "secret", "password");
    let dump = tokens
        .iter()
        .fold(dump, |dump, token| dump.access_token(token, "u1", "shop", None));
    let file = server.dump(&dump, Form::Mysqldump);
    let mut import = Command::new(BINARY)
        .args(["import", file.to_str().unwrap()])
        .current_dir(server.folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(import.stderr.take().unwrap()).lines();
    let mut told = false;
    for line in lines.map_while(Result::ok) {
        if line.contains("rows read; writing") {
            for round in 0..10 {
                let token = server.log_in("u1");
                assert_eq!(
                    server.log_out(text(&token, "access_token")).status,
                    200,
                    "round {round}"
                );
            }
        }
        if line.ends_with(" of 6001 rows written") {
            // Unless it was faster.
            told = true;
            import.kill().unwrap();
        }
    }
    import.wait().unwrap();
    assert!(told, "progress");
    // What was written is there, and counts.
    assert_eq!(server.check_token(&tokens[0].value).status, 200);
    let report = server.report(&dump, Form::Mysqldump, &[]);
    let counts = report.lines().nth(1).unwrap();
    let count = |what: &str| {
        let part = counts.split([':', ',']).find_map(|part| part.strip_suffix(what));
        part.map_or(0, |number| number.trim().parse::<u32>().unwrap())
    };
    assert!(count(" unchanged") >= 4999, "{report}");
    assert_eq!(count(" taken") + count(" unchanged"), 6000, "{report}");
    assert_eq!(server.check_token(&tokens[5999].value).status, 200);
}

#[test]
fn tokens_can_be_left_for_the_last_dump() {
    let server = Server::start();
    let token = Token::access("u1", "a1", 3600);
    let refresh = Token::refresh("u1", "r1", "a1", 7200);
    let dump = Dump::default()
        .client("shop", "secret", "password")
        .access_token(&token, "u1", "shop", Some(&refresh))
        .refresh_token(&refresh);
    assert_eq!(
        server.report(&dump, Form::Mysqldump, &["--without-tokens"]),
        "oauth_client_details: 1 taken\noauth_access_token: 1 not taken (--without-tokens)\n\
         oauth_refresh_token: 1 not taken (--without-tokens)\n"
    );
    assert_eq!(server.check_token(&token.value).status, 400);
    // Logged out at the old server meanwhile: not in the last dump.
    let last = Dump::default().client("shop", "secret", "password");
    assert!(
        server
            .report(&last, Form::Mysqldump, &[])
            .ends_with("nothing changed\n")
    );
    assert_eq!(server.check_token(&token.value).status, 400);
}

#[test]
fn another_encoding_of_a_refresh_token_that_was_logged_out_here_is_not_taken() {
    let server = Server::start();
    let (token, later) = (Token::access("u1", "a1", 3600), Token::access("u1", "a2", 3600));
    let refresh = Token::refresh("u1", "r1", "a1", 7200);
    let encoded_again = Token::refresh("u1", "r1", "a2", 7200);
    let dump = Dump::default().client("shop", "secret", "password,refresh_token");
    let first = dump
        .access_token(&token, "u1", "shop", Some(&refresh))
        .refresh_token(&refresh);
    server.import(&first, Form::Mysqldump, &[]);
    assert_eq!(server.log_out(&token.value).status, 200);
    let last = Dump::default()
        .client("shop", "secret", "password,refresh_token")
        .access_token(&later, "u1", "shop", Some(&encoded_again))
        .refresh_token(&refresh);
    server.import(&last, Form::Mysqldump, &[]);
    for refresh in [&refresh, &encoded_again] {
        let form = format!("grant_type=refresh_token&refresh_token={}", refresh.value);
        let answer = server.post("/oauth/token", ("shop", "secret"), &form);
        assert!(answer.body.contains("Invalid refresh token"), "{answer:?}");
    }
}

#[test]
fn what_is_registered_here_is_not_overwritten_unless_told_to() {
    let server = Server::with_clients(&["other --secret s --profile tkey --grants password --scopes all"]);
    let dump = Dump::default()
        .client("demo", "another-secret", "password")
        .client("other", "s", "password");
    let report = server.report(&dump, Form::Mysqldump, &[]);
    assert!(
        report.contains(
            "client demo: refused: registered here with another secret, grants; --overwrite takes what the dump says"
        ),
        "{report}"
    );
    assert!(
        report.contains("client other: refused: it is registered here for profile tkey;"),
        "{report}"
    );
    assert!(report.ends_with("nothing changed\n"), "{report}");
    assert_eq!(server.status("demo", "demo-secret"), 200);
    assert_eq!(server.status("demo", "another-secret"), 401);

    let report = server.report(&dump, Form::Mysqldump, &["--overwrite"]);
    assert!(
        report.starts_with("oauth_client_details: 1 changed, 1 refused\n"),
        "{report}"
    );
    assert!(report.contains("client demo: changed: secret, grants\n"), "{report}");
    server.snapshot();
    assert_eq!(server.status("demo", "demo-secret"), 401);
    assert_eq!(server.status("demo", "another-secret"), 200);
    let refresh = server.post(
        "/oauth/token",
        ("demo", "another-secret"),
        "grant_type=refresh_token&refresh_token=x",
    );
    assert!(
        refresh.body.contains("Unauthorized grant type: refresh_token"),
        "{refresh:?}"
    );
}

#[test]
fn of_some_tables_nothing_is_taken_and_the_report_says_why() {
    let server = Server::start();
    let mut dump = Dump::default().client("shop", "secret", "password");
    dump.codes
        .push(vec![Column::Text("abcdef".into()), Column::Bytes(vec![0xac, 0xed])]);
    let report = server.report(&dump, Form::Mysqldump, &[]);
    assert!(
        report.contains("oauth_code: 1 not taken (codes live for minutes"),
        "{report}"
    );
}

#[test]
fn tokens_that_cannot_be_honoured_are_refused_with_the_reason() {
    let server = Server::start();
    let exp = now_s() + 3600;
    let endless = Token::signed(r#"{"userId":"u1-id","user_name":"u1","jti":"x","client_id":"shop","scope":["all"]}"#);
    let nobody = Token::signed(&format!(
        r#"{{"exp":{exp},"user_name":"u1","jti":"y","client_id":"shop"}}"#
    ));
    let foreign = Token::signed(&format!(r#"{{"exp":{exp},"jti":"z","client_id":"desk"}}"#));
    let unregistered = Token::signed(&format!(r#"{{"exp":{exp},"jti":"w","client_id":"gone"}}"#));
    let mut dump = Dump::default()
        .client("shop", "secret", "password")
        .access_token(&Token::access("u1", "a1", -1), "u1", "shop", None)
        .access_token(&endless, "u1", "shop", None)
        .access_token(&nobody, "u1", "shop", None)
        .access_token(&foreign, "", "shop", None)
        .access_token(&unregistered, "", "gone", None)
        .access_token(
            &Token::opaque("2777a567-1c64-4d5b-a03e-37de5d33ca4e", "all", 60),
            "u1",
            "shop",
            None,
        )
        .access_token(&Token::access("u1", "a2", 60), "u1", "shop", None)
        .refresh_token(&Token::refresh("u1", "r", "a", 60).unreadable());
    // Damaged.
    dump.access_tokens[6][0] = Column::Text("0123456789abcdef0123456789abcdef".into());
    let report = without_lines(&server.report(&dump, Form::Mysqldump, &[]));
    let expected = "oauth_access_token: 1 expired, not taken, 6 refused\n  \
        PLACE: refused: its token_id is not the MD5 of the token beside it\n  \
        PLACE: refused: it never expires; whoever has it must ask for a new one\n  \
        PLACE: refused: it does not say both the user's id (`userId`) and name (`user_name`)\n  \
        PLACE: refused: the token was given to another client than its row says\n  \
        PLACE: refused: it is no JWT, and profile spring has no others\n  \
        PLACE: client gone: refused: the client is not registered here\n\
        oauth_refresh_token: 1 refused\n  \
        PLACE: refused: nothing says which client it was given to\n";
    assert!(report.ends_with(expected), "{report}");
}

#[test]
fn no_secret_and_no_token_is_shown() {
    let server = Server::start();
    let token = Token::access("u1", "a1", 3600);
    let dump = clients().access_token(&token, "u1", "shop", None);
    let file = server.dump(&dump, Form::Mysqldump);
    let output = server.run(&["import", "--log-level", "trace", file.to_str().unwrap()]);
    let shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    for secret in [
        "it's a",
        "desk-secret",
        "whole-secret",
        "$2a$",
        "5d923b44",
        &token.value,
    ] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert!(shown.contains("rows read"), "progress: {shown}");
}

#[test]
fn what_cannot_be_imported_is_one_clear_line() {
    let server = Server::start();
    let folder = server.folder.path();
    std::fs::write(folder.join("empty.sql"), "create table sys_user (id int);\n").unwrap();
    let in_folder = |name: &str| folder.join(name).display().to_string();
    for (arguments, expected) in [
        (vec!["import", "none.sql"], "none.sql cannot be read"),
        (
            vec!["import", &in_folder("empty.sql")],
            "there is no row of oauth_client_details",
        ),
        (
            vec!["import", "--profile", "tkey", "x.sql"],
            "--profile tkey: such a system keeps neither",
        ),
    ] {
        let output = server.run(&arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        let last = error.lines().last().unwrap();
        assert!(
            !output.status.success() && last.starts_with("error: ") && last.contains(expected),
            "{error}"
        );
    }
}
