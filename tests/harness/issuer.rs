//! An OpenID provider that a test can rotate, take down and make lie; and the keys of a client that proves possession.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, crypto};
use serde_json::{Value, json};

/// A P-256 key pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPair {
    /// `kid`.
    pub id: &'static str,
    /// PKCS #8, base64.
    private: &'static str,
    x: &'static str,
    y: &'static str,
}

/// Two keys: an issuer's before and after a rotation, or a client's and a thief's.
pub const KEYS: [KeyPair; 2] = [
    KeyPair {
        id: "first",
        private: "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXjzqUAo2fU4HrQmczpb12O1HIMqVUDF9gxl2xzdaTRahRANCAAR2T+4jt7V3s8ISApyXs5AzceCYlBHZ7iHHlegaaFUWsqH1S3aAT47ZQNYkHGOfsWgqpMfNxmOkervih53hFDUt",
        x: "dk_uI7e1d7PCEgKcl7OQM3HgmJQR2e4hx5XoGmhVFrI",
        y: "ofVLdoBPjtlA1iQcY5-xaCqkx83GY6R6u-KHneEUNS0",
    },
    KeyPair {
        id: "second",
        private: "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgcr1pUimOXq3sbI4BEG5f4swo4m5l2B7XXxeg4ZabvcehRANCAAR2dAKg4AFcbXE8lp49mAKR8QJuW/snvtjWNBJsxpjUAe6KfKXhsVQRcEfpd/VugBknC7ImZ1u0FYgOFvN/s92A",
        x: "dnQCoOABXG1xPJaePZgCkfECblv7J77Y1jQSbMaY1AE",
        y: "7op8peGxVBFwR-l39W6AGScLsiZnW7QViA4W83-z3YA",
    },
];

impl KeyPair {
    /// The public key, with the members that its thumbprint is made of (RFC 7638) and nothing else.
    pub fn public(&self) -> Value {
        json!({ "crv": "P-256", "kty": "EC", "x": self.x, "y": self.y })
    }

    /// A compact JWS, ES256.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let der = BASE64_STANDARD.decode(self.private).expect("a constant");
        let key = EncodingKey::from_ec_der(&der);
        let signature = crypto::sign(signed.as_bytes(), &key, Algorithm::ES256).expect("a good key");
        format!("{signed}.{signature}")
    }

    /// An access token of [`ISSUER`] with these claims beside the usual ones, and a `kid` of the test's own.
    pub fn token(&self, kid: &str, claims: &Value) -> String {
        let mut all = json!({ "iss": ISSUER, "sub": "ada", "aud": "orders", "exp": 4_102_444_800u64 });
        if let (Some(all), Some(claims)) = (all.as_object_mut(), claims.as_object()) {
            all.extend(claims.clone());
        }
        let header = Header {
            kid: Some(kid.into()),
            ..Header::new(Algorithm::ES256)
        };
        self.sign(&serde_json::to_value(header).unwrap_or_default(), &all)
    }
}

/// What `iss` is. The address of the provider, too, but for the port: a host reaches it by a cluster.
pub const ISSUER: &str = "http://id.example.com";

/// What the provider answers now.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Nothing but 503.
    pub down: bool,
    /// The `issuer` in its discovery document.
    pub issuer: String,
    /// The keys in its set.
    pub keys: Vec<KeyPair>,
    /// What introspection answers, by token: content type and body. Any other token is not active.
    pub tokens: Vec<(String, String, String)>,
}

/// Answers until the process ends.
pub struct FakeIssuer {
    /// Where it listens.
    pub port: u16,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    behaviour: Behaviour,
    /// The requests, each by its path; introspections with the token behind a space.
    requests: Vec<String>,
    /// The heads of the introspections, in lower case.
    introspections: Vec<String>,
}

impl FakeIssuer {
    /// Begins to listen, with the first of [`KEYS`].
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let shared = Arc::new(Mutex::new(Shared {
            behaviour: Behaviour {
                down: false,
                issuer: ISSUER.into(),
                keys: vec![KEYS[0]],
                tokens: Vec::new(),
            },
            requests: Vec::new(),
            introspections: Vec::new(),
        }));
        let of_listener = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&of_listener);
                // A host that goes away in the middle ends the thread, which is all that is wanted.
                thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { port, shared }
    }

    /// From now on it behaves otherwise.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut lock(&self.shared).behaviour);
    }

    /// How many requests there were for this path (for introspections: path, space, token).
    pub fn requests(&self, path: &str) -> usize {
        let shared = lock(&self.shared);
        shared.requests.iter().filter(|request| *request == path).count()
    }

    /// The heads of the introspections, in lower case.
    pub fn introspections(&self) -> Vec<String> {
        lock(&self.shared).introspections.clone()
    }
}

fn serve(stream: TcpStream, shared: &Mutex<Shared>) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().ok())?
        });
        let mut form = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut form)?;
        let (status, content_type, body) = answer(&head, &String::from_utf8_lossy(&form), &mut lock(shared));
        let length = body.len();
        write!(
            writer,
            "HTTP/1.1 {status} -\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
        )?;
    }
}

fn answer(head: &str, form: &str, shared: &mut Shared) -> (u16, String, String) {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let token = form.split('&').find_map(|pair| pair.strip_prefix("token="));
    shared.requests.push(match token {
        Some(token) => format!("{path} {token}"),
        None => path.to_owned(),
    });
    let Behaviour {
        down,
        issuer,
        keys,
        tokens,
    } = &shared.behaviour;
    let json = |value: Value| (200, "application/json".to_owned(), value.to_string());
    match (path, token) {
        _ if *down => (503, "text/plain".into(), String::new()),
        ("/.well-known/openid-configuration", _) => json(json!({
            "issuer": issuer, "jwks_uri": format!("{ISSUER}/keys"), "authorization_endpoint": format!("{ISSUER}/authorize")
        })),
        ("/keys", _) => {
            let keys = keys.iter().map(|key| {
                let mut public = key.public();
                public["kid"] = json!(key.id);
                public["use"] = json!("sig");
                public
            });
            json(json!({ "keys": keys.collect::<Vec<_>>() }))
        }
        ("/introspect", Some(token)) => {
            shared.introspections.push(head.to_lowercase());
            match tokens.iter().find(|(known, ..)| known == token) {
                Some((_, content_type, body)) => (200, content_type.clone(), body.clone()),
                None => json(json!({ "active": false })),
            }
        }
        _ => (404, "text/plain".into(), String::new()),
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
