//! What changes while the filter runs: keys, revocations, permissions, changed users, and the tokens seen lately.
//!
//! One VM has one [`State`]; the shell brings it the feeds' documents and the answers of its calls.

use std::rc::Rc;

use hashbrown::HashMap;

use crate::config::{Config, Issuer};
use crate::denial::Unavailable;
use crate::dpop::Nonces;
use crate::introspection::{Asked, Introspections, Question, UnknownToken};
use crate::jwk::{self, JwkError, Key};
use crate::key_source::{DiscoveryError, Jwks};
use crate::permission::{self, Conditions};
use crate::policy::TokenError;
use crate::principal::{Authorities, Caller, Principal};
use crate::remote_keys::{Arrived, KeysRequest, NamedKey, RemoteKeys, Step};
use crate::replay::{Remembered, UsedProof, UsedProofs};
use crate::revocation::Revocations;
use crate::route::{PatternError, Routes};
use crate::shared_keys::{Now, Place, SharedSet, Turn};
use crate::signature::{Native, Verifier};
use crate::snapshot::{Introspection, PermissionFeed, TokenFeed};
use crate::token_cache::{Spread, TokenCache};

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

/// An issuer and its keys.
#[derive(Debug)]
pub(crate) struct KnownIssuer {
    pub(crate) issuer: Rc<Issuer>,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    Inline(Vec<Key>),
    Remote(Box<RemoteKeys>),
}

/// How current a feed is.
#[derive(Debug, Default)]
struct Feed {
    version: Option<String>,
    /// A full snapshot has come in all its parts.
    complete: bool,
    /// Unix milliseconds of the last good answer.
    heard_at: u64,
}

#[derive(Debug)]
struct ChangedUser {
    /// Unix second of the change: authorities in tokens issued up to then are out of date.
    at: u64,
    /// Numbers the changes of this VM, as one user may change twice in a second.
    change: u64,
    /// Not disabled, not removed.
    active: bool,
    /// What the user may do since, once it was looked up.
    authorities: Option<Rc<Authorities>>,
}

