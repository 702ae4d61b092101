//! A request as the decision needs it, read in one pass over its headers.

use std::borrow::Cow;

use subtle::ConstantTimeEq;

use crate::config::{Config, Debug, Forward, TokenSource};
use crate::confirmation::Digest;
pub use crate::credentials::{Presented, Shape, well_formed};
use crate::credentials::{Scheme, after_scheme, bare, bearer, field_value};
use crate::equal::equal;
use crate::host::{self, HostError};
use crate::parameters::{cookies, hides, is_called, name_of};
use crate::table::is_method;

/// Which headers matter: made once from the configuration.
#[derive(Debug, Clone)]
pub struct Reader {
    token: TokenSource,
    /// The names of the identity headers in lower case, and that of the debug header.
    identity: Vec<Box<[u8]>>,
    /// A bit for each length that one of them has.
    identity_lengths: u64,
    /// The same for all names that matter: most headers are of none of these lengths, and are not looked at.
    lengths: u64,
    /// Its name in lower case.
    debug: Option<Debug>,
}

/// What a request says.
#[derive(Debug)]
pub struct Request<'a> {
    /// `:method`.
    pub method: &'a [u8],
    /// `:path`, path and query.
    pub target: &'a [u8],
    /// Names of the headers that only we may set, as the client spelled them.
    pub spoofed: Vec<&'a [u8]>,
    /// Whether its answer may explain itself.
    pub debugging: Debugging,
    pub(crate) authority: Found<'a>,
    /// `host` beside `:authority`.
    host: Found<'a>,
    /// `:scheme`.
    pub scheme: &'a [u8],
    /// The certificate that the client showed on this connection.
    pub certificate: Certificate,
    pub(crate) forwarded_proto: Found<'a>,
    pub(crate) proof: Found<'a>,
    header: Found<'a>,
    cookie: Found<'a>,
    /// The `cookie` headers, if one of them may hold a token.
    cookies: Vec<&'a [u8]>,
}

/// Where a token stands in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Header,
    Cookie,
    Query,
}

impl Request<'_> {
    /// Every cookie but those of this name, however they are written; `None`: there are none of this name.
    pub(crate) fn other_cookies(&self, name: &str) -> Option<Vec<u8>> {
        let pairs = self
            .cookies
            .iter()
            .flat_map(|header| header.split(|&byte| byte == b';'))
            .map(<[u8]>::trim_ascii);
        let (named, others): (Vec<_>, Vec<_>) = pairs.filter(|pair| !pair.is_empty()).partition(|pair| {
            let text = String::from_utf8_lossy(pair);
            text.split(',').any(|part| is_called(name_of(part), name))
        });
        (!named.is_empty()).then(|| others.join(b"; ".as_slice()))
    }

    /// Whether a DPoP proof came.
    pub(crate) fn has_proof(&self) -> bool {
        !matches!(self.proof, Found::Nothing)
    }
}

/// The certificate of the client, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// The host was not asked yet; it costs a call, and few tokens are bound to one.
    Unasked,
    /// There is none.
    None,
    /// The SHA-256 hash of the certificate (DER).
    Hash(Digest),
}

/// What the holder of the debug secret asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Debugging {
    /// Nothing, or it was not the secret.
    No,
    /// A refusal that says why.
    Explain,
    /// The decision alone: the request does not go on to the upstream.
    Probe,
}

/// What follows the secret of a probe.
const PROBE: &[u8] = b";probe";

#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Found<'a> {
    #[default]
    Nothing,
    Once(&'a [u8]),
    Several,
}

impl<'a> Found<'a> {
    fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Found::Nothing => Found::Once(value),
            _ => Found::Several,
        };
    }
}

