//! What people are told about each refusal, in both languages of the pages. The Chinese texts of the first half are those
//! of the contract of profile `tkey`, to the character: its answers to programs say them too.

use http::StatusCode;

use crate::error::Refusal;
use crate::login::LoginError;

/// What is answered to a refusal.
pub struct Failure {
    /// The status of an answer to a program.
    pub status: StatusCode,
    /// In Chinese.
    pub chinese: String,
    /// The same for people who read English.
    pub english: String,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
}

impl Failure {
    /// The status of a page on which something can be tried again: what a person did wrong is no error of the protocol;
    /// what we could not do is.
    pub fn page_status(&self) -> StatusCode {
        if self.status == StatusCode::BAD_REQUEST {
            StatusCode::OK
        } else {
            self.status
        }
    }
}

/// The table.
pub fn failure(refusal: &Refusal) -> Failure {
    let bad_request = |chinese: &str, english: &str| Failure {
        status: StatusCode::BAD_REQUEST,
        chinese: chinese.to_owned(),
        english: english.to_owned(),
        retry_after: None,
    };
    let with_status = |status, failure| Failure { status, ..failure };
    match refusal {
        Refusal::MissingGrantType => bad_request("grant_type 不能为空", "grant_type is missing"),
        Refusal::UnsupportedGrantType(_) | Refusal::ImplicitAtTokenEndpoint | Refusal::GrantNotRegistered(_) => {
            bad_request("请求类型不匹配", "the client may not use this grant type")
        }
        Refusal::MissingParameter("username") => bad_request("用户名不能为空", "Enter your user name."),
        Refusal::MissingParameter("password") => bad_request("密码不能为空", "Enter your password."),
        Refusal::MissingParameter("access_token") | Refusal::NoBearerToken => {
            bad_request("access_token 不能为空", "access_token is missing")
        }
        Refusal::MissingParameter(name) => bad_request(&format!("{name} 参数不能为空"), &format!("{name} is missing")),
        Refusal::MissingRefreshToken => bad_request("refresh_token 参数不能为空", "refresh_token is missing"),
        Refusal::NoClientCredentials => bad_request("client_id 参数不能为空", "client_id is missing"),
        Refusal::Malformed("client_id") => bad_request(
            "client_id 参数值必须为字母、数字、下划线组成",
            "client_id has other characters than letters, digits and underscores",
        ),
        Refusal::Malformed("code") => bad_request("code 参数格式不对，必须包含：OC-", "code is not an OC-…"),
        Refusal::Malformed("refresh_token") => bad_request(
            "refresh_token 参数格式不对，必须包含：RT-",
            "refresh_token is not an RT-…",
        ),
        Refusal::Malformed("access_token") => bad_request(
            "access_token 参数格式不对，必须包含：AT-",
            "access_token is not an AT-…",
        ),
        Refusal::Malformed("token_type_hint") => {
            bad_request("token_type_hint 参数值不合法", "token_type_hint has another value")
        }
        Refusal::Malformed("response_type") | Refusal::UnsupportedResponseType(_) => {
            bad_request("response_type 参数值有误", "the client may not use this response_type")
        }
        Refusal::MissingCode => bad_request("code 参数不能为空", "code is missing"),
        Refusal::UnknownClient => bad_request("client_id 不存在", "no client has this client_id"),
        Refusal::BadFormCredentials
        | Refusal::BadBasicCredentials
        | Refusal::MalformedBasic(_)
        | Refusal::ClientMismatch => bad_request(
            "client_id 与 client_secret 不匹配",
            "client_id and client_secret do not belong together",
        ),
        Refusal::UnregisteredRedirectUri | Refusal::RedirectMismatch => bad_request(
            "redirect_uri 不匹配该 client_id",
            "redirect_uri is not registered for this client",
        ),
        Refusal::BadUserCredentials(_) => bad_request("用户名或密码错误", "User name or password is wrong."),
        Refusal::InvalidCode(_) => bad_request("code 无效", "the code is not good (any more)"),
        Refusal::ForeignCode => bad_request(
            "该 code 与当前请求的 client_id 参数不匹配",
            "the code belongs to another client",
        ),
        Refusal::InvalidRefreshToken(_) | Refusal::ExpiredRefreshToken(_) => {
            bad_request("refresh_token 已失效", "the refresh_token is not good (any more)")
        }
        Refusal::ForeignRefreshToken(_) => bad_request(
            "该 refresh_token 与当前请求的 client_id 参数不匹配",
            "the refresh_token belongs to another client",
        ),
        Refusal::BadBearerToken(_)
        | Refusal::UnknownBearerToken(_)
        | Refusal::ExpiredBearerToken(_)
        | Refusal::ClientOfBearerGone(_) => {
            bad_request("access_token 已失效", "the access_token is not good (any more)")
        }
        Refusal::UnknownToken
        | Refusal::ExpiredToken
        | Refusal::ClientGone(_)
        | Refusal::UnreadableToken
        | Refusal::RefreshTokenAsAccessToken => bad_request("token 已失效", "the token is not good (any more)"),

        // From here on the original has nothing to say, or only that something went wrong.
        Refusal::WrongVerifier => bad_request("code_verifier 无效", "the code_verifier is not the right one"),
        Refusal::Malformed(name) => bad_request(&format!("{name} 参数值不合法"), &format!("{name} has a wrong value")),
        Refusal::ForgedForm => bad_request(
            "登录页面已过期，请重新提交（需要允许 Cookie）",
            "This page had expired. Please try again; your browser must accept cookies.",
        ),
        Refusal::InvalidScope { .. }
        | Refusal::EmptyScope
        | Refusal::WiderScope { .. }
        | Refusal::InsufficientScope(_) => bad_request("scope 参数值不合法", "scope has a wrong value"),
        // Of endpoints that this contract does not have.
        Refusal::UnusableClientId(_) | Refusal::ClientExists(_) | Refusal::NoSuchClient(_) => {
            bad_request("请求参数有误", "a parameter has a wrong value")
        }
        Refusal::SecretInQuery(name) => bad_request(
            &format!("{name} 参数不能放在 URL 中"),
            &format!("{name} is a secret and may not stand in the URL"),
        ),
        Refusal::TooManyAttempts => Failure {
            retry_after: Some("1".into()),
            ..with_status(
                StatusCode::TOO_MANY_REQUESTS,
                bad_request(
                    "尝试次数过多，请稍后重试",
                    "Too many failed attempts. Try again in a moment.",
                ),
            )
        },
        Refusal::MethodNotAllowed(_) | Refusal::NeitherGetNorPost(_) => with_status(
            StatusCode::METHOD_NOT_ALLOWED,
            bad_request("请求方法不支持", "there is no such method here"),
        ),
        Refusal::BodyTooLarge => with_status(
            StatusCode::PAYLOAD_TOO_LARGE,
            bad_request("请求内容过大", "the request is too large"),
        ),
        Refusal::NotFound => with_status(
            StatusCode::NOT_FOUND,
            bad_request("页面不存在", "there is nothing at this address"),
        ),
        Refusal::Saturated => Failure {
            retry_after: Some("1".into()),
            ..with_status(
                StatusCode::SERVICE_UNAVAILABLE,
                bad_request(
                    "系统繁忙，请稍后重试",
                    "Too much is going on here. Try again in a moment.",
                ),
            )
        },
        Refusal::Login(LoginError::Saturated(retry_after)) => Failure {
            retry_after: Some(retry_after.clone().unwrap_or_else(|| "1".into())),
            ..with_status(
                StatusCode::SERVICE_UNAVAILABLE,
                bad_request(
                    "登录人数过多，请稍后重试",
                    "Too many people are logging in. Try again in a moment.",
                ),
            )
        },
        Refusal::Login(_) | Refusal::Storage(_) | Refusal::Corrupt(_) => with_status(
            StatusCode::INTERNAL_SERVER_ERROR,
            bad_request(
                "系统异常，请稍后重试",
                "Something went wrong here. Try again in a moment.",
            ),
        ),
    }
}
