//! `/oauth/authorize` of profile `tkey`: the login page, the cookie, and where a browser is sent.

use crate::harness::http::Answer;
use crate::harness::tkey::*;
use crate::harness::*;

const ENGLISH: (&str, &str) = ("accept-language", "en-US,en;q=0.9");

/// The value of the form's hidden token.
fn form_token(page: &Answer) -> String {
    let (_, rest) = page.body.split_once(r#"name="login_form" value=""#).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// Asserts that the answer is a page of ours that says a text and sends the browser nowhere.
fn assert_page(answer: &Answer, text: &str) {
    assert_eq!(
        answer.header("content-type"),
        Some("text/html;charset=UTF-8"),
        "{answer:?}"
    );
    assert_eq!(answer.header("location"), None);
    assert!(answer.body.contains(text), "no {text} in {}", answer.body);
}

#[test]
fn without_a_login_there_is_a_page() {
    let server = start();
    let page = server.get(&authorize_path("&state=a%22%3Cb"), &[]);
    assert_eq!(page.status, 200);
    assert_page(&page, r#"<html lang="zh-CN">"#);
    for part in [
        r#"<form method="post" action="authorize">"#,
        r#"<input type="hidden" name="state" value="a&quot;&lt;b">"#,
        r#"<label for="username">用户名</label>"#,
        r#"autocomplete="username""#,
        r#"autocomplete="current-password""#,
        r#"name="bool_is_remember_me""#,
        "<strong>test_client_id_1</strong>",
    ] {
        assert!(page.body.contains(part), "no {part} in {}", page.body);
    }
    assert!(!page.body.contains("<script") && !page.body.contains(" style="));
}

#[test]
fn the_page_can_be_neither_framed_nor_kept_nor_scripted() {
    let page = start().get(&authorize_path(""), &[]);
    let policy = page.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "style-src 'sha256-",
        "form-action 'self' http://app.example.com;",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "no {part} in {policy}");
    }
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(page.header(name), Some(value));
    }
}

