//! `/oauth/authorize` of profile `spring`: the login page, and the code it leads to (RFC 6749 section 4.1.1).
//!
//! What is wrong with the client or its redirect URI is told on a page of ours: a browser is sent to no other place than a
//! redirect URI that the client is registered with. Everything else is told there (section 4.1.2.1).

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use crate::app::App;
use crate::db::client::Client;
use crate::endpoints::token::effective_scope;
use crate::error::{Presented, Refusal};
use crate::grants::authorization_code::{self, Authorization};
use crate::pages::failure::{Failure, failure};
use crate::pages::login::LoginPage;
use crate::pages::{self, form_cookie, notice};
use crate::profiles::spring;
use crate::servlet::Request;
use crate::user_auth;

/// The parameters of an authorization request; the login form sends them along.
const PARAMETERS: [&str; 7] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
];

/// `GET`: the login page.
pub async fn show(State(app): State<Arc<App>>, request: Request) -> Response {
    let destination = match Destination::read(&app, &request).await {
        Ok(destination) => destination,
        Err(refusal) => return turn_away(&app, &request, refusal),
    };
    match Asked::read(&destination.client, &request) {
        Ok(_) => ask(&request, &destination, None),
        Err(refusal) => destination.refuse(&app, &request, refusal),
    }
}

/// `POST`: what the login page sends.
pub async fn log_in(State(app): State<Arc<App>>, request: Request) -> Response {
    let destination = match Destination::read(&app, &request).await {
        Ok(destination) => destination,
        Err(refusal) => return turn_away(&app, &request, refusal),
    };
    let asked = match Asked::read(&destination.client, &request) {
        Ok(asked) => asked,
        Err(refusal) => return destination.refuse(&app, &request, refusal),
    };
    match allow(&app, &request, &destination, &asked).await {
        Ok(code) => destination.go([("code", code.as_str())]),
        Err(refusal) => ask(&request, &destination, Some(&told(&app, &request, refusal))),
    }
}

/// Where the answer is sent.
struct Destination<'a> {
    client: Arc<Client>,
    /// As the request named it; `None`: it named none, and the client has only one.
    named: Option<&'a str>,
    uri: String,
    state: Option<&'a str>,
}

impl<'a> Destination<'a> {
    async fn read(app: &App, request: &'a Request) -> Result<Self, Refusal> {
        let parameter = |name| request.parameters.get(name).filter(|value| !value.is_empty());
        let client_id = parameter("client_id").ok_or(Refusal::UnknownClient)?;
        let profile = request.mount.profile;
        let client = app.clients.of_profile(&app.database, profile, client_id).await?;
        let client = client.ok_or(Refusal::UnknownClient)?;
        let named = parameter("redirect_uri");
        let registered = match (named, client.redirect_uris.as_slice()) {
            (Some(named), registered) => registered.iter().find(|uri| *uri == named),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let uri = registered
            .filter(|_| client.may_use("authorization_code"))
            .cloned()
            .ok_or(Refusal::UnregisteredRedirectUri)?;
        Ok(Self {
            client,
            named,
            uri,
            state: parameter("state"),
        })
    }

    /// Sends the browser there.
    fn go<const N: usize>(&self, parameters: [(&str, &str); N]) -> Response {
        let state = self.state.map(|state| ("state", state));
        pages::redirect(&pages::with_query(&self.uri, parameters.into_iter().chain(state)))
    }

    fn refuse(&self, app: &App, request: &Request, refusal: Refusal) -> Response {
        let (error, description) = spring::told(app, &request.path, refusal);
        self.go([("error", error), ("error_description", &description)])
    }
}

/// What is asked for there.
struct Asked<'a> {
    scope: Vec<String>,
    code_challenge: &'a str,
}

impl<'a> Asked<'a> {
    fn read(client: &Client, request: &'a Request) -> Result<Self, Refusal> {
        let parameter = |name| request.parameters.get(name).unwrap_or_default();
        let response_type = parameter("response_type");
        if response_type != "code" || !client.response_types.iter().any(|name| name == "code") {
            return Err(Refusal::UnsupportedResponseType(Presented(response_type.to_owned())));
        }
        let code_challenge = parameter("code_challenge");
        authorization_code::check_challenge(code_challenge, parameter("code_challenge_method"))?;
        Ok(Self {
            scope: effective_scope(client, &request.scope())?,
            code_challenge,
        })
    }
}

/// Authenticates the user and makes a code.
async fn allow(
    app: &App,
    request: &Request,
    destination: &Destination<'_>,
    asked: &Asked<'_>,
) -> Result<String, Refusal> {
    if form_cookie::is_forged(&request.headers, request.parameters.get(form_cookie::NAME)) {
        return Err(Refusal::ForgedForm);
    }
    let entered = |name| {
        let value = request.parameters.get(name).filter(|value| !value.is_empty());
        value.ok_or(Refusal::MissingParameter(name))
    };
    let (user_name, password) = (entered("username")?, entered("password")?);
    let user = user_auth::authenticate(app, user_name, password).await?;
    let authorization = Authorization {
        client: &destination.client,
        user: &user,
        scope: &asked.scope,
        redirect_uri: destination.named.unwrap_or_default(),
        sent_to: &destination.uri,
        code_challenge: asked.code_challenge,
    };
    authorization_code::authorize(app, &authorization).await
}

/// The login page, with what went wrong before.
fn ask(request: &Request, destination: &Destination<'_>, failure: Option<&Failure>) -> Response {
    let page = LoginPage {
        request,
        client_id: &destination.client.client_id,
        redirect_uri: &destination.uri,
        parameters: &PARAMETERS,
        is_remembered: None,
        failure,
    };
    page.answer()
}

/// A page that says what is wrong with the request: there is nowhere to send the browser.
fn turn_away(app: &App, request: &Request, refusal: Refusal) -> Response {
    let failure = told(app, request, refusal);
    notice::turn_away(&request.headers, failure.status, &failure)
}

/// What people are told; counted and logged as what clients are told.
fn told(app: &App, request: &Request, refusal: Refusal) -> Failure {
    let failure = failure(&refusal);
    spring::told(app, &request.path, refusal);
    failure
}
