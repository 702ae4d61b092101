//! Every curl line of the legacy documentation, with the real curl: host, port and tokens aside as it stands there.

use postern_e2e::{
    client::{Request, Response},
    real_client::{curl, installed},
    token,
    visit::{Visit, on_each_host, refresh_grant, tokens},
};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

/// Runs curl on each host, where it is installed.
fn with_curl(scenario: impl Fn(&Visit<'_>, &dyn Fn(&[&str]) -> Response)) {
    let Some(program) = installed().curl else { return };
    on_each_host(|visit| scenario(visit, &|arguments| curl(visit, &program, arguments)));
}

fn assert_answer(answer: &Response, status: u16, body: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (status, body));
}

fn text(answer: &Response, member: &str) -> String {
    let body = answer.json();
    let text = body[member].as_str();
    text.unwrap_or_else(|| panic!("no {member} in {body}")).to_owned()
}

#[test]
fn spring_login_refresh_and_call() {
    with_curl(|_, curl| {
        let post = |form: &str| {
            curl(&[
                "-X",
                "POST",
                "{}/login/oauth/token",
                "-H",
                "Authorization: Basic ZnVjazpmdWNr",
                "-H",
                FORM,
                "-d",
                form,
            ])
        };
        let login = post("username=ufuck&password=pfuck&grant_type=password");
        let refresh = post(&format!(
            "refresh_token={}&grant_type=refresh_token",
            tokens(&login).refresh
        ));
        for answer in [&login, &refresh] {
            let (body, given) = (answer.json(), tokens(answer));
            let members = format!(
                r#"{{"access_token":"{}","token_type":"bearer","refresh_token":"{}","expires_in":{},"scope":"all","userId":"ufuck-uid","jti":{}}}"#,
                given.access, given.refresh, body["expires_in"], body["jti"]
            );
            assert_answer(answer, 200, &members);
            assert_eq!(token::header(&given.access), r#"{"alg":"HS256","typ":"JWT"}"#);
        }
        let bearer = format!("Authorization: bearer {}", tokens(&refresh).access);
        let call = curl(&["-X", "POST", "{}/demo/test2", "-H", &bearer, "-H", FORM]);
        assert_answer(&call, 200, "ok");
    });
}

#[test]
fn spring_logout_with_the_content_type_of_a_body_that_is_not_there() {
    with_curl(|visit, curl| {
        let given = visit.log_in(&visit.user("curl-logout", &["tester2"]));
        let answer = curl(&[
            "-X",
            "POST",
            "{}/login/logout",
            "-H",
            &format!("Authorization: bearer {}", given.access),
            "-H",
            "Cache-Control: no-cache",
            "-H",
            "content-type: multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
        ]);
        assert_answer(&answer, 200, "");
        visit.until(
            "a logout",
            401,
            &Request::new("POST", "/demo/test2").bearer(&given.access),
        );
        assert_eq!(visit.send(&refresh_grant(&given.refresh)).status, 400);
    });
}

#[test]
fn tkey_refresh() {
    with_curl(|visit, curl| {
        let user = visit.user("curl-tkey", &["tester2"]);
        let client = "client_id=test_client_id_1&client_secret=test_client_secret_1";
        let post = |form: &str| {
            curl(&[
                "-X",
                "POST",
                "{}/sso/oauth/token",
                "-H",
                FORM,
                "-H",
                "cache-control: no-cache",
                "-d",
                form,
            ])
        };
        let first = post(&format!(
            "grant_type=password&username={user}&password=password&{client}"
        ));
        let refresh = text(&first, "refresh_token");
        let second = post(&format!("grant_type=refresh_token&refresh_token={refresh}&{client}"));
        let access = text(&second, "access_token");
        assert_answer(
            &second,
            200,
            &format!(r#"{{"access_token":"{access}","token_type":"Bearer","expires_in":57600}}"#),
        );
        assert_eq!(visit.send(&Request::get("/demo/test2").bearer(&access)).text(), "ok");
        let wrong = post(&format!("grant_type=nonsense&{client}"));
        assert_answer(
            &wrong,
            400,
            r#"{"error":"invalid request","error_description":"请求类型不匹配","error_uri_msg":"See the full API docs at https://github.com/cdk8s"}"#,
        );
    });
}

/// The administrator's token, as the documentation gets it.
fn admin_token(curl: &dyn Fn(&[&str]) -> Response) -> String {
    let form = "client_id=admin&client_secret=secret&grant_type=client_credentials";
    let answer = curl(&["-d", form, "{}/uaa/oauth/token"]);
    let (token, seconds) = (text(&answer, "access_token"), answer.json()["expires_in"].clone());
    assert_answer(
        &answer,
        200,
        &format!(r#"{{"access_token":"{token}","token_type":"bearer","expires_in":{seconds},"scope":"ADMIN"}}"#),
    );
    token
}

#[test]
fn uaa_token_and_check_token() {
    with_curl(|_, curl| {
        let token = admin_token(curl);
        assert_eq!(admin_token(curl), token, "the same within its validity");
        let by_form = curl(&["-d", &format!("token={token}"), "{}/uaa/oauth/check_token"]);
        let by_query = curl(&[&format!("{{}}/uaa/oauth/check_token?token={token}")]);
        for answer in [by_form, by_query] {
            let expected = format!(
                r#"{{"scope":["ADMIN"],"exp":{},"client_id":"admin"}}"#,
                answer.json()["exp"]
            );
            assert_answer(&answer, 200, &expected);
        }
        assert_answer(
            &curl(&[
                "-d",
                "client_id=admin&client_secret=wrong&grant_type=client_credentials",
                "{}/uaa/oauth/token",
            ]),
            401,
            r#"{"error":"invalid_client","error_description":"Bad client credentials"}"#,
        );
        assert_answer(
            &curl(&[
                "-d",
                "token=2777a567-1c64-4d5b-a03e-37de5d33ca4e",
                "{}/uaa/oauth/check_token",
            ]),
            400,
            r#"{"error":"invalid_token","error_description":"Token was not recognised"}"#,
        );
    });
}

#[test]
fn uaa_register_and_delete() {
    with_curl(|visit, curl| {
        let admin = admin_token(curl);
        let (first, second) = (visit.own_name("acme1"), visit.own_name("acme2"));
        let register = |client: &str, token: &str| {
            let form = format!("access_token={token}&clientId={client}&clientSecret=acm");
            curl(&["-d", &form, "{}/uaa/register"])
        };
        let delete = |client: &str, token: &str| {
            curl(&[
                "-d",
                &format!("access_token={token}"),
                &format!("{{}}/uaa/delete/{client}"),
            ])
        };
        let answer = |client: &str| format!(r#"{{"clientId":"{client}","clientSecret":"acm","scope":"CLIENT"}}"#);
        assert_answer(&register(&first, &admin), 200, &answer(&first));
        let url = format!("{{}}/uaa/register?access_token={admin}&clientId={second}&clientSecret=acm");
        assert_answer(&curl(&[&url]), 200, &answer(&second));

        let twice = register(&second, &admin);
        let timestamp = twice.json()["timestamp"].clone();
        assert_answer(
            &twice,
            500,
            &format!(
                r#"{{"timestamp":{timestamp},"status":500,"error":"Internal Server Error","exception":"org.springframework.security.oauth2.provider.ClientAlreadyExistsException","message":"Client already exists: {second}","path":"/uaa/register"}}"#
            ),
        );

        let form = format!("client_id={first}&client_secret=acm&grant_type=client_credentials");
        let own = text(&curl(&["-d", &form, "{}/uaa/oauth/token"]), "access_token");
        let insufficient = r#"{"error":"insufficient_scope","error_description":"Insufficient scope for this resource","scope":"ADMIN"}"#;
        assert_answer(&register("other", &own), 403, insufficient);
        assert_answer(&delete(&second, &own), 403, insufficient);

        assert_answer(
            &curl(&[&format!("{{}}/uaa/delete/{first}?access_token={admin}")]),
            200,
            &format!("{{clientId:{first}}}"),
        );
        assert_answer(&delete(&second, &admin), 200, &format!("{{clientId:{second}}}"));
        let missing = delete(&second, &admin);
        let timestamp = missing.json()["timestamp"].clone();
        assert_answer(
            &missing,
            500,
            &format!(
                r#"{{"timestamp":{timestamp},"status":500,"error":"Internal Server Error","exception":"org.springframework.security.oauth2.provider.NoSuchClientException","message":"No client with requested id: {second}","path":"/uaa/delete/{second}"}}"#
            ),
        );
        let gone = curl(&["-d", &form, "{}/uaa/oauth/token"]);
        assert_eq!(gone.status, 401, "{gone:?}");
    });
}

#[test]
fn principal_token_by_query_and_by_form() {
    with_curl(|_, curl| {
        let parameters = "grant_type=client_credentials&client_id=platform&client_secret=platform-secret";
        let url = format!("{{}}/authorization-server/oauth/token?{parameters}");
        let by_query = curl(&["-X", "POST", &url]);
        // As Spring's RestTemplate sends it.
        let by_form = curl(&[
            "-H",
            "Accept: application/json;charset=UTF-8",
            "-H",
            "Content-Type: application/x-www-form-urlencoded;charset=UTF-8",
            "-d",
            parameters,
            "{}/authorization-server/oauth/token",
        ]);
        for answer in [by_query, by_form] {
            let (token, seconds) = (text(&answer, "access_token"), answer.json()["expires_in"].clone());
            assert_answer(
                &answer,
                200,
                &format!(
                    r#"{{"access_token":"{token}","token_type":"bearer","expires_in":{seconds},"scope":"read write"}}"#
                ),
            );
            let claims = token::claims(&token);
            assert_eq!(token::keys(&claims), ["principal", "scope", "exp", "jti", "client_id"]);
            let principal = &claims["principal"];
            let order = ["id", "username", "type", "chineseName", "authorities", "userInfoDTO"];
            assert_eq!(token::keys(principal), order);
            assert!(!claims.to_string().contains("password"), "{claims}");
        }
    });
}
