//! Keys, and a thousand valid tokens of each algorithm.

use std::{fmt::Write, fs, path::Path};

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rsa::{RsaPrivateKey, pkcs1::EncodeRsaPrivateKey, traits::PublicKeyParts};
use serde_json::{Value, json};

/// Distinct tokens of each algorithm. All of them fit into every cache that is measured.
pub const COUNT: usize = 1000;
/// What the tokens say they are from and for.
pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "gateway";
/// 2100-01-01: far enough for any run, and the same in every run.
const EXPIRES: u64 = 4_102_444_800;

/// The algorithm of a subject's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Hs256,
    Rs256,
}

impl Kind {
    /// The name in a JWT header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
        }
    }

    /// The file of tokens, one a line.
    pub fn file(self) -> &'static str {
        match self {
            Self::Hs256 => "hs256.tokens",
            Self::Rs256 => "rs256.tokens",
        }
    }
}

/// Everything that a verifier and a client need.
pub struct Tokens {
    /// The verifying keys.
    pub jwks: Value,
    hs256: String,
    rs256: String,
}

impl Tokens {
    /// Makes keys and tokens and writes the tokens into the folder.
    pub fn make(folder: &Path) -> Result<Self> {
        let secret = b"0123456789abcdef0123456789abcdef";
        let rsa = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).context("cannot make an RSA key")?;
        let der = rsa.to_pkcs1_der().context("cannot encode the RSA key")?;
        let jwks = json!({ "keys": [
            { "kty": "oct", "kid": "hs", "alg": "HS256", "k": BASE64URL.encode(secret) },
            { "kty": "RSA", "kid": "rs", "alg": "RS256", "use": "sig",
              "n": BASE64URL.encode(rsa.n().to_bytes_be()), "e": BASE64URL.encode(rsa.e().to_bytes_be()) },
        ] });
        let hs256 = sign(Algorithm::HS256, "hs", &EncodingKey::from_secret(secret))?;
        let rs256 = sign(Algorithm::RS256, "rs", &EncodingKey::from_rsa_der(der.as_bytes()))?;
        for (kind, tokens) in [(Kind::Hs256, &hs256), (Kind::Rs256, &rs256)] {
            fs::write(folder.join(kind.file()), tokens).context("cannot write the tokens")?;
        }
        Ok(Self { jwks, hs256, rs256 })
    }

    /// One valid token.
    pub fn good(&self, kind: Kind) -> &str {
        let tokens = match kind {
            Kind::Hs256 => &self.hs256,
            Kind::Rs256 => &self.rs256,
        };
        tokens.lines().next().unwrap_or_default()
    }

    /// A token with the claims of one and the signature of another.
    pub fn forged(&self, kind: Kind) -> String {
        let tokens = match kind {
            Kind::Hs256 => &self.hs256,
            Kind::Rs256 => &self.rs256,
        };
        let parts = |line: usize| {
            tokens
                .lines()
                .nth(line)
                .and_then(|token| token.rsplit_once('.'))
                .unwrap_or_default()
        };
        format!("{}.{}", parts(0).0, parts(1).1)
    }
}

fn sign(algorithm: Algorithm, kid: &str, key: &EncodingKey) -> Result<String> {
    let header = Header {
        kid: Some(kid.to_owned()),
        ..Header::new(algorithm)
    };
    let mut tokens = String::new();
    for number in 0..COUNT {
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": format!("user-{number:06}"), "iat": EXPIRES - 1000, "exp": EXPIRES,
            "jti": format!("{:032x}", number * 7919), "roles": ["viewer", "user"], "name": format!("Test User {number}"),
        });
        let token = jsonwebtoken::encode(&header, &claims, key).context("cannot sign a token")?;
        writeln!(tokens, "{token}")?;
    }
    Ok(tokens)
}
