//! Names and ids of users and roles.

/// Whether people can type and read it, and no line breaks on it: 1 to 255 bytes, no control characters, no spaces around.
pub fn is_usable(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && name.trim() == name && !name.chars().any(char::is_control)
}
