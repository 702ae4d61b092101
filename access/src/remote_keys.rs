//! The key set of an issuer that is fetched: when to fetch it, how long to rely on it, and what is to be made of a token
//! that names a key which is not in it.
//!
//! Such a token may be the first one after a rotation, or anybody's invention. So nobody is refused for a key that was not
//! looked for: the request waits for a fetch that began after it came, which all such requests share, and only a key that
//! this fetch did not bring is unknown. Fetches are at least a second apart, and further while they bring none of the keys
//! that are waited for.
//!
//! Of the VMs of a host one fetches, and the others take what it got ([`crate::shared_keys`]): to each of them it is as if
//! it had fetched itself.

mod missed;
mod shared;

use serde_json::Value;

use crate::json;
use crate::jwk::{self, JwkError, Key};
use crate::key_source::{KeysAt, RemoteJwks, Url, discovered, discovery_uri};
use crate::state::FeedError;
use missed::MissedKeys;

pub(crate) use missed::NamedKey;
pub use shared::Step;

/// The shortest time between two fetches, in milliseconds.
const LEAST_PAUSE: u64 = 1000;

/// The longest: while fetches fail, or bring nothing to those who wait for a key. Less than a request is held (`hold`, by
/// default), so that nobody who invents keys can hide a real one.
const MOST_PAUSE: u64 = 4_000;

/// How long an address from a discovery document is used before the document is asked for again, in milliseconds.
const DISCOVERY_AGE: u64 = 3_600_000;

/// What is to be fetched now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysRequest {
    /// The host's name of the cluster.
    pub cluster: String,
    /// An `http` or `https` address.
    pub uri: String,
    /// The discovery document, which will say where the keys are; else the keys.
    pub discovery: bool,
}

/// One remote key set.
#[derive(Debug)]
pub(crate) struct RemoteKeys {
    source: RemoteJwks,
    /// What `iss` is, which a discovery document must confirm.
    issuer: Option<String>,
    /// `None`: they have not come yet. Empty: the issuer has none, or not any more.
    keys: Option<Vec<Key>>,
    /// The document that the keys were read from: the same again changes nothing.
    document: Vec<u8>,
    /// When the last fetch that brought keys had brought them (Unix milliseconds), and when it began.
    fetched_at: u64,
    began_at: u64,
    /// The address that the discovery document named, and when.
    discovered: Option<(String, u64)>,
    /// A fetch is under way, since then (Unix milliseconds).
    fetching: Option<u64>,
    /// Another VM was seen to fetch: what comes of it concerns us.
    follows: bool,
    /// No fetch before this time.
    not_before: u64,
    pause: u64,
    /// Somebody waits for the next fetch.
    wanted: bool,
    /// Somebody waits for the fetch under way.
    awaited: bool,
    missed: MissedKeys,
}

/// What a key set turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// The keys that were there before.
    Same,
    /// Other keys, or the first.
    Changed,
    /// No keys that can be used, other than before.
    Unusable(JwkError),
}

impl RemoteKeys {
    pub(crate) fn new(source: &RemoteJwks, issuer: Option<&str>) -> Self {
        Self {
            source: source.clone(),
            issuer: issuer.map(str::to_owned),
            keys: None,
            document: Vec::new(),
            fetched_at: 0,
            began_at: 0,
            discovered: None,
            fetching: None,
            follows: false,
            not_before: 0,
            pause: LEAST_PAUSE,
            wanted: false,
            awaited: false,
            missed: MissedKeys::default(),
        }
    }

    /// The keys, unless there are none yet or the issuer has not answered for too long.
    pub(crate) fn current(&self, now: u64) -> Option<&[Key]> {
        let good_until = self.fetched_at.saturating_add(self.source.max_stale.millis);
        self.keys.as_deref().filter(|_| now <= good_until)
    }

    /// Whether the keys have just become too old to be relied on. They are forgotten then.
    pub(crate) fn expire(&mut self, now: u64) -> bool {
        let expired = self.keys.is_some() && self.current(now).is_none();
        if expired {
            self.keys = None;
            self.document.clear();
        }
        expired
    }

    /// Whether a key that is not there may come by a fetch.
    pub(crate) fn may_come(&self, key: &NamedKey, now: u64) -> bool {
        self.missed.may_come(key, now)
    }

    /// A request waits for the keys, or for this one among them.
    pub(crate) fn want(&mut self, key: Option<NamedKey>, now: u64) {
        self.wanted = true;
        if let Some(key) = key {
            self.missed.want(key, now);
        }
    }

    /// Whether a fetch is to begin now. It counts as begun.
    pub(crate) fn begin(&mut self, now: u64) -> bool {
        let aged = now >= self.fetched_at.saturating_add(self.source.max_age.millis);
        let due = self.keys.is_none() || self.wanted || aged;
        if self.fetching.is_some() || !due || now < self.not_before {
            return false;
        }
        self.fetching = Some(now);
        self.awaited = std::mem::take(&mut self.wanted);
        self.missed.fetching();
        true
    }

