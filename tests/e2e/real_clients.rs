//! The clients that teams have, unmodified, against the whole of Postern: Python's requests and requests-oauthlib, Node's
//! request, and jQuery in a browser on a page of another origin. (curl has a file of its own.)

use postern_e2e::{
    client::{Request, Response},
    real_client::{Play, installed, node, page, python},
    token,
    visit::{Visit, on_each_host, refresh_grant, tokens},
};

use crate::{calls::assert_forbidden, password_grant::assert_token_body};

fn assert_answer(play: &Play, call: &str, status: u16, body: &str) {
    let answer = play.answer(call);
    assert_eq!((answer.status, answer.text().as_str()), (status, body), "{call}");
}

/// The calls of the legacy documentation for this client, with the answers shown there: a login, a refresh, a call, the
/// three refusals, a logout.
fn assert_documented(visit: &Visit<'_>, user: &str, play: &Play) {
    assert_token_body(play.answer("login"), user);
    assert_token_body(play.answer("refresh"), user);
    let (first, second) = (tokens(play.answer("login")), tokens(play.answer("refresh")));
    assert_ne!(first.access, second.access);
    let refresh_id = |token: &str| token::claims(token)["jti"].clone();
    assert_eq!(refresh_id(&first.refresh), refresh_id(&second.refresh));

    assert_answer(play, "call", 200, "ok");
    assert_forbidden(play.answer("not permitted"), "/demo/test");
    assert_answer(
        play,
        "no token",
        401,
        r#"{"error":"unauthorized","error_description":"Full authentication is required to access this resource"}"#,
    );
    assert_answer(
        play,
        "wrong token",
        401,
        r#"{"error":"invalid_token","error_description":"11e.wrong.token"}"#,
    );
    assert_answer(
        play,
        "wrong password",
        400,
        r#"{"error":"invalid_grant","error_description":"password invalid"}"#,
    );

    assert_answer(play, "logout", 200, "");
    visit.until(
        "a logout",
        401,
        &Request::new("POST", "/demo/test2").bearer(&second.access),
    );
    assert_eq!(visit.send(&refresh_grant(&second.refresh)).status, 400);
}

#[test]
fn python_requests() {
    let Some(program) = installed().python else { return };
    on_each_host(|visit| {
        let user = visit.user("python", &["tester2"]);
        let play = python(visit, &program, "python_requests.py", &[("USER_NAME", &user)]);
        assert_documented(visit, &user, &play);
    });
}

#[test]
fn node_request() {
    let Some(program) = installed().node else { return };
    on_each_host(|visit| {
        let user = visit.user("node", &["tester2"]);
        let play = node(visit, &program, "node_request.js", &[("USER_NAME", &user)]);
        assert_documented(visit, &user, &play);
    });
}

#[test]
fn jquery_in_chromium_on_a_page_of_another_origin() {
    let Some(browser) = installed().browser else { return };
    on_each_host(|visit| {
        let user = visit.user("page", &["tester2"]);
        let play = page(visit, &browser, "jquery.html", &format!("user={user}"));
        assert_documented(visit, &user, &play);
    });
}

/// `LegacyApplicationClient` for users, `BackendApplicationClient` for clients, at each contract that has the grant.
#[test]
fn python_requests_oauthlib() {
    let Some(program) = installed().python else { return };
    on_each_host(|visit| {
        let user = visit.user("oauthlib", &["tester2"]);
        let robot = visit.own_name("robot");
        visit.servers.auth(&format!(
            "client add {robot} --secret robot-secret --profile spring --grants client_credentials --scopes all \
             --authorities ROLE_TEST"
        ));
        let own = Request::form("/login/oauth/token", "grant_type=client_credentials").basic(&robot, "robot-secret");
        visit.until("a new client", 200, &own);
        let registered = visit.own_name("acme");
        let environment = [
            ("USER_NAME", user.as_str()),
            ("ROBOT", &robot),
            ("NEW_CLIENT", &registered),
        ];
        let play = python(visit, &program, "oauth_sessions.py", &environment);

        assert_token_body(play.answer("spring token"), &user);
        assert_token_body(play.answer("spring refresh"), &user);
        for call in ["spring call", "spring call again"] {
            assert_answer(&play, call, 200, "ok");
        }
        assert_answer(&play, "spring logout", 200, "");
        assert_answer(&play, "spring refused", 400, "invalid_grant: password invalid");
        let token = tokens(play.answer("spring refresh")).access;
        visit.until("a logout", 401, &Request::new("POST", "/demo/test2").bearer(&token));

        assert_tkey(&play, &user);
        assert_own_tokens(&play);
        assert_uaa(&play, &registered);
    });
}

fn text(answer: &Response, member: &str) -> String {
    let body = answer.json();
    let text = body[member].as_str();
    text.unwrap_or_else(|| panic!("no {member} in {body}")).to_owned()
}

fn assert_tkey(play: &Play, user: &str) {
    let first = play.answer("tkey token");
    let (access, refresh) = (text(first, "access_token"), text(first, "refresh_token"));
    assert_answer(
        play,
        "tkey token",
        200,
        &format!(
            r#"{{"access_token":"{access}","token_type":"Bearer","expires_in":57600,"refresh_token":"{refresh}"}}"#
        ),
    );
    // A refresh gives no refresh token: the library keeps the one it has.
    let second = text(play.answer("tkey refresh"), "access_token");
    assert_answer(
        play,
        "tkey refresh",
        200,
        &format!(r#"{{"access_token":"{second}","token_type":"Bearer","expires_in":57600}}"#),
    );
    let userinfo = play.answer("tkey userinfo").json();
    assert_eq!(
        token::keys(&userinfo),
        ["user_attribute", "grant_type", "iat", "exp", "client_id"]
    );
    assert_eq!(userinfo["user_attribute"]["username"], user);
    for call in ["tkey call", "tkey call again"] {
        assert_answer(play, call, 200, "ok");
    }
}

/// The tokens of clients for themselves pass the filter with the authorities of the client.
fn assert_own_tokens(play: &Play) {
    // Others may have been given the same token before.
    for (name, at_most, scope) in [
        ("own spring", 43_199, "all"),
        ("own tkey", 57_600, ""),
        ("own principal", 7_199, "read write"),
    ] {
        for place in ["basic", "form"] {
            let answer = play.answer(&format!("{name} {place} token"));
            assert_eq!(answer.status, 200, "{answer:?}");
            let body = answer.json();
            let seconds = body["expires_in"].as_u64();
            assert!(
                seconds.is_some_and(|seconds| (1..=at_most).contains(&seconds)),
                "{body}"
            );
            assert_eq!(body["scope"].as_str().unwrap_or_default(), scope, "{body}");
            assert_answer(play, &format!("{name} {place} call"), 200, "ok");
            assert_forbidden(play.answer(&format!("{name} {place} not permitted")), "/demo/test2");
        }
    }
}

fn assert_uaa(play: &Play, registered: &str) {
    assert_answer(
        play,
        "uaa register",
        200,
        &format!(r#"{{"clientId":"{registered}","clientSecret":"acm","scope":"CLIENT"}}"#),
    );
    assert_eq!(text(play.answer("uaa registered token"), "scope"), "CLIENT");
    assert_answer(
        play,
        "uaa not permitted",
        403,
        r#"{"error":"insufficient_scope","error_description":"Insufficient scope for this resource","scope":"ADMIN"}"#,
    );
    assert_answer(play, "uaa delete", 200, &format!("{{clientId:{registered}}}"));
    assert_answer(play, "uaa refused", 401, "invalid_client: Bad client credentials");
}
