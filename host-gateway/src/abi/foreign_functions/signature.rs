//! `verify_signature` as Envoy has it, and `verify_jws_signature`, which knows every algorithm of a JWS.
//!
//! Keys are read anew for each call: that takes well under a microsecond, a verification some tens of them.

use ring::hmac;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

use super::message::{Arguments, result};
use super::spki::{self, Kind};
use crate::abi::failure::Status;

/// RSASSA-PKCS1-v1_5 and ECDSA. The name is that of the hash in any case, the key a `SubjectPublicKeyInfo`, an ECDSA
/// signature is DER. RSA keys have at least 2048 bits.
pub(super) fn verify_signature(arguments: &[u8]) -> Result<Vec<u8>, Status> {
    let arguments = Arguments::read(arguments).ok_or(Status::BadArgument)?;
    let pem;
    let der = match (arguments.key, arguments.pem) {
        (key, b"") => key,
        (b"", text) => {
            pem = spki::from_pem(text).ok_or(Status::BadArgument)?;
            &pem
        }
        _ => return Err(Status::BadArgument),
    };
    let (kind, key) = spki::parse(der).ok_or(Status::BadArgument)?;
    let hash = arguments.name.to_ascii_lowercase();
    let algorithm: Option<&'static dyn VerificationAlgorithm> = match (kind, &hash[..]) {
        (Kind::Rsa, b"sha256") => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        (Kind::Rsa, b"sha384") => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        (Kind::Rsa, b"sha512") => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        (Kind::P256, b"sha256") => Some(&signature::ECDSA_P256_SHA256_ASN1),
        (Kind::P256, b"sha384") => Some(&signature::ECDSA_P256_SHA384_ASN1),
        (Kind::P384, b"sha256") => Some(&signature::ECDSA_P384_SHA256_ASN1),
        (Kind::P384, b"sha384") => Some(&signature::ECDSA_P384_SHA384_ASN1),
        _ => None,
    };
    Ok(verify(algorithm, key, &arguments))
}

/// HS, RS and PS 256–512, ES256, ES384 and EdDSA (Ed25519). The name is the algorithm's, the key a `SubjectPublicKeyInfo`
/// or, for HMAC, the secret, the signature that of a JWS (RFC 7518 section 3, RFC 8037 section 3.1).
pub(super) fn verify_jws_signature(arguments: &[u8]) -> Result<Vec<u8>, Status> {
    let arguments = Arguments::read(arguments).ok_or(Status::BadArgument)?;
    let secret = match arguments.name {
        b"HS256" => Some(hmac::HMAC_SHA256),
        b"HS384" => Some(hmac::HMAC_SHA384),
        b"HS512" => Some(hmac::HMAC_SHA512),
        _ => None,
    };
    if let Some(algorithm) = secret {
        if arguments.key.is_empty() {
            return Err(Status::BadArgument);
        }
        let key = hmac::Key::new(algorithm, arguments.key);
        return Ok(told(hmac::verify(&key, arguments.text, arguments.signature).is_ok()));
    }
    let (kind, key) = spki::parse(arguments.key).ok_or(Status::BadArgument)?;
    let algorithm: Option<&'static dyn VerificationAlgorithm> = match (kind, arguments.name) {
        (Kind::Rsa, b"RS256") => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        (Kind::Rsa, b"RS384") => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        (Kind::Rsa, b"RS512") => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        (Kind::Rsa, b"PS256") => Some(&signature::RSA_PSS_2048_8192_SHA256),
        (Kind::Rsa, b"PS384") => Some(&signature::RSA_PSS_2048_8192_SHA384),
        (Kind::Rsa, b"PS512") => Some(&signature::RSA_PSS_2048_8192_SHA512),
        (Kind::P256, b"ES256") => Some(&signature::ECDSA_P256_SHA256_FIXED),
        (Kind::P384, b"ES384") => Some(&signature::ECDSA_P384_SHA384_FIXED),
        (Kind::Ed25519, b"EdDSA") => Some(&signature::ED25519),
        _ => None,
    };
    Ok(verify(algorithm, key, &arguments))
}

fn verify(algorithm: Option<&'static dyn VerificationAlgorithm>, key: &[u8], arguments: &Arguments<'_>) -> Vec<u8> {
    let Some(algorithm) = algorithm else {
        return result(Err("the algorithm is not supported, or not with such a key"));
    };
    let key = UnparsedPublicKey::new(algorithm, key);
    told(key.verify(arguments.text, arguments.signature).is_ok())
}

fn told(right: bool) -> Vec<u8> {
    result(if right {
        Ok(())
    } else {
        Err("the signature is not right")
    })
}
