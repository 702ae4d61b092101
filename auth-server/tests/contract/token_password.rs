//! `POST /oauth/token`, grant_type=password: the answer, the claims, "the same token while valid".

use crate::harness::tkey;
use crate::harness::*;

#[test]
fn the_sample_request_gets_the_sample_answer() {
    let server = Server::start();
    for path in ["/oauth/token", "/login/oauth/token"] {
        let answer = server.post(path, DEMO_CLIENT, "username=u1&password=password&grant_type=password");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("pragma"), Some("no-cache"));
        assert_eq!(answer.header("deprecation"), Some("@1735689600"));
        let body = answer.json();
        let values = ["access_token", "refresh_token", "jti"].map(|name| (text(&body, name), name));
        assert_eq!(
            masked(&answer.body, &values).replace(r#""expires_in":43198"#, r#""expires_in":43199"#),
            r#"{"access_token":"<access_token>","token_type":"bearer","refresh_token":"<refresh_token>","expires_in":43199,"scope":"all","userId":"u1-id","jti":"<jti>"}"#
        );
    }
}

#[test]
fn the_end_of_the_grant_is_told_where_it_is_set() {
    let setup = |compat| Setup {
        compat,
        ..tkey::setup()
    };
    let form = "grant_type=password&username=u1&password=password";
    for (compat, sunset) in [
        ("{}", None),
        (
            r#"{ password_grant_sunset: "Wed, 30 Jun 2027 00:00:00 GMT" }"#,
            Some("Wed, 30 Jun 2027 00:00:00 GMT"),
        ),
    ] {
        let server = Server::with(setup(compat));
        let given = server.token(form);
        for answer in [&given, &tkey::token(&server, form)] {
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.header("deprecation"), Some("@1735689600"));
            assert_eq!(answer.header("sunset"), sunset);
        }
        let given = given.json();
        for answer in [
            server.refresh(text(&given, "refresh_token")),
            tkey::token(&server, "grant_type=client_credentials"),
        ] {
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!((answer.header("deprecation"), answer.header("sunset")), (None, None));
        }
    }
}

#[test]
fn each_use_of_the_grant_is_logged_without_what_was_entered() {
    let server = Server::start();
    server.log_in("u1");
    let log = server.log_with("password grant: user authenticated");
    let line = log.lines().find(|line| line.contains("password grant: user")).unwrap();
    assert!(
        line.contains("INFO") && line.contains("demo") && line.contains("u1-id"),
        "{line}"
    );
    let wrong = server.token("grant_type=password&username=misplaced-secret&password=wrong-secret");
    assert_eq!(wrong.status, 400);
    let log = server.log_with("password grant: wrong user or password");
    assert!(
        !log.contains("misplaced-secret") && !log.contains("wrong-secret"),
        "{log}"
    );
}

#[test]
fn a_fresh_token_says_43199() {
    let server = Server::start();
    assert_eq!(server.log_in("u1")["expires_in"], 43199);
}

#[test]
fn lifetimes_are_those_of_the_client_or_the_default() {
    let server = Server::with_clients(&[
        "short --secret s --profile spring --grants password,refresh_token --scopes all --access-token-validity 60 --refresh-token-validity 120",
        "endless --secret s --profile spring --grants password,refresh_token --scopes all --access-token-validity 0 --refresh-token-validity -1",
    ]);
    let form = "grant_type=password&username=u1&password=password";
    let seconds = |token: &str| claims(token)["exp"].as_i64().unwrap();
    let default = server.log_in("u1");
    let (access, refresh) = (text(&default, "access_token"), text(&default, "refresh_token"));
    assert_eq!(seconds(refresh) - seconds(access), 2_592_000 - 43_200);

    let short = server.post("/oauth/token", ("short", "s"), form).json();
    assert_eq!(short["expires_in"], 59);
    assert_eq!(
        seconds(text(&short, "refresh_token")) - seconds(text(&short, "access_token")),
        60
    );

    let endless = server.post("/oauth/token", ("endless", "s"), form).json();
    assert_eq!(
        keys(&endless),
        "access_token, token_type, refresh_token, scope, userId, jti"
    );
    assert!(claims(text(&endless, "access_token")).get("exp").is_none());
    assert!(claims(text(&endless, "refresh_token")).get("exp").is_none());
}

