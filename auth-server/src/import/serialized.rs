//! Tokens as the tables of Spring Security OAuth have them: objects that Java serialized (`ObjectOutputStream`).
//!
//! Java Object Serialization Specification, chapter 6, as far as a token needs it: objects, strings, collections, dates.
//! What is read came out of a dump and may be damaged: sizes are believed only as far as there are bytes, nesting is
//! bounded, and anything unexpected is an error.

use std::collections::HashSet;

/// An access or refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerializedToken {
    /// The token itself: a secret, like every token.
    pub value: String,
    /// When it expires; `None`: never.
    pub expires_at_ms: Option<i64>,
    /// Of an access token, in alphabetical order.
    pub scope: Vec<String>,
    /// The value of the refresh token that an access token was given with.
    pub refresh_value: Option<String>,
}

/// Not a token that Java serialized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// Reads a `DefaultOAuth2AccessToken`, a `DefaultOAuth2RefreshToken`, or what extends them: members are found by name.
pub fn read(bytes: &[u8]) -> Result<SerializedToken, Unreadable> {
    let mut reader = Reader {
        rest: bytes,
        handles: Vec::new(),
        depth: 0,
    };
    if reader.take(4)? != [0xac, 0xed, 0, 5] {
        return Err(Unreadable);
    }
    let root = reader.content()?;
    let token = Graph(reader.handles);
    let value = token.text(token.member(&root, "value")).ok_or(Unreadable)?.to_owned();
    let expires_at_ms = match token.member(&root, "expiration") {
        None | Some(Content::Null) => None,
        Some(date) => Some(token.date(date).ok_or(Unreadable)?),
    };
    let scope = token.member(&root, "scope").map(|scope| token.texts(scope));
    let refresh = token.member(&root, "refreshToken");
    let refresh_value = refresh.and_then(|refresh| token.text(token.member(refresh, "value")));
    Ok(SerializedToken {
        value,
        expires_at_ms,
        scope: scope.unwrap_or_default(),
        refresh_value: refresh_value.map(str::to_owned),
    })
}

/// How deep objects may be nested. A token with its refresh token and collections needs five levels.
const DEEPEST: usize = 64;

/// Magic numbers of section 6.4.2.
mod tag {
    pub const NULL: u8 = 0x70;
    pub const REFERENCE: u8 = 0x71;
    pub const CLASS_DESCRIPTION: u8 = 0x72;
    pub const OBJECT: u8 = 0x73;
    pub const STRING: u8 = 0x74;
    pub const ARRAY: u8 = 0x75;
    pub const CLASS: u8 = 0x76;
    pub const BLOCK: u8 = 0x77;
    pub const END: u8 = 0x78;
    pub const LONG_BLOCK: u8 = 0x7a;
    pub const LONG_STRING: u8 = 0x7c;
    pub const PROXY_CLASS_DESCRIPTION: u8 = 0x7d;
    pub const ENUM: u8 = 0x7e;
}

/// The first number of a handle.
const BASE_HANDLE: u32 = 0x7e_0000;

/// Flags of a class.
const WRITE_METHOD: u8 = 1;
const SERIALIZABLE: u8 = 2;
const EXTERNALIZABLE: u8 = 4;
const BLOCK_DATA: u8 = 8;

#[derive(Debug, Clone)]
enum Content {
    Null,
    /// What has a number, by which it may be meant again.
    Handle(usize),
    /// What a class wrote by itself.
    Block(Vec<u8>),
    /// A number or truth value: no token says anything with them.
    Primitive,
}

#[derive(Debug, Clone)]
enum Node {
    Class(Class),
    Text(String),
    Object {
        members: Vec<(String, Content)>,
        /// What classes wrote by themselves, the elements of a collection among it.
        written: Vec<Content>,
    },
    /// Something that no token needs, or that is still being read.
    Other,
}

#[derive(Debug, Clone)]
struct Class {
    name: String,
    flags: u8,
    /// Their type codes and names.
    fields: Vec<(u8, String)>,
    parent: Option<usize>,
}

struct Reader<'b> {
    rest: &'b [u8],
    handles: Vec<Node>,
    depth: usize,
}

