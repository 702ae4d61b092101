//! Logging out, and that the token is refused from then on.

use postern_e2e::{
    client::Request,
    visit::{on_each_host, refresh_grant},
};

use crate::calls::assert_invalid_token;

/// The content type that the legacy clients send, with or without a body.
const MULTIPART: &str = "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW";

#[test]
fn the_token_is_refused_after_a_logout() {
    on_each_host(|visit| {
        let logout = |token: &str| Request::new("POST", "/login/logout").bearer(token);
        let variants: [&dyn Fn(&str) -> Request; 3] = [
            &|token| logout(token),
            &|token| logout(token).header("content-type", MULTIPART).body(""),
            &|token| {
                let part = "------WebKitFormBoundary7MA4YWxkTrZu0gW\r\n\
                            Content-Disposition: form-data; name=\"userId\"\r\n\r\nu1\r\n\
                            ------WebKitFormBoundary7MA4YWxkTrZu0gW--\r\n";
                logout(token).header("Content-Type", MULTIPART).body(part)
            },
        ];
        let user = visit.user("logout", &["tester"]);
        for variant in variants {
            let given = visit.log_in(&user);
            let call = Request::get("/service/demo/test").bearer(&given.access);
            assert_eq!(visit.status(&call), 200);

            let response = visit.send(&variant(&given.access));
            assert_eq!((response.status, response.text().as_str()), (200, ""), "{response:?}");
            visit.until("a logout", 401, &call);
            assert_invalid_token(&visit.send(&call), &given.access);

            // The refresh token went with it, and logging out again changes nothing.
            assert_eq!(visit.send(&refresh_grant(&given.refresh)).status, 400);
            assert_eq!(visit.send(&variant(&given.access)).status, 200);
        }
    });
}

#[test]
fn a_logout_of_one_user_leaves_the_others_alone() {
    on_each_host(|visit| {
        let leaving = visit.log_in(&visit.user("leaving", &["tester"]));
        let staying = visit.log_in(&visit.user("staying", &["tester"]));
        assert_eq!(
            visit
                .send(&Request::new("POST", "/login/logout").bearer(&leaving.access))
                .status,
            200
        );
        visit.until("a logout", 401, &Request::get("/demo/test").bearer(&leaving.access));
        assert_eq!(visit.status(&Request::get("/demo/test").bearer(&staying.access)), 200);
    });
}

#[test]
fn a_logout_without_a_token() {
    on_each_host(|visit| assert_eq!(visit.send(&Request::new("POST", "/login/logout")).status, 401));
}
