//! Living tokens of the legacy system, whose key nobody has: good through the same filter, until they are not.

use std::fs;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use md5::{Digest, Md5};
use postern_e2e::{client::Request, visit::on_each_host};
use serde_json::json;

use crate::calls::{assert_forbidden, assert_invalid_token};

/// As the legacy system signed them: with a key of six characters.
fn signed(user: &str, key: &str) -> String {
    let claims = json!({
        "user_name": user, "scope": ["all"], "exp": 4_102_444_800u64, "userId": user,
        "authorities": ["ROLE_ADMIN"], "jti": format!("legacy-{user}"), "client_id": "legacy"
    });
    let key = EncodingKey::from_secret(key.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap_or_default()
}

/// The rows that the legacy auth server kept of a token.
fn dump(user: &str, token: &str) -> String {
    let id: String = Md5::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "INSERT INTO oauth_client_details (client_id, client_secret, scope, authorized_grant_types) \
         VALUES ('legacy', 'legacy-secret', 'all', 'password,refresh_token');\n\
         INSERT INTO oauth_access_token (token_id, token, authentication_id, user_name, client_id) \
         VALUES ('{id}', NULL, '{id}', '{user}', 'legacy');\n"
    )
}

#[test]
fn a_living_jwt_is_honoured_as_what_its_user_may_do_today() {
    on_each_host(|visit| {
        let user = visit.user("imported", &["tester"]);
        let token = signed(&user, "aB3xY9");
        let call = |path: &str| Request::get(path).bearer(&token);
        assert_invalid_token(&visit.send(&call("/demo/test")), &token);

        let file = format!("{user}.sql");
        fs::write(visit.servers.stack.folder.join(&file), dump(&user, &token)).expect("the folder can be written");
        visit.servers.auth(&format!("import --profile spring {file}"));
        visit.until("the import of a living token", 200, &call("/demo/test"));
        assert_forbidden(&visit.send(&call("/demo/test2")), "/demo/test2");
        assert_forbidden(&visit.send(&call("/nowhere")), "/nowhere");
        // What it says of its user was true once.
        assert_forbidden(
            &visit.send(&call("/service/demo/admin/report")),
            "/service/demo/admin/report",
        );

        // The key of six characters is soon found; what was never issued is refused all the same.
        for forged in [signed(&user, "aB3xY8"), signed(&format!("{user}-2"), "aB3xY9")] {
            assert_invalid_token(&visit.send(&Request::get("/demo/test").bearer(&forged)), &forged);
        }

        visit.servers.login(&format!("user grant {user} tester2"));
        visit.until(
            "a role given to the holder of an imported token",
            200,
            &call("/demo/test2"),
        );
        let logout = Request::new("POST", "/login/logout").bearer(&token).body("");
        assert_eq!(visit.send(&logout).status, 200);
        visit.until("the logout of an imported token", 401, &call("/demo/test"));
        assert_invalid_token(&visit.send(&call("/demo/test")), &token);
    });
}
