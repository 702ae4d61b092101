//! What becomes of a request: it may pass, it may not, or that cannot be said yet.

use crate::denial::{Denial, Unavailable};
use crate::forwarded::Unchecked;
use crate::introspection::UnknownToken;
use crate::principal::Caller;
use crate::replay::UsedProof;

/// May it pass?
#[derive(Debug)]
pub enum Decision {
    /// Yes.
    Allow(Allowed),
    /// No.
    Deny(Denial),
    /// That cannot be said before this is known. Fetch it, and decide again; if it cannot be had, refuse with
    /// [`Need::unavailable`].
    Need(Need),
}

/// A request that may pass.
#[derive(Debug)]
pub struct Allowed {
    /// Who is calling; `None` on a public path.
    pub caller: Option<Caller>,
    /// `:path` in canonical form, when it differs from what came: this is what must go upstream.
    pub rewritten: Option<String>,
    /// In shadow mode: what would have become of it otherwise. Such a request never waits.
    pub shadowed: Option<Shadowed>,
    /// A proof that must not have been used before: [`State::remember`], and what other VMs remember. Who does not look
    /// lets replays pass.
    pub proof: Option<UsedProof>,
    /// On a public path: what becomes of the token that nobody looked at.
    pub(crate) public: Option<Unchecked>,
}

/// What a request that passes in shadow mode would have met.
#[derive(Debug)]
pub enum Shadowed {
    /// A refusal.
    Denial(Denial),
    /// That cannot be said before this is known. Fetch it for the requests that will come.
    Need(Need),
}

/// What a decision waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Need {
    /// The first snapshots of the feeds.
    Snapshots,
    /// The key set of the issuer with this index.
    Keys(usize),
    /// What this user may do now.
    Authorities(String),
    /// What the auth server says of this token.
    Introspection(UnknownToken),
    /// The certificate of the client, of the host: put it into the request and decide again at once.
    ClientCertificate,
}

impl Need {
    /// The refusal when it cannot be had.
    pub fn unavailable(&self) -> Denial {
        Denial::Unavailable(match self {
            Need::Snapshots => Unavailable::NoSnapshot,
            Need::Keys(_) => Unavailable::Keys,
            Need::Authorities(_) => Unavailable::Authorities,
            Need::Introspection(_) => Unavailable::Introspection,
            Need::ClientCertificate => Unavailable::Certificate,
        })
    }
}
