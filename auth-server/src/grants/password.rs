//! Resource Owner Password Credentials, RFC 6749 section 4.3. RFC 9700 section 2.4 forbids it for anything new: only
//! clients of a legacy profile can be registered for it.

use std::sync::Arc;

use crate::app::App;
use crate::clock;
use crate::db::client::Client;
use crate::error::Refusal;
use crate::issue::{Grantee, Issued, issue};
use crate::user_auth;

/// Asks the login service who the user is and what the user may do, then issues.
pub async fn grant(
    app: &App,
    client: Arc<Client>,
    scope: Vec<String>,
    user_name: &str,
    password: &str,
) -> Result<Issued, Refusal> {
    let user = user_auth::authenticate(app, user_name, password).await?;
    let authorities = app.login.authorities(&user.id).await?;
    let authorities = authorities.ok_or_else(|| Refusal::BadUserCredentials("User is disabled".into()))?;
    issue(
        app,
        &Grantee {
            grant: "password",
            client,
            user: Some(user),
            authorities,
            scope,
        },
        clock::now_ms(),
    )
    .await
}
