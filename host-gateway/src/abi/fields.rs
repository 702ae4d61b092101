//! Header maps as the ABI shows them: pseudo-headers first, then the fields, straight from hyper's own maps.

use http::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery};
use http::{Method, StatusCode, Uri, request, response};

use super::failure::{Failure, Status};
use super::field_names;
use super::pairs::Pair;

/// Most fields a guest may make of a header map, and most bytes of their names and values.
const MOST_FIELDS: usize = 4096;
const MOST_BYTES: usize = 1 << 20;
/// So many bytes may be set in a map before all of it is measured again.
const UNMEASURED: usize = 1 << 16;
/// Longest pseudo-header: as long as hyper's longest target.
const LONGEST_PSEUDO: usize = 65_535;

/// A header map to read.
#[derive(Clone, Copy)]
pub(crate) enum Fields<'a> {
    Request {
        head: &'a request::Parts,
        scheme: &'a str,
    },
    Response(&'a response::Parts),
    /// Trailers: no pseudo-headers.
    Plain(&'a HeaderMap),
}

impl<'a> Fields<'a> {
    /// Calls `see` with each name and value, pseudo-headers first. `host` appears as `:authority`.
    pub(crate) fn each(self, mut see: impl FnMut(&[u8], &[u8])) {
        let headers = match self {
            Self::Request { head, scheme } => {
                if let Some(authority) = authority(head) {
                    see(b":authority", authority);
                }
                see(b":path", path(head).as_bytes());
                see(b":method", head.method.as_str().as_bytes());
                see(b":scheme", scheme.as_bytes());
                for (name, value) in &head.headers {
                    if name != HOST {
                        see(name.as_str().as_bytes(), value.as_bytes());
                    }
                }
                return;
            }
            Self::Response(head) => {
                see(b":status", head.status.as_str().as_bytes());
                &head.headers
            }
            Self::Plain(headers) => headers,
        };
        for (name, value) in headers {
            see(name.as_str().as_bytes(), value.as_bytes());
        }
    }

    /// How many pairs [`Fields::each`] shows, without walking them.
    pub(crate) fn count(self) -> u32 {
        let count = match self {
            Self::Request { head, .. } => {
                let hosts = head.headers.get_all(HOST).iter().count();
                head.headers.len() - hosts + 3 + usize::from(hosts > 0 || head.uri.authority().is_some())
            }
            Self::Response(head) => head.headers.len() + 1,
            Self::Plain(headers) => headers.len(),
        };
        count as u32
    }

    /// The first value of a field, whatever the case of `name`.
    pub(crate) fn first(self, name: &[u8]) -> Option<&'a [u8]> {
        let headers = match self {
            Self::Request { head, scheme } => {
                if name.first() == Some(&b':') {
                    return match name {
                        b":path" => Some(path(head).as_bytes()),
                        b":method" => Some(head.method.as_str().as_bytes()),
                        b":authority" => authority(head),
                        b":scheme" => Some(scheme.as_bytes()),
                        _ => None,
                    };
                }
                if is_authority(name) {
                    return authority(head);
                }
                &head.headers
            }
            Self::Response(head) => {
                if name == b":status" {
                    return Some(head.status.as_str().as_bytes());
                }
                &head.headers
            }
            Self::Plain(headers) => headers,
        };
        headers.get(std::str::from_utf8(name).ok()?).map(HeaderValue::as_bytes)
    }
}