#[test]
fn without_the_refresh_grant_there_is_no_refresh_token() {
    let server = Server::with_clients(&["plain --secret s --profile spring --grants password --scopes all"]);
    let form = "grant_type=password&username=u1&password=password";
    let body = server.post("/oauth/token", ("plain", "s"), form).json();
    assert_eq!(keys(&body), "access_token, token_type, expires_in, scope, userId, jti");
}

#[test]
fn the_same_call_gives_the_same_tokens_while_they_are_valid() {
    let mut server = Server::start();
    let first = server.log_in("u1");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let second = server.log_in("u1");
    for member in ["access_token", "refresh_token", "jti"] {
        assert_eq!(first[member], second[member], "{member}");
    }
    assert!(second["expires_in"].as_i64() < first["expires_in"].as_i64());
    assert_ne!(server.log_in("u2")["jti"], first["jti"]);

    // Signed again with the key it was first signed with, also after a restart and a rotation.
    server.succeed(&["keys", "rotate", "--profile", "spring"]);
    std::thread::sleep(std::time::Duration::from_millis(1200));
    server.restart();
    assert_eq!(server.log_in("u1")["access_token"], first["access_token"]);
}

#[test]
fn a_name_that_passed_to_another_user_brings_no_tokens_with_it() {
    let server = Server::with_clients(&[
        "short --secret s --profile spring --grants password,refresh_token --scopes all --access-token-validity 1",
        "plain --secret s --profile spring --grants password --scopes all",
    ]);
    let form = "grant_type=password&username=u1&password=password";
    let log_in = |client: (&str, &str)| {
        let answer = server.post("/oauth/token", client, form);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let clients = [DEMO_CLIENT, ("short", "s"), ("plain", "s")];
    let before = clients.map(log_in);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    server.login.set_id("u1", "another-id");
    for (client, before) in clients.into_iter().zip(&before) {
        let after = log_in(client);
        assert_eq!(after["userId"], "another-id", "{client:?}");
        assert_ne!(after["jti"], before["jti"]);
        assert_eq!(claims(text(&after, "access_token"))["userId"], "another-id");
        // And what the one before had is good for nobody.
        assert_eq!(server.check_token(text(before, "access_token")).status, 400);
        assert_eq!(log_in(client)["userId"], "another-id");
        let Some(refresh) = before["refresh_token"].as_str() else {
            continue;
        };
        assert_ne!(
            claims(text(&after, "refresh_token"))["jti"],
            claims(refresh)["jti"],
            "{client:?}"
        );
        let refused = server.post(
            "/oauth/token",
            client,
            &format!("grant_type=refresh_token&refresh_token={refresh}"),
        );
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(refused.body.contains("Invalid refresh token"), "{refused:?}");
    }
    let revoked = server.snapshot()["revoked_tokens"].to_string();
    for living in [&before[0], &before[2]] {
        assert!(revoked.contains(text(living, "jti")), "{revoked}");
    }
}

#[test]
fn an_expired_access_token_is_replaced_and_the_refresh_token_kept() {
    let server = Server::with_clients(&[
        "short --secret s --profile spring --grants password,refresh_token --scopes all --access-token-validity 1",
    ]);
    let form = "grant_type=password&username=u1&password=password";
    let first = server.post("/oauth/token", ("short", "s"), form).json();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let second = server.post("/oauth/token", ("short", "s"), form).json();
    assert_ne!(first["jti"], second["jti"]);
    let (before, after) = (
        claims(text(&first, "refresh_token")),
        claims(text(&second, "refresh_token")),
    );
    assert_eq!(before["jti"], after["jti"]);
    assert_eq!(before["exp"], after["exp"]);
    assert_eq!(after["ati"], second["jti"]);
}

#[test]
fn scopes_are_sorted_when_asked_for_and_registered_order_when_not() {
    let server = Server::with_clients(&["many --secret s --profile spring --grants password --scopes write,read,all"]);
    let ask = |scope: &str| {
        let form = format!("grant_type=password&username=u1&password=password{scope}");
        text(&server.post("/oauth/token", ("many", "s"), &form).json(), "scope").to_owned()
    };
    assert_eq!(ask(""), "write read all");
    assert_eq!(ask("&scope=write+read"), "read write");
    assert_eq!(ask("&scope=write%2Bread"), "read write");
    assert_eq!(ask("&scope=read"), "read");
}

#[test]
fn parameters_come_from_query_form_and_multipart() {
    let server = Server::start();
    let authorization = basic(DEMO_CLIENT);
    let basic = ("authorization", authorization.as_str());
    let query = "/oauth/token?grant_type=password&username=u1";
    let headers = [basic, ("content-type", FORM)];
    assert_eq!(server.request("POST", query, &headers, "password=password").status, 200);
    // The query wins over the form, and the first value over later ones.
    let mixed = "/oauth/token?username=u1&username=u2";
    let answer = server.post(mixed, DEMO_CLIENT, "username=u2&grant_type=password&password=password");
    assert_eq!(answer.json()["userId"], "u1-id");
    let part =
        |name: &str, value: &str| format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let body = [
        part("grant_type", "password"),
        part("username", "u1"),
        part("password", "password"),
    ]
    .concat()
        + "--X--\r\n";
    let multipart = ("content-type", "multipart/form-data; boundary=X");
    assert_eq!(
        server
            .request("POST", "/oauth/token", &[basic, multipart], &body)
            .status,
        200
    );
}

#[test]
fn clients_may_authenticate_by_form_or_by_basic_as_it_stands() {
    let server = Server::with_clients(&["a%20b --secret c%2B --profile spring --grants password --scopes all"]);
    let form = "grant_type=password&username=u1&password=password";
    let by_form = format!("client_id=%20demo&client_secret=demo-secret&{form}");
    // The form filter trims the id; the endpoint then compares the parameter as it came.
    let mismatch = server.post_form("/oauth/token", &by_form);
    assert_eq!(mismatch.status, 401);
    let by_form = format!("client_id=demo&client_secret=demo-secret&{form}");
    assert_eq!(server.post_form("/oauth/token", &by_form).status, 200);
    let both = format!("client_id=demo&{form}");
    assert_eq!(server.token(&both).status, 200);
    // Basic is not URL-decoded.
    assert_eq!(server.post("/oauth/token", ("a%20b", "c%2B"), form).status, 200);
    assert_eq!(server.post("/oauth/token", ("a b", "c+"), form).status, 401);
}

#[test]
fn the_login_service_is_called_by_its_reserved_interfaces() {
    let server = Server::start();
    server.log_in("u1");
    let gateway = basic(("gateway", "secret"));
    assert_eq!(
        server.login.requests(),
        [
            format!("POST /login HTTP/1.1 | {gateway} | username=u1&password=password"),
            format!("GET /getAllPermissionByUserId?userId=u1-id HTTP/1.1 | {gateway} | "),
        ]
    );
}

#[test]
fn client_credentials_speak_for_the_client_itself() {
    let server = Server::with_clients(&[
        "robot --secret s --profile spring --grants client_credentials,refresh_token --scopes read,write",
        "trusted --secret s --profile spring --grants client_credentials --scopes read --authorities ROLE_B,ROLE_A",
    ]);
    let answer = server.post("/oauth/token?grant_type=client_credentials", ("robot", "s"), "");
    let body = answer.json();
    let values = ["access_token", "jti"].map(|name| (text(&body, name), name));
    assert_eq!(
        masked(&answer.body, &values),
        r#"{"access_token":"<access_token>","token_type":"bearer","expires_in":43199,"scope":"read write","jti":"<jti>"}"#
    );
    assert_eq!(keys(&claims(text(&body, "access_token"))), "scope, exp, jti, client_id");
    let again = server
        .post("/oauth/token?grant_type=client_credentials", ("robot", "s"), "")
        .json();
    assert_eq!(again["access_token"], body["access_token"]);
    let trusted = server
        .post("/oauth/token?grant_type=client_credentials", ("trusted", "s"), "")
        .json();
    let claims = claims(text(&trusted, "access_token"));
    assert_eq!(keys(&claims), "scope, exp, authorities, jti, client_id");
    assert_eq!(claims["authorities"].to_string(), r#"["ROLE_A","ROLE_B"]"#);
    assert!(server.login.requests().is_empty());
}
