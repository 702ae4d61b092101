//! `application/x-www-form-urlencoded`, as it is written: bodies of forms, and queries and fragments of addresses.

/// The parameters, each as `name=value`, with `&` between them.
pub fn encode<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in parameters {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        encode_value(&mut text, value);
    }
    text
}

fn encode_value(text: &mut String, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_form_is_encoded() {
        assert_eq!(
            encode([("name", "a b&c=d+é%"), ("other", "")]),
            "name=a%20b%26c%3Dd%2B%C3%A9%25&other="
        );
        assert_eq!(encode([]), "");
    }
}
