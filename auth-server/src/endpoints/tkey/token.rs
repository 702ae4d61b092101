//! `GET` and `POST /oauth/token` of profile `tkey`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use crate::app::App;
use crate::db::client::Client;
use crate::endpoints::token::note_deprecation;
use crate::error::{Presented, Refusal};
use crate::grants::authorization_code::Shown;
use crate::grants::{authorization_code, client_credentials, password, refresh_token};
use crate::issue::Issued;
use crate::profiles::tkey::{self, ShownClient, of_kind, optional, registered_redirect_uri, required, scope_of};
use crate::servlet::Request;

/// Authenticates the client, runs the grant, and answers with the tokens or the refusal.
pub async fn token(State(app): State<Arc<App>>, request: Request) -> Response {
    match grant(&app, &request).await {
        Ok((grant, issued)) => {
            app.metrics.issued(grant, issued.repeated);
            let mut response = tkey::token_answer(grant, &issued);
            note_deprecation(&app, grant, &mut response);
            response
        }
        Err(refusal) => tkey::refuse(&app, &request.path, refusal),
    }
}

/// The checks in the order of the original, which is another one for each grant type. Unlike there, a client may use only
/// the grants it is registered for, and the password grant asks for its secret too.
async fn grant(app: &App, request: &Request) -> Result<(&'static str, Issued), Refusal> {
    let client = ShownClient::read(request);
    match optional(request, "grant_type").ok_or(Refusal::MissingGrantType)? {
        "authorization_code" => {
            let code = required(request, "code")?;
            client.secret()?;
            of_kind(code, "code", "OC-")?;
            let redirect_uri = registered_redirect_uri(request, &*client.known(app, request).await?)?;
            let client = client.authenticate(app, request).await?;
            let grant = may_use(&client, "authorization_code")?;
            let shown = Shown {
                code,
                redirect_uri,
                code_verifier: optional(request, "code_verifier").unwrap_or_default(),
            };
            Ok((grant, authorization_code::grant(app, client, &shown).await?))
        }
        "client_credentials" => {
            let client = client.authenticate(app, request).await?;
            let grant = may_use(&client, "client_credentials")?;
            let scope = scope_of(&client);
            Ok((grant, client_credentials::grant(app, client, scope).await?))
        }
        "password" => {
            let client = client.authenticate(app, request).await?;
            let grant = may_use(&client, "password")?;
            let (user_name, password) = (required(request, "username")?, required(request, "password")?);
            let scope = scope_of(&client);
            Ok((grant, password::grant(app, client, scope, user_name, password).await?))
        }
        "refresh_token" => {
            let token = required(request, "refresh_token")?;
            client.secret()?;
            of_kind(token, "refresh_token", "RT-")?;
            let client = client.authenticate(app, request).await?;
            let grant = may_use(&client, "refresh_token")?;
            Ok((grant, refresh_token::grant(app, client, Vec::new(), token).await?))
        }
        other => Err(Refusal::UnsupportedGrantType(Presented(other.to_owned()))),
    }
}

fn may_use(client: &Client, grant: &'static str) -> Result<&'static str, Refusal> {
    if client.may_use(grant) {
        Ok(grant)
    } else {
        Err(Refusal::GrantNotRegistered(grant))
    }
}
