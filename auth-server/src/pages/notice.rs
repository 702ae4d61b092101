//! Pages that only say something.

use axum::response::Response;
use http::{HeaderMap, StatusCode};
use maud::{Markup, html};

use crate::pages::failure::Failure;
use crate::pages::{Language, layout, page};

/// The user is logged out.
pub fn logged_out(language: Language) -> Markup {
    let title = language.text("已退出登录", "Signed out");
    let text = language.text(
        "您已安全退出，可以关闭此页面。",
        "You are signed out. You may close this page.",
    );
    layout(language, title, &html! { h1 { (title) } p { (text) } })
}

/// Says what is wrong with a request that there is nowhere to send the browser with.
pub fn turn_away(headers: &HeaderMap, status: StatusCode, failure: &Failure) -> Response {
    page(status, failed(Language::of(headers), failure), None)
}

fn failed(language: Language, failure: &Failure) -> Markup {
    let title = language.text("无法继续登录", "Cannot sign in");
    let text = language.text(&failure.chinese, &failure.english);
    let remedy = language.text(
        "请返回应用重试；如仍有问题，请联系应用的管理员。",
        "Go back to the application and try again. If that does not help, tell the people who run it.",
    );
    layout(
        language,
        title,
        &html! { h1 { (title) } p.alert role="alert" { (text) } p { (remedy) } },
    )
}
