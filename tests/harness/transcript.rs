//! What a client saw, in a form that is the same on both hosts when they behave the same.

use crate::client::Response;

/// Headers that are ours to decide; the others (`date`, `server`, `connection`, …) belong to the host.
const OURS: &[&str] = &[
    "content-type",
    "www-authenticate",
    "cache-control",
    "pragma",
    "retry-after",
    "location",
    "set-cookie",
    "allow",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "access-control-max-age",
];

/// An answer with everything masked that differs from run to run: tokens, ids, times, and the name of the host in names
/// of users.
pub fn masked(response: &Response, host: &str) -> String {
    let mut text = format!("{}\n", response.status);
    for name in OURS {
        for (_, value) in response.headers.iter().filter(|(known, _)| known == name) {
            text.push_str(&format!("{name}: {}\n", mask(value, host)));
        }
    }
    let vary = vary(response);
    if !vary.is_empty() {
        text.push_str(&format!("vary: {}\n", vary.join(", ")));
    }
    text.push_str(&mask(&response.text(), host));
    text
}

/// What the answer depends on. It means the same in one field or several, once or twice.
fn vary(response: &Response) -> Vec<String> {
    let fields = response.headers.iter().filter(|(name, _)| name == "vary");
    let names = fields.flat_map(|(_, value)| value.split(','));
    let mut names: Vec<String> = names.map(|name| name.trim().to_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn mask(text: &str, host: &str) -> String {
    let part_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut out = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find(part_of_word) {
        let end = rest[begin..]
            .find(|c| !part_of_word(c))
            .map_or(rest.len(), |length| begin + length);
        out.push_str(&rest[..begin]);
        let word = &rest[begin..end];
        out.push_str(match word {
            _ if word.len() > 100 && word.matches('.').count() == 2 => "<token>",
            _ if word.len() == 35 && word.get(1..3) == Some("T-") => "<token>",
            _ if is_uuid(word) => "<uuid>",
            _ if word.len() == 13 && word.bytes().all(|byte| byte.is_ascii_digit()) => "<ms>",
            _ if ["expires_in", "iat", "exp"]
                .iter()
                .any(|name| out.ends_with(&format!("\"{name}\":"))) =>
            {
                "<seconds>"
            }
            _ => word.strip_suffix(host).unwrap_or(word),
        });
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

fn is_uuid(word: &str) -> bool {
    let lengths: Vec<usize> = word.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && word.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn what_differs_from_run_to_run_is_masked() {
        let token = format!("{}.{}.{}", "a".repeat(40), "b".repeat(80), "c".repeat(43));
        let body = format!(
            r#"{{"access_token":"{token}","expires_in":43199,"userId":"logout-envoy","jti":"e4b1c2d3-0000-4000-8000-0123456789ab"}}"#
        );
        let masked = r#"{"access_token":"<token>","expires_in":<seconds>,"userId":"logout","jti":"<uuid>"}"#;
        assert_eq!(mask(&body, "-envoy"), masked);
        assert_eq!(
            mask(r#"{"timestamp":1539075243574,"status":403}"#, "-envoy"),
            r#"{"timestamp":<ms>,"status":403}"#
        );
    }
}
