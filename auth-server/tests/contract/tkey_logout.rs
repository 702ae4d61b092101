//! `/oauth/logout` and `/logout` of profile `tkey`.

use crate::harness::tkey::*;

const REMOVED: &str = "tgc=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax";

#[test]
fn sends_the_browser_to_a_registered_place() {
    let server = start();
    for path in ["/sso/oauth/logout", "/sso/logout"] {
        let session = cookie(&log_in(&server, &authorize_path("")), "tgc");
        let answer = server.get(&format!("{path}?redirect_uri={CALLBACK}"), &[("cookie", &session)]);
        assert_eq!((answer.status, answer.header("location")), (302, Some(CALLBACK)));
        assert_eq!(answer.header("set-cookie"), Some(REMOVED));
        let again = server.get(&authorize_path(""), &[("cookie", &session)]);
        assert_eq!(again.status, 200, "the login is over, and the page is there again");
    }
}

#[test]
fn without_a_place_to_go_there_is_a_page() {
    let server = start();
    let answer = server.get("/sso/oauth/logout", &[]);
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("已退出登录"), "{}", answer.body);
    assert_eq!(answer.header("set-cookie"), Some(REMOVED));
}

#[test]
fn nobody_is_sent_to_an_unregistered_place() {
    let server = start();
    for uri in [
        "http://evil.example.com/",
        "http://app.example.com/cb/",
        "http://app.example.com/cb%0d%0aset-cookie:x=y",
        "//evil.example.com/",
    ] {
        let answer = server.get(&format!("/sso/oauth/logout?redirect_uri={uri}"), &[]);
        assert_eq!((answer.status, answer.header("location")), (200, None), "{uri}");
        assert!(answer.body.contains("已退出登录"));
    }
}

#[test]
fn access_tokens_stay_good() {
    let server = start();
    let login = log_in(&server, &authorize_path(""));
    let code = login
        .header("location")
        .unwrap()
        .split_once("code=")
        .unwrap()
        .1
        .to_owned();
    let tokens = redeem(&server, &code, "").json();
    server.get("/sso/oauth/logout", &[("cookie", &cookie(&login, "tgc"))]);
    assert_eq!(userinfo(&server, pair(&tokens).0).status, 200);
}