/// Why a document of a feed was not taken. Ask again without `after`.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Not JSON of this shape.
    #[error("the document cannot be read: {0} (a server may not be newer than its gateways)")]
    Malformed(#[from] serde_json::Error),
    /// A delta to a version that is not ours.
    #[error("a delta to version {0} came, but we have another")]
    Gap(String),
    /// A full snapshot without its main part.
    #[error("a full snapshot without `{0}` came")]
    Incomplete(&'static str),
    /// An issuer without a usable key.
    #[error("an issuer of the feed: {0}")]
    Keys(#[from] JwkError),
    /// An issuer whose keys are somewhere else.
    #[error("an issuer of the feed has no keys inline")]
    Remote,
    /// A discovery document that says nothing.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
}

/// How long a login may take, in seconds: a token issued this soon after a change may still carry what was asked before.
const LOGIN: u64 = 10;

/// When so many changed users are known, and twice as many as the last full snapshot named, another one is asked for: they
/// would only ever become more. Until it is there, all of them count.
const CHANGED_USERS: usize = 10_000;

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

    /// The version of the token feed that we have, to be sent as `after`.
    pub fn token_version(&self) -> Option<&str> {
        self.token_feed.as_ref()?.version.as_deref()
    }

    /// The version of the permission feed that we have, to be sent as `after`.
    pub fn permission_version(&self) -> Option<&str> {
        self.permission_feed.as_ref()?.version.as_deref()
    }

    /// Whether every configured feed is there and current enough to decide by.
    pub fn available(&self, now: u64) -> Result<(), Unavailable> {
        for feed in [&self.token_feed, &self.permission_feed].into_iter().flatten() {
            if feed.version.is_none() || !feed.complete {
                return Err(Unavailable::NoSnapshot);
            }
            if now > feed.heard_at.saturating_add(self.max_stale) {
                return Err(Unavailable::Stale);
            }
        }
        Ok(())
    }

    /// The token feed had nothing new.
    pub fn tokens_unchanged(&mut self, now: u64) {
        heard(&mut self.token_feed, now);
    }

    /// The permission feed had nothing new.
    pub fn permissions_unchanged(&mut self, now: u64) {
        heard(&mut self.permission_feed, now);
    }

    /// Takes a document of the token feed: all of it, or nothing.
    pub fn apply_tokens(&mut self, document: &[u8], now: u64) -> Result<(), FeedError> {
        let document: TokenFeed = serde_json::from_slice(document)?;
        let full = check_since(&self.token_feed, document.since, document.issuers.is_none(), "issuers")?;
        let issuers = match &document.issuers {
            Some(issuers) => Some(
                issuers
                    .iter()
                    .map(KnownIssuer::from_feed)
                    .collect::<Result<Vec<_>, _>>()?,
            ),
            None => None,
        };
        if let Some(issuers) = issuers {
            self.issuers.truncate(self.configured);
            self.issuers.extend(issuers);
            self.forget_tokens();
        }
        let kinds = match document.introspection {
            None if full => Introspection::default(),
            None => self.introspections.kinds(),
            Some(kinds) => kinds,
        };
        if kinds != self.introspections.kinds() {
            self.introspections.set_kinds(kinds);
            self.forget_tokens();
        }
        if full {
            self.revocations.clear();
        }
        for (id, until) in &document.revoked_tokens {
            self.revocations.revoke_token(id, *until);
        }
        for (id, before, until) in &document.revoked_users {
            self.revocations.revoke_user(id, *before, *until);
        }
        for (id, before, until) in &document.revoked_clients {
            self.revocations.revoke_client(id, *before, *until);
        }
        let complete = !document.more || (!full && self.token_feed.as_ref().is_some_and(|feed| feed.complete));
        advance(&mut self.token_feed, document.version, complete, now);
        Ok(())
    }

    /// Takes a document of the permission feed: all of it, or nothing. Rows that cannot be read are reported.
    pub fn apply_permissions(&mut self, document: &[u8], now: u64) -> Result<Vec<PatternError>, FeedError> {
        let document: PermissionFeed = serde_json::from_slice(document)?;
        let full = check_since(
            &self.permission_feed,
            document.since,
            document.permissions.is_none(),
            "permissions",
        )?;
        let mut errors = Vec::new();
        if let Some(rows) = &document.permissions {
            (self.permissions, errors) = permission::compile(rows);
        }
        for row in &document.removed {
            permission::remove(&mut self.permissions, row);
        }
        for row in &document.added {
            errors.extend(permission::add(&mut self.permissions, row).err());
        }
        if full {
            self.changed_users = HashMap::default();
        }
        for (user, at, active) in document.changed_users {
            self.changes = self.changes.wrapping_add(1);
            let changed = ChangedUser {
                at,
                change: self.changes,
                active,
                authorities: None,
            };
            self.changed_users.insert(user.into(), changed);
        }
        advance(&mut self.permission_feed, document.version, true, now);
        // How long a change matters, only the login service knows: it leaves older ones out of a full snapshot.
        let most = self.changed_users_at_first.saturating_mul(2).max(CHANGED_USERS);
        if full {
            self.changed_users_at_first = self.changed_users.len();
        } else if self.changed_users.len() >= most {
            self.forget_permission_version();
        }
        Ok(errors)
    }

    /// The permission feed turned out to be of another time than ours: the next answer must be a full snapshot.
    pub fn forget_permission_version(&mut self) {
        forget(&mut self.permission_feed);
    }

    /// The token feed turned out to be of another time than ours: the next answer must be a full snapshot.
    pub fn forget_token_version(&mut self) {
        forget(&mut self.token_feed);
    }

    /// The last change of a user's authorities that we know of: the number to hand back to [`State::set_authorities`].
    pub fn change_of(&self, user: &str) -> Option<u64> {
        self.changed_users.get(user).map(|changed| changed.change)
    }

    /// What the login service said of a user, asked after `change`. If the user changed again meanwhile, the answer may be
    /// out of date, and is dropped.
    pub fn set_authorities(&mut self, user: &str, change: u64, names: Vec<String>) {
        if let Some(changed) = self.changed_users.get_mut(user)
            && changed.change == change
        {
            changed.authorities = Some(Rc::new(Authorities::new(names)));
        }
    }

    /// The remote key sets to fetch now, by the index of the issuer. They count as asked for. Call it at every tick.
    pub fn keys_due(&mut self, now: u64) -> Vec<usize> {
        let mut due = Vec::new();
        let mut expired = Vec::new();
        for (index, known) in self.issuers.iter_mut().enumerate() {
            if let Keys::Remote(keys) = &mut known.keys {
                if keys.expire(now) {
                    expired.push(index);
                }
                if keys.begin(now) {
                    due.push(index);
                }
            }
        }
        for index in expired {
            self.forget_tokens_of(index);
        }
        due
    }

    /// What to ask for next to have an issuer's keys.
    pub fn keys_request(&self, index: usize, now: u64) -> Option<KeysRequest> {
        Some(self.remote_keys(index)?.request(now))
    }

    /// An issuer's discovery document came: ask for the keys next. After an error call [`State::keys_failed`].
    pub fn keys_discovered(&mut self, index: usize, document: &[u8], now: u64) -> Result<(), FeedError> {
        match self.remote_keys_mut(index) {
            Some(keys) => keys.discovered(document, now),
            None => Ok(()),
        }
    }

    /// A remote key set came, and replaces the one before. Why none of its keys can be used, if that is so and is new. After
    /// an error, when it was no key set, call [`State::keys_failed`].
    pub fn set_keys(&mut self, index: usize, document: &[u8], now: u64) -> Result<Option<JwkError>, FeedError> {
        let arrived = match self.remote_keys_mut(index) {
            Some(keys) => keys.arrived(document, now)?,
            None => Arrived::Same,
        };
        if arrived != Arrived::Same {
            self.forget_tokens_of(index);
        }
        Ok(match arrived {
            Arrived::Unusable(none) => Some(none),
            Arrived::Same | Arrived::Changed => None,
        })
    }

    /// Whether a key set whose fetch began then (Unix milliseconds) is newer than the one that is here.
    pub fn keys_are_news(&self, index: usize, began: u64) -> bool {
        self.remote_keys(index).is_some_and(|keys| keys.is_news(began))
    }

    /// Takes the key set that another VM of the host fetched, in place of a fetch that is due; false: it says nothing to us.
    pub fn take_keys(&mut self, index: usize, set: &SharedSet<'_>, turn: Turn, now: u64) -> bool {
        let arrived = self
            .remote_keys_mut(index)
            .and_then(|keys| keys.take(set, turn.now, now));
        if matches!(arrived, Some(Arrived::Changed | Arrived::Unusable(_))) {
            self.forget_tokens_of(index);
        }
        arrived.is_some()
    }

    /// What is to be done about a fetch that is due, by what other VMs of the host do.
    pub fn keys_step(&mut self, index: usize, turn: Turn, now: u64) -> Step {
        let keys = self.remote_keys_mut(index);
        keys.map_or(Step::Wait, |keys| keys.step(turn.now, now))
    }

    /// A fetch is not made, as another VM of the host was a moment faster.
    pub fn keys_elsewhere(&mut self, index: usize, now: u64) {
        if let Some(keys) = self.remote_keys_mut(index) {
            keys.step(Now::Fetching, now);
        }
    }

    /// An issuer's keys as other VMs of the host take them, and when their fetch began; `None`: there are none to be shared.
    pub fn shared_keys(&self, index: usize, place: &Place) -> Option<(u64, Vec<u8>)> {
        self.remote_keys(index)?.shared(place)
    }

    /// How long nothing is fetched after a fetch that has just ended, in milliseconds.
    pub fn keys_pause(&self, index: usize) -> u64 {
        self.remote_keys(index).map_or(0, RemoteKeys::pause)
    }

    /// A remote key set did not come; the old keys stay.
    pub fn keys_failed(&mut self, index: usize, now: u64) {
        if let Some(keys) = self.remote_keys_mut(index) {
            keys.failed(now);
        }
    }

    fn remote_keys(&self, index: usize) -> Option<&RemoteKeys> {
        match &self.issuers.get(index)?.keys {
            Keys::Remote(keys) => Some(keys),
            Keys::Inline(_) => None,
        }
    }

    fn remote_keys_mut(&mut self, index: usize) -> Option<&mut RemoteKeys> {
        match &mut self.issuers.get_mut(index)?.keys {
            Keys::Remote(keys) => Some(keys),
            Keys::Inline(_) => None,
        }
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

    /// The same for one issuer of the configuration. What was refused may have been meant for it.
    fn forget_tokens_of(&mut self, index: usize) {
        let Some(known) = self.issuers.get(index) else { return };
        let issuer = known.issuer.clone();
        self.tokens.retain(|principal| principal.issuer != issuer.issuer);
        self.refused.clear();
        self.introspections.forget_asked(Asked::Issuer(index));
    }

    pub(crate) fn issuer(&self, index: usize) -> Option<&KnownIssuer> {
        self.issuers.get(index)
    }

    pub(crate) fn issuers(&self) -> impl Iterator<Item = (usize, &KnownIssuer)> {
        self.issuers.iter().enumerate()
    }

    /// Whether a key that an issuer does not have may come by a fetch.
    pub(crate) fn key_may_come(&self, index: usize, key: &NamedKey, now: u64) -> bool {
        self.remote_keys(index).is_some_and(|keys| keys.may_come(key, now))
    }

    /// A request waits for an issuer's keys, or for this one among them.
    pub(crate) fn want_keys(&mut self, index: usize, key: Option<NamedKey>, now: u64) {
        if let Some(keys) = self.remote_keys_mut(index) {
            keys.want(key, now);
        }
    }

    /// The caller behind a token, with the authorities that hold now.
    pub(crate) fn caller(&self, principal: &Rc<Principal>) -> Result<Caller, NoCaller> {
        let claims = &principal.claims;
        let own = || Caller {
            principal: principal.clone(),
            authorities: principal.authorities().clone(),
        };
        // Another issuer's user may have the same id as one of ours.
        let Some(user) = claims.user_id.as_deref().filter(|_| principal.ours) else {
            return Ok(own());
        };
        match self.changed_users.get(user) {
            None => Ok(own()),
            Some(changed) if !changed.active => Err(NoCaller::Gone),
            Some(changed)
                if claims
                    .issued_at
                    .is_some_and(|at| at / 1000 > changed.at.saturating_add(LOGIN)) =>
            {
                Ok(own())
            }
            Some(ChangedUser {
                authorities: Some(authorities),
                ..
            }) => Ok(Caller {
                principal: principal.clone(),
                authorities: authorities.clone(),
            }),
            Some(_) => Err(NoCaller::Changed(user.to_owned())),
        }
    }

    /// Whether the issuer with this index came with the auth server's feed.
    pub(crate) fn is_ours(&self, index: usize) -> bool {
        index >= self.configured
    }
}

/// Why a good token has no caller.
pub(crate) enum NoCaller {
    /// What this user may do changed, and must be looked up.
    Changed(String),
    /// The user was disabled or removed.
    Gone,
}

impl KnownIssuer {
    fn new(issuer: &Issuer) -> Result<Self, JwkError> {
        let keys = match &issuer.jwks {
            Some(Jwks::Inline { inline }) => Keys::Inline(jwk::key_set(inline)?),
            Some(Jwks::Remote(source)) => Keys::Remote(Box::new(RemoteKeys::new(source, issuer.issuer.as_deref()))),
            // It has no JWTs.
            None => Keys::Inline(Vec::new()),
        };
        Ok(Self {
            issuer: Rc::new(issuer.clone()),
            keys,
        })
    }

    fn from_feed(issuer: &Issuer) -> Result<Self, FeedError> {
        match issuer.jwks {
            Some(Jwks::Inline { .. }) => Ok(Self::new(issuer)?),
            _ => Err(FeedError::Remote),
        }
    }

    /// Its keys; `None`: a remote set that has not come yet, or not for too long.
    pub(crate) fn keys(&self, now: u64) -> Option<&[Key]> {
        match &self.keys {
            Keys::Inline(keys) => Some(keys),
            Keys::Remote(keys) => keys.current(now),
        }
    }
}

fn heard(feed: &mut Option<Feed>, now: u64) {
    if let Some(feed) = feed
        && feed.version.is_some()
    {
        feed.heard_at = now;
    }
}

fn advance(feed: &mut Option<Feed>, version: String, complete: bool, now: u64) {
    if let Some(feed) = feed {
        *feed = Feed {
            version: Some(version),
            complete,
            heard_at: now,
        };
    }
}

fn forget(feed: &mut Option<Feed>) {
    if let Some(feed) = feed
        && let Some(version) = &mut feed.version
    {
        // What we know stays in force until the full snapshot replaces it; only the question changes.
        version.clear();
    }
}

/// Whether the document is a full snapshot, or else a delta to exactly what we have.
fn check_since(
    feed: &Option<Feed>,
    since: Option<String>,
    without: bool,
    part: &'static str,
) -> Result<bool, FeedError> {
    match since {
        None if without => Err(FeedError::Incomplete(part)),
        None => Ok(true),
        Some(since) if feed.as_ref().and_then(|feed| feed.version.as_deref()) == Some(&since) => Ok(false),
        Some(since) => Err(FeedError::Gap(since)),
    }
}
