//! How a legacy system kept a password: as it is, or as Spring Security's `DelegatingPasswordEncoder` writes it, with the
//! name of the encoding in braces before it.

use crate::password;

/// A password, as an import takes it.
// No `Debug`: it may be the password itself.
pub enum Password {
    /// The password itself, to be hashed.
    Plain(String),
    /// A hash that can be checked as it is.
    Hash(String),
}

/// Encodings of Spring Security that nothing here can check. Only these are named in a report: another text in braces
/// could be the beginning of a password.
const UNKNOWN: [&str; 9] = [
    "ldap",
    "MD4",
    "MD5",
    "pbkdf2",
    "scrypt",
    "SHA-1",
    "SHA-256",
    "sha256",
    "pbkdf2@SpringSecurity_v5_8",
];

/// Reads a stored password. Fails with the reason, which holds no part of it.
pub fn read(stored: &str) -> Result<Password, String> {
    let (encoding, rest) = match stored.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((encoding, rest)) => (Some(encoding), rest),
        None => (None, stored),
    };
    if rest.is_empty() {
        return Err("its password is empty".into());
    }
    match encoding {
        Some("noop") => Ok(Password::Plain(rest.into())),
        Some("bcrypt" | "argon2") | None if is_hash(rest) => match password::check_imported(rest) {
            Ok(()) => Ok(Password::Hash(rest.into())),
            Err(reason) => Err(format!("its password is {reason}; set one with `user add`")),
        },
        None => Ok(Password::Plain(rest.into())),
        Some("bcrypt" | "argon2") => {
            Err("its password is not the hash that it says to be; set one with `user add`".into())
        }
        Some(encoding) => Err(match UNKNOWN.iter().find(|known| **known == encoding) {
            Some(known) => {
                format!("its password is encoded as {{{known}}}, which cannot be checked; set one with `user add`")
            }
            None => "its password begins with an unknown encoding in braces; write {noop} before a plain one".into(),
        }),
    }
}

/// Whether this is, or claims to be, a bcrypt or Argon2 hash.
fn is_hash(text: &str) -> bool {
    ["$2a$", "$2b$", "$2y$", "$2x$", "$argon2"]
        .iter()
        .any(|start| text.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCRYPT: &str = "$2b$04$ABCDEFGHIJKLMNOPQRSTUuXNTswANMhf9D801keu4fvPPHbld7JyC";

    fn plain(stored: &str) -> Option<String> {
        match read(stored) {
            Ok(Password::Plain(password)) => Some(password),
            _ => None,
        }
    }

    #[test]
    fn plain_passwords_are_taken_as_they_are() {
        for (stored, password) in [
            ("secret", "secret"),
            ("{noop}secret", "secret"),
            ("{noop}{noop}x", "{noop}x"),
            (" {x} ", " {x} "),
            ("$1$", "$1$"),
            ("{", "{"),
        ] {
            assert_eq!(plain(stored).as_deref(), Some(password), "{stored}");
        }
        // What is said to be plain is, also where it looks like a hash.
        assert_eq!(plain(&format!("{{noop}}{BCRYPT}")).as_deref(), Some(BCRYPT));
    }

    #[test]
    fn hashes_that_can_be_checked_are_kept() {
        let argon2 = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$VbWVGv8RIGbVyOyz0aSLqbIgvrM2dBlJIUKyBjkZP3E";
        for (stored, hash) in [
            (BCRYPT.to_owned(), BCRYPT.to_owned()),
            (format!("{{bcrypt}}{BCRYPT}"), BCRYPT.to_owned()),
            (BCRYPT.replace("2b", "2a"), BCRYPT.replace("2b", "2a")),
            (BCRYPT.replace("2b", "2y"), BCRYPT.replace("2b", "2y")),
            (format!("{{argon2}}{argon2}"), argon2.to_owned()),
        ] {
            assert!(
                matches!(read(&stored), Ok(Password::Hash(read)) if read == hash),
                "{stored}"
            );
        }
    }

    #[test]
    fn what_cannot_be_checked_is_refused_without_showing_it() {
        for (stored, reason) in [
            ("", "empty"),
            ("{noop}", "empty"),
            ("{MD5}5ebe2294ecd0e0f08eab7690d2a6ee69", "{MD5}"),
            ("{5ebe2294}ecd0e0f0", "unknown encoding"),
            ("{bcrypt}5ebe2294", "not the hash"),
            ("$2a$10$5ebe2294", "not a whole bcrypt hash"),
            ("$2x$04$ABCDEFGHIJKLMNOPQRSTUuXNTswANMhf9D801keu4fvPPHbld7JyC", "$2x$"),
            ("$2a$31$ABCDEFGHIJKLMNOPQRSTUuXNTswANMhf9D801keu4fvPPHbld7JyC", "cost"),
            ("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ", "Argon2"),
        ] {
            let Err(said) = read(stored) else {
                panic!("{stored} was taken")
            };
            assert!(said.contains(reason), "{stored}: {said}");
            assert!(!said.contains("5ebe2294") && !said.contains("ABCD"), "{said}");
        }
    }
}
