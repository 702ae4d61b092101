//! `/oauth/userinfo` of profile `tkey`: both shapes, and where the token may stand.

use crate::harness::tkey::*;
use crate::harness::*;

#[test]
fn the_sample_without_a_user() {
    let server = start();
    let tokens = tokens(&server, "grant_type=client_credentials");
    let answer = userinfo(&server, pair(&tokens).0);
    assert_eq!(answer.status, 200, "{answer:?}");
    let info = answer.json();
    let (iat, exp) = (info["iat"].as_i64().unwrap(), info["exp"].as_i64().unwrap());
    assert_eq!(exp - iat, 57_600);
    assert_eq!(
        answer.body,
        format!(
            r#"{{"user_attribute":{{}},"grant_type":"client_credentials","iat":{iat},"exp":{exp},"client_id":"test_client_id_1"}}"#
        )
    );
}

#[test]
fn the_sample_with_a_user() {
    let server = start();
    let tokens = redeem(&server, &code(&server, ""), "").json();
    let info = userinfo(&server, pair(&tokens).0).json();
    assert_eq!(keys(&info), "user_attribute, grant_type, iat, exp, client_id");
    assert_eq!(
        info["user_attribute"].to_string(),
        r#"{"user_id":"u1-id","username":"u1"}"#
    );
    assert_eq!(info["grant_type"], "authorization_code");
}

#[test]
fn the_form_of_the_source() {
    let server = with_compat("{ tkey_userinfo: source }");
    let users = tokens(&server, "grant_type=password&username=u1&password=password");
    let info = userinfo(&server, pair(&users).0).json();
    assert_eq!(
        keys(&info),
        "username, name, id, user_id, user_attribute, grant_type, client_id, iat, exp"
    );
    assert_eq!((text(&info, "name"), text(&info, "id")), ("u1", "u1-id"));
    let own = tokens(&server, "grant_type=client_credentials");
    let info = userinfo(&server, pair(&own).0).json();
    assert_eq!(keys(&info), "user_attribute, grant_type, client_id, iat, exp");
    assert_eq!(info["user_attribute"].to_string(), "{}");
}

#[test]
fn the_token_in_a_header_with_or_without_a_scheme_or_in_a_form() {
    let server = start();
    let tokens = tokens(&server, "grant_type=client_credentials");
    let access = pair(&tokens).0;
    let path = "/sso/oauth/userinfo";
    for header in [
        format!("Bearer {access}"),
        format!("bearer {access}"),
        access.to_owned(),
    ] {
        for method in ["GET", "POST"] {
            let answer = server.request(method, path, &[("authorization", &header)], "");
            assert_eq!(answer.status, 200, "{method} {header}");
        }
    }
    assert_eq!(
        post(&server, "/oauth/userinfo", &format!("access_token={access}")).status,
        200
    );
}

#[test]
fn the_token_in_the_query() {
    for (compat, status) in [("{}", 400), ("{ query_credentials: true }", 200)] {
        let server = with_compat(compat);
        let tokens = tokens(&server, "grant_type=client_credentials");
        let path = format!("/sso/oauth/userinfo?access_token={}", pair(&tokens).0);
        let answer = server.get(&path, &[]);
        assert_eq!(answer.status, status, "{answer:?}");
        if status == 400 {
            assert_eq!(answer.body, error("access_token 参数不能放在 URL 中"));
        }
    }
}

#[test]
fn the_header_wins() {
    let server = start();
    let tokens = tokens(&server, "grant_type=client_credentials");
    let headers = [("authorization", "Bearer AT-x"), ("content-type", FORM)];
    let form = format!("access_token={}", pair(&tokens).0);
    let answer = server.request("POST", "/sso/oauth/userinfo", &headers, &form);
    assert_eq!(answer.body, error("access_token 已失效"));
}
