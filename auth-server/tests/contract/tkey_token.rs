//! `/oauth/token` of profile `tkey`: the four grants.

use crate::harness::tkey::*;
use crate::harness::*;

#[test]
fn authorization_code() {
    let server = start();
    let answer = redeem(&server, &code(&server, ""), "");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let tokens = answer.json();
    let (access, refresh) = pair(&tokens);
    assert_eq!(
        answer.body,
        format!(
            r#"{{"access_token":"{access}","token_type":"Bearer","expires_in":57600,"refresh_token":"{refresh}"}}"#
        )
    );
    assert_shape(access, "AT-");
    assert_shape(refresh, "RT-");
}

#[test]
fn password() {
    let server = start();
    let answer = token(&server, "grant_type=password&username=u1&password=password");
    assert_eq!(answer.header("deprecation"), Some("@1735689600"));
    let tokens = answer.json();
    assert_eq!(keys(&tokens), "access_token, token_type, expires_in, refresh_token");
    assert_eq!(
        userinfo(&server, pair(&tokens).0).json()["user_attribute"]["username"],
        "u1"
    );
}

#[test]
fn client_credentials_give_a_refresh_token_too() {
    let server = start();
    let tokens = tokens(&server, "grant_type=client_credentials");
    assert_eq!(keys(&tokens), "access_token, token_type, expires_in, refresh_token");
    let again = token(&server, "grant_type=client_credentials").json();
    assert_ne!(
        tokens["access_token"], again["access_token"],
        "every call gives a new token"
    );
    assert_eq!(
        userinfo(&server, pair(&tokens).0).status,
        200,
        "and the earlier one stays good"
    );
}

#[test]
fn client_credentials_without_the_refresh_grant_give_none() {
    let server = start();
    let form = "grant_type=client_credentials&client_id=robot&client_secret=robot-secret";
    let tokens = post(&server, "/oauth/token", form).json();
    assert_eq!(keys(&tokens), "access_token, token_type, expires_in");
}

#[test]
fn refresh_token_is_not_rotated_and_lives_no_longer() {
    let server = start();
    let first = tokens(&server, "grant_type=password&username=u1&password=password");
    let (access, refresh) = pair(&first);
    let before = introspect(&server, refresh, "refresh_token").body;
    for _ in 0..2 {
        let refreshed = tokens(&server, &format!("grant_type=refresh_token&refresh_token={refresh}"));
        assert_eq!(keys(&refreshed), "access_token, token_type, expires_in");
        assert_eq!(refreshed["expires_in"], 57600);
        let new = text(&refreshed, "access_token");
        assert_ne!(new, access);
        assert_eq!(
            introspect(&server, new, "access_token").json()["grant_type"],
            "refresh_token"
        );
        assert_eq!(userinfo(&server, new).json()["user_attribute"]["user_id"], "u1-id");
    }
    assert_eq!(introspect(&server, refresh, "refresh_token").body, before);
    assert_eq!(
        userinfo(&server, access).status,
        200,
        "the first access token stays good"
    );
}

#[test]
fn refresh_of_a_clients_own_token() {
    let server = start();
    let first = tokens(&server, "grant_type=client_credentials");
    let refreshed = tokens(
        &server,
        &format!("grant_type=refresh_token&refresh_token={}", pair(&first).1),
    );
    let info = userinfo(&server, text(&refreshed, "access_token")).json();
    assert_eq!(
        (info["user_attribute"].to_string().as_str(), text(&info, "grant_type")),
        ("{}", "refresh_token")
    );
}

#[test]
fn basic_wins_over_parameters() {
    let server = start();
    let form = "grant_type=client_credentials&client_id=nobody&client_secret=wrong";
    let path = "/sso/oauth/token";
    let right = server.post(path, ("test_client_id_1", "test_client_secret_1"), form);
    assert_eq!(right.status, 200, "{right:?}");
    let wrong = server.post(
        path,
        ("test_client_id_1", "wrong"),
        &format!("grant_type=client_credentials&{CLIENT}"),
    );
    assert_eq!(wrong.body, error("client_id 与 client_secret 不匹配"));
}

#[test]
fn get_with_basic() {
    let server = start();
    let authorization = basic(("test_client_id_1", "test_client_secret_1"));
    let headers = [("authorization", authorization.as_str())];
    let answer = server.get("/sso/oauth/token?grant_type=client_credentials", &headers);
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn get_with_a_secret_in_the_query() {
    let path = format!("/sso/oauth/token?grant_type=client_credentials&{CLIENT}");
    let answer = start().get(&path, &[]);
    assert_eq!(answer.status, 400);
    assert_eq!(answer.body, error("client_secret 参数不能放在 URL 中"));
    let answer = with_compat("{ query_credentials: true }").get(&path, &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
}

#[test]
fn other_methods_are_405() {
    let answer = start().request("PUT", "/sso/oauth/token", &[], "");
    assert_eq!(answer.status, 405);
    assert_eq!(answer.body, error("请求方法不支持"));
    let allowed = answer.header("allow").unwrap();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
}

#[test]
fn validities_of_the_client_count() {
    let server = start();
    server.succeed(&[
        "client",
        "add",
        "brief",
        "--secret",
        "s",
        "--profile",
        "tkey",
        "--scopes",
        "all",
        "--grants",
        "client_credentials,refresh_token",
        "--access-token-validity",
        "60",
        "--refresh-token-validity",
        "0",
    ]);
    std::thread::sleep(std::time::Duration::from_millis(200));
    let client = "client_id=brief&client_secret=s";
    let tokens = post(
        &server,
        "/oauth/token",
        &format!("grant_type=client_credentials&{client}"),
    )
    .json();
    assert_eq!(tokens["expires_in"], 60);
    let form = format!("{client}&token_type_hint=refresh_token&token={}", pair(&tokens).1);
    let known = post(&server, "/oauth/introspect", &form).json();
    assert_eq!(
        keys(&known),
        "token_type, grant_type, client_id, iat",
        "for ever: no `exp`"
    );
}

#[test]
fn gateways_are_told_what_an_access_token_says_and_nothing_of_a_refresh_token() {
    let server = start();
    let tokens = tokens(&server, "grant_type=password&username=u1&password=password");
    let (access, refresh) = pair(&tokens);
    let asked = |token| {
        server
            .post("/oauth2/introspect", ("gateway", "secret"), &format!("token={token}"))
            .json()
    };
    let known = asked(access);
    assert_eq!(
        (&known["active"], &known["username"], &known["authorities"][0]),
        (&true.into(), &"u1".into(), &"ROLE_TEST".into())
    );
    assert_eq!(asked(refresh)["active"], false);
}

#[test]
fn no_token_code_cookie_password_or_secret_is_logged() {
    let server = start();
    let login = log_in(&server, &authorize_path("&state=s"));
    let session = cookie(&login, "tgc");
    let code = code(&server, "");
    let tokens = redeem(&server, &code, "").json();
    let (access, refresh) = pair(&tokens);
    userinfo(&server, access);
    introspect(&server, refresh, "refresh_token");
    redeem(&server, &code, "");
    userinfo(&server, access);
    token(&server, &format!("grant_type=refresh_token&refresh_token={refresh}"));
    server.get(&authorize_path(""), &[("cookie", &session)]);
    token(&server, "grant_type=password&username=u1&password=not-it-at-all");
    let log = server.log_with("BadUserCredentials");
    for secret in [
        access,
        refresh,
        &code,
        session.trim_start_matches("tgc="),
        "not-it-at-all",
        "test_client_secret_1",
    ] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
}