#[test]
fn the_page_speaks_english_too() {
    let page = start().get(&authorize_path(""), &[ENGLISH]);
    assert_page(&page, r#"<html lang="en">"#);
    assert!(page.body.contains("User name") && !page.body.contains("用户名"));
}

#[test]
fn a_login_leads_to_the_redirect_uri_with_code_and_state() {
    let server = start();
    let answer = log_in(&server, &authorize_path("&state=a%20b%26c"));
    assert_eq!(answer.status, 302, "{answer:?}");
    let rest = answer
        .header("location")
        .unwrap()
        .strip_prefix("http://app.example.com/cb?code=")
        .unwrap();
    let (code, state) = rest.split_once('&').unwrap();
    assert_shape(code, "OC-");
    assert_eq!(state, "state=a%20b%26c");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(redeem(&server, code, "").status, 200);
}

#[test]
fn a_redirect_uri_with_a_query_keeps_it_and_no_state_is_none() {
    let server = start();
    let path = "/sso/oauth/authorize?response_type=code&client_id=test_client_id_1&redirect_uri=http://app.example.com/cb%3Fx=1";
    let answer = log_in(&server, path);
    let location = answer.header("location").unwrap();
    let code = location.strip_prefix("http://app.example.com/cb?x=1&code=").unwrap();
    assert_shape(code, "OC-");
}

#[test]
fn the_cookie_of_a_login() {
    let server = start();
    let login = log_in(&server, &authorize_path(""));
    let session = cookie(&login, "tgc");
    assert_shape(session.strip_prefix("tgc=").unwrap(), "TGC-");
    let set = login.header("set-cookie").unwrap();
    assert_eq!(
        set.split_once(';').unwrap().1,
        " Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"
    );
    let https = [("content-type", FORM), ("x-forwarded-proto", "https")];
    let form = "username=u1&password=password&bool_is_remember_me=true";
    let login = server.request("POST", &authorize_path(""), &https, form);
    let set = login.header("set-cookie").unwrap();
    assert_eq!(
        set.split_once(';').unwrap().1,
        " Path=/; Max-Age=604800; HttpOnly; SameSite=Lax; Secure"
    );
}

#[test]
fn with_the_cookie_there_is_no_page() {
    let server = start();
    let session = cookie(&log_in(&server, &authorize_path("")), "tgc");
    let answer = server.get(&authorize_path("&state=s"), &[("cookie", &session)]);
    assert_eq!(answer.status, 302, "{answer:?}");
    let location = answer.header("location").unwrap();
    assert!(
        location.starts_with("http://app.example.com/cb?code=OC-") && location.ends_with("&state=s"),
        "{location}"
    );
    // Single sign-on: another client of the profile too.
    let path = "/sso/oauth/authorize?response_type=code&client_id=other&redirect_uri=http://other.example.com/cb";
    assert_eq!(server.get(path, &[("cookie", &session)]).status, 302);
}

#[test]
fn a_foreign_or_dead_cookie_is_none() {
    let server = start();
    assert_eq!(server.get(&authorize_path(""), &[("cookie", "tgc=TGC-x")]).status, 200);
    let session = cookie(&log_in(&server, &authorize_path("")), "tgc");
    let again = server.request(
        "POST",
        &authorize_path(""),
        &[("content-type", FORM), ("cookie", &session)],
        "username=u2&password=password",
    );
    assert_eq!(again.status, 302);
    let earlier = server.get(&authorize_path(""), &[("cookie", &session)]);
    assert_eq!(
        earlier.status, 200,
        "a login ends the one before it in the same browser"
    );
}

#[test]
fn a_login_lasts_a_day_and_a_remembered_one_a_week() {
    let server = start();
    for (more, days) in [("", 1), ("&bool_is_remember_me=true", 7)] {
        let form = format!("username=u1&password=password{more}");
        let login = server.request("POST", &authorize_path(""), &[("content-type", FORM)], &form);
        let session = cookie(&login, "tgc");
        let after = |seconds: u32| {
            let later = format!(
                "UPDATE login_session SET expires_at_ms = expires_at_ms - {}",
                seconds * 1000
            );
            engine::run(server.folder.path(), later);
            server.get(&authorize_path(""), &[("cookie", &session)]).status
        };
        assert_eq!(after(days * 86_400 - 60), 302, "still in {days} days");
        assert_eq!(after(61), 200, "no longer after {days} days");
    }
}

#[test]
fn the_token_response_type() {
    let server = start();
    let path =
        format!("/sso/oauth/authorize?response_type=token&client_id=test_client_id_1&redirect_uri={CALLBACK}&state=s");
    let login = log_in(&server, &path);
    assert_eq!(login.status, 302, "{login:?}");
    let fragment = login
        .header("location")
        .unwrap()
        .strip_prefix("http://app.example.com/cb#access_token=")
        .unwrap();
    let (access, rest) = fragment.split_once('&').unwrap();
    assert_shape(access, "AT-");
    assert_eq!(
        rest, "token_type=Bearer&expires_in=57600&state=s",
        "and no refresh token"
    );
    let info = userinfo(&server, access).json();
    assert_eq!(
        (text(&info, "grant_type"), &info["user_attribute"]["username"]),
        ("token", &"u1".into())
    );
    let session = cookie(&login, "tgc");
    let again = server.get(&path, &[("cookie", &session)]);
    assert!(again.header("location").unwrap().contains("#access_token=AT-"));
}

#[test]
fn what_is_wrong_with_the_request_is_told_on_a_page() {
    let server = start();
    let session = cookie(&log_in(&server, &authorize_path("")), "tgc");
    let path = |query: &str| format!("/sso/oauth/authorize?{query}");
    let client = "client_id=test_client_id_1";
    let redirect = format!("redirect_uri={CALLBACK}");
    let rows = [
        ("".to_owned(), "client_id 参数不能为空"),
        ("client_id=a-b".into(), "client_id 参数值必须为字母、数字、下划线组成"),
        ("client_id=nobody".into(), "client_id 不存在"),
        (client.into(), "redirect_uri 参数不能为空"),
        (
            format!("{client}&redirect_uri=http://evil.example.com/"),
            "redirect_uri 不匹配该 client_id",
        ),
        (format!("{client}&{redirect}/"), "redirect_uri 不匹配该 client_id"),
        (format!("{client}&{redirect}%23x"), "redirect_uri 不匹配该 client_id"),
        (format!("{client}&{redirect}"), "response_type 参数不能为空"),
        (
            format!("{client}&{redirect}&response_type=id_token"),
            "response_type 参数值有误",
        ),
        (
            "client_id=other&redirect_uri=http://other.example.com/cb&response_type=token".into(),
            "response_type 参数值有误",
        ),
        (
            "client_id=robot&redirect_uri=http://app.example.com/cb&response_type=code".into(),
            "redirect_uri 不匹配该 client_id",
        ),
        (
            format!(
                "{client}&{redirect}&response_type=code&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
            ),
            "code_challenge_method 参数值不合法",
        ),
        (
            format!("{client}&{redirect}&response_type=code&code_challenge=x&code_challenge_method=S256"),
            "code_challenge 参数值不合法",
        ),
    ];
    for (query, text) in rows {
        // Neither a visitor nor a logged-in user nor somebody who logs in is sent anywhere.
        assert_page(&server.get(&path(&query), &[]), text);
        assert_page(&server.get(&path(&query), &[("cookie", &session)]), text);
        // The form need not say it again, see below.
        if !text.starts_with("response_type 参数不能为空") {
            assert_page(&log_in(&server, &path(&query)), text);
        }
    }
    let page = server.get(&path("client_id=nobody"), &[ENGLISH]);
    assert_page(&page, "no client has this client_id");
}

#[test]
fn a_form_without_a_response_type_gets_a_code() {
    let server = start();
    let path = format!("/sso/oauth/authorize?client_id=test_client_id_1&redirect_uri={CALLBACK}");
    let answer = log_in(&server, &path);
    assert_eq!(answer.status, 302, "{answer:?}");
    let location = answer.header("location").unwrap();
    let code = location.strip_prefix("http://app.example.com/cb?code=").unwrap();
    assert_eq!(redeem(&server, code, "").status, 200);
}

#[test]
fn a_failed_login_shows_the_page_again() {
    let server = start();
    for (form, text) in [
        ("", "用户名不能为空"),
        ("username=u1", "密码不能为空"),
        ("username=u1&password=wrong", "用户名或密码错误"),
        ("username=nobody&password=password", "用户名或密码错误"),
    ] {
        let path = authorize_path("&state=s");
        let answer = server.request("POST", &path, &[("content-type", FORM)], form);
        assert_eq!(answer.status, 200, "{form}");
        assert_page(&answer, &format!(r#"role="alert">{text}</p>"#));
        assert!(
            answer.body.contains(r#"name="state" value="s""#),
            "the form still knows what was asked"
        );
        assert!(!answer.body.contains("password=wrong") && !answer.body.contains(r#"value="wrong""#));
        assert_eq!(
            answer.header("set-cookie").map(|set| set.starts_with("tgc=")),
            Some(false)
        );
    }
}

#[test]
fn a_login_service_that_fails_is_not_the_users_fault() {
    let server = start();
    server.login.set_day(login::Day::Broken);
    let answer = log_in(&server, &authorize_path(""));
    assert_eq!(answer.status, 500);
    assert_page(&answer, "系统异常，请稍后重试");
}

#[test]
fn a_browser_must_send_our_own_form() {
    let server = start();
    let path = authorize_path("");
    let page = server.get(&path, &[]);
    let (form_cookie, token) = (cookie(&page, "login_form"), form_token(&page));
    let post = |headers: &[(&str, &str)], token: &str| {
        let headers: Vec<_> = headers.iter().copied().chain([("content-type", FORM)]).collect();
        let form = format!("username=u1&password=password&login_form={token}");
        server.request("POST", &path, &headers, &form)
    };
    let own = [
        ("origin", "null"),
        ("sec-fetch-site", "same-origin"),
        ("cookie", form_cookie.as_str()),
    ];
    assert_eq!(post(&own, &token).status, 302);
    for (headers, token) in [
        (&[("origin", "http://evil.example.com")][..], token.as_str()),
        (&[("origin", "null")], ""),
        (&[("origin", "null"), ("cookie", form_cookie.as_str())], "wrong"),
        (
            &[("sec-fetch-site", "cross-site"), ("cookie", form_cookie.as_str())],
            token.as_str(),
        ),
        (
            &[("sec-fetch-site", "same-site"), ("cookie", form_cookie.as_str())],
            token.as_str(),
        ),
    ] {
        let answer = post(headers, token);
        assert_eq!(answer.status, 200, "{headers:?}");
        assert_page(&answer, "登录页面已过期");
    }
}

#[test]
fn a_user_who_is_gone_is_shown_the_page_and_gets_nothing_for_an_earlier_code() {
    let server = start();
    let login = log_in(&server, &authorize_path(""));
    let (_, code) = login.header("location").unwrap().split_once("?code=").unwrap();
    let session = cookie(&login, "tgc");
    let come_back = || server.get(&authorize_path(""), &[("cookie", &session)]);
    assert_eq!(come_back().status, 302);

    server.login.disable("u1-id");
    let page = come_back();
    assert_eq!(page.status, 200);
    assert_page(&page, r#"name="password""#);
    let refused = redeem(&server, code, "");
    assert_eq!((refused.status, refused.body), (400, error("code 无效")));
    server.login.enable("u1-id");
    assert_eq!(come_back().status, 302);
}

#[test]
fn cookies_are_secure_as_the_mount_says() {
    for (configured, https, expected) in [
        ("true", "http", true),
        ("true", "https", true),
        ("false", "https", false),
    ] {
        let mut server = start();
        let mount = "{ profile: tkey, path: /sso }";
        server.reconfigure(
            mount,
            &format!("{{ profile: tkey, path: /sso, secure_cookies: {configured} }}"),
        );
        server.restart();
        let forwarded = [("content-type", FORM), ("x-forwarded-proto", https)];
        let page = server.get(&authorize_path(""), &[("x-forwarded-proto", https)]);
        let login = server.request("POST", &authorize_path(""), &forwarded, "username=u1&password=password");
        let logout = server.get("/sso/logout", &[("x-forwarded-proto", https)]);
        for (answer, name) in [(&page, "login_form="), (&login, "tgc=TGC-"), (&logout, "tgc=;")] {
            let cookie = answer.header("set-cookie").unwrap();
            assert!(cookie.starts_with(name), "{cookie}");
            assert_eq!(cookie.ends_with("; Secure"), expected, "{configured}: {cookie}");
        }
    }
}
