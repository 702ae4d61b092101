//! `postern-auth revoke`, beside a running server.

use std::time::Duration;

use serde_json::Value;

use super::import::Form;
use crate::harness::dump::{Dump, Token};
use crate::harness::tkey::{self, userinfo};
use crate::harness::*;

const MACHINE: &str = "machine --secret s --profile spring --grants client_credentials --scopes all";

fn active(server: &Server, token: &str) -> bool {
    let answer = server.post("/oauth2/introspect", ("gateway", "secret"), &format!("token={token}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["active"] == true
}

fn refreshes(server: &Server, tokens: &Value) -> bool {
    server.refresh(text(tokens, "refresh_token")).status == 200
}

/// The ids of the tokens that a gateway is told to refuse.
fn told(server: &Server) -> Vec<String> {
    let snapshot = server.snapshot();
    let revoked = snapshot["revoked_tokens"].as_array().cloned().unwrap_or_default();
    revoked
        .iter()
        .map(|entry| entry[0].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn everything_of_a_user_ends_and_nothing_of_another() {
    let server = tkey::start();
    let (mine, others) = (server.log_in("u1"), server.log_in("u2"));
    let opaque = tkey::tokens(&server, "grant_type=password&username=u1&password=password");
    let code = tkey::code(&server, "");
    let login = tkey::log_in(&server, &tkey::authorize_path(""));
    let cookie = tkey::cookie(&login, "tgc");
    let sso = |cookie: &str| server.get(&tkey::authorize_path(""), &[("cookie", cookie)]).status;
    assert_eq!(sso(&cookie), 302);

    assert_eq!(
        server.succeed(&["revoke", "--user", "u1"]),
        "user u1: 2 access tokens revoked; refresh tokens, codes and logins ended\n"
    );

    assert!(!active(&server, text(&mine, "access_token")) && !refreshes(&server, &mine));
    let (access, refresh) = tkey::pair(&opaque);
    assert_eq!(userinfo(&server, access).body, tkey::error("access_token 已失效"));
    let refreshed = tkey::token(&server, &format!("grant_type=refresh_token&refresh_token={refresh}"));
    assert_eq!(refreshed.body, tkey::error("refresh_token 已失效"));
    assert_eq!(tkey::redeem(&server, &code, "").body, tkey::error("code 无效"));
    assert_eq!(sso(&cookie), 200, "the login page");
    assert!(told(&server).contains(&text(&mine, "jti").to_owned()));

    assert!(active(&server, text(&others, "access_token")) && refreshes(&server, &others));
    let again = server.log_in("u1");
    assert_ne!(again["jti"], mine["jti"]);
    assert!(active(&server, text(&again, "access_token")) && refreshes(&server, &again));
}

#[test]
fn a_user_is_found_in_every_spelling_of_the_name() {
    let server = Server::start();
    // This login service takes both for one user.
    let tokens = server.log_in("u1");
    let statement = "UPDATE refresh_token SET user_name = 'U1'; UPDATE access_token SET user_name = 'U1'";
    engine::run(server.folder.path(), statement.into());
    let spelled = server.log_in("u1");
    server.succeed(&["revoke", "--user", "U1"]);
    for tokens in [&tokens, &spelled] {
        assert!(!active(&server, text(tokens, "access_token")) && !refreshes(&server, tokens));
    }
}

#[test]
fn everything_of_a_client_ends_and_it_stays_registered() {
    let server = Server::with_clients(&[MACHINE]);
    let machine = || {
        let answer = server.post("/oauth/token", ("machine", "s"), "grant_type=client_credentials");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let (first, user) = (machine(), server.log_in("u1"));
    assert_eq!(machine()["access_token"], first["access_token"], "known by now");
    assert_eq!(
        server.succeed(&["revoke", "--client", "machine"]),
        "client machine: 1 access token revoked; refresh tokens and codes ended; it stays registered\n"
    );
    assert!(!active(&server, text(&first, "access_token")));
    let second = machine();
    assert_ne!(second["jti"], first["jti"]);
    assert!(active(&server, text(&second, "access_token")) && active(&server, text(&user, "access_token")));
    server.succeed(&["revoke", "--client", "demo"]);
    assert!(!active(&server, text(&user, "access_token")) && !refreshes(&server, &user));
    assert!(active(&server, text(&second, "access_token")));
}

#[test]
fn one_token_is_named_by_its_id_or_shown_on_standard_input() {
    let server = tkey::start();
    let tokens = server.log_in("u1");
    server.succeed(&["revoke", "--token", text(&tokens, "jti")]);
    assert!(!active(&server, text(&tokens, "access_token")) && !refreshes(&server, &tokens));

    for member in ["access_token", "refresh_token"] {
        for tokens in [
            server.log_in("u1"),
            tkey::tokens(&server, "grant_type=password&username=u1&password=password"),
        ] {
            let other = server.log_in("u2");
            let value = text(&tokens, member);
            let output = server.run_with_input(&["revoke", "--token", "-"], value);
            assert!(output.status.success(), "{output:?}");
            assert!(!String::from_utf8(output.stdout).unwrap().contains(value));
            assert!(!active(&server, text(&tokens, "access_token")), "{member} {tokens}");
            assert!(active(&server, text(&other, "access_token")));
        }
    }
}

#[test]
fn a_token_on_the_command_line_is_neither_taken_nor_repeated() {
    let server = tkey::start();
    let opaque = tkey::tokens(&server, "grant_type=password&username=u1&password=password");
    let value = text(&opaque, "access_token");
    let output = server.run(&["revoke", "--token", value]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("there is no such token") && !error.contains(value),
        "{error}"
    );
    assert!(active(&server, value));
}

#[test]
fn what_is_not_there_is_said() {
    let server = Server::start();
    let says = |arguments: &[&str], text: &str| {
        let output = server.run(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(text), "{error}");
    };
    says(&["revoke", "--client", "nobody"], "there is no client nobody");
    says(&["revoke", "--token", "nothing"], "there is no such token");
    says(&["revoke", "--user", ""], "the name is empty");
    says(&["revoke"], "--user <NAME>|--client <ID>|--token <ID>");
    assert_eq!(
        server.succeed(&["revoke", "--user", "nobody"]),
        "user nobody: 0 access tokens revoked; refresh tokens, codes and logins ended\n"
    );
}

#[test]
fn a_waiting_gateway_is_told() {
    let server = Server::start();
    let tokens = server.log_in("u1");
    let version = text(&server.snapshot(), "version").to_owned();
    std::thread::scope(|scope| {
        let poll = scope.spawn(|| server.feed(Some(&version), 20));
        std::thread::sleep(Duration::from_millis(200));
        server.succeed(&["revoke", "--user", "u1"]);
        let delta = poll.join().unwrap().json();
        assert_eq!(delta["revoked_tokens"][0][0], tokens["jti"]);
    });
}

#[test]
fn another_server_on_the_same_database_knows_at_once() {
    let server = Server::with_clients(&[MACHINE]);
    let other = server.beside();
    let token = |server: &Server| {
        let answer = server.post("/oauth/token", ("machine", "s"), "grant_type=client_credentials");
        text(&answer.json(), "access_token").to_owned()
    };
    let first = token(&server);
    assert_eq!(token(&other), first);
    assert!(active(&server, &first) && active(&other, &first));
    server.succeed(&["revoke", "--client", "machine"]);
    assert!(!active(&server, &first) && !active(&other, &first));
    let second = token(&other);
    assert_ne!(second, first);
    assert_eq!(token(&server), second);
}

#[test]
fn imported_tokens_are_taken_back_too() {
    let server = Server::start();
    let logins = ["u1", "u2", "u0"].map(|user| {
        let access = Token::access(user, &format!("a-{user}"), 3600);
        (
            user,
            access,
            Token::refresh(user, &format!("r-{user}"), &format!("a-{user}"), 7200),
        )
    });
    let dump = Dump::default().client("shop", "shop-secret", "password,refresh_token");
    let dump = logins.iter().fold(dump, |dump, (user, access, refresh)| {
        dump.access_token(access, user, "shop", Some(refresh))
            .refresh_token(refresh)
    });
    server.import(&dump, Form::Mysqldump, &[]);
    server.snapshot();
    let [(_, first, _), (_, second, _), (_, third, _)] = &logins;
    let is_active = |token: &Token| active(&server, &token.value);
    assert!(is_active(first) && is_active(second) && is_active(third));
    server.succeed(&["revoke", "--user", "u1"]);
    assert!(!is_active(first) && is_active(second));
    let output = server.run_with_input(&["revoke", "--token", "-"], &second.value);
    assert!(output.status.success(), "{output:?}");
    assert!(!is_active(second) && is_active(third));
    server.succeed(&["revoke", "--client", "shop"]);
    assert!(!is_active(third));
    assert_eq!(told(&server).len(), 3);
}
