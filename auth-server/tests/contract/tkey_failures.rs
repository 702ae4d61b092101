//! Every error text of profile `tkey`, and which of several comes first.

use crate::harness::tkey::*;
use crate::harness::*;

const WRONG_SECRET: &str = "client_id=test_client_id_1&client_secret=wrong";

/// Posts every form to an endpoint and compares what is said.
fn check(server: &Server, path: &str, rows: &[(&str, &str)]) {
    for (form, description) in rows {
        let answer = post(server, path, form);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (400, error(description).as_str()),
            "{form}"
        );
        assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
    }
}

#[test]
fn of_the_token_endpoint() {
    check(
        &start(),
        "/oauth/token",
        &[
            ("", "grant_type 不能为空"),
            ("grant_type=%20", "grant_type 不能为空"),
            ("grant_type=implicit", "请求类型不匹配"),
            ("grant_type=x&client_id=nobody", "请求类型不匹配"),
        ],
    );
}

#[test]
fn of_the_clients_credentials() {
    for grant in ["client_credentials", "password&username=u1&password=password"] {
        let row = |rest: &str| format!("grant_type={grant}&{rest}");
        let rows = [
            (row(""), "client_id 参数不能为空"),
            (row("client_id=a-b"), "client_id 参数值必须为字母、数字、下划线组成"),
            (row("client_id=nobody"), "client_id 不存在"),
            // A client of another profile is none here.
            (row("client_id=demo&client_secret=demo-secret"), "client_id 不存在"),
            (row("client_id=test_client_id_1"), "client_secret 参数不能为空"),
            (row(WRONG_SECRET), "client_id 与 client_secret 不匹配"),
            // The original took upper and lower case for the same.
            (
                row("client_id=test_client_id_1&client_secret=TEST_CLIENT_SECRET_1"),
                "client_id 与 client_secret 不匹配",
            ),
        ];
        let rows: Vec<_> = rows.iter().map(|(form, text)| (form.as_str(), *text)).collect();
        check(&start(), "/oauth/token", &rows);
    }
}

#[test]
fn of_the_password_grant() {
    let row = |rest: &str| format!("grant_type=password&{CLIENT}&{rest}");
    let rows = [
        (row(""), "用户名不能为空"),
        (row("username=%20&password=password"), "用户名不能为空"),
        (row("username=u1"), "密码不能为空"),
        (row("username=u1&password=wrong"), "用户名或密码错误"),
        (row("username=nobody&password=password"), "用户名或密码错误"),
    ];
    let rows: Vec<_> = rows.iter().map(|(form, text)| (form.as_str(), *text)).collect();
    check(&start(), "/oauth/token", &rows);
}

#[test]
fn of_the_authorization_code_grant() {
    let grant = "grant_type=authorization_code";
    let redirect = format!("redirect_uri={CALLBACK}");
    let rows = [
        (format!("{grant}&{CLIENT}"), "code 参数不能为空"),
        (format!("{grant}&code=x"), "client_secret 参数不能为空"),
        (format!("{grant}&code=x&{CLIENT}"), "code 参数格式不对，必须包含：OC-"),
        (format!("{grant}&code=OC-x&client_secret=s"), "client_id 参数不能为空"),
        (
            format!("{grant}&code=OC-x&client_secret=s&client_id=nobody"),
            "client_id 不存在",
        ),
        (format!("{grant}&code=OC-x&{CLIENT}"), "redirect_uri 参数不能为空"),
        (
            format!("{grant}&code=OC-x&{CLIENT}&redirect_uri=http://evil.example.com/"),
            "redirect_uri 不匹配该 client_id",
        ),
        (
            format!("{grant}&code=OC-x&{WRONG_SECRET}&{redirect}"),
            "client_id 与 client_secret 不匹配",
        ),
        (format!("{grant}&code=OC-x&{CLIENT}&{redirect}"), "code 无效"),
    ];
    let rows: Vec<_> = rows.iter().map(|(form, text)| (form.as_str(), *text)).collect();
    check(&start(), "/oauth/token", &rows);
}

