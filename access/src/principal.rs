//! Who is calling: what a verified token says, ready for the rules and for the upstream.

use std::fmt::Write;
use std::rc::Rc;

use crate::claims::Claims;
use crate::config::Forward;
use crate::equal::equal;
use crate::revocation::Marks;

/// A verified identity. It is cached per token; the decision of a rule never is.
#[derive(Debug, Clone)]
pub struct Principal {
    /// What the token says.
    pub claims: Claims,
    /// By what the token can be revoked.
    pub marks: Marks,
    /// Whether it is a token of our own auth server, and its user one of our login service's.
    pub ours: bool,
    /// What the issuer is called, if it is not our own auth server.
    pub issuer: Option<String>,
    /// Unix milliseconds at which somebody must be asked again who this is; `None`: never.
    pub until: Option<u64>,
    /// What the upstream may be given in place of an opaque token.
    pub jwt: Option<Box<str>>,
    /// The identity headers but that of the authorities: name and value.
    headers: Vec<(String, String)>,
    /// The authorities that the token itself carries.
    authorities: Rc<Authorities>,
}

/// Up to so many names are looked at one by one.
const FEW: usize = 8;

/// A set of authorities and the header value that tells them to the upstream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Authorities {
    /// Sorted, none twice.
    names: Vec<String>,
    header: String,
}

impl Authorities {
    /// From names in any order.
    pub fn new(mut names: Vec<String>) -> Self {
        names.sort_unstable();
        names.dedup();
        let header = names
            .iter()
            .map(|name| header_value(name, b','))
            .collect::<Vec<_>>()
            .join(",");
        Self { names, header }
    }

    /// Whether the authority is held: of a few names, most are told apart by their lengths.
    pub fn holds(&self, name: &str) -> bool {
        if self.names.len() > FEW {
            return self.names.binary_search_by(|held| held.as_str().cmp(name)).is_ok();
        }
        self.names.iter().any(|held| equal(held.as_bytes(), name.as_bytes()))
    }
}

impl Principal {
    /// Prepares the identity headers once, for every request that will bring this token.
    pub fn new(claims: Claims, marks: Marks, ours: bool, forward: &Forward) -> Self {
        let mut headers = Vec::new();
        let mut put = |name: &Option<String>, value: Option<String>| {
            if let (Some(name), Some(value)) = (name, value) {
                headers.push((name.to_ascii_lowercase(), value));
            }
        };
        let plain = |value: &Option<String>| value.as_deref().map(|value| header_value(value, b'%'));
        put(&forward.user_id, plain(&claims.user_id));
        put(&forward.user_name, plain(&claims.user_name));
        put(&forward.client_id, plain(&claims.client_id));
        let scopes: Vec<_> = claims.scopes.iter().map(|scope| header_value(scope, b' ')).collect();
        put(&forward.scope, (!scopes.is_empty()).then(|| scopes.join(" ")));
        let authorities = Rc::new(Authorities::new(claims.authorities.clone()));
        Self {
            claims,
            marks,
            ours,
            issuer: None,
            until: None,
            jwt: None,
            headers,
            authorities,
        }
    }

    /// How many bytes it takes in memory, about: itself, and each text with what an allocator keeps beside it. (Of 2500
    /// tokens with nine short claims, a VM was seen to grow by 1021 bytes for each, beside its text.)
    pub(crate) fn size(&self) -> usize {
        const BESIDE: usize = 16;
        let text = |text: &str| text.len().saturating_add(BESIDE);
        let texts = |all: &[String]| {
            let lists = all.len().saturating_mul(size_of::<String>());
            all.iter().fold(lists, |sum, one| sum.saturating_add(text(one)))
        };
        let claims = &self.claims;
        let optional = [
            &claims.token_id,
            &claims.user_id,
            &claims.user_name,
            &claims.client_id,
            &claims.acr,
            &self.issuer,
        ];
        let optional = optional.into_iter().flatten().map(|one| text(one));
        let pairs = claims.compared.iter().chain(&self.headers);
        let pairs = pairs.map(|(name, value)| {
            let own = size_of::<(String, String)>();
            own.saturating_add(text(name)).saturating_add(text(value))
        });
        let others = [
            size_of::<Self>().saturating_add(BESIDE),
            size_of::<Authorities>().saturating_add(BESIDE),
            texts(&claims.authorities),
            texts(&claims.scopes),
            texts(&self.authorities.names),
            text(&self.authorities.header),
            claims
                .bound
                .as_deref()
                .map_or(0, |bound| size_of_val(bound).saturating_add(BESIDE)),
            self.jwt.as_deref().map_or(0, text),
        ];
        optional.chain(pairs).chain(others).fold(0, usize::saturating_add)
    }

    /// The authorities that the token itself carries.
    pub fn authorities(&self) -> &Rc<Authorities> {
        &self.authorities
    }
}

/// A principal whose request may pass.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who it is.
    pub principal: Rc<Principal>,
    /// What it may do now: of the token, or looked up since.
    pub authorities: Rc<Authorities>,
}

impl Caller {
    /// The identity headers for the upstream: name and value. `forward` is that of the policy.
    pub fn headers<'c>(&'c self, forward: &'c Forward) -> impl Iterator<Item = (&'c str, &'c str)> {
        let authorities = forward
            .authorities
            .as_deref()
            .filter(|_| !self.authorities.header.is_empty());
        self.principal
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain(authorities.map(|name| (name, self.authorities.header.as_str())))
    }
}

/// A value as it may stand in a header: what is not visible ASCII is percent-encoded as UTF-8, and so is `%` itself and
/// the separator of a list, so that an upstream can take the value apart again.
fn header_value(value: &str, separator: u8) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        let visible = matches!(byte, b'!'..=b'~') || (byte == b' ' && separator == b'%');
        if visible && byte != b'%' && byte != separator {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_visible_ascii_and_lists_can_be_taken_apart() {
        let claims = Claims {
            user_id: Some("u1".into()),
            user_name: Some("张 三\r\nx-user-id: root".into()),
            authorities: vec!["B,C".into(), "A".into()],
            scopes: vec!["read".into(), "a b".into()],
            ..Claims::default()
        };
        let principal = Rc::new(Principal::new(claims, Marks::default(), true, &Forward::default()));
        let caller = Caller {
            authorities: principal.authorities().clone(),
            principal,
        };
        let forward = Forward::default();
        let headers: Vec<_> = caller.headers(&forward).collect();
        assert_eq!(
            headers,
            [
                ("x-user-id", "u1"),
                ("x-user-name", "%E5%BC%A0 %E4%B8%89%0D%0Ax-user-id: root"),
                ("x-scope", "read a%20b"),
                ("x-authorities", "A,B%2CC"),
            ]
        );
    }
}
