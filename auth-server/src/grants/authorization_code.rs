//! Authorization Code, RFC 6749 section 4.1, with PKCE (RFC 7636, S256) where the request had a challenge.
//!
//! A code is redeemed once: whoever comes second, be it a moment later, is refused. Some seconds later, the tokens that
//! the first one got are taken back as well, because one of the two has stolen the code (RFC 6749 section 4.1.2). Before
//! that it is a client that sent its request twice: a double click or a proxy's retry must not cost a login.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::app::App;
use crate::clock;
use crate::db::authorization_code::{self, AuthorizationCode};
use crate::db::client::Client;
use crate::db::{Write, access_token};
use crate::error::{Presented, Refusal};
use crate::issue::{Grantee, Issued, User, ensure_registered, issue_in, lives, token_hash};
use crate::revoke;

/// So long after its redemption a code that is shown again was merely sent twice.
const SENT_TWICE_MS: i64 = 10_000;

/// What a user allowed a client at the authorization endpoint.
pub struct Authorization<'a> {
    /// The client.
    pub client: &'a Client,
    /// Who allowed it.
    pub user: &'a User,
    /// In the order of the answer.
    pub scope: &'a [String],
    /// As the request named it; empty: it named none.
    pub redirect_uri: &'a str,
    /// Where the code is sent.
    pub sent_to: &'a str,
    /// The S256 challenge; empty: none.
    pub code_challenge: &'a str,
}

/// A code as it is shown at the token endpoint.
pub struct Shown<'a> {
    /// The code.
    pub code: &'a str,
    /// The redirect URI it was sent to; empty: none is named.
    pub redirect_uri: &'a str,
    /// The PKCE verifier; empty: none.
    pub code_verifier: &'a str,
}

/// Makes a code.
pub async fn authorize(app: &App, authorization: &Authorization<'_>) -> Result<String, Refusal> {
    let Authorization { client, user, .. } = authorization;
    let code = client.profile.code_value();
    let mut write = app.database.write_for(&client.client_id, &user.name).await?;
    ensure_registered(&mut write, client).await?;
    let row = AuthorizationCode {
        code_hash: token_hash(&code),
        profile: client.profile.name().to_owned(),
        client_id: client.client_id.clone(),
        user_id: user.id.clone(),
        user_name: user.name.clone(),
        scope: authorization.scope.join(" "),
        redirect_uri: authorization.redirect_uri.to_owned(),
        sent_to: authorization.sent_to.to_owned(),
        code_challenge: authorization.code_challenge.to_owned(),
        token_id: None,
        refresh_id: None,
        redeemed_at_ms: None,
        expires_at_ms: clock::now_ms() + client.profile.code_validity() * 1000,
    };
    authorization_code::insert(&mut write, &row).await?;
    write.commit().await?;
    Ok(code)
}

/// Exchanges a code for tokens.
pub async fn grant(app: &App, client: Arc<Client>, shown: &Shown<'_>) -> Result<Issued, Refusal> {
    let code_hash = token_hash(shown.code);
    // Looked up here to know whose authorities to ask for, and once more in the transaction, where it counts: no network
    // call while that is open.
    let found = authorization_code::find(&mut *app.database.read().await?, &code_hash).await?;
    let found = admit(found, &client, shown)?;
    let authorities = if found.token_id.is_none() && lives(Some(found.expires_at_ms), clock::now_ms()) {
        let authorities = app.login.authorities(&found.user_id).await?;
        authorities.ok_or_else(|| invalid(shown))?
    } else {
        Vec::new()
    };

    let mut write = app.database.write_for(&found.client_id, &found.user_name).await?;
    let now_ms = clock::now_ms();
    let found = authorization_code::find(&mut write, &code_hash).await?;
    let found = admit(found, &client, shown)?;
    if found.token_id.is_some() {
        if found.redeemed_at_ms.is_none_or(|at| now_ms - at > SENT_TWICE_MS) {
            take_back(&mut write, &found, now_ms).await?;
            // Committed before it is answered: a refusal must not undo a revocation.
            write.commit().await?;
        }
        return Err(invalid(shown));
    }
    if !lives(Some(found.expires_at_ms), now_ms) {
        return Err(invalid(shown));
    }
    ensure_registered(&mut write, &client).await?;
    let grantee = Grantee {
        grant: "authorization_code",
        client,
        user: Some(User {
            id: found.user_id,
            name: found.user_name,
        }),
        authorities,
        scope: found.scope.split(' ').map(str::to_owned).collect(),
    };
    let issued = issue_in(app, &mut write, &grantee, now_ms).await?;
    authorization_code::redeem(
        &mut write,
        &code_hash,
        &issued.token_id,
        issued.refresh_id.as_deref(),
        now_ms,
    )
    .await?;
    write.commit().await?;
    Ok(issued)
}

/// The S256 challenge of a verifier, RFC 7636 section 4.2.
pub fn challenge_of(code_verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(code_verifier))
}

/// Whether a code can be bound to a challenge of an authorization request, RFC 7636 section 4.3; an empty one is none.
/// `plain`, which the RFC makes the default, protects nothing.
pub fn check_challenge(code_challenge: &str, method: &str) -> Result<(), Refusal> {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match (code_challenge, method) {
        ("", "") => Ok(()),
        (challenge, "S256") if challenge.len() == 43 && challenge.bytes().all(is_base64url) => Ok(()),
        (_, "S256") => Err(Refusal::Malformed("code_challenge")),
        _ => Err(Refusal::Malformed("code_challenge_method")),
    }
}

/// A code of this client, shown as it was asked for; whether it is still good is another question.
fn admit(found: Option<AuthorizationCode>, client: &Client, shown: &Shown<'_>) -> Result<AuthorizationCode, Refusal> {
    let found = found
        .filter(|found| found.profile == client.profile.name())
        .ok_or_else(|| invalid(shown))?;
    // In the order of the original. Where the request named no URI, the one that the code was sent to may be named here.
    let named_later = !shown.redirect_uri.is_empty() && found.sent_to == shown.redirect_uri;
    if found.redirect_uri != shown.redirect_uri && !named_later {
        return Err(Refusal::RedirectMismatch);
    }
    if found.client_id != client.client_id {
        return Err(Refusal::ForeignCode);
    }
    let verified = match (found.code_challenge.as_str(), shown.code_verifier) {
        ("", "") => true,
        // A verifier without a challenge: somebody took the challenge out of the request (RFC 9700 section 4.8.2).
        ("", _) | (_, "") => false,
        (challenge, verifier) => challenge_of(verifier).as_bytes().ct_eq(challenge.as_bytes()).into(),
    };
    if verified {
        Ok(found)
    } else {
        Err(Refusal::WrongVerifier)
    }
}

/// Takes back what a code was exchanged for, and everything that was refreshed with it since.
async fn take_back(write: &mut Write, code: &AuthorizationCode, now_ms: i64) -> sqlx::Result<()> {
    if let Some(refresh_id) = &code.refresh_id {
        revoke::refresh_token(write, refresh_id, now_ms).await?;
    }
    if let Some(token_id) = &code.token_id
        && let Some(expires_at_ms) = access_token::expiry(write, token_id).await?
    {
        revoke::access_token(write, token_id, expires_at_ms, now_ms).await?;
    }
    Ok(())
}

fn invalid(shown: &Shown<'_>) -> Refusal {
    Refusal::InvalidCode(Presented(shown.code.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        // RFC 7636 appendix B
        assert_eq!(
            challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }
}
