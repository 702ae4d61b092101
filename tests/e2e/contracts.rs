//! Tokens of the four legacy contracts before one filter: JWTs that it verifies, opaque ones that it asks about, and the
//! same permissions, headers, revocations and error bodies for all.

use std::time::Duration;

use postern_e2e::{
    client::Request,
    visit::{Visit, on_each_host},
};
use serde_json::{Value, json};

use crate::calls::{assert_forbidden, assert_invalid_token};

const SSO: &str = "client_id=test_client_id_1&client_secret=test_client_secret_1";

/// An answer of a token endpoint.
fn issued(visit: &Visit<'_>, path: &str, form: &str) -> Value {
    let answer = visit.send(&Request::form(path, form));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn access_token(issued: &Value) -> String {
    let token = issued["access_token"].as_str();
    token.unwrap_or_else(|| panic!("no token in {issued}")).to_owned()
}

fn sso_token(visit: &Visit<'_>, user: &str) -> String {
    let form = format!("grant_type=password&username={user}&password=password&{SSO}");
    access_token(&issued(visit, "/sso/oauth/token", &form))
}

/// Of the demo's client that may register others.
fn uaa_admin(visit: &Visit<'_>) -> String {
    let form = "client_id=admin&client_secret=secret&grant_type=client_credentials";
    access_token(&issued(visit, "/uaa/oauth/token", form))
}

/// Registers a client of this contract that may call test. Returns how it gets its own token.
fn client_token_request(visit: &Visit<'_>, profile: &str, client: &str, mount: &str, more: &str) -> Request {
    visit.servers.auth(&format!(
        "client add {client} --secret s --profile {profile} --grants client_credentials --scopes CLIENT \
         --authorities ROLE_TEST {more}"
    ));
    let form = format!("grant_type=client_credentials&client_id={client}&client_secret=s");
    let own = Request::form(&format!("{mount}/oauth/token"), &form);
    visit.until("a new client", 200, &own);
    own
}

/// The own token of a new client of this contract that may call test.
fn client_token(visit: &Visit<'_>, profile: &str, client: &str, mount: &str, more: &str) -> String {
    let answer = visit.send(&client_token_request(visit, profile, client, mount, more));
    assert_eq!(answer.status, 200, "{answer:?}");
    access_token(&answer.json())
}

#[test]
fn the_same_permissions_and_bodies_for_every_kind_of_token() {
    on_each_host(|visit| {
        let user = visit.user("contracts", &["tester"]);
        let uaa = visit.own_name("contracts-uaa");
        let robot = visit.own_name("contracts-spring");
        let platform = "grant_type=client_credentials&client_id=platform&client_secret=platform-secret";
        let of_client = |client: &str, scope: &str| json!({ "x-authorities": "ROLE_TEST", "x-client-id": client, "x-scope": scope });
        let of_user = |client: &str| {
            json!({
                "x-authorities": "ROLE_TEST", "x-client-id": client, "x-scope": "all", "x-user-id": user, "x-user-name": user,
            })
        };
        let sso_own = issued(
            visit,
            "/sso/oauth/token",
            &format!("grant_type=client_credentials&{SSO}"),
        );
        let (sso, uaa_token) = (sso_token(visit, &user), client_token(visit, "uaa", &uaa, "/uaa", ""));
        assert!(sso.starts_with("AT-") && uaa_token.len() == 36, "{sso} {uaa_token}");
        for (token, told) in [
            (visit.log_in(&user).access, of_user("demo")),
            (
                client_token(visit, "spring", &robot, "/login", ""),
                of_client(&robot, "CLIENT"),
            ),
            (sso, of_user("test_client_id_1")),
            (access_token(&sso_own), of_client("test_client_id_1", "all")),
            (uaa_token, of_client(&uaa, "CLIENT")),
            (uaa_admin(visit), json!({ "x-client-id": "admin", "x-scope": "ADMIN" })),
            (
                access_token(&issued(visit, "/authorization-server/oauth/token", platform)),
                json!({
                    "x-authorities": "ROLE_TEST", "x-client-id": "platform", "x-scope": "read write", "x-user-id": "1",
                    "x-user-name": "platform",
                }),
            ),
        ] {
            // More than once: each worker of a host learns of an opaque token for itself, and then remembers it.
            for _ in 0..4 {
                for path in ["/demo/test", "/service/demo/test"] {
                    let answer = visit.send(&Request::get(path).bearer(&token));
                    if told.get("x-authorities").is_some() {
                        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{answer:?}");
                    } else {
                        assert_forbidden(&answer, path);
                    }
                    let forbidden = format!("{path}2");
                    assert_forbidden(&visit.send(&Request::get(&forbidden).bearer(&token)), &forbidden);
                }
                assert_forbidden(&visit.send(&Request::get("/nowhere").bearer(&token)), "/nowhere");
                assert_eq!(
                    visit.status(&Request::get("/demo//test").bearer(&token)),
                    400,
                    "{token}"
                );
            }
            let answer = visit.send(&Request::get("/demo/echo").bearer(&token));
            let mut headers = answer.json()["headers"].clone();
            headers.as_object_mut().expect("the echo shows headers").sort_keys();
            assert_eq!(headers, told);
        }
    });
}

#[test]
fn what_is_no_access_token_passes_in_no_contract() {
    on_each_host(|visit| {
        let user = visit.user("no-access-token", &["tester"]);
        let form = format!("grant_type=password&username={user}&password=password&{SSO}");
        let sso = issued(visit, "/sso/oauth/token", &form);
        let refresh = sso["refresh_token"].as_str().expect("a refresh token");
        let own = format!("grant_type=client_credentials&{SSO}");
        let own = issued(visit, "/sso/oauth/token", &own);
        let own_refresh = own["refresh_token"].as_str().expect("a refresh token");
        let mut changed = access_token(&sso);
        let last = changed.pop();
        changed.push(if last == Some('a') { 'b' } else { 'a' });
        for token in [
            refresh,
            own_refresh,
            &changed,
            "AT-00000000000000000000000000000000",
            "2777a567-1c64-4d5b-a03e-37de5d33ca4e",
        ] {
            for path in ["/demo/test", "/demo/echo", "/nowhere", "/demo/echo"] {
                assert_invalid_token(&visit.send(&Request::get(path).bearer(token)), token);
            }
        }
    });
}

#[test]
fn a_role_given_and_taken_away_counts_for_every_token_of_the_user() {
    on_each_host(|visit| {
        let user = visit.user("contracts-role", &["tester"]);
        for token in [visit.log_in(&user).access, sso_token(visit, &user)] {
            let call = Request::get("/demo/test2").bearer(&token);
            assert_forbidden(&visit.send(&call), "/demo/test2");
            visit.servers.login(&format!("user grant {user} tester2"));
            visit.until("a role given to a user", 200, &call);
            visit.servers.login(&format!("user revoke {user} tester2"));
            visit.until("a role taken from a user", 403, &call);
        }
        let token = sso_token(visit, &user);
        let call = |path: &str| Request::get(path).bearer(&token);
        visit.servers.login(&format!("user grant {user} tester2"));
        visit.until("a role given to a user", 200, &call("/demo/test2"));
        visit.servers.login(&format!("user revoke {user} tester"));
        visit.until("a role taken from a user", 403, &call("/demo/test"));
        visit.servers.login(&format!("user disable {user}"));
        visit.until("the disabling of a user", 401, &call("/demo/test2"));
    });
}

#[test]
fn the_tokens_of_a_removed_client_are_refused_in_every_contract() {
    on_each_host(|visit| {
        for (profile, mount, more) in [
            ("spring", "/login", ""),
            ("tkey", "/sso", ""),
            ("uaa", "/uaa", ""),
            ("principal", "/authorization-server", r#"--principal {"id":2}"#),
        ] {
            // The ids of clients of tkey have no dashes.
            let client = visit.own_name(&format!("removed_{profile}")).replace('-', "_");
            let token = client_token(visit, profile, &client, mount, more);
            let call = Request::get("/demo/test").bearer(&token);
            assert_eq!(visit.send(&call).status, 200, "{profile}");
            if profile == "uaa" {
                let admin = uaa_admin(visit);
                let remove = Request::form(&format!("/uaa/delete/{client}"), &format!("access_token={admin}"));
                assert_eq!(visit.status(&remove), 200);
            } else {
                visit.servers.auth(&format!("client remove {client}"));
            }
            visit.until("the removal of a client", 401, &call);
            assert_invalid_token(&visit.send(&call), &token);
        }
    });
}

#[test]
fn a_client_that_is_registered_and_removed_by_a_client() {
    on_each_host(|visit| {
        let admin = uaa_admin(visit);
        let client = visit.own_name("removed-client");
        let form = format!("clientId={client}&clientSecret=acm");
        let registered = Request::form("/uaa/register", &form).bearer(&admin);
        assert_eq!(registered.send(visit.host.port).status, 200);
        let form = format!("client_id={client}&client_secret=acm&grant_type=client_credentials");
        let token = access_token(&issued(visit, "/uaa/oauth/token", &form));
        let call = Request::get("/demo/echo").bearer(&token);
        assert_eq!(visit.status(&call), 200);
        let removed = Request::new("POST", format!("/uaa/delete/{client}"))
            .bearer(&admin)
            .body("");
        assert_eq!(removed.send(visit.host.port).status, 200);
        visit.until("the removal of a client with an opaque token", 401, &call);
        // And stays refused when the gateway has forgotten it and asks again.
        assert_invalid_token(&call.send(visit.host.port), &token);
    });
}

#[test]
fn an_expired_token_is_refused_in_every_contract() {
    on_each_host(|visit| {
        for (profile, mount) in [
            ("spring", "/login"),
            ("tkey", "/sso"),
            ("uaa", "/uaa"),
            ("principal", "/authorization-server"),
        ] {
            let client = visit.own_name(&format!("brief_{profile}")).replace('-', "_");
            let own = client_token_request(visit, profile, &client, mount, "--access-token-validity 3");
            // One that still lives when it is used, however busy the machine is.
            let living = (0..20).find_map(|_| {
                let token = access_token(&own.send(visit.host.port).json());
                let call = Request::get("/demo/echo").bearer(&token);
                (call.send(visit.host.port).status == 200).then_some(call)
            });
            let call = living.unwrap_or_else(|| panic!("no living token of {profile}"));
            visit.wait(Duration::from_secs(20), 401, &call);
        }
    });
}

#[test]
fn a_principal_is_not_the_user_of_the_same_id() {
    on_each_host(|visit| {
        let (client, id) = (visit.own_name("collides"), visit.own_name("7"));
        let registered = format!("--principal {{\"id\":\"{id}\",\"username\":\"{client}\"}}");
        let token = client_token(visit, "principal", &client, "/authorization-server", &registered);
        let call = |path: &str| Request::get(path).bearer(&token);
        let unchanged = |what: &str| {
            for _ in 0..4 {
                assert_eq!(visit.status(&call("/demo/test")), 200, "{what}");
                assert_eq!(visit.status(&call("/demo/test2")), 403, "{what}");
            }
            let told = call("/demo/echo").send(visit.host.port).json()["headers"]["x-user-id"].clone();
            assert_eq!(told, json!(id), "{what}");
        };
        unchanged("there is no such user");

        // The user's own token shows when the gateway knows of a change.
        let user = visit.own_name("collides-user");
        visit
            .servers
            .login(&format!("user add {user} --id {id} --password password"));
        visit.servers.login(&format!("user grant {user} tester2"));
        let own = visit.log_in(&user).access;
        let of_user = Request::get("/demo/test2").bearer(&own);
        visit.until("a role given to a new user", 200, &of_user);
        unchanged("the user may more");
        visit.servers.login(&format!("user disable {user}"));
        visit.until("the disabling of a new user", 401, &of_user);
        unchanged("the user is disabled");
    });
}
