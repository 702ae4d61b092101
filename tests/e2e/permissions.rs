//! Permissions that change while a token lives: its holder needs no new one, and keeps no old right.

use postern_e2e::{client::Request, visit::on_each_host};

use crate::calls::assert_forbidden;

#[test]
fn a_role_given_to_a_user_and_taken_away() {
    on_each_host(|visit| {
        let user = visit.user("role-given", &["tester"]);
        let token = visit.log_in(&user).access;
        let (old, new) = (
            Request::get("/demo/test").bearer(&token),
            Request::get("/demo/test2").bearer(&token),
        );
        assert_eq!(visit.status(&old), 200);
        assert_forbidden(&visit.send(&new), "/demo/test2");

        visit.servers.login(&format!("user grant {user} tester2"));
        visit.until("a role given to a user", 200, &new);
        assert_eq!(visit.status(&old), 200);

        visit.servers.login(&format!("user revoke {user} tester2"));
        visit.until("a role taken from a user", 403, &new);
        assert_forbidden(&visit.send(&new), "/demo/test2");
        assert_eq!(visit.status(&old), 200);

        visit.servers.login(&format!("user revoke {user} tester"));
        visit.until("the last role taken from a user", 403, &old);
    });
}

#[test]
fn a_permission_given_to_a_role_and_taken_away() {
    on_each_host(|visit| {
        let role = visit.own_name("role-changed");
        let user = visit.user("role-holder", &[]);
        visit.servers.login(&format!("role add {role}"));
        visit.servers.login(&format!("user grant {user} {role}"));
        let call = Request::get("/demo/test2").bearer(&visit.log_in(&user).access);
        assert_forbidden(&visit.send(&call), "/demo/test2");

        visit.servers.login(&format!("role grant {role} 4"));
        visit.until("a permission given to a role", 200, &call);
        visit.servers.login(&format!("role revoke {role} 4"));
        visit.until("a permission taken from a role", 403, &call);
    });
}

#[test]
fn a_url_put_into_the_table_and_taken_out() {
    on_each_host(|visit| {
        let name = visit.user("url-added", &["tester"]);
        let path = format!("/service/demo/{name}");
        let call = Request::get(&path).bearer(&visit.log_in(&name).access);
        assert_eq!(visit.status(&call), 403);

        let id = if name.ends_with("envoy") { "901" } else { "902" };
        visit
            .servers
            .login(&format!("permission add ROLE_TEST --url {path} --id {id}"));
        // Allowed, and then the demo service has no such page.
        visit.until("a URL put into the table", 404, &call);
        visit.servers.login(&format!("permission remove {id}"));
        visit.until("a URL taken out of the table", 403, &call);
    });
}

#[test]
fn a_user_disabled_and_enabled() {
    on_each_host(|visit| {
        let user = visit.user("disabled", &["tester"]);
        let token = visit.log_in(&user).access;
        let (guarded, any) = (
            Request::get("/demo/test").bearer(&token),
            Request::get("/demo/echo").bearer(&token),
        );
        visit.servers.login(&format!("user disable {user}"));
        visit.until("the disabling of a user", 401, &any);
        assert_eq!(visit.status(&guarded), 401);
        visit.servers.login(&format!("user enable {user}"));
        visit.until("the enabling of a user", 200, &any);
        assert_eq!(visit.status(&guarded), 200);
    });
}

#[test]
fn a_user_removed() {
    on_each_host(|visit| {
        let user = visit.user("removed", &["tester"]);
        let call = Request::get("/demo/test").bearer(&visit.log_in(&user).access);
        assert_eq!(visit.status(&call), 200);
        visit.servers.login(&format!("user remove {user}"));
        visit.until("the removal of a user", 401, &call);
    });
}