#[test]
fn of_the_refresh_token_grant() {
    let grant = "grant_type=refresh_token";
    let rows = [
        (format!("{grant}&{CLIENT}"), "refresh_token 参数不能为空"),
        (format!("{grant}&refresh_token=x"), "client_secret 参数不能为空"),
        (
            format!("{grant}&refresh_token=AT-x&{CLIENT}"),
            "refresh_token 参数格式不对，必须包含：RT-",
        ),
        (
            format!("{grant}&refresh_token=RT-x&client_secret=s"),
            "client_id 参数不能为空",
        ),
        (
            format!("{grant}&refresh_token=RT-x&{WRONG_SECRET}"),
            "client_id 与 client_secret 不匹配",
        ),
        (format!("{grant}&refresh_token=RT-x&{CLIENT}"), "refresh_token 已失效"),
    ];
    let rows: Vec<_> = rows.iter().map(|(form, text)| (form.as_str(), *text)).collect();
    check(&start(), "/oauth/token", &rows);
}

#[test]
fn of_another_clients_refresh_token() {
    let server = start();
    server.succeed(&[
        "client",
        "add",
        "second",
        "--secret",
        "s",
        "--profile",
        "tkey",
        "--scopes",
        "all",
        "--grants",
        "refresh_token",
    ]);
    std::thread::sleep(std::time::Duration::from_millis(200));
    let tokens = tokens(&server, "grant_type=password&username=u1&password=password");
    let form = format!(
        "grant_type=refresh_token&client_id=second&client_secret=s&refresh_token={}",
        pair(&tokens).1
    );
    check(
        &server,
        "/oauth/token",
        &[(&form, "该 refresh_token 与当前请求的 client_id 参数不匹配")],
    );
}

#[test]
fn of_a_grant_that_the_client_is_not_registered_for() {
    let form = "grant_type=password&client_id=robot&client_secret=robot-secret&username=u1&password=password";
    check(&start(), "/oauth/token", &[(form, "请求类型不匹配")]);
}

#[test]
fn of_introspect() {
    let hint = "token_type_hint=access_token";
    let rows = [
        (CLIENT.to_owned(), "token 参数不能为空"),
        (format!("{CLIENT}&token=AT-x"), "token_type_hint 参数不能为空"),
        (format!("token=AT-x&{hint}"), "client_secret 参数不能为空"),
        (
            format!("{CLIENT}&token=x&{hint}"),
            "access_token 参数格式不对，必须包含：AT-",
        ),
        (
            format!("{CLIENT}&token=AT-x&token_type_hint=refresh_token"),
            "refresh_token 参数格式不对，必须包含：RT-",
        ),
        (
            format!("{CLIENT}&token=AT-x&token_type_hint=id_token"),
            "token_type_hint 参数值不合法",
        ),
        (format!("client_secret=s&token=AT-x&{hint}"), "client_id 参数不能为空"),
        (
            format!("{WRONG_SECRET}&token=AT-x&{hint}"),
            "client_id 与 client_secret 不匹配",
        ),
        (format!("{CLIENT}&token=AT-x&{hint}"), "token 已失效"),
        (
            format!("{CLIENT}&token=RT-x&token_type_hint=refresh_token"),
            "token 已失效",
        ),
    ];
    let rows: Vec<_> = rows.iter().map(|(form, text)| (form.as_str(), *text)).collect();
    check(&start(), "/oauth/introspect", &rows);
}

#[test]
fn of_userinfo() {
    check(
        &start(),
        "/oauth/userinfo",
        &[
            ("", "access_token 不能为空"),
            ("access_token=RT-x", "access_token 参数格式不对，必须包含：AT-"),
            ("access_token=AT-x", "access_token 已失效"),
        ],
    );
}

#[test]
fn of_a_login_service_that_does_not_answer() {
    use crate::harness::login::Day;
    let server = start();
    server.login.set_day(Day::Saturated);
    let answer = token(&server, "grant_type=password&username=u1&password=password");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("3")));
    assert_eq!(answer.body, error("登录人数过多，请稍后重试"));
    server.login.set_day(Day::Broken);
    let answer = token(&server, "grant_type=password&username=u1&password=password");
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (500, error("系统异常，请稍后重试").as_str())
    );
}
