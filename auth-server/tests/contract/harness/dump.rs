//! Dumps of the legacy tables, as `mysqldump` writes them and as people do, with tokens as Java serialized them.

use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use sha2::Sha256;

/// What a column holds.
#[derive(Clone)]
pub enum Column {
    Null,
    Text(String),
    Bytes(Vec<u8>),
}

/// The rows of a dump, table by table.
#[derive(Default)]
pub struct Dump {
    pub clients: Vec<Vec<Column>>,
    pub access_tokens: Vec<Vec<Column>>,
    pub refresh_tokens: Vec<Vec<Column>>,
    /// `oauth_code`, of which nothing is taken.
    pub codes: Vec<Vec<Column>>,
}

/// The tables in the order of `mysqldump`, with their columns.
const TABLES: [(&str, &[&str]); 4] = [
    (
        "oauth_access_token",
        &[
            "token_id",
            "token",
            "authentication_id",
            "user_name",
            "client_id",
            "authentication",
            "refresh_token",
        ],
    ),
    (
        "oauth_client_details",
        &[
            "client_id",
            "resource_ids",
            "client_secret",
            "scope",
            "authorized_grant_types",
            "web_server_redirect_uri",
            "authorities",
            "access_token_validity",
            "refresh_token_validity",
            "additional_information",
            "autoapprove",
        ],
    ),
    ("oauth_code", &["code", "authentication"]),
    ("oauth_refresh_token", &["token_id", "token", "authentication"]),
];

impl Dump {
    /// A client with a secret, grants and scope `all`.
    pub fn client(self, id: &str, secret: &str, grants: &str) -> Self {
        self.client_of(&[
            ("client_id", id),
            ("client_secret", secret),
            ("authorized_grant_types", grants),
            ("scope", "all"),
        ])
    }

    /// A client with these columns; the others are NULL.
    pub fn client_of(mut self, columns: &[(&str, &str)]) -> Self {
        let value = |name: &&str| {
            let given = columns.iter().find(|(column, _)| column == name);
            given.map_or(Column::Null, |(_, value)| Column::Text((*value).to_owned()))
        };
        self.clients.push(TABLES[1].1.iter().map(value).collect());
        self
    }

    /// The access token of a user or (an empty name) of a client, and the refresh token it was last given with.
    pub fn access_token(mut self, token: &Token, user: &str, client: &str, refresh: Option<&Token>) -> Self {
        self.access_tokens.push(vec![
            text(&md5(&token.value)),
            token.stored(refresh),
            text(&md5(&format!("{user} {client} {}", token.value))),
            if user.is_empty() { Column::Null } else { text(user) },
            text(client),
            Column::Bytes(b"\xac\xed\0\x05authentication".to_vec()),
            refresh.map_or(Column::Null, |refresh| text(&md5(&refresh.value))),
        ]);
        self
    }

    pub fn refresh_token(mut self, token: &Token) -> Self {
        self.refresh_tokens.push(vec![
            text(&md5(&token.value)),
            token.stored_as_refresh_token(),
            Column::Bytes(b"\xac\xed\0\x05authentication".to_vec()),
        ]);
        self
    }

    /// As `mysqldump` writes it: comments, locks, all rows of a table in one statement, bytes as they are.
    pub fn write(&self, file: &Path) {
        let mut dump =
            b"-- MySQL dump 10.13  Distrib 5.7.30, for Linux (x86_64)\n--\n-- Host: localhost    Database: oauth2\n\
            /*!40101 SET NAMES utf8 */;\n"
                .to_vec();
        for ((table, columns), rows) in TABLES.into_iter().zip(self.tables()) {
            let definitions: Vec<String> = columns
                .iter()
                .map(|column| format!("  `{column}` {}", kind(column)))
                .collect();
            let create = format!(
                "\n--\n-- Table structure for table `{table}`\n--\n\nDROP TABLE IF EXISTS `{table}`;\n\
                 /*!40101 SET character_set_client = utf8 */;\nCREATE TABLE `{table}` (\n{},\n  PRIMARY KEY (`{}`)\n) \
                 ENGINE=InnoDB DEFAULT CHARSET=utf8;\nLOCK TABLES `{table}` WRITE;\n",
                definitions.join(",\n"),
                columns[0]
            );
            dump.extend(create.bytes());
            for (number, row) in rows.iter().enumerate() {
                let before = if number == 0 {
                    format!("INSERT INTO `{table}` VALUES (")
                } else {
                    ",(".into()
                };
                dump.extend(before.bytes());
                for (number, value) in row.iter().enumerate() {
                    dump.extend((number > 0).then_some(b','));
                    match value {
                        Column::Null => dump.extend(b"NULL"),
                        Column::Text(value) => dump.extend(quoted(value.as_bytes())),
                        Column::Bytes(value) => {
                            dump.extend(b"_binary ");
                            dump.extend(quoted(value));
                        }
                    }
                }
                dump.push(b')');
            }
            if !rows.is_empty() {
                dump.extend(b";\n");
            }
            dump.extend(b"UNLOCK TABLES;\n");
        }
        std::fs::write(file, dump).unwrap();
    }

