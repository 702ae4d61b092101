//! The three reserved interfaces of the legacy systems: `/login`, `/getAllPermission`, `/getAllPermissionByUserId`.
//!
//! Any method; parameters in the query or a form; JSON in Spring's key order. A team may put its own service behind them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use crate::app::App;
use crate::authn::ReservedCaller;
use crate::db::users::User;
use crate::db::{self, permissions, users};
use crate::error::{Error, JSON};
use crate::parameters::Parameters;
use crate::password::{self, Verdict};

/// Whether the user asked about is there and enabled: `true` or `false`.
const ACTIVE: &str = "x-user-active";

/// What `/login` answers, 200 in every case.
#[derive(Serialize)]
enum LoginAnswer {
    #[serde(rename = "userId")]
    UserId(String),
    #[serde(rename = "errorMsg")]
    ErrorMsg(&'static str),
}

/// `/login?username=&password=`: whose password this is.
///
/// An unknown user and a wrong password get the same answer after the same time. That a user is disabled is told only to
/// who knows the password.
pub async fn login(State(app): State<Arc<App>>, _: ReservedCaller, parameters: Parameters) -> Result<Response, Error> {
    let name = parameters.require("username")?;
    let password = parameters.require("password")?;
    let user = users::by_name(&mut *app.database.read().await?, name).await?;
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let verdict = app
        .passwords
        .check(password.to_owned(), hash)
        .await
        .inspect_err(|error| {
            if matches!(error, password::Error::Saturated) {
                app.metrics.logins_saturated.add();
            }
        })?;
    let matches = !matches!(verdict, Verdict::Wrong);
    let answer = match user {
        Some(user) if matches && !user.is_disabled() => {
            app.metrics.logins_accepted.add();
            if let Verdict::Outdated(hash) = verdict {
                renew_hash(&app, &user, &hash).await;
            }
            LoginAnswer::UserId(user.id)
        }
        user => {
            app.metrics.logins_refused.add();
            let disabled = matches && user.is_some_and(|user| user.is_disabled());
            LoginAnswer::ErrorMsg(if disabled {
                "User is disabled"
            } else {
                "password invalid"
            })
        }
    };
    Ok(json(&answer))
}

/// Stores a better hash. Signing in does not fail because of it: there will be another time.
async fn renew_hash(app: &App, user: &User, hash: &str) {
    let renewed = async {
        let mut write = app.database.write().await?;
        users::renew_hash(&mut write, &user.id, &user.password_hash, hash).await?;
        db::commit(write).await
    };
    if let Err(cause) = renewed.await {
        tracing::warn!(%cause, user = user.id, "cannot replace the bcrypt hash of an imported user; trying again when they sign in next");
    }
}

/// `/getAllPermission`: the whole permission table.
pub async fn get_all_permission(State(app): State<Arc<App>>, _: ReservedCaller) -> Result<Response, Error> {
    let rows = permissions::all(&mut *app.database.read().await?).await?;
    Ok(json(&rows.into_iter().map(Row::from).collect::<Vec<_>>()))
}

/// `/getAllPermissionByUserId?userId=`: the rows a user has through roles; none for an unknown or disabled user. Which of
/// the two cases it is, no roles or no user, the header tells: the body is that of the legacy systems.
pub async fn get_all_permission_by_user_id(
    State(app): State<Arc<App>>,
    _: ReservedCaller,
    parameters: Parameters,
) -> Result<Response, Error> {
    let user_id = parameters.require("userId")?;
    let mut read = app.database.read().await?;
    let user = users::by_id(&mut read, user_id).await?;
    let rows = permissions::of_user(&mut read, user_id).await?;
    let is_active = user.is_some_and(|user| !user.is_disabled());
    let mut response = json(&rows.into_iter().map(Row::from).collect::<Vec<_>>());
    let said = HeaderValue::from_static(if is_active { "true" } else { "false" });
    response.headers_mut().insert(ACTIVE, said);
    Ok(response)
}

/// A permission row on the wire.
#[derive(Serialize)]
struct Row {
    name: String,
    description: String,
    /// A string: the original's clients read it as one.
    id: String,
    url: String,
}

impl From<permissions::Permission> for Row {
    fn from(row: permissions::Permission) -> Self {
        Self {
            name: row.name,
            description: row.description,
            id: row.id.to_string(),
            url: row.url,
        }
    }
}

fn json(body: &impl Serialize) -> Response {
    // Strings only: this cannot fail.
    ([(CONTENT_TYPE, JSON)], serde_json::to_vec(body).unwrap_or_default()).into_response()
}
