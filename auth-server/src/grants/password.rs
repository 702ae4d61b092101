//! Resource Owner Password Credentials, RFC 6749 section 4.3. RFC 9700 section 2.4 forbids it for anything new: only
//! clients of a legacy profile can be registered for it.

use std::sync::Arc;

use crate::app::App;
use crate::clock;
use crate::db::client::Client;
use crate::error::Refusal;
use crate::issue::{Grantee, Issued, issue};
use crate::user_auth;

/// Asks the login service who the user is and what the user may do, then issues. Each use is logged, for who wants to know
/// which clients still take passwords; never with the name that was entered, which may be a misplaced password.
pub async fn grant(
    app: &App,
    client: Arc<Client>,
    scope: Vec<String>,
    user_name: &str,
    password: &str,
) -> Result<Issued, Refusal> {
    let user = match user_auth::authenticate(app, user_name, password).await {
        Ok(user) => user,
        Err(refusal) => {
            if matches!(refusal, Refusal::BadUserCredentials(_)) {
                tracing::info!(client_id = client.client_id, "password grant: wrong user or password");
            }
            return Err(refusal);
        }
    };
    tracing::info!(
        client_id = client.client_id,
        user_id = user.id,
        "password grant: user authenticated"
    );
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
