//! Authorization codes of profile `tkey`: to whom they are bound, and that they are redeemed once.

use crate::harness::tkey::*;
use crate::harness::*;

const INVALID: &str = "code 无效";
/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";

#[test]
fn shown_again_later_it_is_refused_and_its_tokens_are_taken_back() {
    let server = start();
    let code = code(&server, "");
    let tokens = redeem(&server, &code, "").json();
    let (access, refresh) = pair(&tokens);
    let form = format!("grant_type=refresh_token&refresh_token={refresh}");
    let refreshed = token(&server, &form).json();
    redeemed_earlier(&server, 9);
    assert_eq!(redeem(&server, &code, "").body, error(INVALID));
    assert_eq!(userinfo(&server, access).status, 200, "as if it had been sent twice");
    redeemed_earlier(&server, 2);
    assert_eq!(redeem(&server, &code, "").body, error(INVALID));
    for token in [access, text(&refreshed, "access_token")] {
        assert_eq!(userinfo(&server, token).body, error("access_token 已失效"));
    }
    assert_eq!(token(&server, &form).body, error("refresh_token 已失效"));
    assert_eq!(redeem(&server, &code, "").body, error(INVALID), "and a third time");
}

#[test]
fn after_two_minutes() {
    let server = start();
    let (old, young) = (code(&server, ""), code(&server, ""));
    let later = |code: &str, seconds: u32| {
        let later = format!(
            "UPDATE authorization_code SET expires_at_ms = expires_at_ms - {}",
            seconds * 1000
        );
        engine::run(server.folder.path(), later);
        redeem(&server, code, "")
    };
    assert_eq!(later(&young, 100).status, 200);
    assert_eq!(later(&old, 21).body, error(INVALID));
}

#[test]
fn neither_codes_nor_cookies_nor_tokens_are_stored() {
    let server = start();
    let login = log_in(&server, &authorize_path(""));
    let (session, code) = (cookie(&login, "tgc"), code(&server, ""));
    let tokens = redeem(&server, &code, "").json();
    let (access, refresh) = pair(&tokens);
    for (table, kept, secret) in [
        ("authorization_code", "u1-id", code.as_str()),
        ("login_session", "u1-id", session.trim_start_matches("tgc=")),
        ("access_token", "u1-id", access),
        ("refresh_token", "u1-id", refresh),
    ] {
        let stored = engine::stored(server.folder.path(), table);
        assert!(stored.contains(kept) && !stored.contains(secret), "{table}");
    }
}

#[test]
fn another_clients_code() {
    let server = start();
    let code = code(&server, "");
    let form = format!(
        "grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}&client_id=other&client_secret=other-secret"
    );
    let answer = post(&server, "/oauth/token", &form);
    assert_eq!(answer.body, error("该 code 与当前请求的 client_id 参数不匹配"));
    assert_eq!(redeem(&server, &code, "").status, 200, "its owner may still have it");
}

#[test]
fn another_redirect_uri_than_it_was_sent_to() {
    let server = start();
    let code = code(&server, "");
    let form = |uri| format!("grant_type=authorization_code&code={code}&redirect_uri={uri}");
    let answer = token(&server, &form("http://app.example.com/cb%3Fx=1"));
    assert_eq!(answer.body, error("redirect_uri 不匹配该 client_id"));
    assert_eq!(token(&server, &form(CALLBACK)).status, 200);
}

#[test]
fn a_challenge_asks_for_its_verifier() {
    let server = start();
    let code = code(&server, CHALLENGE);
    for wrong in ["", "&code_verifier=", "&code_verifier=wrong"] {
        assert_eq!(
            redeem(&server, &code, wrong).body,
            error("code_verifier 无效"),
            "{wrong}"
        );
    }
    assert_eq!(
        redeem(&server, &code, &format!("&code_verifier={VERIFIER}")).status,
        200
    );
}

#[test]
fn a_verifier_asks_for_its_challenge() {
    let server = start();
    let code = code(&server, "");
    assert_eq!(
        redeem(&server, &code, &format!("&code_verifier={VERIFIER}")).body,
        error("code_verifier 无效")
    );
}
