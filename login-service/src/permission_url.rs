//! What a permission row may say: its path pattern, its method, its name.

/// Checks the pattern of a permission: `/`, then segments that are literals, `*` (one segment) or, as the last one, `**`
/// (any tail). The error says what is wrong with it and what to write instead.
///
/// A pattern that no canonical path can ever equal is refused here, where somebody is looking, instead of silently never
/// matching at the gateway.
pub fn check(url: &str) -> Result<(), String> {
    let Some(path) = url.strip_prefix('/') else {
        return Err(format!(
            "the url `{url}` must start with `/`, as in `/service/demo/test`"
        ));
    };
    if let Some(bad) = url
        .chars()
        .find(|c| c.is_control() || c.is_whitespace() || "?#;\\{}".contains(*c))
    {
        return Err(format!(
            "the url `{}` must not contain `{}`: it is a path of literal segments, `*` and `**`",
            url.escape_debug(),
            bad.escape_debug()
        ));
    }
    if path.is_empty() {
        return Ok(());
    }
    let segments: Vec<&str> = path.split('/').collect();
    for (index, segment) in segments.iter().enumerate() {
        match *segment {
            "" => {
                return Err(format!(
                    "the url `{url}` has an empty segment; write single slashes and none at the end"
                ));
            }
            "." | ".." => {
                return Err(format!(
                    "the url `{url}` has the segment `{segment}`, which no request path keeps"
                ));
            }
            "**" if index + 1 < segments.len() => {
                return Err(format!(
                    "the url `{url}` has `**` before its end; only the last segment may be `**`"
                ));
            }
            "*" | "**" => {}
            literal if literal.contains('*') => {
                return Err(format!(
                    "the url `{url}` has a `*` inside the segment `{literal}`; `*` must be a whole segment"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks an HTTP method: uppercase letters, as it stands in a request.
pub fn check_method(method: &str) -> Result<(), String> {
    if !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
        return Ok(());
    }
    Err(format!(
        "the method `{method}` is not one; write it in capitals, as in GET, or leave --method out for all"
    ))
}

/// Checks the name of a permission: it travels in tokens and, comma-separated, in a header.
pub fn check_name(name: &str) -> Result<(), String> {
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b',') {
        return Ok(());
    }
    Err(format!(
        "`{}` cannot be the name of a permission; write letters, digits and signs without spaces and commas, as in ROLE_TEST",
        name.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_paths_and_wildcards() {
        for url in [
            "/",
            "/demo/test",
            "/service/demo/admin/**",
            "/**",
            "/a/*/b",
            "/a/*",
            "/demo/服务",
            "/a%20b",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (url, complaint) in [
            ("", "must start with `/`"),
            ("demo", "must start with `/`"),
            ("/a//b", "empty segment"),
            ("/a/", "empty segment"),
            ("/a/../b", "`..`"),
            ("/**/b", "`**` before its end"),
            ("/a*", "whole segment"),
            ("/a/***", "whole segment"),
            ("/a?b=c", "`?`"),
            ("/a b", "` `"),
            ("/{tenant}", "`{`"),
            ("/a\n", "`\\n`"),
        ] {
            let error = check(url).unwrap_err();
            assert!(error.contains(complaint), "{url:?}: {error}");
        }
    }

    #[test]
    fn methods_are_capitals() {
        assert_eq!(check_method("GET"), Ok(()));
        assert_eq!(check_method("M-SEARCH"), Ok(()));
        for method in ["", "get", "GET,POST", "*"] {
            assert!(check_method(method).is_err(), "{method}");
        }
    }

    #[test]
    fn names_fit_a_header_list() {
        assert_eq!(check_name("ROLE_TEST"), Ok(()));
        for name in ["", "A B", "A,B", "Ä"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