impl<'a> Request<'a> {
    /// The method, if it is written as rules write it.
    pub fn method(&self) -> Option<&'a str> {
        // Each compared with a constant: a few loads, no call.
        match self.method {
            b"GET" => return Some("GET"),
            b"POST" => return Some("POST"),
            b"PUT" => return Some("PUT"),
            b"DELETE" => return Some("DELETE"),
            b"PATCH" => return Some("PATCH"),
            b"HEAD" => return Some("HEAD"),
            b"OPTIONS" => return Some("OPTIONS"),
            _ => {}
        }
        std::str::from_utf8(self.method).ok().filter(|method| is_method(method))
    }

    /// The host in canonical form. The upstream may look at `host` where we look at `:authority`: both must be the same.
    pub fn host(&self) -> Result<Cow<'a, str>, HostError> {
        match (self.authority, self.host) {
            (Found::Once(authority), Found::Nothing) => host::canonical(authority),
            (Found::Nothing, Found::Once(name)) => host::canonical(name),
            (Found::Once(authority), Found::Once(name)) if authority.eq_ignore_ascii_case(name) => {
                host::canonical(authority)
            }
            (Found::Nothing, Found::Nothing) => Err(HostError::Missing),
            _ => Err(HostError::Several),
        }
    }
}

impl Reader {
    /// For this configuration.
    pub fn new(config: &Config) -> Self {
        let Forward {
            user_id,
            user_name,
            client_id,
            authorities,
            scope,
            ..
        } = &config.forward;
        let debug = config.debug.clone().map(|debug| Debug {
            header: debug.header.to_ascii_lowercase(),
            ..debug
        });
        let debug_name = debug.as_ref().map(|debug| &debug.header);
        let identity: Vec<Box<[u8]>> = [user_id, user_name, client_id, authorities, scope]
            .into_iter()
            .flatten()
            .chain(debug_name)
            .map(|name| name.to_ascii_lowercase().into_bytes().into())
            .collect();
        let mut token = config.token.clone();
        token.header = token.header.map(|name| name.to_ascii_lowercase());
        let identity_lengths = identity.iter().fold(0, |lengths, name| lengths | length(name));
        let named = token.header.as_deref().map_or(0, |name| length(name.as_bytes()));
        Self {
            token,
            identity,
            identity_lengths,
            lengths: NAMED
                .iter()
                .fold(identity_lengths | named, |lengths, name| lengths | length(name)),
            debug,
        }
    }

    /// Reads a request from its headers, pseudo-headers included, names in lower case.
    pub fn read<'a>(&self, headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Request<'a> {
        let mut request = Request {
            method: b"",
            target: b"",
            spoofed: Vec::new(),
            debugging: Debugging::No,
            authority: Found::Nothing,
            host: Found::Nothing,
            scheme: b"",
            certificate: Certificate::Unasked,
            forwarded_proto: Found::Nothing,
            proof: Found::Nothing,
            header: Found::Nothing,
            cookie: Found::Nothing,
            cookies: Vec::new(),
        };
        let token = self.token.header.as_deref().map(str::as_bytes);
        // The usual name is compared with a constant.
        let usual = token == Some(b"authorization");
        let unusual = token.filter(|_| !usual);
        for (name, value) in headers {
            if self.lengths & length(name) == 0 {
                continue;
            }
            match name {
                b":method" => request.method = value,
                b":path" => request.target = value,
                b":authority" => request.authority.add(value),
                b"host" => request.host.add(value),
                b":scheme" => request.scheme = value,
                b"dpop" => request.proof.add(value),
                b"x-forwarded-proto" => request.forwarded_proto.add(value),
                b"authorization" if usual => request.header.add(value),
                _ if unusual.is_some_and(|token| equal(name, token)) => request.header.add(value),
                b"cookie" => {
                    if let Some(wanted) = &self.token.cookie {
                        for cookie in cookies(value, wanted) {
                            match cookie {
                                Some(token) => request.cookie.add(token),
                                None => request.cookie = Found::Several,
                            }
                        }
                        request.cookies.push(value);
                    }
                }
                // To an upstream that folds names together it is the same header.
                _ if token.is_some_and(|token| folds_to(name, token)) => request.header = Found::Several,
                _ if self.is_identity(name) => {
                    request.spoofed.push(name);
                    request.debugging = request.debugging.max(self.debugging(name, value));
                }
                _ => {}
            }
        }
        request
    }

