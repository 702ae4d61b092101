//! The tokens of all four legacy profiles pass one filter, which checks one permission table.

use postern_e2e::{
    client::Request,
    visit::{Visit, on_each_host},
};

use crate::calls::{assert_forbidden, assert_invalid_token};

/// The access token that a profile answers a form with.
fn issued(visit: &Visit<'_>, path: &str, form: &str) -> String {
    let answer = Request::form(path, form).send(visit.host.port);
    let token = answer.json()["access_token"].as_str().unwrap_or_default().to_owned();
    assert!(answer.status == 200 && !token.is_empty(), "{answer:?}");
    token
}

/// Of the profile `tkey`, for a user.
fn tkey(visit: &Visit<'_>, user: &str) -> String {
    let form = format!(
        "grant_type=password&username={user}&password=password&client_id=test_client_id_1&client_secret=test_client_secret_1"
    );
    issued(visit, "/sso/oauth/token", &form)
}

/// Of the profile `uaa`, for a client.
fn uaa(visit: &Visit<'_>) -> String {
    let form = "client_id=admin&client_secret=secret&grant_type=client_credentials";
    issued(visit, "/uaa/oauth/token", form)
}

/// Of the profile `principal`, for a client.
fn principal(visit: &Visit<'_>) -> String {
    let form = "client_id=platform&client_secret=platform-secret&grant_type=client_credentials";
    issued(visit, "/authorization-server/oauth/token", form)
}

/// The identity headers that the demo service was sent.
fn identity(visit: &Visit<'_>, token: &str) -> serde_json::Value {
    let answer = Request::get("/demo/echo").bearer(token).send(visit.host.port);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["headers"].clone()
}

#[test]
fn all_four_pass_the_same_check() {
    on_each_host(|visit| {
        let user = visit.user("four-kinds", &["tester"]);
        let spring = visit.log_in(&user).access;
        let (tkey, uaa, principal) = (tkey(visit, &user), uaa(visit), principal(visit));
        assert!(tkey.starts_with("AT-") && uaa.len() == 36, "{tkey} {uaa}");

        for (token, test) in [(&spring, 200), (&tkey, 200), (&uaa, 403), (&principal, 200)] {
            for _ in 0..4 {
                let call = |path: &str| Request::get(path).bearer(token);
                assert_eq!(visit.status(&call("/demo/test")), test, "{token}");
                assert_eq!(visit.status(&call("/service/demo/test")), test, "{token}");
                assert_forbidden(&visit.send(&call("/demo/test2")), "/demo/test2");
                assert_forbidden(&visit.send(&call("/nowhere")), "/nowhere");
                assert_eq!(visit.status(&call("/demo//test")), 400, "{token}");
            }
        }

        let text = |headers: &serde_json::Value, name: &str| headers[name].as_str().map(str::to_owned);
        let headers = identity(visit, &tkey);
        assert_eq!(text(&headers, "x-user-id").as_deref(), Some(user.as_str()));
        assert_eq!(text(&headers, "x-client-id").as_deref(), Some("test_client_id_1"));
        assert_eq!(text(&headers, "x-authorities").as_deref(), Some("ROLE_TEST"));
        let headers = identity(visit, &uaa);
        assert_eq!(text(&headers, "x-client-id").as_deref(), Some("admin"));
        assert_eq!(text(&headers, "x-scope").as_deref(), Some("ADMIN"));
        assert_eq!(text(&headers, "x-user-id"), None, "a client's own token has no user");
        let headers = identity(visit, &principal);
        assert_eq!(text(&headers, "x-client-id").as_deref(), Some("platform"));
        assert_eq!(text(&headers, "x-authorities").as_deref(), Some("ROLE_TEST"));
    });
}

#[test]
fn a_refresh_token_is_no_access_token() {
    on_each_host(|visit| {
        let form = "grant_type=client_credentials&client_id=test_client_id_1&client_secret=test_client_secret_1";
        let answer = Request::form("/sso/oauth/token", form).send(visit.host.port);
        let refresh = answer.json()["refresh_token"].as_str().expect("a token").to_owned();
        for _ in 0..4 {
            let refused = Request::get("/demo/echo").bearer(&refresh).send(visit.host.port);
            assert_invalid_token(&refused, &refresh);
        }
    });
}

#[test]
fn what_the_holder_of_an_opaque_token_may_do_changes_while_it_lives() {
    on_each_host(|visit| {
        let user = visit.user("opaque-roles", &["tester"]);
        let token = tkey(visit, &user);
        let (old, new) = (
            Request::get("/demo/test").bearer(&token),
            Request::get("/demo/test2").bearer(&token),
        );
        assert_eq!(visit.status(&old), 200);
        assert_eq!(visit.status(&new), 403);
        visit.servers.login(&format!("user grant {user} tester2"));
        visit.until("a role given to the holder of an opaque token", 200, &new);
        visit.servers.login(&format!("user revoke {user} tester"));
        visit.until("a role taken from the holder of an opaque token", 403, &old);
        visit.servers.login(&format!("user disable {user}"));
        visit.until("the disabling of the holder of an opaque token", 401, &new);
    });
}

#[test]
fn an_opaque_token_is_refused_when_its_client_is_removed() {
    on_each_host(|visit| {
        let admin = uaa(visit);
        let client = visit.own_name("removed-client");
        let form = format!("clientId={client}&clientSecret=acm");
        let registered = Request::form("/uaa/register", &form).bearer(&admin);
        assert_eq!(registered.send(visit.host.port).status, 200);
        let form = format!("client_id={client}&client_secret=acm&grant_type=client_credentials");
        let token = issued(visit, "/uaa/oauth/token", &form);
        let call = Request::get("/demo/echo").bearer(&token);
        assert_eq!(visit.status(&call), 200);
        let removed = Request::new("POST", format!("/uaa/delete/{client}"))
            .bearer(&admin)
            .body("");
        assert_eq!(removed.send(visit.host.port).status, 200);
        visit.until("the removal of a client with an opaque token", 401, &call);
        // And stays refused when the gateway has forgotten it and asks again.
        let refused = call.send(visit.host.port);
        assert_invalid_token(&refused, &token);
    });
}
