//! No password, secret, code or token is ever logged, at any level, also when it came in a query (contract section 12): the
//! requests of all contracts, right and wrong ones.

use crate::harness::*;

/// Part of every secret that the requests carry.
const MARK: &str = "s3cr3t";

const CLIENTS: &[&str] = &[
    "robot --secret robot-s3cr3t --profile spring --grants client_credentials,password,refresh_token --scopes all",
    "sso --secret sso-s3cr3t --profile tkey --grants password,refresh_token,client_credentials,authorization_code --scopes all --redirect-uris http://localhost/cb",
    "admin --secret admin-s3cr3t --profile uaa --grants client_credentials --scopes ADMIN",
    "platform --secret platform-s3cr3t --profile principal --grants client_credentials --scopes read",
];

const USER: &str = "username=u1&password=password";
const WRONG: &str = "username=u1&password=wrong-s3cr3t";

/// Method, target and body, by client. A `{t}` stands for the token that the client was given.
const REQUESTS: &[(&str, &str, &str, &str)] = &[
    (
        "robot",
        "POST",
        "/login/oauth/token?grant_type=password&username=u1&password=password",
        "",
    ),
    (
        "robot",
        "POST",
        "/login/oauth/token?grant_type=password&username=u1&password=wrong-s3cr3t",
        "",
    ),
    (
        "robot",
        "POST",
        "/login/oauth/token?client_id=robot&client_secret=robot-s3cr3t&grant_type=client_credentials",
        "",
    ),
    (
        "robot",
        "POST",
        "/login/oauth/token",
        "client_id=robot&client_secret=wrong-s3cr3t&grant_type=client_credentials",
    ),
    (
        "robot",
        "POST",
        "/login/oauth/token?grant_type=refresh_token&refresh_token=wrong-s3cr3t",
        "",
    ),
    (
        "robot",
        "POST",
        "/login/oauth/token",
        "grant_type=refresh_token&refresh_token=wrong-s3cr3t",
    ),
    (
        "robot",
        "POST",
        "/login/oauth/token",
        "grant_type=authorization_code&code=wrong-s3cr3t",
    ),
    (
        "robot",
        "POST",
        "/login/oauth/token?grant_type=authorization_code&code=wrong-s3cr3t",
        "",
    ),
    ("robot", "GET", "/login/oauth/check_token?token={t}", ""),
    ("robot", "GET", "/login/oauth/check_token?token=wrong-s3cr3t", ""),
    ("robot", "POST", "/login/oauth/check_token", "token=wrong-s3cr3t"),
    (
        "robot",
        "GET",
        "/login/oauth/authorize?response_type=code&client_id=robot&password=wrong-s3cr3t",
        "",
    ),
    ("robot", "POST", "/login/logout?access_token={t}", ""),
    ("robot", "POST", "/login/logout", ""),
    (
        "sso",
        "POST",
        "/sso/oauth/token?grant_type=password&username=u1&password=password",
        "",
    ),
    (
        "sso",
        "GET",
        "/sso/oauth/token?grant_type=client_credentials&client_id=sso&client_secret=sso-s3cr3t",
        "",
    ),
    (
        "sso",
        "GET",
        "/sso/oauth/token?grant_type=client_credentials&client_id=sso&client_secret=wrong-s3cr3t",
        "",
    ),
    (
        "sso",
        "GET",
        "/sso/oauth/token?grant_type=refresh_token&refresh_token=RT-wrong-s3cr3t",
        "",
    ),
    (
        "sso",
        "GET",
        "/sso/oauth/token?grant_type=authorization_code&code=OC-wrong-s3cr3t&redirect_uri=http://localhost/cb",
        "",
    ),
    ("sso", "GET", "/sso/oauth/userinfo?access_token={t}", ""),
    ("sso", "GET", "/sso/oauth/userinfo?access_token=AT-wrong-s3cr3t", ""),
    (
        "sso",
        "POST",
        "/sso/oauth/introspect",
        "token={t}&token_type_hint=access_token",
    ),
    (
        "sso",
        "POST",
        "/sso/oauth/introspect?token=AT-wrong-s3cr3t&token_type_hint=access_token",
        "",
    ),
    (
        "sso",
        "POST",
        "/sso/oauth/authorize?response_type=code&client_id=sso&redirect_uri=http://localhost/cb",
        USER,
    ),
    (
        "sso",
        "POST",
        "/sso/oauth/authorize?response_type=code&client_id=sso&redirect_uri=http://localhost/cb",
        WRONG,
    ),
    (
        "admin",
        "POST",
        "/uaa/oauth/token?client_id=admin&client_secret=admin-s3cr3t&grant_type=client_credentials",
        "",
    ),
    ("admin", "GET", "/uaa/oauth/check_token?token={t}", ""),
    (
        "admin",
        "GET",
        "/uaa/register?access_token={t}&clientId=acme&clientSecret=acme-s3cr3t",
        "",
    ),
    (
        "admin",
        "POST",
        "/uaa/register",
        "access_token={t}&clientId=acme2&clientSecret=acme-s3cr3t",
    ),
    (
        "admin",
        "GET",
        "/uaa/register?access_token=wrong-s3cr3t&clientId=acme&clientSecret=acme-s3cr3t",
        "",
    ),
    ("admin", "GET", "/uaa/delete/acme?access_token={t}", ""),
    ("admin", "GET", "/uaa/delete/acme?access_token=wrong-s3cr3t", ""),
    (
        "platform",
        "POST",
        "/authorization-server/oauth/token?grant_type=client_credentials&client_id=platform&client_secret=platform-s3cr3t",
        "",
    ),
    (
        "platform",
        "POST",
        "/authorization-server/oauth/token?grant_type=client_credentials&client_id=platform&client_secret=wrong-s3cr3t",
        "",
    ),
    // In the wrong place.
    ("robot", "POST", "/login/oauth/token", "grant_type=wrong-s3cr3t"),
    (
        "robot",
        "POST",
        "/login/oauth/token",
        "grant_type=password&username=u1&password=password&scope=wrong-s3cr3t",
    ),
    ("sso", "POST", "/sso/oauth/token", "grant_type=wrong-s3cr3t"),
];

