//! The login page. Without a script: what the form needs to say is in it.

use maud::{Markup, html};

use crate::pages::{Language, layout};
use crate::profiles::tkey::Failure;

/// What the page shows.
pub struct LoginPage<'a> {
    /// In which language.
    pub language: Language,
    /// Who wants to know.
    pub client_id: &'a str,
    /// What the form sends along.
    pub hidden: Vec<(&'a str, &'a str)>,
    /// What was entered before.
    pub user_name: &'a str,
    /// Whether the user asked to be remembered before.
    pub is_remembered: bool,
    /// What went wrong before.
    pub failure: Option<&'a Failure>,
}

impl LoginPage<'_> {
    /// The page. Its form goes to where the page came from.
    pub fn render(&self) -> Markup {
        let text = |chinese, english| self.language.text(chinese, english);
        let failure = self.failure.map(|failure| text(&failure.chinese, &failure.english));
        // Who has entered a name goes on with the password.
        let name_first = self.user_name.is_empty();
        let content = html! {
            h1 { (text("登录", "Sign in")) }
            p.to { (text("继续访问 ", "to continue to ")) strong { (self.client_id) } }
            @if let Some(failure) = failure {
                p.alert #failure role="alert" { (failure) }
            }
            form method="post" action="authorize" {
                @for (name, value) in &self.hidden {
                    input type="hidden" name=(name) value=(value);
                }
                label for="username" { (text("用户名", "User name")) }
                input #username name="username" value=(self.user_name) required autofocus[name_first]
                    autocomplete="username" autocapitalize="none" spellcheck="false"
                    aria-describedby=[failure.map(|_| "failure")];
                label for="password" { (text("密码", "Password")) }
                input #password name="password" type="password" required autofocus[!name_first]
                    autocomplete="current-password" aria-describedby=[failure.map(|_| "failure")];
                label.check {
                    input name="bool_is_remember_me" type="checkbox" value="true" checked[self.is_remembered];
                    (text("7 天内免登录", "Keep me signed in for 7 days"))
                }
                button type="submit" { (text("登录", "Sign in")) }
            }
        };
        layout(self.language, text("登录", "Sign in"), &content)
    }
}