    /// What the fetch under way is to ask for now.
    pub(crate) fn request(&self, now: u64) -> KeysRequest {
        let cluster = self.source.cluster.clone();
        match &self.source.at {
            KeysAt::Uri(uri) => KeysRequest {
                cluster,
                uri: uri.clone(),
                discovery: false,
            },
            KeysAt::Discovery { base, keys } => match &self.discovered {
                Some((uri, at)) if now < at.saturating_add(DISCOVERY_AGE) => {
                    let authority = |uri| Url::parse(uri).map_or("", |url| url.authority);
                    let elsewhere = keys
                        .as_ref()
                        .filter(|keys| keys.authority.eq_ignore_ascii_case(authority(uri)));
                    KeysRequest {
                        cluster: elsewhere.map_or(cluster, |keys| keys.cluster.clone()),
                        uri: uri.clone(),
                        discovery: false,
                    }
                }
                _ => KeysRequest {
                    cluster,
                    uri: discovery_uri(base),
                    discovery: true,
                },
            },
        }
    }

    /// The discovery document came: the keys are to be asked for next.
    pub(crate) fn discovered(&mut self, document: &[u8], now: u64) -> Result<(), FeedError> {
        if let KeysAt::Discovery { base, keys } = &self.source.at {
            let uri = discovered(document, self.issuer.as_deref(), base, keys.as_ref())?;
            self.discovered = Some((uri, now));
        }
        Ok(())
    }

    /// A key set came, and replaces the one before, also if none of its keys can be used: so an issuer withdraws its last
    /// key. After an error, when it was no key set, call [`RemoteKeys::failed`].
    pub(crate) fn arrived(&mut self, document: &[u8], now: u64) -> Result<Arrived, FeedError> {
        let first = self.keys.is_none();
        let arrived = self.replace(document)?;
        self.fetched_at = now;
        self.began_at = self.fetching.unwrap_or(now);
        let found = self
            .missed
            .arrived(self.keys.as_deref().unwrap_or_default(), |_| true, now);
        self.ended(self.awaited && !first && !found, now);
        Ok(arrived)
    }

    fn replace(&mut self, document: &[u8]) -> Result<Arrived, FeedError> {
        if self.keys.is_some() && self.document == document {
            return Ok(Arrived::Same);
        }
        let (keys, unusable) = match public_keys(document) {
            Ok(keys) => (keys, None),
            Err(FeedError::Keys(none @ JwkError::NoKey(_))) => (Vec::new(), Some(none)),
            Err(error) => return Err(error),
        };
        // Some issuers write their keys in another order each time.
        let same = self.keys.as_ref().is_some_and(|known| jwk::same_keys(known, &keys));
        self.keys = Some(keys);
        self.document = document.to_vec();
        Ok(match (same, unusable) {
            (true, _) => Arrived::Same,
            (false, None) => Arrived::Changed,
            (false, Some(none)) => Arrived::Unusable(none),
        })
    }

    /// The fetch brought nothing; the keys from before stay.
    pub(crate) fn failed(&mut self, now: u64) {
        // The issuer may have moved its keys.
        self.discovered = None;
        self.missed.want_again();
        self.ended(true, now);
    }

    fn ended(&mut self, in_vain: bool, now: u64) {
        self.fetching = None;
        // Without any keys everybody waits.
        let most = if self.keys.is_some() {
            MOST_PAUSE
        } else {
            2 * LEAST_PAUSE
        };
        self.pause = if in_vain {
            self.pause.saturating_mul(2).min(most)
        } else {
            LEAST_PAUSE
        };
        self.not_before = now.saturating_add(self.pause);
        // Who named a key while the fetch was under way waits for the next one.
        self.wanted = self.missed.any_wanted();
    }
}

/// The keys of a document from somewhere else. A secret that was fetched is known to others than the issuer and us, and
/// whoever knows it can sign with it.
fn public_keys(document: &[u8]) -> Result<Vec<Key>, FeedError> {
    let set = Value::Object(json::object(document)?);
    let mut keys = jwk::key_set(&set)?;
    keys.retain(|key| !key.is_secret());
    if keys.is_empty() {
        let why = "HMAC secrets (`oct`), and keys whose private half (`d`) was sent along, are accepted only where they stand \
                   in the configuration";
        return Err(JwkError::NoKey(why.into()).into());
    }
    Ok(keys)
}

