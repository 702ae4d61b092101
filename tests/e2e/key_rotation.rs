//! A new signing key: tokens of the old one stay good, tokens of the new one are good at once.

use postern_e2e::{client::Request, visit::on_each_host};

#[test]
fn tokens_of_both_keys_are_good() {
    on_each_host(|visit| {
        let user = visit.user("before-rotation", &["tester"]);
        let old = visit.log_in(&user);
        let call = |token: &str| Request::get("/demo/test").bearer(token);
        assert_eq!(visit.status(&call(&old.access)), 200);

        visit.servers.auth("keys rotate --profile spring");
        assert_eq!(visit.status(&call(&old.access)), 200);
        let new = visit.log_in(&visit.user("after-rotation", &["tester"]));
        visit.until("a key rotation", 200, &call(&new.access));
        assert_eq!(visit.status(&call(&old.access)), 200);

        // The token that is still valid is given again as it was, signed with the key of its time.
        assert_eq!(visit.log_in(&user).access, old.access);
        assert_eq!(visit.status(&call(&old.access)), 200);
    });
}