    /// Whether only we may set a header of this name.
    pub fn is_identity(&self, name: &[u8]) -> bool {
        self.identity_lengths & length(name) != 0 && self.identity.iter().any(|identity| folds_to(name, identity))
    }

    /// What a header asks for, if it is the debug header and the secret is in it.
    fn debugging(&self, name: &[u8], value: &[u8]) -> Debugging {
        let Some(debug) = self.debug.as_ref().filter(|debug| debug.header.as_bytes() == name) else {
            return Debugging::No;
        };
        let (secret_given, granted) = match value.strip_suffix(PROBE) {
            Some(secret) => (secret, Debugging::Probe),
            None => (value, Debugging::Explain),
        };
        // The time a comparison takes tells nothing of the secret but its length.
        if bool::from(debug.secret.as_bytes().ct_eq(secret_given)) {
            granted
        } else {
            Debugging::No
        }
    }

    /// Where the one token of a request stands.
    pub(crate) fn place(&self, request: &Request<'_>) -> Place {
        let in_header = |value| bearer(value, self.token.header.as_deref() == Some("authorization"));
        match (request.header, request.cookie) {
            (Found::Once(value), _) if in_header(value) != Presented::None => Place::Header,
            (_, Found::Once(value)) if bare(value) != Presented::None => Place::Cookie,
            _ => Place::Query,
        }
    }

    /// Whether something that may be a token stands in the header for it, even one that is not well written.
    pub(crate) fn may_hold_token(&self, request: &Request<'_>) -> bool {
        let scheme_needed = self.token.header.as_deref() == Some("authorization");
        match request.header {
            Found::Nothing => false,
            Found::Several => true,
            Found::Once(value) => {
                let begins = |scheme: &[u8]| {
                    let begin = value.trim_ascii_start().get(..scheme.len());
                    begin.is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
                };
                bearer(value, scheme_needed) != Presented::None || begins(b"bearer") || begins(b"dpop")
            }
        }
    }

    /// Whether the header that may hold a token says that it is a DPoP token.
    pub fn says_dpop(&self, request: &Request<'_>) -> bool {
        matches!(request.header, Found::Once(value) if matches!(after_scheme(field_value(value)), Some((Scheme::Dpop, _))))
    }

    /// The token of a request, from exactly one of the configured places. `query` has its `?`.
    pub fn token<'a>(&self, request: &Request<'a>, query: &'a str) -> Presented<'a> {
        let mut found = Presented::None;
        let mut add = |presented: Presented<'a>| {
            found = match (&found, presented) {
                (_, Presented::None) => return,
                (Presented::None, presented) => presented,
                _ => Presented::Several,
            };
        };
        match request.header {
            Found::Nothing => {}
            Found::Once(value) => add(bearer(value, self.token.header.as_deref() == Some("authorization"))),
            Found::Several => add(Presented::Several),
        }
        match request.cookie {
            Found::Nothing => {}
            Found::Once(value) => add(bare(value)),
            Found::Several => add(Presented::Several),
        }
        if let Some(wanted) = &self.token.query {
            for pair in query.trim_start_matches('?').split('&') {
                match pair.split_once('=') {
                    Some((name, value)) if name == wanted => add(bare(value.as_bytes())),
                    _ => {}
                }
                if hides(pair, wanted) {
                    add(Presented::Several);
                    add(Presented::Several);
                }
            }
        }
        found
    }
}

/// What every request is read for.
const NAMED: [&[u8]; 8] = [
    b":method",
    b":path",
    b":authority",
    b"host",
    b":scheme",
    b"dpop",
    b"x-forwarded-proto",
    b"cookie",
];

/// The bit of a length; the last one stands for all that are longer.
fn length(name: &[u8]) -> u64 {
    let place = u32::try_from(name.len()).unwrap_or(u32::MAX).min(63);
    1u64.wrapping_shl(place)
}

