//! Keys as guests hand them over, read once per worker: what an RSA verification computes of the key alone takes a third of
//! its time. Kept are the last [`MOST`], found by function, name and key.

use std::cell::RefCell;

use graviola::hashing::{Sha256, Sha384};
use graviola::signing::ecdsa::{self, P256};
use graviola::signing::rsa;
use ring::hmac;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

use super::spki::{self, Kind};
use crate::abi::failure::Status;

/// More than the issuers of one gateway have; a guest that makes up keys gets no more.
const MOST: usize = 64;

thread_local! {
    /// The one used last comes first.
    static KEYS: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
}

/// Whose names and forms of signatures are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `verify_signature`: the name of a hash in any case, signatures as X.509 has them.
    X509,
    /// `verify_jws_signature`: the name of an algorithm of RFC 7518 and RFC 8037, signatures as a JWS has them.
    Jws,
}

/// A key as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Given<'a> {
    /// `SubjectPublicKeyInfo`, or the secret of an HMAC.
    Bytes(&'a [u8]),
    Pem(&'a [u8]),
}

struct Known {
    form: Form,
    name: Box<[u8]>,
    given: Box<[u8]>,
    is_pem: bool,
    key: Key,
}

enum Key {
    Hmac(hmac::Key),
    Rsa(Box<rsa::VerifyingKey>, fn(&rsa::VerifyingKey, &[u8], &[u8]) -> bool),
    P256(
        Box<ecdsa::VerifyingKey<P256>>,
        fn(&ecdsa::VerifyingKey<P256>, &[u8], &[u8]) -> bool,
    ),
    /// Read anew for each signature: what is rare, and everything on processors that are too old for the others.
    Other(&'static dyn VerificationAlgorithm, Box<[u8]>),
    /// The algorithm is not known, or not with such a key.
    Unsupported,
}

/// Whether a signature is right; `None`: the algorithm is not supported, or not with such a key.
pub(super) fn verify(
    form: Form,
    name: &[u8],
    given: Given<'_>,
    text: &[u8],
    signature: &[u8],
) -> Result<Option<bool>, Status> {
    KEYS.with_borrow_mut(|keys| {
        match keys.iter().position(|known| known.is(form, name, given)) {
            Some(place) => keys[..=place].rotate_right(1),
            None => {
                let known = Known::read(form, name, given)?;
                keys.truncate(MOST - 1);
                keys.insert(0, known);
            }
        }
        Ok(keys.first().and_then(|known| known.key.verify(text, signature)))
    })
}

impl Known {
    fn is(&self, form: Form, name: &[u8], given: Given<'_>) -> bool {
        let (bytes, is_pem) = given.parts();
        self.form == form && *self.name == *name && self.is_pem == is_pem && *self.given == *bytes
    }

    fn read(form: Form, name: &[u8], given: Given<'_>) -> Result<Self, Status> {
        let (bytes, is_pem) = given.parts();
        let pem;
        let der = match given {
            Given::Bytes(der) => der,
            Given::Pem(text) => {
                pem = spki::from_pem(text).ok_or(Status::BadArgument)?;
                &pem
            }
        };
        let key = match form {
            Form::Jws => match secret(name) {
                Some(_) if der.is_empty() => return Err(Status::BadArgument),
                Some(algorithm) => Key::Hmac(hmac::Key::new(algorithm, der)),
                None => {
                    let (kind, key) = spki::parse(der).ok_or(Status::BadArgument)?;
                    Key::of_jws(kind, name, key)
                }
            },
            Form::X509 => {
                let (kind, key) = spki::parse(der).ok_or(Status::BadArgument)?;
                Key::of_x509(kind, &name.to_ascii_lowercase(), key)
            }
        };
        Ok(Self {
            form,
            name: name.into(),
            given: bytes.into(),
            is_pem,
            key,
        })
    }
}

impl<'a> Given<'a> {
    fn parts(self) -> (&'a [u8], bool) {
        match self {
            Self::Bytes(bytes) => (bytes, false),
            Self::Pem(text) => (text, true),
        }
    }
}

fn secret(name: &[u8]) -> Option<hmac::Algorithm> {
    match name {
        b"HS256" => Some(hmac::HMAC_SHA256),
        b"HS384" => Some(hmac::HMAC_SHA384),
        b"HS512" => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

impl Key {
    fn of_jws(kind: Kind, name: &[u8], key: &[u8]) -> Self {
        match (kind, name) {
            (Kind::Rsa, b"RS256") => Self::rsa_sha256(key),
            (Kind::Rsa, b"RS384") => Self::rsa_sha384(key),
            (Kind::Rsa, b"RS512") => Self::rsa_sha512(key),
            (Kind::Rsa, b"PS256") => Self::other(&signature::RSA_PSS_2048_8192_SHA256, key),
            (Kind::Rsa, b"PS384") => Self::other(&signature::RSA_PSS_2048_8192_SHA384, key),
            (Kind::Rsa, b"PS512") => Self::other(&signature::RSA_PSS_2048_8192_SHA512, key),
            (Kind::P256, b"ES256") => Self::p256(key, &signature::ECDSA_P256_SHA256_FIXED, |key, text, signature| {
                key.verify::<Sha256>(&[text], signature).is_ok()
            }),
            (Kind::P384, b"ES384") => Self::other(&signature::ECDSA_P384_SHA384_FIXED, key),
            (Kind::Ed25519, b"EdDSA") => Self::other(&signature::ED25519, key),
            _ => Self::Unsupported,
        }
    }

    /// RSASSA-PKCS1-v1_5, and ECDSA with signatures in DER.
    fn of_x509(kind: Kind, hash: &[u8], key: &[u8]) -> Self {
        match (kind, hash) {
            (Kind::Rsa, b"sha256") => Self::rsa_sha256(key),
            (Kind::Rsa, b"sha384") => Self::rsa_sha384(key),
            (Kind::Rsa, b"sha512") => Self::rsa_sha512(key),
            (Kind::P256, b"sha256") => Self::p256(key, &signature::ECDSA_P256_SHA256_ASN1, |key, text, signature| {
                key.verify_asn1::<Sha256>(&[text], signature).is_ok()
            }),
            (Kind::P256, b"sha384") => Self::p256(key, &signature::ECDSA_P256_SHA384_ASN1, |key, text, signature| {
                key.verify_asn1::<Sha384>(&[text], signature).is_ok()
            }),
            (Kind::P384, b"sha256") => Self::other(&signature::ECDSA_P384_SHA256_ASN1, key),
            (Kind::P384, b"sha384") => Self::other(&signature::ECDSA_P384_SHA384_ASN1, key),
            _ => Self::Unsupported,
        }
    }

    fn rsa_sha256(key: &[u8]) -> Self {
        Self::rsa(key, &signature::RSA_PKCS1_2048_8192_SHA256, |key, text, signature| {
            key.verify_pkcs1_sha256(signature, text).is_ok()
        })
    }

    fn rsa_sha384(key: &[u8]) -> Self {
        Self::rsa(key, &signature::RSA_PKCS1_2048_8192_SHA384, |key, text, signature| {
            key.verify_pkcs1_sha384(signature, text).is_ok()
        })
    }

    fn rsa_sha512(key: &[u8]) -> Self {
        Self::rsa(key, &signature::RSA_PKCS1_2048_8192_SHA512, |key, text, signature| {
            key.verify_pkcs1_sha512(signature, text).is_ok()
        })
    }

    fn rsa(
        key: &[u8],
        otherwise: &'static dyn VerificationAlgorithm,
        verify: fn(&rsa::VerifyingKey, &[u8], &[u8]) -> bool,
    ) -> Self {
        let read = is_new_enough()
            .then(|| rsa::VerifyingKey::from_pkcs1_der(key).ok())
            .flatten();
        read.map_or_else(|| Self::other(otherwise, key), |read| Self::Rsa(Box::new(read), verify))
    }

    fn p256(
        key: &[u8],
        otherwise: &'static dyn VerificationAlgorithm,
        verify: fn(&ecdsa::VerifyingKey<P256>, &[u8], &[u8]) -> bool,
    ) -> Self {
        let read = is_new_enough()
            .then(|| ecdsa::VerifyingKey::from_x962_uncompressed(key).ok())
            .flatten();
        read.map_or_else(
            || Self::other(otherwise, key),
            |read| Self::P256(Box::new(read), verify),
        )
    }

    fn other(algorithm: &'static dyn VerificationAlgorithm, key: &[u8]) -> Self {
        Self::Other(algorithm, key.into())
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> Option<bool> {
        match self {
            Self::Hmac(key) => Some(hmac::verify(key, text, signature).is_ok()),
            Self::Rsa(key, verify) => Some(verify(key, text, signature)),
            Self::P256(key, verify) => Some(verify(key, text, signature)),
            Self::Other(algorithm, key) => {
                let key = UnparsedPublicKey::new(*algorithm, key);
                Some(key.verify(text, signature).is_ok())
            }
            Self::Unsupported => None,
        }
    }
}

/// Whether the processor has what graviola needs; it panics on others.
#[cfg(target_arch = "x86_64")]
fn is_new_enough() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("adx") && has!("aes") && has!("avx") && has!("avx2") && has!("bmi1") && has!("bmi2") && has!("pclmulqdq")
}

/// The same.
#[cfg(target_arch = "aarch64")]
fn is_new_enough() -> bool {
    use std::arch::is_aarch64_feature_detected as has;
    has!("neon") && has!("aes") && has!("pmull") && has!("sha2")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> usize {
        KEYS.with_borrow(Vec::len)
    }

    fn hmac(secret: &[u8]) -> Option<bool> {
        verify(Form::Jws, b"HS256", Given::Bytes(secret), b"text", b"").unwrap()
    }

    #[test]
    fn a_key_is_read_once_and_so_many_are_kept() {
        for _ in 0..3 {
            assert_eq!(hmac(b"one"), Some(false));
        }
        assert_eq!(known(), 1);
        for number in 0..200_u32 {
            hmac(&number.to_le_bytes());
            hmac(b"one");
        }
        assert_eq!(known(), MOST);
        // The one that is used all the time is still there, and nothing had to make way for it.
        let last = KEYS.with_borrow(|keys| keys[MOST - 1].given.clone());
        hmac(b"one");
        assert_eq!(KEYS.with_borrow(|keys| keys[MOST - 1].given.clone()), last);
    }

    #[test]
    fn a_key_is_known_for_one_algorithm_and_one_form_only() {
        let key = Given::Bytes(b"secret");
        assert_eq!(verify(Form::Jws, b"HS256", key, b"", b""), Ok(Some(false)));
        assert_eq!(verify(Form::X509, b"HS256", key, b"", b""), Err(Status::BadArgument));
        assert_eq!(verify(Form::Jws, b"RS256", key, b"", b""), Err(Status::BadArgument));
        assert_eq!(known(), 1, "what cannot be read is not kept");
    }
}
