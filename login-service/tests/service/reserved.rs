//! The three reserved interfaces, byte for byte.

use crate::harness::{Answer, BASIC, Engine, Folder, Service, on_each_engine};

on_each_engine![
    login_says_who_it_is_or_that_the_password_is_wrong,
    login_takes_parameters_as_a_servlet_does,
    a_missing_parameter_is_springs_400,
    permissions_have_the_keys_of_the_sample_in_its_order,
    a_permission_that_comes_by_two_roles_is_listed_once,
    a_disabled_user_may_not_sign_in_and_has_no_permissions,
    strangers_get_401_unless_the_configuration_says_danger,
    an_unknown_user_takes_as_long_as_a_wrong_password,
];

fn filled(engine: Engine) -> (Folder, Service) {
    let folder = Folder::new(engine, "");
    folder.fill();
    let service = folder.serve();
    (folder, service)
}

fn assert_json(answer: &Answer, body: &str) {
    assert_eq!((answer.status, answer.body.as_str()), (200, body));
    assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
}

fn login_says_who_it_is_or_that_the_password_is_wrong(engine: Engine) {
    let (_folder, service) = filled(engine);
    assert_json(
        &service.form("/login", "username=u1&password=password"),
        r#"{"userId":"u1"}"#,
    );
    for form in [
        "username=u1&password=wrong",
        "username=nobody&password=password",
        "username=u1&password=",
    ] {
        assert_json(&service.form("/login", form), r#"{"errorMsg":"password invalid"}"#);
    }
}

fn login_takes_parameters_as_a_servlet_does(engine: Engine) {
    let (_folder, service) = filled(engine);
    let right = r#"{"userId":"u1"}"#;
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
        assert_json(
            &service.request(method, "/login?username=u1&password=password", &[BASIC], ""),
            right,
        );
    }
    assert_json(&service.form("/login?username=u1", "password=password"), right);
    assert_json(
        &service.form("/login?password=password", "username=u1&password=wrong"),
        right,
    );
    assert_json(
        &service.get("/login?username=u1&password=password&password=wrong"),
        right,
    );
    assert_json(&service.get("/login?username=%75%31&password=pass%77ord"), right);
    let form = "Content-Type: Application/X-WWW-Form-UrlEncoded; charset=UTF-8";
    assert_json(
        &service.request("POST", "/login", &[BASIC, form], "username=u1&password=password"),
        right,
    );
}

fn a_missing_parameter_is_springs_400(engine: Engine) {
    let (_folder, service) = filled(engine);
    for (target, parameter, path) in [
        ("/login", "username", "/login"),
        ("/login?password=x", "username", "/login"),
        ("/login?username=u1", "password", "/login"),
        ("/getAllPermissionByUserId", "userId", "/getAllPermissionByUserId"),
    ] {
        let answer = service.get(target);
        assert_eq!(answer.status, 400);
        assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
        let body = format!(
            r#"{{"timestamp":0,"status":400,"error":"Bad Request","exception":"org.springframework.web.bind.MissingServletRequestParameterException","message":"Required String parameter '{parameter}' is not present","path":"{path}"}}"#
        );
        assert_eq!(answer.timeless_body(), body);
    }
    let json = service.request(
        "POST",
        "/login",
        &[BASIC, "Content-Type: application/json"],
        r#"{"username":"u1","password":"password"}"#,
    );
    assert_eq!(json.status, 400, "JSON bodies are not read");
}

fn permissions_have_the_keys_of_the_sample_in_its_order(engine: Engine) {
    let (_folder, service) = filled(engine);
    let one = r#"{"name":"ROLE_TEST","description":"demo服务1-1","id":"1","url":"/service/demo/test"}"#;
    let two = r#"{"name":"ROLE_TEST2","description":"demo服务1-2","id":"2","url":"/service/demo/test2"}"#;
    let three = r#"{"name":"ROLE_ADMIN","description":"","id":"3","url":"/service/demo/admin/**"}"#;
    assert_json(&service.get("/getAllPermission"), &format!("[{one},{two},{three}]"));
    assert_json(
        &service.form("/getAllPermission", ""),
        &format!("[{one},{two},{three}]"),
    );
    assert_json(&service.get("/getAllPermissionByUserId?userId=u1"), &format!("[{one}]"));
    assert_json(
        &service.form("/getAllPermissionByUserId", "userId=u2"),
        &format!("[{one},{two}]"),
    );
    assert_json(&service.get("/getAllPermissionByUserId?userId=nobody"), "[]");
}