impl<'b> Reader<'b> {
    /// `content` of the grammar.
    fn content(&mut self) -> Result<Content, Unreadable> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Unreadable);
        }
        let content = match self.byte()? {
            tag::NULL => Content::Null,
            tag::REFERENCE => {
                let number = self.u32()?.checked_sub(BASE_HANDLE).ok_or(Unreadable)?;
                let handle = usize::try_from(number).map_err(|_| Unreadable)?;
                self.handles.get(handle).ok_or(Unreadable)?;
                Content::Handle(handle)
            }
            tag::CLASS_DESCRIPTION => self.class_description()?,
            tag::PROXY_CLASS_DESCRIPTION => self.proxy_class_description()?,
            tag::OBJECT => self.object()?,
            tag::STRING => {
                let text = self.text()?;
                self.handle(Node::Text(text))
            }
            tag::LONG_STRING => {
                let length = usize::try_from(self.u64()?).map_err(|_| Unreadable)?;
                let text = modified_utf8(self.take(length)?)?;
                self.handle(Node::Text(text))
            }
            tag::ARRAY => self.array()?,
            tag::CLASS => {
                self.class()?;
                self.handle(Node::Other)
            }
            tag::ENUM => {
                self.class()?;
                let constant = self.handle(Node::Other);
                self.content()?;
                constant
            }
            tag::BLOCK => {
                let length = self.byte()?.into();
                Content::Block(self.take(length)?.to_vec())
            }
            tag::LONG_BLOCK => {
                let length = usize::try_from(self.u32()?).map_err(|_| Unreadable)?;
                Content::Block(self.take(length)?.to_vec())
            }
            _ => return Err(Unreadable),
        };
        self.depth -= 1;
        Ok(content)
    }

    /// A class description, which may be null or meant again.
    fn class(&mut self) -> Result<Option<usize>, Unreadable> {
        match self.content()? {
            Content::Null => Ok(None),
            Content::Handle(handle) if matches!(self.handles[handle], Node::Class(_)) => Ok(Some(handle)),
            _ => Err(Unreadable),
        }
    }

    fn class_description(&mut self) -> Result<Content, Unreadable> {
        let name = self.text()?;
        self.take(8)?; // serialVersionUID
        let place = self.handles.len();
        let content = self.handle(Node::Other);
        let flags = self.byte()?;
        let mut fields = Vec::new();
        for _ in 0..self.u16()? {
            let (kind, name) = (self.byte()?, self.text()?);
            if matches!(kind, b'L' | b'[') {
                self.content()?; // the name of its class
            }
            fields.push((kind, name));
        }
        self.contents()?;
        let parent = self.class()?;
        self.handles[place] = Node::Class(Class {
            name,
            flags,
            fields,
            parent,
        });
        Ok(content)
    }

    fn proxy_class_description(&mut self) -> Result<Content, Unreadable> {
        let place = self.handles.len();
        let content = self.handle(Node::Other);
        for _ in 0..self.u32()? {
            self.text()?;
        }
        self.contents()?;
        let parent = self.class()?;
        self.handles[place] = Node::Class(Class {
            name: String::new(),
            flags: SERIALIZABLE,
            fields: Vec::new(),
            parent,
        });
        Ok(content)
    }

    fn object(&mut self) -> Result<Content, Unreadable> {
        let mut class = self.class()?;
        let place = self.handles.len();
        let content = self.handle(Node::Other);
        // What the furthest ancestor has comes first.
        let mut line = Vec::new();
        while let Some(handle) = class {
            let Node::Class(description) = &self.handles[handle] else {
                return Err(Unreadable);
            };
            class = description.parent;
            line.push(description.clone());
            if line.len() > DEEPEST {
                return Err(Unreadable);
            }
        }
        let (mut members, mut written) = (Vec::new(), Vec::new());
        for class in line.into_iter().rev() {
            if class.flags & SERIALIZABLE != 0 {
                for (kind, name) in class.fields {
                    members.push((name, self.field(kind)?));
                }
                if class.flags & WRITE_METHOD != 0 {
                    written.extend(self.contents()?);
                }
            } else if class.flags & EXTERNALIZABLE != 0 {
                // Without block data only the class itself knows where it ends.
                if class.flags & BLOCK_DATA == 0 {
                    return Err(Unreadable);
                }
                written.extend(self.contents()?);
            }
        }
        self.handles[place] = Node::Object { members, written };
        Ok(content)
    }

    fn array(&mut self) -> Result<Content, Unreadable> {
        let class = self.class()?.ok_or(Unreadable)?;
        let Node::Class(Class { name, .. }) = &self.handles[class] else {
            return Err(Unreadable);
        };
        let kind = *name.as_bytes().get(1).ok_or(Unreadable)?;
        let place = self.handles.len();
        let content = self.handle(Node::Other);
        let mut written = Vec::new();
        for _ in 0..self.u32()? {
            written.push(self.field(kind)?);
        }
        self.handles[place] = Node::Object {
            members: Vec::new(),
            written,
        };
        Ok(content)
    }

    fn field(&mut self, kind: u8) -> Result<Content, Unreadable> {
        let size = match kind {
            b'B' | b'Z' => 1,
            b'C' | b'S' => 2,
            b'F' | b'I' => 4,
            b'D' | b'J' => 8,
            b'L' | b'[' => return self.content(),
            _ => return Err(Unreadable),
        };
        self.take(size)?;
        Ok(Content::Primitive)
    }

    /// Contents up to the end of what a class wrote by itself.
    fn contents(&mut self) -> Result<Vec<Content>, Unreadable> {
        let mut contents = Vec::new();
        while self.rest.first() != Some(&tag::END) {
            contents.push(self.content()?);
        }
        self.byte()?;
        Ok(contents)
    }

    fn handle(&mut self, node: Node) -> Content {
        self.handles.push(node);
        Content::Handle(self.handles.len() - 1)
    }

    fn text(&mut self) -> Result<String, Unreadable> {
        let length = self.u16()?.into();
        modified_utf8(self.take(length)?)
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, Unreadable> {
        Ok(u16::from_be_bytes(self.array_of()?))
    }

    fn u32(&mut self) -> Result<u32, Unreadable> {
        Ok(u32::from_be_bytes(self.array_of()?))
    }

    fn u64(&mut self) -> Result<u64, Unreadable> {
        Ok(u64::from_be_bytes(self.array_of()?))
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        self.take(N)?.try_into().map_err(|_| Unreadable)
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], Unreadable> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Unreadable)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Everything that was read, by its handle.
struct Graph(Vec<Node>);