    /// As people write it, and programs with a window: a statement for each row, columns by name, bytes in digits.
    pub fn write_by_hand(&self, file: &Path) {
        let mut dump = String::from("use oauth2;\n# clients and tokens\n");
        for ((table, columns), rows) in TABLES.into_iter().zip(self.tables()) {
            for row in rows {
                let values: Vec<String> = row
                    .iter()
                    .map(|value| match value {
                        Column::Null => "null".into(),
                        Column::Text(value) => format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''")),
                        Column::Bytes(value) => format!("0x{}", hex(value)),
                    })
                    .collect();
                let _ = write!(
                    dump,
                    "insert into {table}({})\n  values({});\n",
                    columns.join(", "),
                    values.join(", ")
                );
            }
        }
        std::fs::write(file, dump).unwrap();
    }

    fn tables(&self) -> [&[Vec<Column>]; 4] {
        [&self.access_tokens, &self.clients, &self.codes, &self.refresh_tokens]
    }
}

/// A token as the other system issued it.
#[derive(Clone)]
pub struct Token {
    pub value: String,
    pub expires_at_ms: i64,
    /// Of an opaque token.
    pub scope: &'static str,
    /// Whether its serialized form can be read; else it is NULL.
    pub readable: bool,
}

impl Token {
    /// A JWT with these claims, signed with a key of six characters that nobody has kept.
    pub fn signed(claims: &str) -> Self {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let key = format!("{:016x}", RandomState::new().build_hasher().finish());
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.as_bytes()[..6]).unwrap();
        mac.update(signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        let claims: serde_json::Value = serde_json::from_str(claims).unwrap();
        Self {
            value: format!("{signed}.{signature}"),
            expires_at_ms: claims["exp"].as_i64().unwrap_or_default() * 1000,
            scope: "",
            readable: true,
        }
    }

    /// The access token of a user `u1`, `u2`, as the login service of the tests has it, for client `shop`.
    pub fn access(user: &str, jti: &str, lives_s: i64) -> Self {
        let exp = now_s() + lives_s;
        Self::signed(&format!(
            r#"{{"exp":{exp},"userId":"{user}-id","user_name":"{user}","jti":"{jti}","client_id":"shop","scope":["all"]}}"#
        ))
    }

    /// A refresh token of that user, given with the access token `ati`.
    pub fn refresh(user: &str, jti: &str, ati: &str, lives_s: i64) -> Self {
        let exp = now_s() + lives_s;
        Self::signed(&format!(
            r#"{{"user_name":"{user}","scope":["all"],"ati":"{ati}","exp":{exp},"userId":"{user}-id","jti":"{jti}","client_id":"shop"}}"#
        ))
    }

    /// An opaque one.
    pub fn opaque(value: &str, scope: &'static str, lives_s: i64) -> Self {
        Self {
            value: value.to_owned(),
            expires_at_ms: (now_s() + lives_s) * 1000,
            scope,
            readable: true,
        }
    }

    pub fn unreadable(self) -> Self {
        Self {
            readable: false,
            ..self
        }
    }

    fn stored(&self, refresh: Option<&Self>) -> Column {
        if self.readable {
            Column::Bytes(java::access_token(self, refresh))
        } else {
            Column::Null
        }
    }

    fn stored_as_refresh_token(&self) -> Column {
        if self.readable {
            Column::Bytes(java::refresh_token(self))
        } else {
            Column::Null
        }
    }
}

/// What `java.io.ObjectOutputStream` writes; checked against the server's reader, whose samples Java itself wrote.
mod java {
    use super::Token;

    const PACKAGE: &str = "org.springframework.security.oauth2.common";

    pub fn access_token(token: &Token, refresh: Option<&Token>) -> Vec<u8> {
        let mut stream = Stream::new();
        stream.class(
            &format!("{PACKAGE}.DefaultOAuth2AccessToken"),
            0x0cb2_9e36_1b24_face,
            2,
            6,
        );
        stream.member("additionalInformation", Some("Ljava/util/Map;"));
        stream.member("expiration", Some("Ljava/util/Date;"));
        stream.member(
            "refreshToken",
            Some("Lorg/springframework/security/oauth2/common/OAuth2RefreshToken;"),
        );
        stream.member("scope", Some("Ljava/util/Set;"));
        stream.member("tokenType", Some("Ljava/lang/String;"));
        stream.member("value", None).again(5);
        stream.bytes(b"xp");
        stream
            .bytes(b"s")
            .class("java.util.Collections$EmptyMap", 0x5936_1485_5adc_e7d0, 2, 0)
            .bytes(b"xp");
        stream
            .bytes(b"s")
            .class("java.util.Date", 0x686a_8101_4b59_7419, 3, 0)
            .bytes(b"xp");
        stream.date(token.expires_at_ms);
        match refresh {
            None => stream.bytes(b"p"),
            Some(refresh) => {
                stream.bytes(b"s");
                stream.refresh_class(Date::Known { date: 2, text: 5 });
                stream.text(&refresh.value);
                stream.bytes(b"s").again(9).date(refresh.expires_at_ms)
            }
        };
        stream
            .bytes(b"s")
            .class("java.util.TreeSet", 0xdd98_5093_95ed_875b, 3, 0)
            .bytes(b"xpp");
        let scope: Vec<&str> = token.scope.split(' ').filter(|scope| !scope.is_empty()).collect();
        stream
            .bytes(b"w\x04")
            .bytes(&u32::try_from(scope.len()).unwrap().to_be_bytes());
        for scope in scope {
            stream.text(scope);
        }
        stream.bytes(b"x").text("bearer").text(&token.value);
        stream.0
    }

