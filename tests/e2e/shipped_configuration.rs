//! `envoy/gateway.yaml`, the file that people begin with, as it is shipped.

use std::time::Duration;

use postern_e2e::{
    client::Request,
    host::Host,
    servers::Servers,
    visit::{Visit, compare_hosts},
};

use crate::calls::{assert_closed, assert_forbidden};

#[test]
fn it_serves_the_demo_and_shows_nothing_else() {
    compare_hosts(|kind| {
        let servers = Servers::shared();
        let host = Host::start_shipped(&servers.stack, kind);
        let visit = Visit::new(servers, &host);
        visit.wait(
            Duration::from_secs(20),
            401,
            &Request::get("/demo/test").bearer("a.b.c"),
        );
        let user = visit.user("shipped", &["tester"]);
        let token = visit.log_in(&user).access;
        assert_closed(&visit, &token);

        for path in ["/demo/test", "/service/demo/test", "/demo/echo", "/service/demo/data"] {
            assert_eq!(visit.status(&Request::get(path).bearer(&token)), 200, "{path}");
        }
        assert_forbidden(&visit.send(&Request::get("/demo/test2").bearer(&token)), "/demo/test2");
        assert_eq!(visit.status(&Request::get("/nowhere").bearer(&token)), 403);

        // Every contract that the demo's auth server speaks can be reached.
        for (path, form) in [
            (
                "/sso/oauth/token",
                "grant_type=client_credentials&client_id=test_client_id_1&client_secret=test_client_secret_1",
            ),
            (
                "/uaa/oauth/token",
                "grant_type=client_credentials&client_id=admin&client_secret=secret",
            ),
            (
                "/authorization-server/oauth/token",
                "grant_type=client_credentials&client_id=platform&client_secret=platform-secret",
            ),
        ] {
            assert_eq!(visit.status(&Request::form(path, form)), 200, "{path}");
        }
        visit.seen()
    });
}