/// A header map to change.
pub(crate) enum FieldsMut<'a> {
    Request {
        head: &'a mut request::Parts,
        scheme: &'a mut Option<Box<str>>,
    },
    Response(&'a mut response::Parts),
    Plain(&'a mut HeaderMap),
}

impl FieldsMut<'_> {
    /// Appends a value. A pseudo-header has one value: adding replaces it. `unmeasured`: the bytes that were set in this map
    /// since it was measured.
    pub(crate) fn add(&mut self, name: &[u8], value: &[u8], unmeasured: &mut usize) -> Result<(), Failure> {
        if self.set_pseudo(name, value)? {
            return Ok(());
        }
        let (name, value) = field(name, value)?;
        if belongs_to_the_connection(&name) {
            return Ok(());
        }
        let headers = self.headers();
        measure(headers, &name, &value, Before::Stays, unmeasured)?;
        if headers.len() >= MOST_FIELDS {
            return Err(Status::InternalFailure.into());
        }
        let appended = headers.try_append(name, value);
        appended.map(|_| ()).map_err(|_| Status::InternalFailure.into())
    }

    /// Removes every value and sets one. `unmeasured` as for [`FieldsMut::add`].
    pub(crate) fn replace(&mut self, name: &[u8], value: &[u8], unmeasured: &mut usize) -> Result<(), Failure> {
        if self.set_pseudo(name, value)? {
            return Ok(());
        }
        let (name, value) = field(name, value)?;
        if belongs_to_the_connection(&name) {
            return Ok(());
        }
        let headers = self.headers();
        measure(headers, &name, &value, Before::Goes, unmeasured)?;
        let inserted = headers.try_insert(name, value);
        inserted.map(|_| ()).map_err(|_| Status::InternalFailure.into())
    }

    /// Removes every value. Pseudo-headers and `host` stay: a head cannot be sent without them. A name that HTTP does not
    /// allow is that of no field, which is no error either.
    pub(crate) fn remove(&mut self, name: &[u8]) -> Result<(), Failure> {
        if name.first() == Some(&b':') {
            return Ok(());
        }
        let Ok(name) = field_names::name(name) else {
            return Ok(());
        };
        if !(name == HOST && matches!(self, Self::Request { .. })) {
            self.headers().remove(name);
        }
        Ok(())
    }

    /// Replaces the whole map; either all pairs are taken over or none. Pseudo-headers that are missing keep
    /// their values.
    pub(crate) fn replace_all<'p>(&mut self, pairs: impl Iterator<Item = Pair<'p>>) -> Result<(), Failure> {
        let mut headers = HeaderMap::new();
        let mut pseudo = Vec::new();
        for (name, value) in pairs {
            if self.is_pseudo(name) {
                self.check_pseudo(name, value)?;
                pseudo.push((name, value));
            } else {
                let (name, value) = field(name, value)?;
                if !belongs_to_the_connection(&name) {
                    append(&mut headers, name, value)?;
                }
            }
        }
        let old = std::mem::replace(self.headers(), headers);
        for name in [CONNECTION, TRANSFER_ENCODING] {
            for value in old.get_all(&name) {
                self.headers().append(name.clone(), value.clone());
            }
        }
        if let (Self::Request { head, .. }, Some(host)) = (&mut *self, old.get(HOST)) {
            head.headers.insert(HOST, host.clone());
        }
        for (name, value) in pseudo {
            self.set_pseudo(name, value)?;
        }
        Ok(())
    }

    fn headers(&mut self) -> &mut HeaderMap {
        match self {
            Self::Request { head, .. } => &mut head.headers,
            Self::Response(head) => &mut head.headers,
            Self::Plain(headers) => headers,
        }
    }

    fn is_pseudo(&self, name: &[u8]) -> bool {
        name.first() == Some(&b':') || (matches!(self, Self::Request { .. }) && is_authority(name))
    }

    fn check_pseudo(&self, name: &[u8], value: &[u8]) -> Result<(), Failure> {
        let fits = match (self, name) {
            _ if value.len() > LONGEST_PSEUDO => false,
            (Self::Request { .. }, b":path") => path_and_query(value).is_some(),
            (Self::Request { .. }, b":method") => Method::from_bytes(value).is_ok(),
            (Self::Request { .. }, b":scheme") => std::str::from_utf8(value).is_ok(),
            (Self::Request { .. }, name) if is_authority(name) => Authority::try_from(value).is_ok(),
            (Self::Response(_), b":status") => final_status(value).is_some(),
            _ => false,
        };
        if fits { Ok(()) } else { Err(Status::BadArgument.into()) }
    }

    /// Sets a pseudo-header where it lives in hyper's head. `false`: it is an ordinary field.
    fn set_pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<bool, Failure> {
        if !self.is_pseudo(name) {
            return Ok(false);
        }
        if value.len() > LONGEST_PSEUDO {
            return Err(Status::BadArgument.into());
        }
        match (self, name) {
            (Self::Request { head, .. }, b":path") => {
                let path = path_and_query(value).ok_or(Status::BadArgument)?;
                let mut parts = head.uri.clone().into_parts();
                parts.path_and_query = Some(path);
                head.uri = Uri::from_parts(parts).map_err(|_| Status::BadArgument)?;
            }
            (Self::Request { head, .. }, b":method") => {
                head.method = Method::from_bytes(value).map_err(|_| Status::BadArgument)?;
            }
            (Self::Request { scheme, .. }, b":scheme") => {
                let value = std::str::from_utf8(value).map_err(|_| Status::BadArgument)?;
                **scheme = Some(value.into());
            }
            (Self::Request { head, .. }, name) if is_authority(name) => {
                let authority = Authority::try_from(value).map_err(|_| Status::BadArgument)?;
                let host = HeaderValue::from_bytes(value).map_err(|_| Status::BadArgument)?;
                if head.uri.authority().is_some() {
                    let mut parts = head.uri.clone().into_parts();
                    parts.authority = Some(authority);
                    head.uri = Uri::from_parts(parts).map_err(|_| Status::BadArgument)?;
                }
                head.headers.insert(HOST, host);
            }
            (Self::Response(head), b":status") => {
                head.status = final_status(value).ok_or(Status::BadArgument)?;
            }
            _ => return Err(Status::BadArgument.into()),
        }
        Ok(true)
    }
}