/// Whether a name is one of ours to an upstream that does not tell letters from their capitals, nor `_` from `-` and other
/// signs (CGI, WSGI and their heirs).
fn folds_to(name: &[u8], identity: &[u8]) -> bool {
    name.len() == identity.len()
        && name.iter().zip(identity).all(|(&byte, &wanted)| {
            let sign = |byte: u8| !byte.is_ascii_alphanumeric();
            byte.eq_ignore_ascii_case(&wanted) || (sign(byte) && sign(wanted))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(config: &Config, headers: &[(&'static str, &'static str)], query: &'static str) -> String {
        let reader = Reader::new(config);
        let request = reader.read(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        match reader.token(&request, query) {
            Presented::One(token) => format!("{:?}", well_formed(token)),
            Presented::Dpop(token) => format!("Dpop {:?}", well_formed(token)),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn one_token_from_one_place() {
        let bearer_only = Config::default();
        let everywhere = Config {
            token: TokenSource {
                header: Some("Authorization".into()),
                cookie: Some("t".into()),
                query: Some("access_token".into()),
            },
            ..Config::default()
        };
        for (config, headers, query, expected) in [
            (
                &bearer_only,
                &[("authorization", "Bearer a.b.c")][..],
                "",
                "Token(\"a.b.c\")",
            ),
            (
                &bearer_only,
                &[("authorization", " bEARER a.b.c ")],
                "",
                "Token(\"a.b.c\")",
            ),
            (
                &bearer_only,
                &[("authorization", "Bearer  a.b.c")],
                "",
                "Malformed(\" a.b.c\")",
            ),
            (&bearer_only, &[("authorization", "Bearer=a.b.c")], "", "None"),
            (&bearer_only, &[("authorization", "Bearer a,b")], "", "Several"),
            (&bearer_only, &[("authorization", "Basic a,Basic b")], "", "Several"),
            (&bearer_only, &[("authorization", "Basic abc")], "", "None"),
            (
                &bearer_only,
                &[("authorization", "dpop a.b.c")],
                "",
                "Dpop Token(\"a.b.c\")",
            ),
            (&bearer_only, &[("authorization", "DPoP")], "", "None"),
            (
                &bearer_only,
                &[("authorization", "DPoP a, Bearer b")],
                "",
                "Dpop Several",
            ),
            (&bearer_only, &[("authorization", "Basic a, DPoP b")], "", "Several"),
            (
                &everywhere,
                &[("authorization", "DPoP a"), ("cookie", "t=a")],
                "",
                "Several",
            ),
            (&bearer_only, &[("authorization", "Bearer")], "", "None"),
            (&bearer_only, &[("authorization", "Bearer ")], "", "None"),
            (
                &bearer_only,
                &[("authorization", "Bearer a b")],
                "",
                "Malformed(\"a b\")",
            ),
            (
                &bearer_only,
                &[("authorization", "Bearer a"), ("authorization", "Bearer a")],
                "",
                "Several",
            ),
            (
                &bearer_only,
                &[("authorization", "Basic a"), ("authorization", "Bearer a")],
                "",
                "Several",
            ),
            (&bearer_only, &[("authorization", "Bearer a,Bearer b")], "", "Several"),
            (&bearer_only, &[("authorization", "Basic a, Bearer b")], "", "Several"),
            (
                &bearer_only,
                &[("authorization", "Digest a=\"b\", c=\"d\"")],
                "",
                "None",
            ),
            (
                &bearer_only,
                &[("authorization", "Bearer a+/~_-.==")],
                "",
                "Token(\"a+/~_-.==\")",
            ),
            (
                &bearer_only,
                &[("authorization", "Bearer a=b")],
                "",
                "Malformed(\"a=b\")",
            ),
            (&bearer_only, &[("authorization", "Bearer ==")], "", "Malformed(\"==\")"),
            (
                &bearer_only,
                &[("authorization", "Bearer\ta")],
                "",
                "Malformed(\"Bearer\\ta\")",
            ),
            (
                &everywhere,
                &[("authorization", "Bearer\ta"), ("cookie", "t=a")],
                "",
                "Several",
            ),
            (&everywhere, &[("cookie", "x=t; t=a; tt=b; T2=c")], "", "Token(\"a\")"),
            (&everywhere, &[("cookie", "t=a; t =b")], "", "Several"),
            (&everywhere, &[("cookie", "T=b; t=a")], "", "Several"),
            (&everywhere, &[("cookie", "%74=b; t=a")], "", "Several"),
            (&everywhere, &[("cookie", "\"t\"=b; t=a")], "", "Several"),
            (&everywhere, &[("cookie", "x=1, t=b; t=a")], "", "Several"),
            (&everywhere, &[("cookie", "t=a, t=b")], "", "Several"),
            (&everywhere, &[("cookie", "t[]=b; t=a")], "", "Several"),
            (&everywhere, &[], "?Access_Token=b&access_token=a", "Several"),
            (&everywhere, &[], "?access_token[]=b&access_token=a", "Several"),
            (&everywhere, &[], "?access_token%5B0%5D=b", "Several"),
            (&everywhere, &[], "?%20access.token=b&access_token=a", "Several"),
            (&everywhere, &[], "?+access+token=b&access_token=a", "Several"),
            (&everywhere, &[], "?access_token%00=b&access_token=a", "Several"),
            (
                &everywhere,
                &[],
                "?access_token_type=b&access_token=a&my_access_token=c&%zz=d",
                "Token(\"a\")",
            ),
            (&everywhere, &[], "?access%5Ftoken=a", "Several"),
            (
                &everywhere,
                &[("authorization", "Bearer a")],
                "?%61ccess_token=b",
                "Several",
            ),
            (
                &everywhere,
                &[("authorization", "Bearer a")],
                "?x=1;access_token=b",
                "Several",
            ),
            (&everywhere, &[], "?access_token=a&x=%zz", "Token(\"a\")"),
            (&bearer_only, &[], "?access_token=a", "None"),
            (&everywhere, &[], "?x=1&access_token=a", "Token(\"a\")"),
            (&everywhere, &[("cookie", "x=1; t=a; y=2")], "", "Token(\"a\")"),
            (&everywhere, &[("cookie", "t=a"), ("cookie", "t=b")], "", "Several"),
            (
                &everywhere,
                &[("cookie", "t=a"), ("authorization", "Bearer a")],
                "",
                "Several",
            ),
            (
                &everywhere,
                &[("authorization", "Bearer a")],
                "?access_token=a",
                "Several",
            ),
            (&everywhere, &[], "?access_token=a&access_token=b", "Several"),
        ] {
            assert_eq!(presented(config, headers, query), expected, "{headers:?} {query}");
        }
    }

    #[test]
    fn the_debug_header_needs_the_secret_and_is_always_taken_away() {
        let config = Config {
            debug: Some(crate::config::Debug {
                header: "X-Postern-Debug".into(),
                secret: "0123456789abcdef".into(),
            }),
            ..Config::default()
        };
        for (name, value, debugging, taken) in [
            ("x-postern-debug", "0123456789abcdef", Debugging::Explain, 1),
            ("x-postern-debug", "0123456789abcdef;probe", Debugging::Probe, 1),
            ("x-postern-debug", "0123456789abcdeg", Debugging::No, 1),
            ("x-postern-debug", "0123456789abcde", Debugging::No, 1),
            ("x-postern-debug", ";probe", Debugging::No, 1),
            ("x-postern-debug", "", Debugging::No, 1),
            ("x_postern_debug", "0123456789abcdef", Debugging::No, 1),
            ("x-postern", "0123456789abcdef", Debugging::No, 0),
        ] {
            let reader = Reader::new(&config);
            let request = reader.read([(name.as_bytes(), value.as_bytes())].into_iter());
            assert_eq!(
                (request.debugging, request.spoofed.len()),
                (debugging, taken),
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn identity_headers_of_a_client_are_found_in_every_spelling() {
        let reader = Reader::new(&Config::default());
        let headers: [(&[u8], &[u8]); 4] = [
            (b"x-user-id", b"root"),
            (b"x_user_id", b"root"),
            (b"x-user-idx", b"1"),
            (b"x_scope", b"all"),
        ];
        let request = reader.read(headers.into_iter());
        assert_eq!(request.spoofed, [b"x-user-id".as_slice(), b"x_user_id", b"x_scope"]);
    }
}
