//! Single sign-on through both hosts: the requests that the legacy system's documentation publishes, with the values that a
//! person copies from one into the next.

use postern_e2e::{
    client::{Request, Response},
    visit::{Visit, on_each_host, refresh_grant},
};
use serde_json::{Value, json};

use crate::calls::assert_forbidden;

const CLIENT: &str = "client_id=test_client_id_1&client_secret=test_client_secret_1";
const CALLBACK: &str = "http://test1.cdk8s.com:9094/client-rest/codeCallback/\
                        aHR0cDovL3Rlc3QxLmNkazhzLmNvbTo5MzkzL2NsaWVudC1zY3JpYmVqYXZhL3VzZXI_aWQ9MTIzNDU2Jm5hbWU9Y2RrOHM";
const USER: &str = "username=myname&password=123456";

/// Codes, cookies and tokens are others on each host: the answers are looked at here, not compared.
fn get(visit: &Visit<'_>, target: &str) -> Response {
    Request::get(target).send(visit.host.port)
}

fn post(visit: &Visit<'_>, target: &str, form: &str) -> Response {
    Request::form(target, form).send(visit.host.port)
}

/// An answer of 200, as JSON.
fn given(answer: &Response) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
    answer.json()
}

fn text(given: &Value, member: &str) -> String {
    let text = given[member].as_str();
    text.unwrap_or_else(|| panic!("no {member} in {given}")).to_owned()
}

fn keys(given: &Value) -> Vec<&str> {
    let members = given.as_object();
    let members = members.unwrap_or_else(|| panic!("no object: {given}"));
    members.keys().map(String::as_str).collect()
}

fn assert_refused(answer: &Response, description: &str) {
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(
        answer.text(),
        format!(
            r#"{{"error":"invalid request","error_description":"{description}","error_uri_msg":"See the full API docs at https://github.com/cdk8s"}}"#
        )
    );
}

fn authorize(response_type: &str, redirect_uri: &str) -> String {
    format!("/sso/oauth/authorize?response_type={response_type}&client_id=test_client_id_1&redirect_uri={redirect_uri}")
}

fn assert_login_page(answer: &Response) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text().contains(r#"name="password""#), "{}", answer.text());
    let policy = answer.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
}

/// Where a browser is sent to, behind `start`.
fn sent_to(answer: &Response, start: &str) -> String {
    assert_eq!(answer.status, 302, "{answer:?}");
    let location = answer.header("location").unwrap_or_default();
    let rest = location.strip_prefix(start);
    rest.unwrap_or_else(|| panic!("{location} instead of {start}…"))
        .to_owned()
}

fn introspected(visit: &Visit<'_>, token: &str, kind: &str) -> Value {
    let form = format!("{CLIENT}&token={token}&token_type_hint={kind}");
    given(&post(visit, "/sso/oauth/introspect", &form))
}

#[test]
fn a_login_at_the_page_gives_a_code_and_its_tokens() {
    on_each_host(|visit| {
        let page = format!("{}&state=a%20b", authorize("code", CALLBACK));
        assert_login_page(&get(visit, &page));
        let wrong = post(visit, &page, "username=myname&password=wrong");
        assert_login_page(&wrong);
        assert!(wrong.text().contains("用户名或密码错误"), "{}", wrong.text());

        let login = post(visit, &page, USER);
        let first = sent_to(&login, &format!("{CALLBACK}?code=OC-"));
        assert!(first.ends_with("&state=a%20b"), "{first}");
        let cookie = login.header("set-cookie").unwrap_or_default();
        assert!(
            cookie.starts_with("tgc=TGC-") && cookie.contains("; Path=/; Max-Age=86400; HttpOnly"),
            "{cookie}"
        );
        let session = cookie.split(';').next().unwrap_or_default();

        // Who is logged in is not asked again, and gets a code of their own each time.
        let again = Request::get(authorize("code", CALLBACK)).header("cookie", session);
        let code = sent_to(&again.send(visit.host.port), &format!("{CALLBACK}?code="));
        assert!(code.starts_with("OC-") && !first.contains(&code), "{first} {code}");

        let redeem = format!("grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}&{CLIENT}");
        let tokens = given(&post(visit, "/sso/oauth/token", &redeem));
        assert_eq!(
            keys(&tokens),
            ["access_token", "token_type", "expires_in", "refresh_token"]
        );
        assert_eq!(
            (&tokens["token_type"], &tokens["expires_in"]),
            (&json!("Bearer"), &json!(57600))
        );
        let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
        assert!(
            access.starts_with("AT-") && refresh.starts_with("RT-"),
            "{access} {refresh}"
        );
        assert_refused(&post(visit, "/sso/oauth/token", &redeem), "code 无效");

        let info = given(&get(visit, &format!("/sso/oauth/userinfo?access_token={access}")));
        assert_eq!(keys(&info), ["user_attribute", "grant_type", "iat", "exp", "client_id"]);
        assert_eq!(info["user_attribute"]["username"], "myname");
        assert_eq!(info["grant_type"], "authorization_code");
        assert_eq!(
            given(
                &Request::get("/sso/oauth/userinfo")
                    .bearer(&access)
                    .send(visit.host.port)
            ),
            info
        );
        assert_eq!(
            given(&post(visit, "/sso/oauth/userinfo", &format!("access_token={access}"))),
            info
        );

        let known = introspected(visit, &access, "access_token");
        assert_eq!(keys(&known), ["token_type", "grant_type", "client_id", "exp", "iat"]);
        assert_eq!((&known["exp"], &known["iat"]), (&info["exp"], &info["iat"]));
        assert_eq!(
            introspected(visit, &refresh, "refresh_token")["grant_type"],
            "authorization_code"
        );

        // The refresh token is not given again, and may be used again.
        let form = format!("grant_type=refresh_token&refresh_token={refresh}&{CLIENT}");
        for _ in 0..2 {
            let refreshed = given(&post(visit, "/sso/oauth/token", &form));
            assert_eq!(keys(&refreshed), ["access_token", "token_type", "expires_in"]);
            let new = text(&refreshed, "access_token");
            assert_ne!(new, access);
            assert_eq!(introspected(visit, &new, "access_token")["grant_type"], "refresh_token");
            let call = Request::get("/service/demo/test").bearer(&new);
            assert_eq!(visit.status(&call), 200);
        }

        // The end of the login is not the end of the tokens.
        let logout = Request::get("/sso/oauth/logout?redirect_uri=http://www.gitnavi.com").header("cookie", session);
        let logout = logout.send(visit.host.port);
        assert_eq!(sent_to(&logout, "http://www.gitnavi.com"), "");
        let cookie = logout.header("set-cookie").unwrap_or_default();
        assert!(cookie.starts_with("tgc=;") && cookie.contains("Max-Age=0"), "{cookie}");
        assert_login_page(&again.send(visit.host.port));
        assert_eq!(visit.status(&Request::get("/service/demo/test").bearer(&access)), 200);
        let forbidden = Request::get("/service/demo/test2").bearer(&access);
        assert_forbidden(&forbidden.send(visit.host.port), "/service/demo/test2");
    });
}

