//! User authentication: the login service says whether a password is right; who guesses is slowed down.

use crate::app::App;
use crate::clock;
use crate::error::Refusal;
use crate::issue::User;
use crate::login::Login;

/// The user that name and password belong to. A wrong answer may take some seconds, see [`crate::throttle`].
pub async fn authenticate(app: &App, user_name: &str, password: &str) -> Result<User, Refusal> {
    // Whichever client it is: anybody can reach the login pages of all of them. Login services may not tell capital
    // letters from small ones, nor see blanks at the end.
    let subject = ("user", user_name.trim().to_lowercase());
    let attempt = app.throttle.attempt(subject, clock::now_ms());
    let attempt = attempt.ok_or(Refusal::TooManyAttempts)?;
    match app.login.login(user_name, password).await? {
        Login::Accepted(id) => Ok(User {
            id,
            name: user_name.to_owned(),
        }),
        Login::Refused(message) => {
            attempt.wrong(clock::now_ms()).await;
            Err(Refusal::BadUserCredentials(message))
        }
    }
}
