//! Why a request was refused. Variants state facts; the profile's one match picks the public answer.

use std::fmt;
use std::sync::Arc;

use crate::login::LoginError;

/// A refusal.
#[derive(Debug)]
pub enum Refusal {
    /// No client credentials were presented.
    NoClientCredentials,
    /// `Authorization: Basic` without credentials in it; the text says what is wrong with it.
    MalformedBasic(&'static str),
    /// Unknown client or wrong secret, by HTTP Basic.
    BadBasicCredentials,
    /// Unknown client or wrong secret, by form parameters.
    BadFormCredentials,
    /// The parameter `client_id` names another client than the one that authenticated.
    ClientMismatch,
    /// A scope that the client is not registered for.
    InvalidScope { scope: Presented, registered: Vec<String> },
    /// Nothing is left to grant.
    EmptyScope,
    /// No grant type.
    MissingGrantType,
    /// A grant type that the profile does not know.
    UnsupportedGrantType(Presented),
    /// The implicit grant has no business at the token endpoint.
    ImplicitAtTokenEndpoint,
    /// The client is not registered for the grant.
    GrantNotRegistered(&'static str),
    /// The login service refused user name and password; its own words.
    BadUserCredentials(String),
    /// No refresh token was presented.
    MissingRefreshToken,
    /// Not a living refresh token of this profile.
    InvalidRefreshToken(Presented),
    /// A refresh token of another client.
    ForeignRefreshToken(Presented),
    /// A refresh token that has expired.
    ExpiredRefreshToken(Presented),
    /// A refresh may not widen the scope.
    WiderScope { requested: Presented, granted: Vec<String> },
    /// No code was presented.
    MissingCode,
    /// Another response type than the client may use.
    UnsupportedResponseType(Presented),
    /// Not a code that can be redeemed: unknown, expired, or redeemed already.
    InvalidCode(Presented),
    /// A code of another client.
    ForeignCode,
    /// A code is redeemed with another redirect URI than it was sent to.
    RedirectMismatch,
    /// The code verifier (RFC 7636) is not the one that the challenge was made from, or one of the two is missing.
    WrongVerifier,
    /// The HTTP method is none of this endpoint's, which wants POST.
    MethodNotAllowed(String),
    /// The HTTP method is none of this endpoint's, which wants GET or POST.
    NeitherGetNorPost(String),
    /// A request parameter that the endpoint cannot do without.
    MissingParameter(&'static str),
    /// The body is longer than any request of this server has reason to be.
    BodyTooLarge,
    /// A request parameter whose value cannot be one.
    Malformed(&'static str),
    /// No client has this id.
    UnknownClient,
    /// The client is not registered with this redirect URI.
    UnregisteredRedirectUri,
    /// A login form that does not come from our own page.
    ForgedForm,
    /// The presented access token was never issued, or is gone.
    UnknownToken,
    /// The presented access token has expired.
    ExpiredToken,
    /// The client of the presented access token was removed.
    ClientGone(String),
    /// A bearer token is needed, and there is none.
    NoBearerToken,
    /// A bearer token that cannot be one of this server.
    BadBearerToken(Presented),
    /// A JWT that no key of the profile signed, or no JWT, where the original looks at signatures only.
    UnreadableToken,
    /// A refresh token in the place of an access token, likewise.
    RefreshTokenAsAccessToken,
    /// A parameter that carries a secret stands in the query.
    SecretInQuery(&'static str),
    /// Too many attempts at one user are under way.
    TooManyAttempts,
    /// The bearer token was never issued here, or is gone.
    UnknownBearerToken(Presented),
    /// The bearer token has expired.
    ExpiredBearerToken(Presented),
    /// The client of the bearer token was removed.
    ClientOfBearerGone(String),
    /// The bearer token lacks a scope.
    InsufficientScope(&'static str),
    /// No client can have this id; the text says why.
    UnusableClientId(&'static str),
    /// A client of this id is registered already.
    ClientExists(Presented),
    /// No client of this id is registered.
    NoSuchClient(Presented),
    /// There is nothing at this path.
    NotFound,
    /// As many secrets as can be are being checked.
    Saturated,
    /// The login service did not answer as it should.
    Login(LoginError),
    /// The database failed.
    Storage(Arc<sqlx::Error>),
    /// What was read from the database contradicts itself.
    Corrupt(&'static str),
}

impl Refusal {
    /// Logs what an operator must know of it.
    pub fn log(&self, path: &str) {
        match self {
            Self::Storage(error) => tracing::error!(path, %error, "the database failed"),
            Self::Corrupt(what) => tracing::error!(path, "the database contradicts itself: {what}"),
            Self::Login(error) => tracing::error!(path, %error, "the login service gave no usable answer"),
            refusal => tracing::debug!(path, ?refusal, "refused"),
        }
    }
}

/// A text as it was presented: a token, or something in whose place somebody may have pasted one. Some answers must repeat
/// it; no log may.
pub struct Presented(pub String);

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Storage(Arc::new(error))
    }
}

impl From<Arc<sqlx::Error>> for Refusal {
    fn from(error: Arc<sqlx::Error>) -> Self {
        Self::Storage(error)
    }
}

impl From<LoginError> for Refusal {
    fn from(error: LoginError) -> Self {
        Self::Login(error)
    }
}
