//! What a decision allocates, and what stays in memory of what the feeds told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use postern_access::policy::{Decision, Need, Policy};
use postern_access::state::State;
use serde_json::{Value, json};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
/// Unix milliseconds.
const NOW: u64 = 1_800_000_000_000;

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

#[expect(
    unsafe_code,
    reason = "an allocator that counts, and leaves the work to that of the system"
)]
// SAFETY: every call goes on to the system's allocator with what came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get().wrapping_add(1));
        // SAFETY: the caller's layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: it came from the system's allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = COUNT.get();
    work();
    COUNT.get().wrapping_sub(before)
}

fn issuer() -> Value {
    let key = json!({ "kty": "oct", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(SECRET) });
    json!({ "jwks": { "inline": { "keys": [key] } } })
}

fn token(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET);
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

/// The text of the token, the claims and the headers for the upstream were made when the token was verified.
#[test]
fn a_decision_about_a_known_token_allocates_nothing() {
    let config = json!({
        "issuers": [issuer()],
        "public": ["/open/**"],
        "rules": [
            { "path": "/orders/{tenant}/**", "methods": ["GET"], "any_authority": ["ROLE_CLERK"], "scopes": ["orders"],
              "claims": { "tenant": "{tenant}" } },
            { "path": "/any/**" }
        ]
    });
    let policy = Policy::parse(config.to_string().as_bytes()).unwrap();
    let mut state = State::new(policy.config(), 1).unwrap();
    let token = token(&json!({
        "sub": "u1", "exp": NOW / 1000 + 600, "scope": "orders other", "authorities": ["ROLE_CLERK", "ROLE_B"],
        "tenant": "acme", "jti": "t1"
    }));
    let bearer = format!("Bearer {token}");
    for (path, most) in [
        ("/orders/acme/7/lines?x=1", 0),
        ("/open/x", 0),
        // What is escaped is written down to be looked at: the segment, and the path.
        ("/any/%C3%A4", 2),
    ] {
        let headers = [
            (":method", "GET"),
            (":path", path),
            (":scheme", "https"),
            (":authority", "api.example.com"),
            ("user-agent", "curl/8"),
            ("accept", "*/*"),
            ("cookie", "a=b; c=d"),
            ("authorization", &bearer),
        ];
        let mut decide = || {
            let request = policy.read(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
            let decision = policy.decide(&request, &mut state, NOW);
            assert!(matches!(decision, Decision::Allow(_)), "{path}: {decision:?}");
        };
        decide();
        assert_eq!(allocations(decide), most, "{path}");
    }
}

struct Login {
    policy: Policy,
    state: State,
    version: usize,
}

impl Login {
    fn new() -> Self {
        let config = json!({
            "auth_server": { "cluster": "a", "authority": "a" }, "login_service": { "cluster": "l", "authority": "l" },
            "unmatched": "authenticated"
        });
        let policy = Policy::parse(config.to_string().as_bytes()).unwrap();
        let mut state = State::new(policy.config(), 1).unwrap();
        let tokens = json!({ "version": "a", "issuers": [issuer()] });
        state.apply_tokens(tokens.to_string().as_bytes(), NOW).unwrap();
        let mut login = Self {
            policy,
            state,
            version: 0,
        };
        login.full(&[]);
        login
    }

    fn full(&mut self, changed: &[String]) {
        let users: Vec<_> = changed.iter().map(|user| json!([user, NOW / 1000, true])).collect();
        self.document(json!({ "permissions": [], "changed_users": users }));
    }

    fn changed(&mut self, user: &str) {
        let since = self.version.to_string();
        self.document(json!({ "since": since, "changed_users": [[user, NOW / 1000, true]] }));
    }

    fn document(&mut self, mut document: Value) {
        self.version += 1;
        document["version"] = self.version.to_string().into();
        self.state
            .apply_permissions(document.to_string().as_bytes(), NOW)
            .unwrap();
    }

    /// Whether the authorities in a token of this user are not believed any more.
    fn is_changed(&mut self, user: &str) -> bool {
        let bearer = format!(
            "Bearer {}",
            token(&json!({ "sub": user, "exp": NOW / 1000 + 600, "iat": NOW / 1000 - 60 }))
        );
        let headers = [(":method", "GET"), (":path", "/x"), ("authorization", &bearer)];
        let request = self
            .policy
            .read(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        match self.policy.decide(&request, &mut self.state, NOW) {
            Decision::Allow(_) => false,
            Decision::Need(Need::Authorities(needed)) => needed == user,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn changed_users_are_kept_as_long_as_the_login_service_says_and_do_not_pile_up() {
    let mut login = Login::new();
    let asks_for_all = |login: &Login| login.state.permission_version() == Some("");
    for n in 0..10_000 {
        assert!(!asks_for_all(&login), "after {n}");
        login.changed(&format!("u{n}"));
    }
    // The next poll asks for a full snapshot; until it comes, everybody is known.
    assert!(asks_for_all(&login));
    assert!(login.is_changed("u0") && login.is_changed("u9999"));
    let recent: Vec<_> = (4000..10_000).map(|n| format!("u{n}")).collect();
    login.full(&recent);
    assert!(
        !login.is_changed("u3999"),
        "the login service does not name it any more"
    );
    assert!(login.is_changed("u4000") && login.is_changed("u9999"));
    // Where many change all the time, snapshots do not follow one another.
    for n in 10_000..15_999 {
        login.changed(&format!("u{n}"));
        assert!(!asks_for_all(&login), "after {n}");
    }
    login.changed("u15999");
    assert!(asks_for_all(&login));
}
