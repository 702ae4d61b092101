//! Request parameters as `HttpServletRequest.getParameter` has them: query and body merged, the query first, and of
//! several values the first. Bodies are read when they are `application/x-www-form-urlencoded` or `multipart/form-data`,
//! and never refused: what cannot be read holds no parameters.

/// Names and values in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The parameters of a request.
    pub fn read(query: Option<&str>, content_type: Option<&str>, body: &[u8]) -> Self {
        let mut pairs = form_urlencoded(query.unwrap_or_default().as_bytes());
        let (media_type, attributes) = content_type
            .and_then(|text| text.split_once(';'))
            .unwrap_or((content_type.unwrap_or_default(), ""));
        let media_type = media_type.trim();
        if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            pairs.extend(form_urlencoded(body));
        } else if media_type.eq_ignore_ascii_case("multipart/form-data") {
            pairs.extend(
                boundary(attributes)
                    .map(|boundary| multipart(boundary, body))
                    .unwrap_or_default(),
            );
        }
        Self(pairs)
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

fn form_urlencoded(text: &[u8]) -> Vec<(String, String)> {
    text.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            (
                decode(&pair[..equals]),
                decode(pair.get(equals + 1..).unwrap_or_default()),
            )
        })
        .collect()
}

/// Percent-decoding with `+` for a blank; what is no escape stands for itself.
fn decode(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &tail[2..];
                continue;
            }
            (b'+', ..) => bytes.push(b' '),
            (byte, ..) => bytes.push(*byte),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The `boundary` of a multipart content type.
fn boundary(attributes: &str) -> Option<&str> {
    let value = attribute(attributes, "boundary")?;
    (!value.is_empty()).then_some(value)
}

/// The parts of a `multipart/form-data` body (RFC 7578) that are no files.
fn multipart(boundary: &str, body: &[u8]) -> Vec<(String, String)> {
    let delimiter = format!("--{boundary}").into_bytes();
    let mut parts = Vec::new();
    let mut rest = body;
    while let Some(start) = find(rest, &delimiter) {
        rest = &rest[start + delimiter.len()..];
        if rest.starts_with(b"--") {
            break;
        }
        let end = find(rest, &[b"\r\n", delimiter.as_slice()].concat()).unwrap_or(rest.len());
        let part = &rest[..end];
        if let Some(blank) = find(part, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&part[..blank]);
            if let Some(name) = field_name(&head) {
                parts.push((name, String::from_utf8_lossy(&part[blank + 4..]).into_owned()));
            }
        }
        rest = &rest[end..];
    }
    parts
}

fn field_name(head: &str) -> Option<String> {
    let disposition = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let (_, attributes) = disposition.split_once(';')?;
    attribute(attributes, "filename").is_none().then_some(())?;
    attribute(attributes, "name").map(str::to_owned)
}

/// The value of one `name=value` or `name="value"` of a header's attributes.
fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    attributes.split(';').find_map(|attribute| {
        let (key, value) = attribute.split_once('=')?;
        key.trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim().trim_matches('"'))
    })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded; charset=utf-8");
    const MULTIPART: Option<&str> = Some("multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW");

    #[test]
    fn the_query_wins_and_the_first_value_wins() {
        let parameters = Parameters::read(Some("a=query&b=1&b=2"), FORM, b"a=body&c=3&c=4");
        assert_eq!(parameters.get("a"), Some("query"));
        assert_eq!(parameters.get("b"), Some("1"));
        assert_eq!(parameters.get("c"), Some("3"));
        assert_eq!(parameters.get("d"), None);
    }

    #[test]
    fn escapes_are_decoded_and_broken_ones_kept() {
        let parameters = Parameters::read(None, FORM, b"p=a%20b+c%26&q=100%&r=%zz&s&=t");
        assert_eq!(parameters.get("p"), Some("a b c&"));
        assert_eq!(parameters.get("q"), Some("100%"));
        assert_eq!(parameters.get("r"), Some("%zz"));
        assert_eq!(parameters.get("s"), Some(""));
    }

    #[test]
    fn other_bodies_hold_no_parameters() {
        for content_type in [None, Some("application/json"), Some("text/plain")] {
            assert_eq!(
                Parameters::read(None, content_type, b"grant_type=password"),
                Parameters::default()
            );
        }
    }

    #[test]
    fn multipart_fields_are_parameters_and_files_are_not() {
        let body = b"------WebKitFormBoundary7MA4YWxkTrZu0gW\r\nContent-Disposition: form-data; name=\"userId\"\r\n\r\nu1\r\n\
            ------WebKitFormBoundary7MA4YWxkTrZu0gW\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\ndata\r\n\
            ------WebKitFormBoundary7MA4YWxkTrZu0gW--\r\n";
        let parameters = Parameters::read(None, MULTIPART, body);
        assert_eq!(parameters.get("userId"), Some("u1"));
        assert_eq!(parameters.get("f"), None);
    }

    #[test]
    fn broken_multipart_bodies_are_empty_not_refused() {
        for body in [&b""[..], b"------WebKitFormBoundary7MA4YWxkTrZu0gW", b"nonsense"] {
            assert_eq!(Parameters::read(None, MULTIPART, body), Parameters::default());
        }
        assert_eq!(
            Parameters::read(None, Some("multipart/form-data"), b"x"),
            Parameters::default()
        );
    }
}