impl Graph {
    fn member(&self, object: &Content, name: &str) -> Option<&Content> {
        let Node::Object { members, .. } = self.node(object)? else {
            return None;
        };
        members.iter().find(|(own, _)| own == name).map(|(_, content)| content)
    }

    fn text(&self, content: Option<&Content>) -> Option<&str> {
        match self.node(content?)? {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// `java.util.Date` and what extends it write the milliseconds since 1970 as their first eight bytes (a SQL timestamp
    /// whole seconds).
    fn date(&self, date: &Content) -> Option<i64> {
        let Node::Object { written, .. } = self.node(date)? else {
            return None;
        };
        let Content::Block(bytes) = written.first()? else {
            return None;
        };
        Some(i64::from_be_bytes(bytes.get(..8)?.try_into().ok()?))
    }

    /// All strings in a collection, however its class keeps them; sorted, each once.
    fn texts(&self, collection: &Content) -> Vec<String> {
        let (mut texts, mut seen, mut next) = (Vec::new(), HashSet::new(), vec![collection]);
        while let Some(content) = next.pop() {
            let Content::Handle(handle) = content else { continue };
            if !seen.insert(*handle) {
                continue;
            }
            match &self.0[*handle] {
                Node::Text(text) => texts.push(text.clone()),
                Node::Object { members, written } => {
                    next.extend(members.iter().map(|(_, content)| content));
                    next.extend(written);
                }
                Node::Class(_) | Node::Other => {}
            }
        }
        texts.sort_unstable();
        texts.dedup();
        texts
    }

    fn node(&self, content: &Content) -> Option<&Node> {
        match content {
            Content::Handle(handle) => self.0.get(*handle),
            _ => None,
        }
    }
}

/// Java's own UTF-8 differs in NUL and in what lies beyond U+FFFF: neither is part of a name, a scope or a token.
fn modified_utf8(bytes: &[u8]) -> Result<String, Unreadable> {
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of the samples, by its name.
    fn sample(name: &str) -> Vec<u8> {
        let samples = include_str!("serialized_samples.txt");
        let digits = samples
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        bytes(digits.unwrap())
    }

    fn bytes(digits: &str) -> Vec<u8> {
        let pairs = digits.as_bytes().chunks(2);
        pairs
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn token(value: &str, expires_at_ms: Option<i64>, scope: &[&str], refresh: Option<&str>) -> SerializedToken {
        SerializedToken {
            value: value.into(),
            expires_at_ms,
            scope: scope.iter().map(|scope| (*scope).to_owned()).collect(),
            refresh_value: refresh.map(str::to_owned),
        }
    }

    #[test]
    fn what_java_wrote_is_read() {
        let access = Some(1_700_000_000_123);
        let uuid = "2777a567-1c64-4d5b-a03e-37de5d33ca4e";
        for (name, expected) in [
            (
                "of_user",
                token("aaa.bbb.ccc", access, &["all", "read"], Some("ddd.eee.fff")),
            ),
            ("of_client", token(uuid, access, &["ADMIN"], None)),
            ("with_much", token("x", access, &["ADMIN"], Some("r"))),
            ("timestamp", token("x", Some(1_700_000_000_000), &[], None)),
            ("for_ever", token("x", None, &["ADMIN"], None)),
            ("refresh", token("ddd.eee.fff", Some(1_702_592_000_456), &[], None)),
            ("refresh_for_ever", token("ddd.eee.fff", None, &[], None)),
        ] {
            assert_eq!(read(&sample(name)), Ok(expected), "{name}");
        }
    }

    #[test]
    fn damage_is_an_error_or_another_token_but_nothing_worse() {
        for name in ["of_user", "with_much", "refresh"] {
            let whole = sample(name);
            for length in 0..whole.len() {
                assert_eq!(read(&whole[..length]), Err(Unreadable), "{length}");
            }
            for at in 0..whole.len() {
                for byte in [0, 0x71, 0x73, 0x75, 0x7a, 0x7c, 0xff] {
                    let mut damaged = whole.clone();
                    damaged[at] = byte;
                    let _ = read(&damaged);
                }
            }
        }
        // A chain of objects without end.
        let nested = [&[0xac, 0xed, 0, 5][..], &[0x73; 100_000]].concat();
        assert_eq!(read(&nested), Err(Unreadable));
        assert_eq!(read(b""), Err(Unreadable));
        assert_eq!(read(b"aaa.bbb.ccc"), Err(Unreadable));
    }
}
