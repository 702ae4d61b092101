//! Refreshing: a new access token, the same refresh token, and the old access token is refused.

use postern_e2e::{
    client::Request,
    token,
    visit::{on_each_host, refresh_grant, tokens},
};

use crate::{
    calls::assert_invalid_token,
    password_grant::{assert_token_body, assert_token_headers},
};

#[test]
fn the_old_access_token_is_refused_after_a_refresh() {
    on_each_host(|visit| {
        let user = visit.user("refresh", &["tester"]);
        let first = visit.log_in(&user);
        let call = |token: &str| Request::get("/service/demo/test").bearer(token);
        assert_eq!(visit.status(&call(&first.access)), 200);

        let response = visit.send(&refresh_grant(&first.refresh));
        assert_eq!(response.status, 200, "{response:?}");
        assert_token_headers(&response);
        assert_token_body(&response, &user);
        let second = tokens(&response);
        assert_ne!(second.access, first.access);
        let (old, new) = (token::claims(&first.refresh), token::claims(&second.refresh));
        assert_eq!(
            (&new["jti"], &new["exp"]),
            (&old["jti"], &old["exp"]),
            "the refresh token is kept"
        );

        assert_eq!(visit.status(&call(&second.access)), 200);
        visit.until("a refresh", 401, &call(&first.access));
        assert_invalid_token(&visit.send(&call(&first.access)), &first.access);

        // Either encoding of the refresh token is good for another round.
        for refresh in [&second.refresh, &first.refresh] {
            assert_eq!(visit.send(&refresh_grant(refresh)).status, 200);
        }
    });
}

#[test]
fn an_unknown_refresh_token() {
    on_each_host(|visit| {
        let response = visit.send(&refresh_grant("nonsense"));
        assert_eq!(response.status, 400, "{response:?}");
        assert_token_headers(&response);
        assert_eq!(
            response.text(),
            r#"{"error":"invalid_grant","error_description":"Invalid refresh token: nonsense"}"#
        );
    });
}