    pub fn refresh_token(token: &Token) -> Vec<u8> {
        let mut stream = Stream::new();
        stream.refresh_class(Date::New);
        stream.text(&token.value);
        stream
            .bytes(b"s")
            .class("java.util.Date", 0x686a_8101_4b59_7419, 3, 0)
            .bytes(b"xp");
        stream.date(token.expires_at_ms);
        stream.0
    }

    enum Date {
        New,
        /// The numbers of the names of `Date` and `String`, which were written before.
        Known {
            date: u32,
            text: u32,
        },
    }

    struct Stream(Vec<u8>);

    impl Stream {
        fn new() -> Self {
            Self(b"\xac\xed\0\x05s".to_vec())
        }

        fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
            self.0.extend(bytes);
            self
        }

        fn name(&mut self, name: &str) -> &mut Self {
            let length = u16::try_from(name.len()).unwrap();
            self.bytes(&length.to_be_bytes()).bytes(name.as_bytes())
        }

        fn text(&mut self, text: &str) -> &mut Self {
            self.bytes(b"t").name(text)
        }

        fn class(&mut self, name: &str, uid: u64, flags: u8, members: u16) -> &mut Self {
            self.bytes(b"r").name(name).bytes(&uid.to_be_bytes());
            self.bytes(&[flags]).bytes(&members.to_be_bytes())
        }

        fn member(&mut self, name: &str, class: Option<&str>) -> &mut Self {
            self.bytes(b"L").name(name);
            match class {
                Some(class) => self.text(class),
                None => self,
            }
        }

        fn again(&mut self, number: u32) -> &mut Self {
            self.bytes(b"q").bytes(&(0x7e_0000 + number).to_be_bytes())
        }

        /// Up to the object's first member, which is the value.
        fn refresh_class(&mut self, names: Date) {
            self.class(
                &format!("{PACKAGE}.DefaultExpiringOAuth2RefreshToken"),
                0x2fdf_4763_9dd0_c9b7,
                2,
                1,
            );
            match names {
                Date::New => self.member("expiration", Some("Ljava/util/Date;")),
                Date::Known { date, .. } => self.member("expiration", None).again(date),
            };
            self.bytes(b"x");
            self.class(
                &format!("{PACKAGE}.DefaultOAuth2RefreshToken"),
                0x73e1_0e0a_6354_d45e,
                2,
                1,
            );
            match names {
                Date::New => self.member("value", Some("Ljava/lang/String;")),
                Date::Known { text, .. } => self.member("value", None).again(text),
            };
            self.bytes(b"xp");
        }

        /// What the class `Date` writes by itself.
        fn date(&mut self, ms: i64) -> &mut Self {
            self.bytes(b"w\x08").bytes(&ms.to_be_bytes()).bytes(b"x")
        }
    }
}

/// A bcrypt hash of the lowest cost, as Spring writes it.
pub fn bcrypt_of(secret: &str, cost: u32) -> String {
    let parts = bcrypt::hash_with_result(secret, cost).unwrap();
    parts.format_for_version(bcrypt::Version::TwoA)
}

pub fn md5(value: &str) -> String {
    hex(&Md5::digest(value))
}

#[expect(
    clippy::disallowed_methods,
    reason = "tokens of tests live in the time of the server under test"
)]
pub fn now_s() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn text(value: &str) -> Column {
    Column::Text(value.to_owned())
}

fn kind(column: &str) -> &'static str {
    match column {
        "token" | "authentication" => "blob",
        "access_token_validity" | "refresh_token_validity" => "int(11) DEFAULT NULL",
        _ => "varchar(255) DEFAULT NULL",
    }
}

/// As `mysql_real_escape_string` does it.
fn quoted(value: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in value {
        match byte {
            0 => quoted.extend(b"\\0"),
            b'\n' => quoted.extend(b"\\n"),
            b'\r' => quoted.extend(b"\\r"),
            0x1a => quoted.extend(b"\\Z"),
            b'\\' | b'\'' | b'"' => quoted.extend([b'\\', *byte]),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
