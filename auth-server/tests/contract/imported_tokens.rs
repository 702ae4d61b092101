//! Tokens of the system before: honoured until their own time is over, so that nobody has to log in again.

use serde_json::Value;

use super::import::{FORMS, Form};
use crate::harness::dump::{Dump, Token, md5, now_s};
use crate::harness::http::Answer;
use crate::harness::*;

const SHOP: (&str, &str) = ("shop", "shop-secret");

/// The client `shop`, with a login of `u1`.
struct Login {
    access: Token,
    refresh: Token,
}

impl Login {
    fn new() -> Self {
        Self {
            access: Token::access("u1", "a1", 3600),
            refresh: Token::refresh("u1", "r1", "a1", 7200),
        }
    }

    fn dump(&self) -> Dump {
        shop()
            .access_token(&self.access, "u1", "shop", Some(&self.refresh))
            .refresh_token(&self.refresh)
    }
}

fn shop() -> Dump {
    Dump::default().client("shop", "shop-secret", "password,refresh_token")
}

fn imported(dump: &Dump) -> Server {
    let server = Server::start();
    server.import(dump, Form::Mysqldump, &[]);
    server.snapshot();
    server
}

fn introspect(server: &Server, token: &str) -> Value {
    let answer = server.post("/oauth2/introspect", ("gateway", "secret"), &format!("token={token}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn active(server: &Server, token: &str) -> bool {
    introspect(server, token)["active"].as_bool().unwrap()
}

fn check(server: &Server, token: &str) -> (u16, String) {
    let answer = server.post("/oauth/check_token", SHOP, &format!("token={token}"));
    (answer.status, answer.body)
}

fn refresh(server: &Server, token: &str) -> Answer {
    let form = format!("grant_type=refresh_token&refresh_token={token}");
    server.post("/oauth/token", SHOP, &form)
}

fn revoked(server: &Server, id: &str) -> bool {
    let snapshot = server.snapshot();
    let tokens = snapshot["revoked_tokens"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    tokens.iter().any(|entry| entry[0] == id)
}

const NOT_RECOGNISED: &str = r#"{"error":"invalid_token","error_description":"Token was not recognised"}"#;

#[test]
fn a_running_gateway_learns_of_it_and_is_told_who_it_is() {
    for form in FORMS {
        let server = Server::start();
        let login = Login::new();
        let before = server.snapshot();
        assert_eq!(before["introspection"]["imported"], false);
        assert!(!active(&server, &login.access.value));

        server.import(&login.dump(), form, &[]);
        // What a gateway that follows is told next.
        let version = text(&before, "version");
        let delta = server.feed(Some(version), 5).json();
        assert_eq!(
            (delta["since"].as_str(), &delta["introspection"]["imported"]),
            (Some(version), &true.into())
        );
        assert_eq!(server.snapshot()["introspection"]["imported"], true);
        let said = introspect(&server, &login.access.value);
        assert_eq!(
            said.to_string(),
            format!(
                r#"{{"active":true,"token_type":"Bearer","client_id":"shop","username":"u1","sub":"u1-id","scope":"all","authorities":["ROLE_TEST"],"exp":{},"jti":"a1"}}"#,
                login.access.expires_at_ms / 1000
            )
        );
        // What the user may do today, not what it was when the token was made.
        server.login.set_permissions("u1", vec!["ROLE_TEST3"]);
        assert_eq!(introspect(&server, &login.access.value)["authorities"][0], "ROLE_TEST3");
    }
}

#[test]
fn only_the_very_token_is_honoured() {
    let login = Login::new();
    // When it expires, only the token itself says.
    let expired = Token::access("u1", "a0", -1).unreadable();
    let server = imported(&login.dump().access_token(&expired, "u1", "shop", None));
    assert!(active(&server, &login.access.value));
    // The same claims under another signature: whoever finds the six characters can make that.
    let (signed, _) = login.access.value.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", "A".repeat(43));
    let claims = claims(&login.access.value).to_string();
    let again = Token::signed(&claims).value;
    for bad in [
        forged.as_str(),
        &again,
        signed,
        &format!("{}.", login.access.value),
        &md5(&login.access.value),
        "",
        &"x.".repeat(20_000),
        // A refresh token is no access token, and the other way round.
        &login.refresh.value,
    ] {
        if !bad.is_empty() {
            assert!(!active(&server, bad), "{bad}");
        }
        assert_eq!(check(&server, bad), (400, NOT_RECOGNISED.into()), "{bad}");
    }
    assert_eq!(refresh(&server, &login.access.value).status, 400);
    assert!(!active(&server, &expired.value));
    assert_eq!(
        check(&server, &expired.value),
        (
            400,
            r#"{"error":"invalid_token","error_description":"Token has expired"}"#.into()
        )
    );
}

#[test]
fn check_token_says_what_the_token_says() {
    let login = Login::new();
    let server = imported(&login.dump());
    assert_eq!(check(&server, &login.access.value), (200, payload(&login.access.value)));
    let server = Server::of_version("2.5");
    server.import(&login.dump(), Form::ByHand, &[]);
    server.snapshot();
    let (status, body) = check(&server, &login.access.value);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &body["active"], &body["jti"]),
        (200, &true.into(), &"a1".into())
    );
}

#[test]
fn a_logout_is_told_to_the_gateways_and_a_second_import_does_not_undo_it() {
    for form in FORMS {
        let server = Server::start();
        let login = Login::new();
        server.import(&login.dump(), form, &[]);
        server.snapshot();
        assert_eq!(server.log_out(&login.access.value).status, 200);
        assert!(revoked(&server, "a1"));
        let gone = |server: &Server| {
            assert!(!active(server, &login.access.value));
            assert_eq!(check(server, &login.access.value), (400, NOT_RECOGNISED.into()));
            assert!(
                refresh(server, &login.refresh.value)
                    .body
                    .contains("Invalid refresh token")
            );
        };
        gone(&server);
        assert_eq!(server.log_out(&login.access.value).status, 200, "once more");
        assert!(
            server
                .import(&login.dump(), form, &["--overwrite"])
                .ends_with("nothing changed\n")
        );
        gone(&server);
    }
}

#[test]
fn a_refresh_gives_tokens_of_ours_and_takes_the_old_one_back() {
    let login = Login::new();
    let server = imported(&login.dump());
    assert!(active(&server, &login.access.value));
    server.login.set_permissions("u1", vec!["ROLE_NOW"]);
    let answer = refresh(&server, &login.refresh.value);
    assert_eq!(answer.status, 200, "{answer:?}");
    let tokens = answer.json();
    assert_eq!(
        keys(&tokens),
        "access_token, token_type, refresh_token, expires_in, scope, userId, jti"
    );
    let (access, new_refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
    let claims_of_access = claims(access);
    assert_eq!(claims_of_access["userId"], "u1-id");
    assert_eq!(claims_of_access["authorities"][0], "ROLE_NOW");
    // The refresh token is the same one, in another encoding: its id and its time stay.
    let claims_of_refresh = claims(new_refresh);
    assert_eq!(
        (&claims_of_refresh["jti"], &claims_of_refresh["exp"]),
        (&"r1".into(), &(login.refresh.expires_at_ms / 1000).into())
    );
    assert!(revoked(&server, "a1"));
    assert!(!active(&server, &login.access.value));
    assert_eq!(check(&server, access).0, 200);

    // Both encodings go on working, and each time the access token before is taken back.
    for encoding in [&login.refresh.value, new_refresh] {
        let before = text(&refresh(&server, encoding).json(), "access_token").to_owned();
        assert_eq!(check(&server, &before).0, 200);
        assert_eq!(refresh(&server, &login.refresh.value).status, 200);
        assert_eq!(check(&server, &before), (400, NOT_RECOGNISED.into()));
    }
    // A logout ends all of it.
    let last = refresh(&server, new_refresh).json();
    assert_eq!(server.log_out(text(&last, "access_token")).status, 200);
    for encoding in [&login.refresh.value, new_refresh] {
        assert!(refresh(&server, encoding).body.contains("Invalid refresh token"));
    }
    assert!(
        server
            .import(&login.dump(), Form::Mysqldump, &[])
            .ends_with("nothing changed\n")
    );
    assert_eq!(refresh(&server, &login.refresh.value).status, 400);
}

#[test]
fn without_reuse_an_imported_refresh_token_works_once() {
    let login = Login::new();
    let server = Server::with(Setup {
        compat: "{ reuse_refresh_token: false }",
        ..Setup::default()
    });
    server.import(&login.dump(), Form::Mysqldump, &[]);
    server.snapshot();
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| refresh(&server, &login.refresh.value)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let given: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(given.len(), 1);
    assert!(answers.iter().all(|answer| [200, 400].contains(&answer.status)));
    let tokens = given[0].json();
    assert_ne!(claims(text(&tokens, "refresh_token"))["jti"], "r1");
    assert!(revoked(&server, "a1"));
    assert_eq!(refresh(&server, text(&tokens, "refresh_token")).status, 200);
}

#[test]
fn a_refresh_token_is_its_clients_and_lives_as_long_as_it_says() {
    let login = Login::new();
    let short = Token::refresh("u1", "r2", "a2", -1).unreadable();
    let dump = login
        .dump()
        .client("desk", "desk-secret", "refresh_token")
        .access_token(&Token::access("u1", "a2", 60), "u1", "shop", Some(&short))
        .refresh_token(&short);
    let server = imported(&dump);
    let form = format!("grant_type=refresh_token&refresh_token={}", login.refresh.value);
    let foreign = server.post("/oauth/token", ("desk", "desk-secret"), &form);
    assert!(
        foreign.status == 400 && foreign.body.contains("Wrong client for this refresh token"),
        "{foreign:?}"
    );
    let late = refresh(&server, &short.value);
    assert!(
        late.status == 401 && late.body.contains("Invalid refresh token (expired)"),
        "{late:?}"
    );
    assert!(
        refresh(&server, &short.value).body.contains("Invalid refresh token: "),
        "and gone"
    );
}

#[test]
fn the_encoding_of_the_last_refresh_works_too() {
    // The original stored the first encoding only; the one it handed out last stands beside the access token.
    let first = Token::refresh("u1", "r1", "a0", 7200);
    let last = Token::refresh("u1", "r1", "a1", 7200);
    let dump = shop()
        .access_token(&Token::access("u1", "a1", 3600), "u1", "shop", Some(&last))
        .refresh_token(&first);
    for form in FORMS {
        let server = Server::start();
        let report = server.import(&dump, form, &[]);
        assert!(
            report.contains("oauth_refresh_token: 1 taken, 1 later encodings taken\n"),
            "{report}"
        );
        server.snapshot();
        assert_eq!(refresh(&server, &last.value).status, 200);
        assert_eq!(refresh(&server, &first.value).status, 200);
        assert!(revoked(&server, "a1"));
    }
}

#[test]
fn where_the_serialized_form_is_lost_the_token_speaks_for_itself() {
    let login = Login {
        access: Token::access("u1", "a1", 3600).unreadable(),
        refresh: Token::refresh("u1", "r1", "a1", 7200).unreadable(),
    };
    for form in FORMS {
        let server = Server::start();
        let report = server.import(&login.dump(), form, &[]);
        assert!(
            report.contains("oauth_access_token: 1 taken\noauth_refresh_token: 1 taken\n"),
            "{report}"
        );
        server.snapshot();
        let said = introspect(&server, &login.access.value);
        // Nobody knew its `jti` when a refresh might have revoked it, so it goes by another id.
        let id = md5(&login.access.value);
        assert_eq!((&said["sub"], text(&said, "jti")), (&"u1-id".into(), id.as_str()));
        assert_eq!(refresh(&server, &login.refresh.value).status, 200);
        assert!(revoked(&server, &id));
        assert!(!active(&server, &login.access.value));
    }
}

#[test]
fn tokens_of_a_removed_client_are_no_longer_honoured() {
    let login = Login::new();
    let server = imported(&login.dump());
    assert!(active(&server, &login.access.value));
    server.succeed(&["client", "remove", "shop"]);
    let snapshot = server.snapshot();
    assert_eq!(snapshot["revoked_clients"][0][0], "shop");
    assert!(!active(&server, &login.access.value));
    // An operator may have the client again, and then the dump its tokens; but they were taken back.
    let again = "client add shop --secret shop-secret --profile spring --grants password,refresh_token --scopes all";
    server.succeed(&again.split(' ').collect::<Vec<_>>());
    let report = server.import(&login.dump(), Form::Mysqldump, &[]);
    assert!(report.contains("\noauth_access_token: 1 unchanged\n"), "{report}");
    assert!(revoked(&server, "a1"));
    assert!(server.snapshot()["revoked_clients"].is_null());
    assert!(!active(&server, &login.access.value));
    assert_eq!(refresh(&server, &login.refresh.value).status, 400);
    assert_eq!(server.status("shop", "shop-secret"), 200);
}

#[test]
fn a_new_login_does_not_end_the_imported_one() {
    let login = Login::new();
    let server = imported(&login.dump());
    let form = "grant_type=password&username=u1&password=password";
    let new = server.post("/oauth/token", SHOP, form).json();
    assert_ne!(text(&new, "access_token"), login.access.value);
    assert!(active(&server, &login.access.value));
    assert_eq!(check(&server, text(&new, "access_token")).0, 200);
}

#[test]
fn without_the_login_service_nobody_is_told_what_a_user_may_do() {
    let login = Login::new();
    let server = imported(&login.dump());
    server.login.set_day(login::Day::Broken);
    let answer = server.post(
        "/oauth2/introspect",
        ("gateway", "secret"),
        &format!("token={}", login.access.value),
    );
    assert_eq!(answer.status, 500);
}

#[test]
fn imported_tokens_never_reach_a_log() {
    let login = Login::new();
    let server = imported(&login.dump());
    active(&server, &login.access.value);
    check(&server, &login.access.value);
    refresh(&server, &login.refresh.value);
    server.log_out(&login.access.value);
    let log = server.log_with("listens");
    for secret in [&login.access.value, &login.refresh.value] {
        assert!(!log.contains(secret.as_str()), "{log}");
    }
}

const UUID: &str = "2777a567-1c64-4d5b-a03e-37de5d33ca4e";

fn uaa() -> Server {
    Server::with(Setup {
        mounts: ", { profile: uaa, path: /uaa, danger_open_check_token: true }",
        ..Setup::default()
    })
}

#[test]
fn opaque_tokens_of_clients_live_as_long_as_java_wrote() {
    for form in FORMS {
        let server = uaa();
        let short = Token::opaque("11111111-1c64-4d5b-a03e-37de5d33ca4e", "CLIENT", 600);
        let past = Token::opaque("22222222-1c64-4d5b-a03e-37de5d33ca4e", "CLIENT", -1);
        let blind = Token::opaque("33333333-1c64-4d5b-a03e-37de5d33ca4e", "CLIENT", 60).unreadable();
        let token = Token::opaque(UUID, "ADMIN CLIENT", 3600);
        let dump = Dump::default()
            .client_of(&[
                ("client_id", "admin"),
                ("client_secret", "admin-secret"),
                ("authorized_grant_types", "client_credentials"),
                ("scope", "ADMIN,CLIENT"),
            ])
            .access_token(&token, "", "admin", None)
            .access_token(&short, "", "admin", None)
            .access_token(&past, "", "admin", None)
            .access_token(&blind, "", "admin", None);
        let report = server.import(&dump, form, &["--profile", "uaa"]);
        assert!(
            report.contains("oauth_access_token: 2 taken, 1 expired, not taken, 1 refused\n"),
            "{report}"
        );
        assert!(
            report.contains("refused: when it expires cannot be read, nor its scope"),
            "{report}"
        );
        assert_eq!(
            server.snapshot()["introspection"]["imported"],
            false,
            "a gateway asks for all opaque ones anyway"
        );

        let checked = |token: &Token| server.post_form("/uaa/oauth/check_token", &format!("token={}", token.value));
        let exp = token.expires_at_ms / 1000;
        assert_eq!(
            checked(&token).body,
            format!(r#"{{"scope":["ADMIN","CLIENT"],"exp":{exp},"client_id":"admin"}}"#)
        );
        let said = introspect(&server, UUID);
        assert_eq!(
            (text(&said, "client_id"), text(&said, "scope"), said["exp"].as_i64()),
            ("admin", "ADMIN CLIENT", Some(exp))
        );
        assert!(said["sub"].is_null() && text(&said, "jti") == md5(UUID));
        assert!(active(&server, &short.value) && !active(&server, &past.value) && !active(&server, &blind.value));
        // It opens what it opened.
        let register = format!("access_token={UUID}&clientId=acme&clientSecret=acm");
        assert_eq!(server.post_form("/uaa/register", &register).status, 200);
        let weak = format!("access_token={}&clientId=acme2&clientSecret=acm", short.value);
        assert_eq!(server.post_form("/uaa/register", &weak).status, 403);

        // Its time comes.
        let over = format!(
            "UPDATE imported_token SET expires_at_ms = 1 WHERE token_md5 = '{}'",
            md5(&short.value)
        );
        engine::run(server.folder.path(), over);
        assert!(!active(&server, &short.value));
        let late = checked(&short);
        assert_eq!(
            (late.status, late.body.as_str()),
            (
                400,
                r#"{"error":"invalid_token","error_description":"Token has expired"}"#
            )
        );
        assert_eq!(server.post_form("/uaa/register", &weak).status, 401);
        // A JWT is none of its tokens, and the other way round.
        let jwt = Dump::default().client("shop", "s", "client_credentials").access_token(
            &Token::access("u1", "a", 60),
            "u1",
            "shop",
            None,
        );
        let report = server.import(&jwt, form, &["--profile", "uaa"]);
        assert!(
            report.contains("refused: it is a JWT, and profile uaa has none"),
            "{report}"
        );
    }
}

#[test]
fn tokens_with_a_principal_name_their_user() {
    let server = Server::with(Setup {
        mounts: ", { profile: principal, path: /authorization-server }",
        ..Setup::default()
    });
    let exp = now_s() + 60;
    let token = Token::signed(&format!(
        r#"{{"principal":{{"password":"$2a$10$x","id":1,"username":"admin","authorities":[]}},"scope":["read"],"exp":{exp},"jti":"p1","client_id":"platform"}}"#
    ));
    let dump = Dump::default()
        .client_of(&[
            ("client_id", "platform"),
            ("client_secret", "platform-secret"),
            ("authorized_grant_types", "client_credentials"),
            ("authorities", "ROLE_PLATFORM"),
        ])
        .access_token(&token, "", "platform", None);
    server.import(&dump, Form::Mysqldump, &["--profile", "principal"]);
    assert_eq!(server.snapshot()["introspection"]["imported"], true);
    // A description, not somebody who logs in: what counts is what the client may do.
    server.login.set_day(login::Day::Broken);
    assert_eq!(
        introspect(&server, &token.value).to_string(),
        format!(
            r#"{{"active":true,"token_type":"Bearer","client_id":"platform","username":"admin","sub":"1","foreign_user":true,"scope":"read","authorities":["ROLE_PLATFORM"],"exp":{exp},"jti":"p1"}}"#
        )
    );
}