fn a_permission_that_comes_by_two_roles_is_listed_once(engine: Engine) {
    let (folder, service) = filled(engine);
    folder.must("role grant tester2 1");
    let rows = service.get("/getAllPermissionByUserId?userId=u2").body;
    assert_eq!(rows.matches("ROLE_TEST\"").count(), 1, "{rows}");
}

fn a_disabled_user_may_not_sign_in_and_has_no_permissions(engine: Engine) {
    let (folder, service) = filled(engine);
    folder.must("user disable u1");
    assert_json(
        &service.form("/login", "username=u1&password=password"),
        r#"{"errorMsg":"User is disabled"}"#,
    );
    assert_json(
        &service.form("/login", "username=u1&password=wrong"),
        r#"{"errorMsg":"password invalid"}"#,
    );
    assert_json(&service.get("/getAllPermissionByUserId?userId=u1"), "[]");
    let active = |id: &str| {
        let answer = service.get(&format!("/getAllPermissionByUserId?userId={id}"));
        answer.header("x-user-active").map(str::to_owned)
    };
    assert_eq!(active("u1").as_deref(), Some("false"));
    assert_eq!(active("nobody").as_deref(), Some("false"));
    assert_eq!(active("u2").as_deref(), Some("true"));
    folder.must("user enable u1");
    assert_eq!(active("u1").as_deref(), Some("true"));
    assert_json(
        &service.form("/login", "username=u1&password=password"),
        r#"{"userId":"u1"}"#,
    );
}

fn strangers_get_401_unless_the_configuration_says_danger(engine: Engine) {
    let (_folder, service) = filled(engine);
    for target in [
        "/login?username=u1&password=password",
        "/getAllPermission",
        "/getAllPermissionByUserId?userId=u1",
    ] {
        let path = target.split('?').next().unwrap();
        for (headers, message) in [
            (vec![], "Full authentication is required to access this resource"),
            (vec!["Authorization: Basic Z2F0ZXdheTp3cm9uZw=="], "Bad credentials"),
        ] {
            let answer = service.request("GET", target, &headers, "");
            assert_eq!(answer.status, 401);
            assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"login-service\""));
            let body = format!(
                r#"{{"timestamp":0,"status":401,"error":"Unauthorized","message":"{message}","path":"{path}"}}"#
            );
            assert_eq!(answer.timeless_body(), body);
        }
    }
    let open = Folder::new(engine, "danger_open_reserved: true");
    open.fill();
    let service = open.serve();
    assert_json(
        &service.request("GET", "/login?username=u1&password=password", &[], ""),
        r#"{"userId":"u1"}"#,
    );
    assert_eq!(service.request("GET", "/getAllPermission", &[], "").status, 200);
    assert_eq!(
        service.request("GET", "/feed/permissions", &[], "").status,
        401,
        "the feed never opens"
    );
}

fn an_unknown_user_takes_as_long_as_a_wrong_password(engine: Engine) {
    let (_folder, service) = filled(engine);
    let time = |form: &str| {
        #[expect(clippy::disallowed_methods, reason = "this test measures time")]
        let start = std::time::Instant::now();
        service.form("/login", form);
        start.elapsed()
    };
    // By turns, and the fastest of each: what else the machine does slows both, and sometimes neither.
    let (unknown, wrong): (Vec<_>, Vec<_>) = (0..15)
        .map(|_| {
            (
                time("username=nobody&password=wrong"),
                time("username=u1&password=wrong"),
            )
        })
        .unzip();
    let fastest = |times: Vec<std::time::Duration>| times.into_iter().min().unwrap().as_secs_f64();
    let ratio = fastest(unknown) / fastest(wrong);
    assert!(
        (0.5..2.0).contains(&ratio),
        "an unknown user takes {ratio} times as long"
    );
}
