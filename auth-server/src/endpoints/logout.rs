//! `/logout`: takes back the presented access token and the refresh token it was given with, whichever profile issued it:
//! who shows it wants it gone. Any method; the body is never read, whatever its content type says (clients send
//! `multipart/form-data` without a body).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use crate::app::App;
use crate::clock;
use crate::db::access_token;
use crate::error::{Presented, Refusal};
use crate::imported::{self, Kind};
use crate::known_tokens;
use crate::profiles::spring;
use crate::revoke;

/// Answers 200 without a body, also when there was nothing left to take back.
pub async fn logout(State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap) -> Response {
    let no_store = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
    ];
    match log_out(&app, &headers).await {
        Ok(()) => (StatusCode::OK, no_store).into_response(),
        Err(refusal) => spring::refuse(&app, uri.path(), refusal),
    }
}

async fn log_out(app: &App, headers: &HeaderMap) -> Result<(), Refusal> {
    let token = spring::bearer(headers).ok_or(Refusal::NoBearerToken)?;
    let found = known_tokens::stored(app, &mut *app.database.read().await?, token).await?;
    match found {
        Some(found) => {
            let mut write = app.database.write_for(&found.client_id, &found.user_name).await?;
            let now_ms = clock::now_ms();
            // Once more, where it counts: a refresh may have come between.
            let Some(found) = access_token::by_id(&mut write, &found.token_id).await? else {
                return Ok(());
            };
            match &found.refresh_id {
                Some(refresh_id) => revoke::refresh_token(&mut write, refresh_id, now_ms).await?,
                None => revoke::access_token(&mut write, &found.token_id, found.expires_at_ms, now_ms).await?,
            }
            write.commit().await?;
            Ok(())
        }
        None => {
            match imported::find(app, Kind::Access, token).await? {
                Some(imported) => imported::log_out(app, &imported).await,
                // A JWT that is not known (any more) is logged out already.
                None if token.split('.').count() == 3 => Ok(()),
                None => Err(Refusal::BadBearerToken(Presented(token.to_owned()))),
            }
        }
    }
}
