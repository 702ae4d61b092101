//! `/oauth/authorize` of profile `tkey`: the login page, and where it leads (RFC 6749 sections 4.1.1 and 4.2.1).
//!
//! Whatever is wrong with a request is told on a page of ours: a browser is sent to no other place than a redirect URI
//! that the client is registered with.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{Method, header};

use crate::app::App;
use crate::clock;
use crate::db::client::Client;
use crate::error::Refusal;
use crate::grants::authorization_code::{self, Authorization};
use crate::issue::{Grantee, User, issue};
use crate::pages::failure::Failure;
use crate::pages::login::LoginPage;
use crate::pages::{self, form_cookie, notice};
use crate::profiles::tkey::{self, known_client, optional, registered_redirect_uri, required, scope_of};
use crate::servlet::Request;
use crate::{form, sso, user_auth};

/// The parameters of an authorization request; the login form sends them along.
const PARAMETERS: [&str; 6] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "state",
    "code_challenge",
    "code_challenge_method",
];

/// `GET`: who is logged in goes on at once, everybody else is shown the login page.
pub async fn show(State(app): State<Arc<App>>, request: Request) -> Response {
    let asked = match Asked::read(&app, &request).await {
        Ok(asked) => asked,
        Err(refusal) => return turn_away(&app, &request, refusal),
    };
    let location = async {
        match sso::user(&app, request.mount.profile, &request.headers).await? {
            Some(user) => asked.allow(&app, &user).await.map(Some),
            None => Ok(None),
        }
    };
    match location.await {
        Ok(Some(location)) => pages::redirect(&location),
        Ok(None) => ask(&request, &asked, None),
        Err(refusal) => turn_away(&app, &request, refusal),
    }
}

/// `POST`: what the login page sends.
pub async fn log_in(State(app): State<Arc<App>>, request: Request) -> Response {
    let asked = match Asked::read(&app, &request).await {
        Ok(asked) => asked,
        Err(refusal) => return turn_away(&app, &request, refusal),
    };
    let logged_in = async {
        if form_cookie::is_forged(&request.headers, optional(&request, form_cookie::NAME)) {
            return Err(Refusal::ForgedForm);
        }
        let (user_name, password) = (required(&request, "username")?, required(&request, "password")?);
        let user = user_auth::authenticate(&app, user_name, password).await?;
        let location = asked.allow(&app, &user).await?;
        let is_remembered =
            optional(&request, "bool_is_remember_me").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let lifetime_s = if is_remembered {
            tkey::REMEMBERED_S
        } else {
            tkey::SESSION_S
        };
        let cookie = sso::begin(&app, &request.mount, &request.headers, &user, lifetime_s).await?;
        Ok((location, cookie))
    };
    match logged_in.await {
        Ok((location, cookie)) => {
            let mut response = pages::redirect(&location);
            response.headers_mut().append(header::SET_COOKIE, cookie);
            response
        }
        Err(refusal) => ask(&request, &asked, Some(&tkey::note(&app, &request.path, refusal))),
    }
}

/// An authorization request that may be answered at its redirect URI.
struct Asked<'a> {
    client: Arc<Client>,
    redirect_uri: &'a str,
    response_type: ResponseType,
    state: Option<&'a str>,
    code_challenge: &'a str,
}

enum ResponseType {
    Code,
    Token,
}

impl<'a> Asked<'a> {
    /// The checks in the order of the original.
    async fn read(app: &App, request: &'a Request) -> Result<Self, Refusal> {
        let client = known_client(app, request, optional(request, "client_id")).await?;
        let redirect_uri = registered_redirect_uri(request, &client)?;
        // The original does not look at it where it takes the form, and gives a code.
        let name = match optional(request, "response_type") {
            None if request.method == Method::POST => "code".to_owned(),
            _ => required(request, "response_type")?.to_ascii_lowercase(),
        };
        let response_type = match name.as_str() {
            "code" if client.may_use("authorization_code") => ResponseType::Code,
            "token" => ResponseType::Token,
            _ => return Err(Refusal::Malformed("response_type")),
        };
        if !client.response_types.contains(&name) {
            return Err(Refusal::Malformed("response_type"));
        }
        let code_challenge = optional(request, "code_challenge").unwrap_or_default();
        let method = optional(request, "code_challenge_method").unwrap_or_default();
        authorization_code::check_challenge(code_challenge, method)?;
        Ok(Self {
            client,
            redirect_uri,
            response_type,
            state: optional(request, "state"),
            code_challenge,
        })
    }

    /// The address to go on at, with what the client asked for.
    async fn allow(&self, app: &App, user: &User) -> Result<String, Refusal> {
        let scope = scope_of(&self.client);
        let state = self.state.map(|state| ("state", state));
        match self.response_type {
            ResponseType::Code => {
                let authorization = Authorization {
                    client: &self.client,
                    user,
                    scope: &scope,
                    redirect_uri: self.redirect_uri,
                    sent_to: self.redirect_uri,
                    code_challenge: self.code_challenge,
                };
                let code = authorization_code::authorize(app, &authorization).await?;
                let parameters = [("code", code.as_str())].into_iter().chain(state);
                Ok(pages::with_query(self.redirect_uri, parameters))
            }
            ResponseType::Token => {
                let authorities = app.login.authorities(&user.id).await?;
                let grantee = Grantee {
                    grant: tkey::IMPLICIT,
                    client: Arc::clone(&self.client),
                    user: Some(user.clone()),
                    authorities: authorities.ok_or_else(|| Refusal::BadUserCredentials("User is disabled".into()))?,
                    scope,
                };
                let issued = issue(app, &grantee, clock::now_ms()).await?;
                app.metrics.issued(tkey::IMPLICIT, issued.repeated);
                let expires_in = tkey::lifetime(&issued).map(|seconds| seconds.to_string());
                let expires_in = expires_in.as_deref().map(|seconds| ("expires_in", seconds));
                // Without a refresh token, unlike in the original: fragments stay in histories.
                let parameters = [("access_token", issued.access_token.as_str()), ("token_type", "Bearer")];
                let parameters = parameters.into_iter().chain(expires_in).chain(state);
                Ok(format!("{}#{}", self.redirect_uri, form::encode(parameters)))
            }
        }
    }
}

/// The login page, with what went wrong before.
fn ask(request: &Request, asked: &Asked<'_>, failure: Option<&Failure>) -> Response {
    let page = LoginPage {
        request,
        client_id: &asked.client.client_id,
        redirect_uri: asked.redirect_uri,
        parameters: &PARAMETERS,
        is_remembered: Some(optional(request, "bool_is_remember_me").is_some()),
        failure,
    };
    page.answer()
}

/// A page that says what is wrong with the request: there is nowhere to send the browser. As in the original, with 200.
fn turn_away(app: &App, request: &Request, refusal: Refusal) -> Response {
    let failure = tkey::note(app, &request.path, refusal);
    notice::turn_away(&request.headers, failure.page_status(), &failure)
}
