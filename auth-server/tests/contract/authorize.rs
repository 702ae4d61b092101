//! `/oauth/authorize` of profile `spring`: the login page, and where it leads.

use crate::harness::http::Answer;
use crate::harness::login::Day;
use crate::harness::*;

const PAGE: &str = "page --secret s --profile spring --grants authorization_code,refresh_token --scopes read,write --redirect-uris http://localhost:3000/cb,http://localhost:3000/other?x=1";
const SINGLE: &str =
    "single --secret s --profile spring --grants authorization_code --scopes all --redirect-uris com.example.app:/cb";
const OTHERS: &[&str] = &[
    PAGE,
    SINGLE,
    "robot --secret s --profile spring --grants client_credentials --scopes all --redirect-uris http://localhost:3000/cb",
    "sso --secret s --profile tkey --grants authorization_code --scopes all --redirect-uris http://localhost:3000/cb",
];
const ASK: &str = "/login/oauth/authorize?response_type=code&client_id=page&redirect_uri=http://localhost:3000/cb";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const USER: &str = "username=u1&password=password";

fn server() -> Server {
    Server::with_clients(OTHERS)
}

fn location(answer: &Answer) -> &str {
    assert_eq!(answer.status, 302, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    answer.header("location").unwrap()
}

#[test]
fn get_shows_a_login_page_that_nothing_can_be_put_into() {
    let server = server();
    let path = format!("{ASK}&state=%3Cscript%3E&scope=read&code_challenge={CHALLENGE}&code_challenge_method=S256");
    let answer = server.get(&path, &[("accept-language", "en")]);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/html;charset=UTF-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let policy = answer.header("content-security-policy").unwrap();
    assert!(
        policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    for expected in [
        r#"<form method="post" action="authorize">"#,
        r#"name="username""#,
        r#"name="password" type="password""#,
        r#"name="state" value="&lt;script&gt;""#,
        r#"name="scope" value="read""#,
        r#"name="code_challenge_method" value="S256""#,
    ] {
        assert!(answer.body.contains(expected), "{expected} in {}", answer.body);
    }
    assert!(!answer.body.contains("<script"), "{}", answer.body);
    assert!(
        !answer.body.contains("bool_is_remember_me"),
        "nobody is remembered here"
    );
}

#[test]
fn post_with_name_and_password_leads_to_the_redirect_uri_with_code_and_state() {
    let server = server();
    let answer = server.post_form(&format!("{ASK}&state=a%26b"), USER);
    let rest = location(&answer)
        .strip_prefix("http://localhost:3000/cb?code=")
        .unwrap();
    let (code, state) = rest.split_once("&state=").unwrap();
    assert!(
        code.len() == 64 && code.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{code}"
    );
    assert_eq!(state, "a%26b");
    // A redirect URI with a query keeps it.
    let other = "/oauth/authorize?response_type=code&client_id=page&redirect_uri=http://localhost:3000/other?x=1";
    let answer = server.post_form(other, USER);
    assert!(location(&answer).starts_with("http://localhost:3000/other?x=1&code="));
    // The only one that is registered need not be named; an app's own scheme is as good.
    let single = "/oauth/authorize?response_type=code&client_id=single";
    assert!(location(&server.post_form(single, USER)).starts_with("com.example.app:/cb?code="));
}

#[test]
fn a_wrong_client_or_redirect_uri_is_told_on_a_page_and_never_redirected() {
    let server = server();
    for query in [
        "response_type=code",
        "response_type=code&client_id=nobody&redirect_uri=http://localhost:3000/cb",
        "response_type=code&client_id=sso&redirect_uri=http://localhost:3000/cb",
        "response_type=code&client_id=robot&redirect_uri=http://localhost:3000/cb",
        "response_type=code&client_id=page",
        "response_type=code&client_id=page&redirect_uri=http://localhost:3000/cb/",
        "response_type=code&client_id=page&redirect_uri=http://localhost:3000/cb?x=1",
        "response_type=code&client_id=page&redirect_uri=http://localhost:3000/cb%23x",
        "response_type=code&client_id=page&redirect_uri=https://localhost:3000/cb",
        "response_type=code&client_id=page&redirect_uri=http://localhost:3000@evil.example.com/cb",
        "response_type=code&client_id=page&redirect_uri=https://evil.example.com/",
        "response_type=magic&client_id=page&redirect_uri=https://evil.example.com/",
    ] {
        let path = format!("/login/oauth/authorize?{query}");
        for answer in [server.get(&path, &[]), server.post_form(&path, USER)] {
            assert_eq!((answer.status, answer.header("location")), (400, None), "{query}");
            assert_eq!(answer.header("content-type"), Some("text/html;charset=UTF-8"));
            assert!(
                !answer.body.contains("evil") && !answer.body.contains("<form"),
                "{}",
                answer.body
            );
        }
    }
    assert!(server.login.requests().is_empty(), "nobody's password is tried for it");
}

#[test]
fn every_other_error_is_told_at_the_redirect_uri() {
    let server = server();
    let base = "/oauth/authorize?client_id=page&redirect_uri=http://localhost:3000/cb&state=s";
    for (query, expected) in [
        (
            "",
            "unsupported_response_type&error_description=Unsupported%20response%20types%3A%20%5B%5D",
        ),
        (
            "&response_type=token",
            "unsupported_response_type&error_description=Unsupported%20response%20types%3A%20%5Btoken%5D",
        ),
        (
            "&response_type=code&scope=admin",
            "invalid_scope&error_description=Invalid%20scope%3A%20admin",
        ),
        (
            "&response_type=code&code_challenge=short&code_challenge_method=S256",
            "invalid_request&error_description=Invalid%20parameter%3A%20code_challenge",
        ),
        (
            "&response_type=code&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            "invalid_request&error_description=Invalid%20parameter%3A%20code_challenge_method",
        ),
        (
            "&response_type=code&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=plain",
            "invalid_request&error_description=Invalid%20parameter%3A%20code_challenge_method",
        ),
    ] {
        let path = format!("{base}{query}");
        for answer in [server.get(&path, &[]), server.post_form(&path, USER)] {
            let expected = format!("http://localhost:3000/cb?error={expected}&state=s");
            assert_eq!(location(&answer).replace('+', "%20"), expected);
        }
    }
    assert!(server.login.requests().is_empty());
}

#[test]
fn a_wrong_password_shows_the_page_again_without_it() {
    let server = server();
    let path = format!("{ASK}&state=s");
    let post = |form: &str| {
        let headers = [("content-type", FORM), ("accept-language", "en")];
        server.request("POST", &path, &headers, form)
    };
    for (form, said) in [
        ("username=u1&password=wrong-password", "User name or password is wrong."),
        ("username=u1", "Enter your password."),
        ("password=wrong-password", "Enter your user name."),
    ] {
        let answer = post(form);
        assert_eq!((answer.status, answer.header("location")), (200, None));
        assert!(
            answer.body.contains(said) && answer.body.contains(r#"name="state" value="s""#),
            "{}",
            answer.body
        );
        assert!(!answer.body.contains("wrong-password"), "{}", answer.body);
    }
    server.login.set_day(Day::Broken);
    let answer = post(USER);
    assert_eq!((answer.status, answer.header("location")), (500, None));
    assert!(answer.body.contains("Try again in a moment"), "{}", answer.body);
}

#[test]
fn another_sites_page_cannot_send_the_form() {
    let server = server();
    let post = |headers: &[(&str, &str)], form: &str| {
        let headers: Vec<_> = [("content-type", FORM)].iter().chain(headers).copied().collect();
        server.request("POST", ASK, &headers, form)
    };
    let asked = server.get(ASK, &[]);
    let cookie = asked.header("set-cookie").unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap();
    let (_, value) = cookie.split_once('=').unwrap();
    assert!(asked.body.contains(value));
    let form = format!("{USER}&login_form={value}");
    let own = [
        ("origin", "http://localhost"),
        ("sec-fetch-site", "same-origin"),
        ("cookie", cookie),
    ];
    assert_eq!(post(&own, &form).status, 302);
    let asked = server.login.requests().len();
    for (headers, form) in [
        (&own[..2], form.as_str()),
        (&own[..], USER),
        (
            &[
                ("origin", "https://evil.example.com"),
                ("sec-fetch-site", "cross-site"),
                ("cookie", cookie),
            ][..],
            &form,
        ),
    ] {
        let answer = post(headers, form);
        assert_eq!((answer.status, answer.header("location")), (200, None));
    }
    assert_eq!(
        server.login.requests().len(),
        asked,
        "nobody's password is tried for it"
    );
}

#[test]
fn guesses_at_the_page_are_turned_away_too() {
    let server = server();
    for _ in 0..10 {
        assert_eq!(server.post_form(ASK, "username=u1&password=wrong").status, 200);
    }
    let server = &server;
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| server.post_form(ASK, "username=u1&password=wrong").status))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(server.post_form(ASK, USER).status, 302);
}
