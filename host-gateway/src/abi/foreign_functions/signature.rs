//! `verify_signature` as Envoy has it, and `verify_jws_signature`, which knows every algorithm of a JWS.

use super::keys::{self, Form, Given};
use super::message::{Arguments, result};
use crate::abi::failure::Status;

/// RSASSA-PKCS1-v1_5 and ECDSA. The name is that of the hash in any case, the key a `SubjectPublicKeyInfo`, an ECDSA
/// signature is DER. RSA keys have at least 2048 bits.
pub(super) fn verify_signature(arguments: &[u8]) -> Result<Vec<u8>, Status> {
    let arguments = Arguments::read(arguments).ok_or(Status::BadArgument)?;
    let key = match (arguments.key, arguments.pem) {
        (key, b"") => Given::Bytes(key),
        (b"", text) => Given::Pem(text),
        _ => return Err(Status::BadArgument),
    };
    verify(Form::X509, key, &arguments)
}

/// HS, RS and PS 256–512, ES256, ES384 and EdDSA (Ed25519). The name is the algorithm's, the key a `SubjectPublicKeyInfo`
/// or, for HMAC, the secret, the signature that of a JWS (RFC 7518 section 3, RFC 8037 section 3.1).
pub(super) fn verify_jws_signature(arguments: &[u8]) -> Result<Vec<u8>, Status> {
    let arguments = Arguments::read(arguments).ok_or(Status::BadArgument)?;
    verify(Form::Jws, Given::Bytes(arguments.key), &arguments)
}

fn verify(form: Form, key: Given<'_>, arguments: &Arguments<'_>) -> Result<Vec<u8>, Status> {
    let verified = keys::verify(form, arguments.name, key, arguments.text, arguments.signature)?;
    Ok(result(match verified {
        Some(true) => Ok(()),
        Some(false) => Err("the signature is not right"),
        None => Err("the algorithm is not supported, or not with such a key"),
    }))
}
