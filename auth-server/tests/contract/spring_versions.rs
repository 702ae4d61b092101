//! What differs between the versions of Spring Security OAuth (contract section 3, the table of versions): a test for each
//! row, with every version in it.

use crate::harness::http::Answer;
use crate::harness::login::Day;
use crate::harness::*;

const VERSIONS: [&str; 4] = ["2.0.7", "2.0.13", "2.3", "2.5"];

fn error(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
    (answer.status, masked(&answer.body, &[]))
}

fn body(error: &str, description: &str) -> String {
    format!(r#"{{"error":"{error}","error_description":"{description}"}}"#)
}

#[test]
fn check_token_methods() {
    for version in VERSIONS {
        // The parameter stands in the query of a GET.
        let server = Server::with(Setup {
            compat: match version {
                "2.0.7" => r#"{ spring_oauth: "2.0.7", query_credentials: true }"#,
                "2.0.13" => r#"{ spring_oauth: "2.0.13", query_credentials: true }"#,
                "2.3" => r#"{ spring_oauth: "2.3", query_credentials: true }"#,
                _ => r#"{ spring_oauth: "2.5", query_credentials: true }"#,
            },
            ..Setup::default()
        });
        let tokens = server.log_in("u1");
        let token = text(&tokens, "access_token");
        let post = server.check_token(token);
        assert_eq!(post.status, 200);
        let path = format!("/oauth/check_token?token={token}");
        let get = server.get(&path, &[("authorization", &basic(DEMO_CLIENT))]);
        if version == "2.5" {
            let expected = body("method_not_allowed", "Request method 'GET' not supported");
            assert_eq!(error(&get), (405, expected));
            assert_eq!(get.header("allow"), Some("POST"));
        } else {
            assert_eq!((get.status, get.body), (200, post.body), "{version}");
        }
    }
}

#[test]
fn check_token_active() {
    for version in VERSIONS {
        let server = Server::of_version(version);
        let tokens = server.log_in("u1");
        let answer = server.check_token(text(&tokens, "access_token")).json();
        let expected = match version {
            "2.0.7" | "2.0.13" => "user_name, scope, exp, userId, authorities, jti, client_id",
            _ => "user_name, scope, active, exp, userId, authorities, jti, client_id",
        };
        assert_eq!(keys(&answer), expected, "{version}");
        if version >= "2.3" {
            assert_eq!(answer["active"], true);
        }
    }
}

#[test]
fn unsupported_grant_type() {
    for version in VERSIONS {
        let answer = Server::of_version(version).token("grant_type=magic");
        let text = if version == "2.5" {
            "Unsupported grant type"
        } else {
            "Unsupported grant type: magic"
        };
        assert_eq!(error(&answer), (400, body("unsupported_grant_type", text)), "{version}");
    }
}

#[test]
fn invalid_refresh_token_echo() {
    for version in VERSIONS {
        let answer = Server::of_version(version).refresh("no-such-token");
        let text = if version == "2.5" {
            "Invalid refresh token"
        } else {
            "Invalid refresh token: no-such-token"
        };
        assert_eq!(error(&answer), (400, body("invalid_grant", text)), "{version}");
        assert_eq!(answer.header("www-authenticate"), None);
    }
}

#[test]
fn missing_refresh_token_param() {
    for version in VERSIONS {
        let answer = Server::of_version(version).token("grant_type=refresh_token");
        let expected = match version {
            "2.5" => body("invalid_request", "refresh_token parameter not provided"),
            _ => body("invalid_grant", "Invalid refresh token: null"),
        };
        assert_eq!(error(&answer), (400, expected), "{version}");
    }
}

#[test]
fn unknown_exception_text_is_never_told() {
    for version in VERSIONS {
        let server = Server::of_version(version);
        server.login.set_day(Day::Broken);
        let answer = server.token("grant_type=password&username=u1&password=password");
        let expected = (500, body("server_error", "Internal Server Error"));
        assert_eq!(error(&answer), expected, "{version}");
    }
}

#[test]
fn html_escape_of_description() {
    for version in VERSIONS {
        let server = Server::of_version(version);
        let answer = server.token("grant_type=password&username=u1&password=wrong");
        let text = match version {
            "2.0.7" | "2.5" => "password <invalid>",
            _ => "password &lt;invalid&gt;",
        };
        assert_eq!(error(&answer), (400, body("invalid_grant", text)), "{version}");
        if version != "2.5" {
            let answer = server.token("grant_type=a%26b'<c>");
            let text = match version {
                "2.0.7" => "Unsupported grant type: a&b'<c>",
                _ => "Unsupported grant type: a&amp;b&#39;&lt;c&gt;",
            };
            assert_eq!(error(&answer), (400, body("unsupported_grant_type", text)), "{version}");
        }
    }
}

#[test]
fn get_oauth_token() {
    for version in VERSIONS {
        let server = Server::of_version(version);
        let answer = server.get("/login/oauth/token", &[("authorization", &basic(DEMO_CLIENT))]);
        let expected = match version {
            "2.0.7" => r#"{"timestamp":<now>,"status":405,"error":"Method Not Allowed","exception":"org.springframework.web.HttpRequestMethodNotSupportedException","message":"Request method 'GET' not supported","path":"/login/oauth/token"}"#.to_owned(),
            "2.5" => body("method_not_allowed", "Request method 'GET' not supported"),
            _ => body("method_not_allowed", "Request method &#39;GET&#39; not supported"),
        };
        assert_eq!(error(&answer), (405, expected), "{version}");
        assert_eq!(answer.header("allow"), Some("POST"));
    }
}

#[test]
fn form_filter_realm() {
    for version in VERSIONS {
        let answer = Server::of_version(version).post_form("/oauth/token", "client_id=x&client_secret=y");
        assert_eq!(error(&answer), (401, body("invalid_client", "Bad client credentials")));
        let realm = if version == "2.0.7" { "oauth" } else { "oauth2/client" };
        let challenge =
            format!(r#"Form realm="{realm}", error="invalid_client", error_description="Bad client credentials""#);
        assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()), "{version}");
    }
}

#[test]
fn no_client_credentials_with_and_without_a_custom_entry_point() {
    const TEXT: &str = "Full authentication is required to access this resource";
    for (compat, oauth2) in [
        (r#"{ spring_oauth: "2.0.7" }"#, false),
        (r#"{ spring_oauth: "2.5" }"#, false),
        (r#"{ spring_oauth: "2.0.7", client_entry_point: oauth2 }"#, true),
        (r#"{ spring_oauth: "2.5", client_entry_point: oauth2 }"#, true),
    ] {
        let server = Server::with(Setup {
            compat,
            ..Setup::default()
        });
        for path in ["/oauth/token", "/oauth/check_token"] {
            let answer = server.post_form(path, "grant_type=password");
            let expected = match oauth2 {
                true => body("unauthorized", TEXT),
                false => format!(
                    r#"{{"timestamp":<now>,"status":401,"error":"Unauthorized","message":"{TEXT}","path":"{path}"}}"#
                ),
            };
            assert_eq!(error(&answer), (401, expected), "{compat}");
            assert_eq!(
                answer.header("www-authenticate"),
                Some(r#"Basic realm="oauth2/client""#)
            );
        }
    }
}
