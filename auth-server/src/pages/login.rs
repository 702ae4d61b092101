//! The login page. Without a script: what the form needs to say is in it.

use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};

use crate::pages::failure::Failure;
use crate::pages::form_cookie::{self, FormCookie};
use crate::pages::{self, Language, layout};
use crate::servlet::Request;

/// What the page shows.
pub struct LoginPage<'a> {
    /// The request that led to it, or in which its form came.
    pub request: &'a Request,
    /// Who wants to know.
    pub client_id: &'a str,
    /// Where the browser goes on to from here.
    pub redirect_uri: &'a str,
    /// Which parameters of the request the form sends along.
    pub parameters: &'a [&'static str],
    /// Whether the user asked to be remembered before; `None`: nobody is remembered here.
    pub is_remembered: Option<bool>,
    /// What went wrong before.
    pub failure: Option<&'a Failure>,
}

impl LoginPage<'_> {
    /// The page as an answer. Its form goes to where the page came from.
    pub fn answer(&self) -> Response {
        let cookie = FormCookie::of(&self.request.mount, &self.request.headers);
        let status = self.failure.map_or(StatusCode::OK, Failure::page_status);
        let page = pages::page(status, self.render(cookie.value()), Some(self.redirect_uri));
        cookie.go_with(page)
    }

    fn render(&self, form_cookie: &str) -> Markup {
        let language = Language::of(&self.request.headers);
        let text = |chinese, english| language.text(chinese, english);
        let parameter = |name| self.request.parameters.get(name);
        let user_name = parameter("username").unwrap_or_default();
        let sent_along = self
            .parameters
            .iter()
            .filter_map(|name| Some((*name, parameter(name)?)));
        let failure = self.failure.map(|failure| text(&failure.chinese, &failure.english));
        // Who has entered a name goes on with the password.
        let name_first = user_name.is_empty();
        let content = html! {
            h1 { (text("登录", "Sign in")) }
            p.to { (text("继续访问 ", "to continue to ")) strong { (self.client_id) } }
            @if let Some(failure) = failure {
                p.alert #failure role="alert" { (failure) }
            }
            form method="post" action="authorize" {
                @for (name, value) in sent_along.chain([(form_cookie::NAME, form_cookie)]) {
                    input type="hidden" name=(name) value=(value);
                }
                label for="username" { (text("用户名", "User name")) }
                input #username name="username" value=(user_name) required autofocus[name_first]
                    autocomplete="username" autocapitalize="none" spellcheck="false"
                    aria-describedby=[failure.map(|_| "failure")];
                label for="password" { (text("密码", "Password")) }
                input #password name="password" type="password" required autofocus[!name_first]
                    autocomplete="current-password" aria-describedby=[failure.map(|_| "failure")];
                @if let Some(is_remembered) = self.is_remembered {
                    label.check {
                        input name="bool_is_remember_me" type="checkbox" value="true" checked[is_remembered];
                        (text("7 天内免登录", "Keep me signed in for 7 days"))
                    }
                }
                button type="submit" { (text("登录", "Sign in")) }
            }
        };
        layout(language, text("登录", "Sign in"), &content)
    }
}
