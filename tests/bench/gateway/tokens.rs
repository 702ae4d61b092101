//! Valid tokens of each algorithm: a thousand that every cache holds, and more than any cache holds.

use std::{fmt::Write, fs, path::Path};

use anyhow::{Context, Result};
use jsonwebtoken::Algorithm;
use postern_e2e::foreign_issuer;
use serde_json::{Value, json};

/// What the tokens say they are from and for.
pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "gateway";
/// 2024-01-01 and 2100-01-01: good in any run, and the same in every run.
const ISSUED: u64 = 1_704_067_200;
const EXPIRES: u64 = 4_102_444_800;

const ALGORITHMS: [Algorithm; 4] = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// The tokens of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub algorithm: Algorithm,
    /// So many that each is forgotten before its turn comes again.
    pub cold: bool,
}

impl Kind {
    /// A thousand.
    pub fn warm(algorithm: Algorithm) -> Self {
        Self { algorithm, cold: false }
    }

    /// Too many for a cache.
    pub fn cold(algorithm: Algorithm) -> Self {
        Self { algorithm, cold: true }
    }

    /// Distinct tokens. The filter's cache holds 8 MiB, about 5000 of them.
    pub fn count(self) -> usize {
        if self.cold { 12_000 } else { 1000 }
    }

    /// The file of tokens, one a line.
    pub fn file(self) -> String {
        format!("{:?}-{}.tokens", self.algorithm, self.count())
    }
}

/// The verifying keys.
pub fn jwks() -> Value {
    foreign_issuer::jwks(&ALGORITHMS)
}

/// Makes the tokens in the folder, unless they are there: keys and claims are always the same.
pub fn make(kind: Kind, folder: &Path) -> Result<()> {
    let path = folder.join(kind.file());
    if path.is_file() {
        return Ok(());
    }
    let mut tokens = String::new();
    for number in 0..kind.count() {
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": format!("user-{number:06}"), "iat": ISSUED, "exp": EXPIRES,
            "jti": format!("{:032x}", number * 7919), "roles": ["viewer", "user"], "name": format!("Test User {number}"),
        });
        writeln!(tokens, "{}", foreign_issuer::sign(kind.algorithm, &claims))?;
    }
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, tokens)
        .and_then(|()| fs::rename(&unfinished, &path))
        .context("cannot write the tokens")
}

/// One valid token, and one with the claims of a valid token and the signature of another.
pub fn good_and_forged(kind: Kind, folder: &Path) -> Result<(String, String)> {
    let tokens = fs::read_to_string(folder.join(kind.file())).context("cannot read the tokens")?;
    let mut lines = tokens.lines();
    let (one, other) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    Ok((one.to_owned(), foreign_issuer::forge(one, other)))
}
