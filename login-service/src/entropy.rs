//! The one place that draws randomness.

/// A fresh salt for a password hash, of the length that the PHC recommends.
///
/// Fails only where the operating system has no random source.
#[expect(
    clippy::disallowed_methods,
    reason = "the edge of the program: hashing takes the salt as an argument"
)]
pub fn salt() -> Result<[u8; 16], getrandom::Error> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)?;
    Ok(salt)
}