#[test]
fn a_login_at_the_page_gives_a_token_in_the_fragment() {
    on_each_host(|visit| {
        assert_login_page(&get(visit, &authorize("token", "http://www.gitnavi.com")));
        let login = post(visit, &authorize("token", "http://www.baidu.com"), USER);
        let fragment = sent_to(&login, "http://www.baidu.com#access_token=");
        let token = fragment.strip_suffix("&token_type=Bearer&expires_in=57600");
        let token = token.unwrap_or_else(|| panic!("{fragment}"));
        assert!(token.starts_with("AT-"), "{token}");
        assert_eq!(visit.status(&Request::get("/demo/test").bearer(token)), 200);
    });
}

#[test]
fn the_other_grants_and_what_is_no_access_token() {
    on_each_host(|visit| {
        let form = format!("grant_type=password&{CLIENT}&username=admin&password=admin-password");
        let tokens = given(&post(visit, "/sso/oauth/token", &form));
        let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
        assert_eq!(introspected(visit, &access, "access_token")["grant_type"], "password");

        let own = format!("grant_type=client_credentials&{CLIENT}");
        for own in [
            get(visit, &format!("/sso/oauth/token?{own}")),
            post(visit, "/sso/oauth/token", &own),
        ] {
            let tokens = given(&own);
            assert!(text(&tokens, "refresh_token").starts_with("RT-"));
            let access = text(&tokens, "access_token");
            let info = given(
                &Request::get("/sso/oauth/userinfo")
                    .bearer(&access)
                    .send(visit.host.port),
            );
            assert_eq!(info["user_attribute"], json!({}));
        }

        // The published requests ask so, and the legacy system refused it too.
        let answer = post(visit, "/sso/oauth/userinfo", &format!("access_token={refresh}"));
        assert_refused(&answer, "access_token 参数格式不对，必须包含：AT-");
        for (path, form, description) in [
            (
                "token",
                format!("grant_type=refresh_token&refresh_token=RT-103-8aI3zHbA&{CLIENT}"),
                "refresh_token 已失效",
            ),
            (
                "token",
                format!("grant_type=authorization_code&code=OC-101-b2XiPTub&redirect_uri={CALLBACK}&{CLIENT}"),
                "code 无效",
            ),
            (
                "introspect",
                format!("token=AT-102-dJTLEsFL&token_type_hint=access_token&{CLIENT}"),
                "token 已失效",
            ),
            (
                "userinfo",
                "access_token=AT-102-dJTLEsFL".to_owned(),
                "access_token 已失效",
            ),
        ] {
            assert_refused(&post(visit, &format!("/sso/oauth/{path}"), &form), description);
        }
    });
}

#[test]
fn a_disabled_user_is_logged_in_nowhere() {
    on_each_host(|visit| {
        let user = visit.user("sso-disabled", &["tester"]);
        let login = post(
            visit,
            &authorize("code", CALLBACK),
            &format!("username={user}&password=password"),
        );
        let code = sent_to(&login, &format!("{CALLBACK}?code="));
        let cookie = login.header("set-cookie").unwrap_or_default();
        let session = cookie.split(';').next().unwrap_or_default().to_owned();
        let form = format!("grant_type=password&username={user}&password=password&{CLIENT}");
        let tokens = given(&post(visit, "/sso/oauth/token", &form));
        let spring = visit.log_in(&user);

        visit.servers.login(&format!("user disable {user}"));
        let again = Request::get(authorize("code", CALLBACK)).header("cookie", &session);
        assert_login_page(&again.send(visit.host.port));
        let redeem = format!("grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}&{CLIENT}");
        assert_refused(&post(visit, "/sso/oauth/token", &redeem), "code 无效");
        let form = format!(
            "grant_type=refresh_token&refresh_token={}&{CLIENT}",
            text(&tokens, "refresh_token")
        );
        assert_refused(&post(visit, "/sso/oauth/token", &form), "refresh_token 已失效");
        let refused = refresh_grant(&spring.refresh).send(visit.host.port);
        assert_eq!(refused.status, 400, "{refused:?}");
        let said = format!("Invalid refresh token: {}", spring.refresh);
        assert_eq!(
            refused.json(),
            json!({ "error": "invalid_grant", "error_description": said })
        );
        let call = Request::get("/demo/test").bearer(&spring.access);
        visit.until("the disabling of a user", 401, &call);
    });
}