const MOUNTS: [(&str, &str); 4] = [
    ("robot", "/login"),
    ("sso", "/sso"),
    ("admin", "/uaa"),
    ("platform", "/authorization-server"),
];

#[test]
fn no_request_of_any_contract_leaves_a_secret_in_the_log() {
    for compat in ["{}", "{ query_credentials: true }"] {
        let server = Server::with(Setup {
            compat,
            clients: CLIENTS,
            mounts: ", { profile: tkey, path: /sso }, { profile: uaa, path: /uaa }, { profile: principal, path: /authorization-server }",
            ..Setup::default()
        });
        let mut given = Vec::new();
        for (client, base) in MOUNTS {
            let secret = format!("{client}-{MARK}");
            let answer = server.post(
                &format!("{base}/oauth/token"),
                (client, &secret),
                "grant_type=client_credentials",
            );
            given.push((client, text(&answer.json(), "access_token").to_owned()));
        }
        let login = server.post(
            "/login/oauth/token",
            ("robot", "robot-s3cr3t"),
            &format!("grant_type=password&{USER}"),
        );
        let mut secrets = vec![text(&login.json(), "refresh_token").to_owned()];
        for (client, method, target, body) in REQUESTS {
            let (_, token) = given.iter().find(|(name, _)| name == client).unwrap();
            let (target, body) = (target.replace("{t}", token), body.replace("{t}", token));
            let authorization = basic((client, &format!("{client}-{MARK}")));
            let bearer = format!("Bearer {token}");
            for headers in [
                &[("content-type", FORM)][..],
                &[("content-type", FORM), ("authorization", &authorization)],
                &[("content-type", FORM), ("authorization", &bearer)],
                &[("content-type", FORM), ("authorization", "Bearer opaque-s3cr3t")],
            ] {
                let answer = server.request(method, &target, headers, &body);
                assert!(
                    !answer.headers.iter().any(|(_, value)| value.contains(MARK)),
                    "{answer:?}"
                );
                assert!(
                    answer.status < 500 || target.starts_with("/uaa/"),
                    "{target} {answer:?}"
                );
            }
        }
        // The same once more when nothing works.
        server.login.set_day(login::Day::Broken);
        server.post(
            "/login/oauth/token",
            ("robot", "robot-s3cr3t"),
            &format!("grant_type=password&{WRONG}"),
        );

        server.get("/the-end", &[]);
        let log = server.log_with("/the-end");
        // Behind what the server says to whoever started it.
        let (_, log) = log.split_once("\ntry: curl").unwrap();
        let (_, log) = log.split_once('\n').unwrap();
        secrets.extend(given.into_iter().map(|(_, token)| token));
        for secret in secrets.iter().map(String::as_str).chain([
            MARK,
            "password=",
            "token=",
            "secret=",
            "code=",
            "AT-",
            "RT-",
            "OC-",
        ]) {
            assert!(!log.contains(secret), "{secret} in {log}");
        }
    }
}
