//! The requests of the legacy systems' documentation as curl and Python send them, and the answers shown there.

use postern_e2e::{
    client::Request,
    visit::{on_each_host, tokens},
};

use crate::calls::{assert_forbidden, assert_invalid_token};

/// The token of the documentation's own example of a bad one.
const BAD: &str = "11eyJhbGciOiJIUzI122NiIsInR5cCI6IkpXVCJ9.eyJ1c2VyX25hbWUiOiJ1MSIsInNjb3BlIjpbImFsbCJdLCJleHAiOjE1MzkwOTc1NDAsInVzZXJJZCI6InUxIiwiYXV0aG9yaXRpZXMiOlsiUk9MRV9URVNUIl0sImp0aSI6IjgzMzJmNWNhLTQ5YmMtNDk3Yy04MDkyLWIyNWNmY2E1YmQyNyIsImNsaWVudF9pZCI6ImhhaGEifQ.neLH9B2Bn9gyRd0KEr1IKbwjqTU7nEM3bYXJ-JvNNf8";

/// The headers that curl adds by itself.
fn curl(request: Request) -> Request {
    request.header("User-Agent", "curl/7.88.1").header("Accept", "*/*")
}

/// The headers that Python's requests adds by itself.
fn python(request: Request) -> Request {
    request
        .header("User-Agent", "python-requests/2.32.3")
        .header("Accept-Encoding", "gzip, deflate")
        .header("Accept", "*/*")
        .header("Connection", "keep-alive")
}

#[test]
fn as_documented() {
    on_each_host(|visit| {
        let user = visit.user("sample", &["tester2"]);
        for client in [curl, python] {
            let form = |body: &str| client(Request::form("/login/oauth/token", body).basic("demo", "demo-secret"));
            let login = visit.send(&form(&format!("username={user}&password=password&grant_type=password")));
            let first = tokens(&login);
            let refresh = visit.send(&form(&format!(
                "refresh_token={}&grant_type=refresh_token",
                first.refresh
            )));
            let second = tokens(&refresh);
            for answer in [&login, &refresh] {
                let expires_in = answer.json()["expires_in"].clone();
                assert!(expires_in == 43_199 || expires_in == 43_200, "{answer:?}");
            }

            let call = |path: &str| {
                let request = Request::new("POST", path).header("Content-Type", "application/x-www-form-urlencoded");
                client(request)
            };
            let ok = visit.send(&call("/demo/test2").bearer(&second.access));
            assert_eq!((ok.status, ok.text().as_str()), (200, "ok"));
            let nobody = visit.send(&call("/demo/test2"));
            let unauthorized = r#"{"error":"unauthorized","error_description":"Full authentication is required to access this resource"}"#;
            assert_eq!((nobody.status, nobody.text().as_str()), (401, unauthorized));
            assert_invalid_token(&visit.send(&call("/demo/test2").bearer(BAD)), BAD);
            assert_forbidden(&visit.send(&call("/demo/test").bearer(&second.access)), "/demo/test");

            let multipart = "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW";
            let logout = Request::new("POST", "/login/logout")
                .bearer(&second.access)
                .header("Cache-Control", "no-cache")
                .header("content-type", multipart);
            assert_eq!(visit.send(&client(logout)).status, 200);
            visit.until("a logout", 401, &call("/demo/test2").bearer(&second.access));
        }
    });
}

#[test]
fn the_login_as_it_stands() {
    on_each_host(|visit| {
        let login = Request::new("POST", "/login/oauth/token")
            .header("Authorization", "Basic ZnVjazpmdWNr")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body("username=ufuck&password=pfuck&grant_type=password");
        let answer = visit.send(&login);
        let keys: Vec<String> = answer.json().as_object().expect("an object").keys().cloned().collect();
        let documented = [
            "access_token",
            "token_type",
            "refresh_token",
            "expires_in",
            "scope",
            "userId",
            "jti",
        ];
        assert_eq!(keys, documented, "{answer:?}");
        assert_eq!(answer.json()["userId"], "ufuck-uid");
        let call = Request::new("POST", "/demo/test2").bearer(&tokens(&answer).access);
        assert_eq!(visit.send(&call).text(), "ok");
    });
}

#[test]
fn the_reserved_interfaces_of_the_login_service() {
    let port = postern_e2e::servers::Servers::shared().stack.ports.login;
    let answer = |path: &str| {
        let response = Request::get(path).send(port);
        assert_eq!(response.status, 200, "{path} {response:?}");
        response.text()
    };
    assert_eq!(
        Request::form("/login", "username=u1&password=password")
            .send(port)
            .text(),
        r#"{"userId":"u1"}"#
    );
    assert_eq!(
        Request::form("/login", "username=u1&password=wrong").send(port).text(),
        r#"{"errorMsg":"password invalid"}"#
    );
    let first = r#"{"name":"ROLE_TEST","description":"demo服务1-1","id":"1","url":"/service/demo/test"}"#;
    let second = r#"{"name":"ROLE_TEST2","description":"demo服务1-2","id":"2","url":"/service/demo/test2"}"#;
    assert!(answer("/getAllPermission").starts_with(&format!("[{first},{second},")));
    assert!(answer("/getAllPermissionByUserId?userId=u1").starts_with(&format!("[{first}")));
    assert_eq!(answer("/getAllPermissionByUserId?userId=nobody-of-this-name"), "[]");
}