/// A field by its bytes; what HTTP does not allow is `BAD_ARGUMENT`.
pub(crate) fn field(name: &[u8], value: &[u8]) -> Result<(HeaderName, HeaderValue), Failure> {
    let name = field_names::name(name).map_err(|_| Status::BadArgument)?;
    let value = HeaderValue::from_bytes(value).map_err(|_| Status::BadArgument)?;
    Ok((name, value))
}

/// Adds a value unless the map is full: a guest must not fill the host's memory.
pub(crate) fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), Failure> {
    if headers.len() >= MOST_FIELDS || bytes(headers) + size(&name, &value) > MOST_BYTES {
        return Err(Status::InternalFailure.into());
    }
    headers
        .try_append(name, value)
        .map(|_| ())
        .map_err(|_| Status::InternalFailure.into())
}

/// What becomes of the values that a field has.
enum Before {
    Stays,
    Goes,
}

/// Refuses a value for which there is no room. The map is measured now and then, not for each of the few fields that a plugin
/// usually sets.
fn measure(
    headers: &HeaderMap,
    name: &HeaderName,
    value: &HeaderValue,
    before: Before,
    unmeasured: &mut usize,
) -> Result<(), Failure> {
    let more = size(name, value);
    *unmeasured = unmeasured.saturating_add(more);
    if *unmeasured < UNMEASURED {
        return Ok(());
    }
    let gone = match before {
        Before::Stays => 0,
        Before::Goes => headers.get_all(name).iter().map(|value| size(name, value)).sum(),
    };
    if bytes(headers) - gone + more > MOST_BYTES {
        return Err(Status::InternalFailure.into());
    }
    *unmeasured = 0;
    Ok(())
}

/// What the fields of a map take, without the map itself.
fn bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| size(name, value)).sum()
}

fn size(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len()
}

/// Fields that frame messages on one connection: the proxy's business, so what a guest sets there is dropped.
pub(crate) fn belongs_to_the_connection(name: &HeaderName) -> bool {
    name == CONNECTION || name == TRANSFER_ENCODING
}

/// Path with query.
pub(crate) fn path(head: &request::Parts) -> &str {
    head.uri.path_and_query().map_or("/", PathAndQuery::as_str)
}

/// The authority of an absolute target, else the `Host` field (RFC 9112, section 3.2.2).
pub(crate) fn authority(head: &request::Parts) -> Option<&[u8]> {
    match head.uri.authority() {
        Some(authority) => Some(authority.as_str().as_bytes()),
        None => head.headers.get(HOST).map(HeaderValue::as_bytes),
    }
}

/// `host` is another name of `:authority`.
fn is_authority(name: &[u8]) -> bool {
    name == b":authority" || name.eq_ignore_ascii_case(b"host")
}

/// An interim status cannot be that of a response.
fn final_status(value: &[u8]) -> Option<StatusCode> {
    StatusCode::from_bytes(value)
        .ok()
        .filter(|status| !status.is_informational())
}

fn path_and_query(value: &[u8]) -> Option<PathAndQuery> {
    let origin_form = value.first() == Some(&b'/') || value == b"*";
    PathAndQuery::try_from(value).ok().filter(|_| origin_form)
}
