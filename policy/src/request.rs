//! A request as somebody writes it on a command line.

use serde_json::{Map, Value};

/// A request, ready for the policy.
#[derive(Debug, Clone)]
pub struct Written {
    headers: Vec<(String, String)>,
}

impl Written {
    /// Reads `GET https://host/path?query` or `GET /path`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no request; write a method and an address, as in `GET https://example.com/a`");
        let (method, address) = text.split_once(' ').ok_or_else(wrong)?;
        let address = address.trim_start();
        let mut headers = vec![(":method".to_owned(), method.to_owned())];
        match address.split_once("://").filter(|_| !address.starts_with('/')) {
            Some((scheme, rest)) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let (host, target) = rest.split_at(end);
                let target = if target.is_empty() { "/" } else { target };
                headers.push((":scheme".into(), scheme.into()));
                headers.push((":authority".into(), host.into()));
                headers.push((":path".into(), target.into()));
            }
            // Whatever a client may send: it is for the policy to refuse it.
            None => headers.push((":path".into(), address.into())),
        }
        Ok(Self { headers })
    }

    /// One more header, as `name: value`.
    pub fn header_line(&mut self, line: &str) -> Result<(), String> {
        let (name, value) = line
            .split_once(':')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| format!("`{line}` is no header; write `name: value`"))?;
        self.header(name, value.trim());
        Ok(())
    }

    /// One more header.
    pub fn header(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
    }

    /// One more parameter of the query.
    pub fn query(&mut self, name: &str, value: &str) {
        if let Some((_, target)) = self.headers.iter_mut().find(|(name, _)| name == ":path") {
            let separator = if target.contains('?') { '&' } else { '?' };
            target.push_str(&format!("{separator}{name}={value}"));
        }
    }

    /// Headers of a YAML map.
    pub fn headers_of(&mut self, headers: &Map<String, Value>) {
        for (name, value) in headers {
            match value {
                Value::String(text) => self.header(name, text),
                other => self.header(name, &other.to_string()),
            }
        }
    }

    /// Names and values, pseudo-headers included.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }

    /// `:path`, as it came.
    pub fn target(&self) -> &str {
        self.value(":path").unwrap_or_default()
    }

    fn value(&self, wanted: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
    }
}