#[cfg(test)]
mod hosts;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Duration;
    use crate::jwk::Algorithm;

    pub(super) fn keys(ids: &[&str]) -> Vec<u8> {
        let key = |id: &&str| json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": POINT });
        json!({ "keys": ids.iter().map(key).collect::<Vec<_>>() })
            .to_string()
            .into_bytes()
    }

    /// RFC 8037 appendix A.2.
    pub(super) const POINT: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    pub(super) fn named(id: &str) -> NamedKey {
        NamedKey {
            algorithm: Algorithm::EdDSA,
            id: Some(id.into()),
        }
    }

    pub(super) fn remote(at: KeysAt) -> RemoteKeys {
        let source = RemoteJwks {
            cluster: "id".into(),
            at,
            max_age: Duration::from_secs(300),
            max_stale: Duration::from_secs(3600),
        };
        RemoteKeys::new(&source, Some("https://id"))
    }

    pub(super) fn at_uri() -> RemoteKeys {
        remote(KeysAt::Uri("https://id/keys".into()))
    }

    #[test]
    fn an_unknown_key_is_looked_for_by_one_fetch_and_known_keys_are_not_disturbed() {
        let mut remote = at_uri();
        assert!(remote.begin(0));
        assert!(!remote.begin(0), "one fetch at a time");
        assert_eq!(remote.arrived(&keys(&["a"]), 0).unwrap(), Arrived::Changed);
        // The first token after a rotation comes a moment later: it is not refused before anybody looked.
        assert!(remote.may_come(&named("b"), 10));
        remote.want(Some(named("b")), 10);
        remote.want(Some(named("b")), 11);
        assert!(!remote.begin(999), "fetches are a second apart");
        assert!(remote.may_come(&named("b"), 999));
        assert!(remote.begin(1000));
        // Another one while the fetch is under way: perhaps it began too early for this one.
        remote.want(Some(named("c")), 1001);
        assert_eq!(remote.arrived(&keys(&["a", "b"]), 1002).unwrap(), Arrived::Changed);
        assert_eq!(remote.current(1002).map(<[_]>::len), Some(2));
        assert!(remote.may_come(&named("c"), 1003));
        assert!(remote.begin(2002));
        assert_eq!(remote.arrived(&keys(&["a", "b"]), 2003).unwrap(), Arrived::Same);
        assert!(!remote.may_come(&named("c"), 2004), "it was looked for");
        assert!(remote.may_come(&named("c"), 12_003), "but not for ever");
    }

    #[test]
    fn invented_keys_cause_a_bounded_rate_of_fetches() {
        let mut remote = at_uri();
        assert!(remote.begin(0));
        remote.arrived(&keys(&["a"]), 0).unwrap();
        let (mut fetches, mut invented) = (0, 0);
        for now in (0..600_000).step_by(100) {
            for _ in 0..30 {
                invented += 1;
                let key = named(&invented.to_string());
                if remote.may_come(&key, now) {
                    remote.want(Some(key), now);
                }
            }
            assert!(remote.missed.len() <= missed::MOST_MISSED);
            assert!(remote.current(now).is_some());
            if remote.begin(now) {
                fetches += 1;
                remote.arrived(&keys(&["a"]), now).unwrap();
            }
        }
        assert!((145..=155).contains(&fetches), "{fetches} fetches in ten minutes");
        // A real rotation is found while they who wait for it are held, whenever they came.
        remote.want(Some(named("b")), 600_000);
        let held_until = 600_000 + crate::config::Config::default().hold.millis;
        let found = (600_000..held_until)
            .step_by(100)
            .find(|now| remote.begin(*now))
            .unwrap();
        assert_eq!(remote.arrived(&keys(&["a", "b"]), found).unwrap(), Arrived::Changed);
    }

    /// The bytes may be others each time: what counts is the keys.
    #[test]
    fn the_same_keys_written_in_another_way_are_the_same() {
        let mut remote = at_uri();
        assert!(remote.begin(0));
        remote.arrived(&keys(&["a", "b"]), 0).unwrap();
        let (mut now, mut pauses) = (0, Vec::new());
        for n in 0..6 {
            remote.want(Some(named("invented")), now);
            let began = (now..).step_by(1000).find(|now| remote.begin(*now)).unwrap();
            pauses.push(began - now);
            now = began;
            let order = if n % 2 == 0 { ["b", "a"] } else { ["a", "b"] };
            let mut document = keys(&order);
            document.extend(vec![b' '; n]);
            assert_eq!(remote.arrived(&document, now).unwrap(), Arrived::Same, "{n}");
        }
        assert_eq!(
            pauses,
            [1000, 2000, 4000, 4000, 4000, 4000],
            "it was looked for in vain"
        );

        for changed in [
            json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": POINT }] }),
            json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "c", "x": POINT }] }),
            json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": POINT }] }),
            json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik" }] }),
        ] {
            let document = changed.to_string().into_bytes();
            assert_eq!(remote.arrived(&document, now).unwrap(), Arrived::Changed, "{changed}");
        }
    }

    #[test]
    fn keys_outlive_an_outage_for_max_stale_and_no_longer() {
        let mut remote = at_uri();
        assert!(remote.begin(0));
        remote.arrived(&keys(&["a"]), 0).unwrap();
        assert!(!remote.begin(299_999));
        assert!(remote.begin(300_000), "they are asked for again when they have aged");
        remote.failed(300_000);
        let mut attempts = 0;
        for now in (300_000..=3_600_000).step_by(100) {
            assert!(remote.current(now).is_some() && !remote.expire(now));
            if remote.begin(now) {
                attempts += 1;
                remote.failed(now);
            }
        }
        assert!((815..=830).contains(&attempts), "{attempts} attempts in 55 minutes");
        assert!(remote.current(3_600_001).is_none());
        assert!(remote.expire(3_600_001));
        assert!(!remote.expire(3_600_002), "once");
        assert!(remote.begin(3_610_001));
        assert_eq!(
            remote.arrived(&keys(&["a"]), 3_610_001).unwrap(),
            Arrived::Changed,
            "forgotten keys come back as new ones"
        );
    }

    #[test]
    fn what_is_no_key_set_leaves_the_keys_as_they_are() {
        let mut remote = at_uri();
        assert!(remote.begin(0));
        remote.arrived(&keys(&["a"]), 0).unwrap();
        assert!(remote.begin(300_000));
        assert!(remote.arrived(b"<html>", 300_000).is_err());
        remote.failed(300_000);
        for no_set in [&b"{}"[..], br#"{"keys":{}}"#, b"[]", br#"{"keys":[],"keys":[]}"#] {
            assert!(remote.arrived(no_set, 300_000).is_err());
        }
        assert_eq!(remote.current(310_000).map(<[_]>::len), Some(1));
    }

    #[test]
    fn a_set_without_usable_keys_withdraws_those_from_before() {
        let secret = json!({ "kty": "oct", "alg": "HS256", "kid": "a", "k": POINT });
        let other_use = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "a", "use": "enc", "x": POINT });
        // Whoever has read it can sign with it.
        let private = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": POINT, "d": POINT });
        for withdrawn in [
            json!([]),
            json!([secret]),
            json!([other_use]),
            json!(["a"]),
            json!([private]),
        ] {
            let mut remote = at_uri();
            assert!(remote.begin(0));
            remote.arrived(&keys(&["a"]), 0).unwrap();
            assert!(remote.begin(300_000));
            let document = json!({ "keys": withdrawn }).to_string();
            let arrived = remote.arrived(document.as_bytes(), 300_000).unwrap();
            assert!(matches!(arrived, Arrived::Unusable(_)), "{withdrawn}: {arrived:?}");
            assert_eq!(remote.current(300_000).map(<[_]>::len), Some(0), "{withdrawn}");
            assert_eq!(remote.arrived(document.as_bytes(), 300_001).unwrap(), Arrived::Same);
            assert_eq!(remote.arrived(&keys(&["a"]), 300_002).unwrap(), Arrived::Changed);
        }
        // A secret beside a public key is passed over.
        let mut remote = at_uri();
        let both = json!({ "keys": [secret, private, { "kty": "OKP", "crv": "Ed25519", "kid": "b", "x": POINT }] });
        remote.arrived(both.to_string().as_bytes(), 0).unwrap();
        let ids = remote
            .current(0)
            .unwrap()
            .iter()
            .map(|key| key.id().unwrap().to_owned());
        assert_eq!(ids.collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_discovery_document_says_where_the_keys_are() {
        let mut remote = remote(KeysAt::Discovery {
            base: "https://id".into(),
            keys: Some(crate::key_source::ElsewhereKeys {
                cluster: "certs".into(),
                authority: "certs.id".into(),
            }),
        });
        assert!(remote.begin(0));
        let asked = remote.request(0);
        assert_eq!(
            (asked.uri.as_str(), asked.discovery),
            ("https://id/.well-known/openid-configuration", true)
        );
        remote
            .discovered(br#"{"issuer":"https://id","jwks_uri":"https://certs.id/keys"}"#, 1)
            .unwrap();
        let asked = remote.request(1);
        assert_eq!(
            (asked.cluster.as_str(), asked.uri.as_str(), asked.discovery),
            ("certs", "https://certs.id/keys", false)
        );
        remote.arrived(&keys(&["a"]), 2).unwrap();
        assert!(!remote.request(300_000).discovery, "it need not be read each time");
        assert!(remote.request(3_600_001).discovery);
        assert!(remote.begin(300_002));
        remote.failed(300_002);
        assert!(remote.request(310_002).discovery, "the keys may have moved");
        let other = br#"{"issuer":"https://other","jwks_uri":"https://certs.id/keys"}"#;
        assert!(remote.discovered(other, 1).is_err());
    }
}
