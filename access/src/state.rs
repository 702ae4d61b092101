//! What changes while the filter runs: keys, revocations, permissions, changed users, and the tokens seen lately.
//!
//! One VM has one [`State`]; the shell brings it the feeds' documents and the answers of its calls.

mod changed_users;
mod feeds;
mod issuers;

use std::rc::Rc;

use hashbrown::HashMap;

use crate::config::Config;
use crate::dpop::Nonces;
use crate::introspection::{Introspections, Question, UnknownToken};
use crate::jwk::JwkError;
use crate::permission::Conditions;
use crate::policy::TokenError;
use crate::principal::Principal;
use crate::replay::{Remembered, UsedProof, UsedProofs};
use crate::revocation::Revocations;
use crate::route::Routes;
use crate::signature::{Native, Verifier};
use crate::token_cache::{Spread, TokenCache};
use changed_users::ChangedUser;
use feeds::Feed;
use issuers::KnownIssuer;

pub(crate) use changed_users::NoCaller;
pub use feeds::FeedError;

/// Everything a decision needs beside the policy.
#[derive(Debug)]
pub struct State {
    /// Those of the configuration, which stay, and after them those of the feed.
    issuers: Vec<KnownIssuer>,
    configured: usize,
    pub(crate) verifier: Verifier,
    pub(crate) revocations: Revocations,
    pub(crate) permissions: Routes<Conditions>,
    changed_users: HashMap<Box<str>, ChangedUser, foldhash::fast::FixedState>,
    /// How many users the last full snapshot named.
    changed_users_at_first: usize,
    /// How many changes of users were seen.
    changes: u64,
    /// Who a token speaks of that was found good.
    pub(crate) tokens: TokenCache<Rc<Principal>>,
    /// Why a token was refused, and until when it will be (Unix milliseconds).
    pub(crate) refused: TokenCache<(TokenError, u64)>,
    pub(crate) introspections: Introspections,
    /// The nonces that DPoP proofs may need.
    pub(crate) nonces: Nonces,
    used_proofs: UsedProofs,
    token_feed: Option<Feed>,
    permission_feed: Option<Feed>,
    max_stale: u64,
}

/// How much memory the good tokens seen lately may take, in bytes.
const TOKEN_BUDGET: usize = 8 * 1024 * 1024;

/// What a good token takes beside its text and the principal: its place in the table, which is half empty at worst.
const TOKEN: usize = 64;

/// How much memory the tokens refused lately may take, and what each takes beside its text.
const REFUSED_BUDGET: usize = 1024 * 1024;
const REFUSED: usize = 128;

impl State {
    /// For a configuration whose inline key sets are good. `seed` is random.
    pub fn new(config: &Config, seed: u64) -> Result<Self, JwkError> {
        let issuers = config
            .issuers
            .iter()
            .map(KnownIssuer::new)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            configured: issuers.len(),
            issuers,
            verifier: Verifier::default(),
            revocations: Revocations::new(seed),
            permissions: Routes::default(),
            changed_users: HashMap::default(),
            changed_users_at_first: 0,
            changes: 0,
            tokens: TokenCache::new(TOKEN_BUDGET, TOKEN, Spread::Ends, seed.rotate_left(32)),
            refused: TokenCache::new(REFUSED_BUDGET, REFUSED, Spread::All, seed.rotate_left(16)),
            introspections: Introspections::new(&config.issuers),
            nonces: Nonces::new(&seed.to_le_bytes(), 1),
            used_proofs: UsedProofs::new(&seed.to_le_bytes()),
            token_feed: config.auth_server.as_ref().map(|_| Feed::default()),
            permission_feed: config.login_service.as_ref().map(|_| Feed::default()),
            max_stale: config.max_stale.millis,
        })
    }

    /// Lets the host look at signatures, as far as it shows that it can. See [`Verifier::adopt`].
    pub fn adopt_native(&mut self, native: Native) {
        self.verifier.adopt(native);
    }

    /// Who looks at signatures.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Takes the random secret that nonces are made with. All VMs of a host must have the same, or a client would be given
    /// another nonce for ever. A secret of the configuration comes before it.
    pub fn set_nonce_secret(&mut self, config: &Config, random: &[u8]) {
        let dpop = config.dpop.clone().unwrap_or_default();
        let secret = dpop.nonce_secret.as_deref().map_or(random, str::as_bytes);
        self.nonces = Nonces::new(secret, dpop.nonce_lifetime.millis);
    }

    /// Takes the random secret that all VMs of the host have, and what this plugin is called in all of them: by both, a used
    /// proof is the same to each of these VMs and to nobody else.
    pub fn share_proofs(&mut self, secret: &[u8], plugin: &[u8]) {
        self.used_proofs = UsedProofs::shared(secret, plugin);
    }

    /// Whether other VMs can tell that a proof was used here. If not, say so and refuse.
    pub fn shares_proofs(&self) -> bool {
        self.used_proofs.are_shared()
    }

    pub(crate) fn used_proofs(&self) -> &UsedProofs {
        &self.used_proofs
    }

    /// Looks whether this VM has seen a proof, and remembers it.
    pub fn remember(&mut self, proof: &UsedProof, now: u64) -> Remembered {
        self.used_proofs.remember(proof, now)
    }

    /// A request waits for what the auth server says of a token.
    pub fn want_introspection(&mut self, token: &UnknownToken) {
        self.introspections.want(token);
    }

    /// Whether the question about a token is open: one that was forgotten is to be asked again.
    pub fn asks_about(&self, token: &UnknownToken) -> bool {
        self.introspections.is_open(token)
    }

    /// Whether there are questions to send.
    pub fn introspections_wanted(&self) -> bool {
        self.introspections.wanted(false)
    }

    /// Whether there are questions that were put off.
    pub fn introspections_put_off(&self) -> bool {
        self.introspections.wanted(true)
    }

    /// Another VM asks this: it is due again after that time (Unix milliseconds).
    pub fn put_introspection_off(&mut self, question: &Question, until: u64) {
        self.introspections.put_off(question, until);
    }

    /// The questions about tokens that are to be sent to the auth server now. Each is answered by
    /// [`Policy::introspected`](crate::policy::Policy::introspected) or [`State::introspection_failed`].
    pub fn introspections_due(&mut self, now: u64) -> Vec<Question> {
        self.introspections.due(now)
    }

    /// Whether an answer to this question still counts: it was sent, and nothing has changed since that makes it old.
    pub fn still_asks(&self, question: &Question) -> bool {
        self.introspections.still_asks(question)
    }

    /// The auth server did not answer a question.
    pub fn introspection_failed(&mut self, question: &Question) {
        self.introspections.close(question);
    }

    /// Drops what has expired. Call it now and then; `now` in Unix milliseconds.
    pub fn sweep(&mut self, now: u64) {
        self.revocations.sweep(now / 1000);
    }

    /// The authorities of which one permits this, if the permission table names the path.
    pub fn permission(&self, path: &str, method: &str) -> Option<&[String]> {
        self.permissions
            .find(path, "", method)
            .map(|conditions| conditions.any_authority.as_slice())
    }

    /// How many revocations are in force.
    pub fn revocations(&self) -> usize {
        self.revocations.len()
    }

    /// Whose tokens are good has changed: what was known of them was known under other keys.
    pub fn forget_tokens(&mut self) {
        self.tokens.clear();
        self.refused.clear();
        self.introspections.forget();
    }
}
