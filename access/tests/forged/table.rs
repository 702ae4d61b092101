//! Tokens that must be refused, a row for each way to forge one, and those beside them that must pass.
//!
//! What is good is good now, so that a host can be shown it too: it has a clock of its own.

#[path = "keys.rs"]
mod keys;
#[path = "mutations.rs"]
mod mutations;
#[path = "rsa_signatures.rs"]
mod rsa_signatures;

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use postern_access::claims::ClaimsError;
use postern_access::jws::JwsError;
use postern_access::policy::TokenError;
use serde_json::{Value, json};

pub use keys::jwk;
use keys::{ED25519_X, P256_X, P256_Y, RSA_N, key};

/// What is to become of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passes,
    Refused(TokenError),
    /// Why does not matter.
    IsRefused,
}

/// A token.
pub struct Row {
    pub what: String,
    pub token: String,
    pub verdict: Verdict,
}

/// Some of them.
#[derive(Default)]
pub struct Table {
    pub rows: Vec<Row>,
}

impl Table {
    fn row(&mut self, token: &str, what: &str, verdict: Verdict) {
        self.rows.push(Row {
            what: what.into(),
            token: token.into(),
            verdict,
        });
    }

    fn passes(&mut self, token: &str, what: &str) {
        self.row(token, what, Verdict::Passes);
    }

    fn refuses(&mut self, token: &str, expected: impl Into<TokenError>, what: &str) {
        self.row(token, what, Verdict::Refused(expected.into()));
    }

    fn is_refused(&mut self, token: &str) {
        self.row(token, token, Verdict::IsRefused);
    }
}

/// What adds the rows of a subject.
pub type Subject = fn(&mut Table);

/// All of them, by what they are about.
pub const SUBJECTS: [(&str, Subject); 16] = [
    ("every algorithm passes", every_algorithm_passes),
    ("claims that hold pass", claims_that_hold_pass),
    (
        "claims that do not hold are refused",
        claims_that_do_not_hold_are_refused,
    ),
    (
        "claims that two parsers could read differently are refused",
        claims_that_two_parsers_could_read_differently_are_refused,
    ),
    (
        "headers that bend the rules are refused",
        headers_that_bend_the_rules_are_refused,
    ),
    (
        "an algorithm is never the tokens choice",
        an_algorithm_is_never_the_tokens_choice,
    ),
    ("a signature has one form", a_signature_has_one_form),
    (
        "elliptic curve signatures in other forms",
        elliptic_curve_signatures_in_other_forms,
    ),
    ("a token has one spelling", a_token_has_one_spelling),
    ("an algorithm has one name", mutations::an_algorithm_has_one_name),
    (
        "a member of the header is what JSON says",
        mutations::a_member_of_the_header_is_what_json_says,
    ),
    (
        "what is signed is one JSON object",
        mutations::what_is_signed_is_one_json_object,
    ),
    (
        "numbers and names of claims have one reading",
        mutations::numbers_and_names_of_claims_have_one_reading,
    ),
    ("every part has one spelling", mutations::every_part_has_one_spelling),
    ("a public key is no secret", mutations::a_public_key_is_no_secret),
    (
        "RSA signatures in other forms",
        rsa_signatures::rsa_signatures_in_other_forms,
    ),
];

/// The configuration for which the tokens are good or forged.
pub fn configuration() -> Value {
    let keys: Vec<Value> = ALGORITHMS.into_iter().map(jwk).collect();
    json!({
        "issuers": [ { "issuer": ISSUER, "audiences": ["orders"], "jwks": { "inline": { "keys": keys } },
                       "required_claims": ["sub"], "forbidden_claims": ["ati"] } ],
        "unmatched": "authenticated",
    })
}

/// Unix seconds: when the first token was made.
pub fn now() -> u64 {
    static NOW: LazyLock<u64> = LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "tokens that are good now")]
        let now = SystemTime::now();
        now.duration_since(UNIX_EPOCH).unwrap().as_secs()
    });
    *NOW
}

/// The claims of a good token.
fn good_claims() -> &'static str {
    static CLAIMS: LazyLock<String> = LazyLock::new(|| {
        let (exp, iat) = (now() + 600, now() - 10);
        format!(r#"{{"iss":"{ISSUER}","aud":"orders","sub":"u1","exp":{exp},"iat":{iat}}}"#)
    });
    &CLAIMS
}

const ISSUER: &str = "https://id.example";

pub const ALGORITHMS: [Algorithm; 12] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

// Made for this test; they open nothing.
const STRANGERS_RSA_PRIVATE: &str = "MIIEogIBAAKCAQEAxSWmyN-Mc9p-pKp3BPUNaYavIGmt1QCHpBzJOpNIReC8gQBmqCGHN-MGHdA2KLoPoCsPWZtu-HeHzvDHKeB_ltsybJ2gQsQwt4PaCL-v32EvOHoJoZnvo_CL2iIgyoYFfXl_1JSNS7oYKLZZowabzXRa-qLx2uZ5A138k-MpxGwVfxGxLAprZYfKpLWQqMWo5eJNMNKaBwm6kDUfeZ3UdVrT2G45AQxAV6qN6I7VrPAVP3GC1yG0di8c2ai1Q0cycxydW9Fbo0mPTe4Cq1ek9D5TdDBblzJklVE0VIu0FXiJE6vkYMhRXLwuxwU5WvA45Wh4FHWH1HMZtcbR9BeswQIDAQABAoIBABw7VRQE908L5gDcrGiYUxBeiiuhFpSfG82Dlcl-l-Xx1ey_SvQewQdeylxwmaDhbCVqpSsW2CBatacL0emMTZkj0Ke_Ntj40WUmS43fLWdWunVi_IgYzDl01AIryvhVkumyAX1GvKkwgA8sdc-jvaIBXJnxxaKsSH4T8nyXFj8bXqsURZMs_rGZjNxMJTTMWqIqnOdXt10CVUoU62uFHuYUtoHUTQU-yTHf8PlEfsX-Dt7eXpxh2EXhOwMkrxb5nbjWFyj5uiRGWvBCM7LqDi69gVuYQEKkGauLBT4MRnJKOtmqrirzE7AsO9X7IEl0Z35l0vsT9MEiRDpkCQStrTECgYEA9aoV5GVrbsCOEWLK3woLm-tMRjgIwGXVrNoX5Zkz7WcUTLJwpwLkmqmu5jncase-JnYBqL5vL2Dpxl7cnwsf79Y9fETeq4ZDRnRXBJn5QGJ60FsVgGnZfEm27inW5A7qeTreu2YosnRd8Vr4HO0yCdogkirg7Yub3KMT2C_DWz0CgYEAzXEDT4hGuGE2GoiQxfF_uC-bXylTXUdb-tLw2-uxHOVsnl_FBymPC2ExZV1snPavP-mQN6NWONKQPrXxel1XOPG1v9Dm-5AmTXhsW9hPjRwD1HbeW8Q8qqhh0Lwp2OAaNdHwtQ82HvgVBtVz6bQumJYdcaF80jp3BUy9FaAH_9UCgYA6tma7Cl4tvwl1MEZKHg1-OzMkiRnWWcBCqnERp5bYg00_s1nnIHLgX_N0BJogTxKsAIIPAUxzZ1cX2O4jeLYuTOau_4q0Ncd4XC-74szGTYMKruopoaKf6MI2k3tPUB1L0f0Pjq_lTphxKYuo5iuSXTZxmJvfSgF7LuJ8RZYMBQKBgARQOyGQWuvEHr6v31pIl8XmOfzlgTqUJPo_M49qg21346_vktNzq-0xPThDneQtycAtxzlj1Iuc4Cpw54EKNKqdaJN-b1sYy7UUsjG7ePAdhncPh9ulYyCyKFuZl8dV7Tb0EXm7uAcubkKWeLiPb-sEO9oG6fgAAj-6PL4XfhOBAoGAPAeWb7m1oghZzuwCQlD6QbssI4pu6u5dKVrF3QiNJ1OcmnC8BWxZFWjGQUfwG-t-8ilbGtoAIAvnkb1h7Rqnvixzmv0d4kV7l4uWpWHD_eS3U67lHGljArzsHWLbwd26chOtfPKQrpUT3j6XUQc3-kpdRIsBTE__gcMG38vlaLg";
const STRANGERS_P256_PRIVATE: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgW-nKe3GQS3pR4wctG8jpIr1ykIZUqHuFdgFbVmZX07mhRANCAAT45vwrW8z97WLYRha1erZRYWb5FwW6Xj7U1RiLRz2FXfHbsmTex2Lgrnic5ucqVmmsdPccveEtoXE3Oq7I99Vv";
const STRANGERS_P384_PRIVATE: &str = "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDCnb7_E4ELMmHlaWDAjhjwxKPuASAkTDCON2nAb61IFvd_Y-bLbxE2bVGVXrXC6SaWhZANiAARu453FECM5UN9BSXcLYVPZ8zConLemBWUytYxEb-NjXa5MHgBr36A0DxVNCFVty-0SlkPZFeiOJx51EjzFRoGtf0i7aY1oYamHiuE7oSPBMQ4QAAosysrttbhnyqaD4VA";
const STRANGERS_ED25519_PRIVATE: &str = "MC4CAQAwBQYDK2VwBCIEIG95ZqkNMDax3R47Mo4OdC_VzhFsTHQe7x8kse6QnLzr";

fn every_algorithm_passes(table: &mut Table) {
    for algorithm in ALGORITHMS {
        let name = name(algorithm);
        for header in [
            header(algorithm),
            format!(r#"{{"alg":"{name}","kid":"{name}","typ":"JWT"}}"#),
            format!(r#"{{"alg":"{name}","kid":"{name}","typ":"at+jwt"}}"#),
            format!(r#"{{"alg":"{name}","kid":"{name}","typ":"application/AT+JWT","cty":"x"}}"#),
            format!("{{ \"kid\" :\n\t\"{name}\",\r\n \"alg\":\"{name}\" , \"x5t\":\"abc\", \"x\":[{{\"a\":null}}] }}"),
            format!(r#"{{"\u0061lg":"{name}","kid":"{name}"}}"#),
        ] {
            table.passes(&signed(algorithm, &header, good_claims()), &header);
        }
    }
}

fn claims_that_hold_pass(table: &mut Table) {
    for claims in [
        json!({ "aud": ["other", "orders"] }),
        json!({ "exp": now() as f64 + 0.5 }),
        json!({ "exp": 18_000_000_000_u64, "nbf": now(), "iat": now() }),
        json!({ "nbf": 0, "iat": 1.5 }),
        json!({ "deep": { "a": [[[[{ "b": [1, 2.5, true, null, "\u{1f600}"] }]]]] }, "Exp": 1, "EXP": "x" }),
        json!({ "sub": 7, "scope": "a b", "scopes": { "any": "thing" } }),
        json!({ "pad": "x".repeat(8000) }),
    ] {
        table.passes(&with_claims(&claims), &claims.to_string());
    }
    // 1.80000006e9 is a number too.
    let expiry = now() + 600;
    let exponent = good_claims().replace(&expiry.to_string(), &format!("{:e}", expiry as f64));
    table.passes(
        &signed(Algorithm::ES256, &header(Algorithm::ES256), &exponent),
        &exponent,
    );
}

fn claims_that_do_not_hold_are_refused(table: &mut Table) {
    use ClaimsError::{Audience, Expired, Kind, Malformed, NoExpiry, NotYet, SenderConstrained};
    for (claims, error) in [
        (json!({ "exp": now() }), Expired),
        (json!({ "exp": now() - 1 }), Expired),
        (json!({ "exp": 0 }), Expired),
        (json!({ "exp": 1.5 }), Expired),
        (json!({ "exp": "1800000060" }), Malformed),
        (json!({ "exp": null }), Malformed),
        (json!({ "exp": true }), Malformed),
        (json!({ "exp": [1_800_000_060] }), Malformed),
        (json!({ "exp": { "a": 1 } }), Malformed),
        (json!({ "exp": -1 }), Malformed),
        (json!({ "exp": -1_800_000_060.0 }), Malformed),
        // Milliseconds, and what would overflow.
        (json!({ "exp": now() * 1000 }), Malformed),
        (json!({ "exp": u64::MAX }), Malformed),
        (json!({ "exp": 1e300 }), Malformed),
        (json!({ "nbf": now() + 1 }), NotYet),
        (json!({ "nbf": now() as f64 + 0.5 }), NotYet),
        (json!({ "nbf": "0" }), Malformed),
        (json!({ "nbf": -1 }), Malformed),
        (json!({ "nbf": null }), Malformed),
        (json!({ "iat": now() + 1 }), NotYet),
        (json!({ "iat": "1799999990" }), Malformed),
        (json!({ "iat": 1e300 }), Malformed),
        (json!({ "aud": "Orders" }), Audience),
        (json!({ "aud": "orders2" }), Audience),
        (json!({ "aud": "orders,other" }), Audience),
        (json!({ "aud": "" }), Audience),
        (json!({ "aud": [] }), Audience),
        (json!({ "aud": ["order", "s"] }), Audience),
        (json!({ "aud": ["orders", 1] }), Malformed),
        (json!({ "aud": [["orders"]] }), Malformed),
        (json!({ "aud": { "orders": true } }), Malformed),
        (json!({ "aud": 7 }), Malformed),
        (json!({ "aud": null }), Malformed),
        (json!({ "cnf": { "jkt": "x" } }), SenderConstrained),
        (json!({ "cnf": {} }), SenderConstrained),
        (json!({ "cnf": null }), SenderConstrained),
        (json!({ "sub": { "a": 1 } }), Malformed),
        (json!({ "scope": 7 }), Malformed),
        (json!({ "authorities": [["ROLE_ADMIN"]] }), Malformed),
        (json!({ "ati": "refresh" }), Kind),
    ] {
        table.refuses(&with_claims(&claims), error, &claims.to_string());
    }
    for (without, error) in [("exp", NoExpiry), ("aud", Audience), ("sub", Kind)] {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(without);
        let token = signed(Algorithm::ES256, &header(Algorithm::ES256), &claims.to_string());
        table.refuses(&token, error, without);
    }
    for issuer in [
        json!("https://id.example/"),
        json!("https://ID.example"),
        json!("http://id.example"),
        json!("https://id.example\u{0}"),
        json!(""),
        json!("*"),
    ] {
        let claims = json!({ "iss": issuer });
        table.refuses(&with_claims(&claims), TokenError::Issuer, &claims.to_string());
    }
    for issuer in [json!(null), json!(["https://id.example"]), json!(1), json!({})] {
        let claims = json!({ "iss": issuer });
        table.refuses(&with_claims(&claims), JwsError::Claims, &claims.to_string());
    }
}

fn claims_that_two_parsers_could_read_differently_are_refused(table: &mut Table) {
    let good = good_claims();
    let inside = good.trim_end_matches('}');
    let deep = |open: &str, close: &str| format!(r#"{inside},"x":{}{}}}"#, open.repeat(200), close.repeat(200));
    for claims in [
        "".to_owned(),
        "null".into(),
        "\"text\"".into(),
        "[]".into(),
        format!("[{good}]"),
        "{".into(),
        inside.into(),
        format!("{good}{good}"),
        format!("{good}x"),
        format!("{good}\0"),
        format!("\u{feff}{good}"),
        format!("{inside},}}"),
        format!("{inside},\"x\":'y'}}"),
        format!("{inside}/*c*/}}"),
        format!("{inside},\"x\":NaN}}"),
        format!("{inside},\"x\":Infinity}}"),
        format!("{inside},\"x\":1e999}}"),
        format!("{inside},\"x\":01}}"),
        format!("{inside},\"x\":+1}}"),
        format!("{inside},\"x\":.5}}"),
        format!("{inside},\"x\":\"\n\"}}"),
        format!(r#"{inside},"x":"\ud800"}}"#),
        format!(r#"{inside},"x":"\q"}}"#),
        format!(r#"{inside},"exp":1900000000}}"#),
        format!(r#"{inside},"exp":1800000060}}"#),
        format!(r#"{inside},"\u0065xp":1900000000}}"#),
        format!(r#"{{"sub":"root",{}"#, &good_claims()[1..]),
        format!(r#"{inside},"realm":{{"roles":["a"],"roles":["b"]}}}}"#),
        format!(r#"{inside},"list":[{{"a":1,"a":1}}]}}"#),
        deep("[", "]"),
        deep("{\"a\":", "}").replace(":}", ":1}"),
    ] {
        table.refuses(
            &signed(Algorithm::HS256, &header(Algorithm::HS256), &claims),
            JwsError::Claims,
            &claims,
        );
    }
    let not_utf8 = [inside.as_bytes(), b",\"x\":\"\xc3\x28\"}"].concat();
    table.refuses(
        &signed_bytes(Algorithm::HS256, &header(Algorithm::HS256), &not_utf8),
        JwsError::Claims,
        "not UTF-8",
    );
}

fn headers_that_bend_the_rules_are_refused(table: &mut Table) {
    // Each is signed rightly with the key it is about: what is wrong is only the header.
    for (members, error) in [
        (r#""crit":["exp"]"#, JwsError::Critical),
        (r#""crit":[]"#, JwsError::Critical),
        (r#""crit":null"#, JwsError::Critical),
        (r#""crit":["b64"],"b64":false"#, JwsError::Critical),
        (r#""b64":true"#, JwsError::Critical),
        (r#""b64":false"#, JwsError::Critical),
        (r#""jku":"https://evil.example/keys""#, JwsError::EmbeddedKey),
        (r#""x5u":"https://evil.example/cert""#, JwsError::EmbeddedKey),
        (r#""x5c":["MIIB"]"#, JwsError::EmbeddedKey),
        (r#""jwk":null"#, JwsError::EmbeddedKey),
        (r#""jwk":{"kty":"oct","k":"AA"}"#, JwsError::EmbeddedKey),
        (r#""enc":"A256GCM""#, JwsError::Header),
        (r#""zip":"DEF""#, JwsError::Header),
        (r#""typ":"logout+jwt""#, JwsError::Type),
        (r#""typ":"dpop+jwt""#, JwsError::Type),
        (r#""typ":"secevent+jwt""#, JwsError::Type),
        (r#""typ":"token-introspection+jwt""#, JwsError::Type),
        (r#""typ":"oauth-authz-req+jwt""#, JwsError::Type),
        (r#""typ":"id+jwt""#, JwsError::Type),
        (r#""typ":"JWS""#, JwsError::Type),
        (r#""typ":"JOSE""#, JwsError::Type),
        (r#""typ":"at+jwt ""#, JwsError::Type),
        (r#""typ":"at+jwt; x""#, JwsError::Type),
        (r#""typ":"""#, JwsError::Type),
        (r#""typ":null"#, JwsError::Header),
        (r#""typ":["JWT"]"#, JwsError::Header),
        (r#""typ":1"#, JwsError::Header),
        (r#""cty":1"#, JwsError::Header),
        (r#""alg":"none""#, JwsError::Header),
        (r#""\u0061lg":"none""#, JwsError::Header),
        (r#""kid":"other""#, JwsError::Header),
        (r#""x":{"a":1,"a":2}"#, JwsError::Header),
    ] {
        for algorithm in [Algorithm::HS256, Algorithm::EdDSA] {
            let header = header(algorithm).replace('}', &format!(",{members}}}"));
            table.refuses(&signed(algorithm, &header, good_claims()), error, &header);
        }
    }
    for header in [
        "",
        "null",
        "[]",
        "\"HS256\"",
        "{}",
        r#"{"kid":"HS256"}"#,
        r#"{"alg":null,"kid":"HS256"}"#,
        r#"{"alg":256,"kid":"HS256"}"#,
        r#"{"alg":["HS256"],"kid":"HS256"}"#,
        r#"{"alg":"HS256","kid":7}"#,
        r#"{"alg":"HS256","kid":null}"#,
        r#"{"alg":"HS256","kid":["HS256"]}"#,
        r#"{"ALG":"HS256","kid":"HS256"}"#,
        r#"{"alg":"HS256","kid":"HS256"} x"#,
        r#"{"alg":"HS256","kid":"HS256"}{}"#,
        r#"{"alg":"HS256","kid":"HS256",}"#,
    ] {
        table.refuses(
            &signed(Algorithm::HS256, header, good_claims()),
            JwsError::Header,
            header,
        );
    }
    let deep = format!(
        r#"{{"alg":"HS256","kid":"HS256","x":{}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    table.refuses(
        &signed(Algorithm::HS256, &deep, good_claims()),
        JwsError::Header,
        "deep header",
    );
    let long = format!(r#"{{"alg":"HS256","kid":"HS256","x":"{}"}}"#, "x".repeat(4000));
    table.refuses(
        &signed(Algorithm::HS256, &long, good_claims()),
        JwsError::TooLong,
        "long header",
    );
    table.refuses(
        &with_claims(&json!({ "x": "y".repeat(16_000) })),
        JwsError::TooLong,
        "long token",
    );
    for kid in [
        "",
        "hs256",
        "HS256 ",
        "HS384\u{0}",
        "../../dev/null",
        "' OR 1=1 --",
        "*",
        "0",
    ] {
        let header = json!({ "alg": "HS256", "kid": kid }).to_string();
        table.refuses(
            &signed(Algorithm::HS256, &header, good_claims()),
            TokenError::Key,
            &header,
        );
    }
    // Without a name the key cannot be told from the others of its algorithm, but for the one that is alone.
    table.passes(
        &signed(Algorithm::ES256, r#"{"alg":"ES256"}"#, good_claims()),
        "the only one",
    );
}

fn an_algorithm_is_never_the_tokens_choice(table: &mut Table) {
    for none in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        " HS256",
        "hs256",
        "HS1",
        "RS1",
        "ES512",
        "ES256K",
        "HMACSHA256",
        "null",
    ] {
        let header = json!({ "alg": none, "kid": "HS256" }).to_string();
        table.refuses(
            &signed(Algorithm::HS256, &header, good_claims()),
            JwsError::Algorithm,
            &header,
        );
        let unsigned = format!("{}.{}.", encode(&header), encode(good_claims()));
        table.refuses(&unsigned, JwsError::Algorithm, &unsigned);
    }
    for claimed in ALGORITHMS {
        for signer in ALGORITHMS.into_iter().filter(|signer| *signer != claimed) {
            // The header names the key of another algorithm than its own.
            let header = json!({ "alg": name(claimed), "kid": name(signer) }).to_string();
            table.refuses(&signed(signer, &header, good_claims()), TokenError::Key, &header);
            // The signature is not of the kind that the header says, though of the same key if they share one.
            let what = format!("{} signed with {}", name(claimed), name(signer));
            table.refuses(
                &signed(signer, &self::header(claimed), good_claims()),
                JwsError::Signature,
                &what,
            );
        }
    }
    // HMAC with what everybody knows of a public key.
    for (kid, public) in [
        ("RS256", decode(RSA_N)),
        ("RS256", RSA_N.as_bytes().to_vec()),
        ("RS256", jwk(Algorithm::RS256).to_string().into_bytes()),
        ("ES256", [decode(P256_X), decode(P256_Y)].concat()),
        ("EdDSA", decode(ED25519_X)),
    ] {
        for claimed in ["HS256", "HS384", "HS512"] {
            let key = EncodingKey::from_secret(&public);
            let header = json!({ "alg": claimed, "kid": kid }).to_string();
            let token = signed_by(&key, Algorithm::HS256, &header, good_claims().as_bytes());
            table.refuses(&token, TokenError::Key, &header);
            let header = json!({ "alg": claimed, "kid": claimed }).to_string();
            let token = signed_by(&key, Algorithm::HS256, &header, good_claims().as_bytes());
            table.refuses(&token, JwsError::Signature, &header);
        }
    }
}

fn a_signature_has_one_form(table: &mut Table) {
    for algorithm in ALGORITHMS {
        let good = signed(algorithm, &header(algorithm), good_claims());
        let (message, signature) = good.rsplit_once('.').unwrap();
        let bytes = decode(signature);
        let other = signed(algorithm, &header(algorithm), &good_claims().replace("u1", "u2"));
        let turned = |at: usize| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x80;
            bytes
        };
        let half = bytes.len() / 2;
        for (what, forged) in [
            ("another token's", decode(other.rsplit_once('.').unwrap().1)),
            ("first bit turned", turned(0)),
            ("middle bit turned", turned(half)),
            ("last byte turned", turned(bytes.len() - 1)),
            ("one byte", vec![0]),
            ("cut", bytes[..bytes.len() - 1].to_vec()),
            ("cut in front", bytes[1..].to_vec()),
            ("half", bytes[..half].to_vec()),
            ("zero behind", [&bytes[..], &[0]].concat()),
            ("zero in front", [&[0], &bytes[..]].concat()),
            ("twice", [&bytes[..], &bytes[..]].concat()),
            ("halves swapped", [&bytes[half..], &bytes[..half]].concat()),
            ("zeros", vec![0; bytes.len()]),
            ("ones", vec![0xff; bytes.len()]),
            ("one", [vec![0; bytes.len() - 1], vec![1]].concat()),
            ("one, little-endian", [vec![1], vec![0; bytes.len() - 1]].concat()),
        ] {
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(forged));
            table.refuses(&token, JwsError::Signature, &format!("{} {what}", name(algorithm)));
        }
        let changed = format!(
            "{}.{}.{signature}",
            encode(&header(algorithm)),
            encode(&good_claims().replace("u1", "u2"))
        );
        table.refuses(&changed, JwsError::Signature, "changed claims");
        let stranger = signed_by(
            &stranger(algorithm),
            algorithm,
            &header(algorithm),
            good_claims().as_bytes(),
        );
        table.refuses(
            &stranger,
            JwsError::Signature,
            &format!("{} of a stranger", name(algorithm)),
        );
    }
}

fn elliptic_curve_signatures_in_other_forms(table: &mut Table) {
    /// The orders of P-256 and P-384, big-endian; of Ed25519, little-endian.
    const P256_N: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    const P384_N: &str =
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";
    const ED25519_L: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    for (algorithm, order) in [(Algorithm::ES256, hex(P256_N)), (Algorithm::ES384, hex(P384_N))] {
        let good = signed(algorithm, &header(algorithm), good_claims());
        let (message, signature) = good.rsplit_once('.').unwrap();
        let bytes = decode(signature);
        let (r, s) = bytes.split_at(order.len());
        let zero = vec![0; order.len()];
        let der = |number: &[u8]| {
            let sign = if number[0] >= 0x80 { vec![0] } else { vec![] };
            [vec![2, (number.len() + sign.len()) as u8], sign, number.to_vec()].concat()
        };
        let both = [der(r), der(s)].concat();
        let token = |signature: &[u8]| format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        for (what, forged) in [
            ("DER", [vec![0x30, both.len() as u8], both].concat()),
            ("r = 0", [&zero, s].concat()),
            ("s = 0", [r, &zero].concat()),
            ("r = n", [&order, s].concat()),
            ("s = n", [r, &order].concat()),
            ("r = n, s = n", [&order[..], &order].concat()),
            ("r = 0, s = n", [&zero[..], &order].concat()),
            ("a longer form", [&[0], r, &[0], s].concat()),
        ] {
            table.refuses(
                &token(&forged),
                JwsError::Signature,
                &format!("{} {what}", name(algorithm)),
            );
        }
        // (r, n - s) verifies wherever (r, s) does; JWS knows no low form.
        table.passes(&token(&[r, &minus(&order, s)].concat()), "the other s");
    }
    let good = signed(Algorithm::EdDSA, &header(Algorithm::EdDSA), good_claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let bytes = decode(signature);
    let neutral = [vec![1], vec![0; 31]].concat();
    let mut over = bytes[32..].to_vec();
    let mut carry = 0;
    for (byte, more) in over.iter_mut().zip(hex(ED25519_L)) {
        let sum = u16::from(*byte) + u16::from(more) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    for (what, forged) in [
        ("S + L", [&bytes[..32], &over].concat()),
        ("R neutral", [&neutral, &bytes[32..]].concat()),
        ("R neutral, S = 0", [neutral, vec![0; 32]].concat()),
        ("S = 0", [&bytes[..32], &[0; 32]].concat()),
    ] {
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(forged));
        table.refuses(&token, JwsError::Signature, what);
    }
}

fn a_token_has_one_spelling(table: &mut Table) {
    let good = signed(Algorithm::ES256, &header(Algorithm::ES256), good_claims());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("{good}")
    };
    // What is not base64url at all is refused before any signature; each is signed for, where that can be.
    let mut forms = vec![
        String::from("."),
        "..".into(),
        "...".into(),
        "a".into(),
        "a.b".into(),
        header.into(),
        format!("{header}.{payload}"),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!(".{good}"),
        format!("{good}."),
        format!("{good}.{signature}"),
        format!("{header}.{payload}.{payload}.{payload}.{signature}"),
        format!("{good}="),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}=.{signature}"),
        format!("{header}.{payload}.{}", URL_SAFE.encode(decode(signature))),
        format!("{header}.{payload}.{}", turn_last(signature)),
        format!("{header}.{payload}.{signature}A"),
        format!("{}.{payload}.{signature}", STANDARD.encode(decode(header)) + "=="),
        format!("{header}.{payload}.+{}", &signature[1..]),
        format!("{header}.{payload}./{}", &signature[1..]),
    ];
    for (header, payload) in [
        (turn_last(header), payload.to_owned()),
        (header.to_owned(), turn_last(payload)),
        (format!("{header}="), payload.to_owned()),
        (header.to_owned(), format!("{payload}==")),
        (header.to_owned(), payload.replacen('e', "+", 1)),
        (format!("{header}~"), payload.to_owned()),
    ] {
        let message = format!("{header}.{payload}");
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &key(Algorithm::ES256), Algorithm::ES256).unwrap();
        forms.push(format!("{message}.{signature}"));
    }
    for form in forms {
        table.is_refused(&form);
    }
    for odd in [' ', '\t', '\u{b}', '?', '#', '%', ',', ';', '"', '{', 'é'] {
        for at in [0, 5, header.len(), header.len() + 1, good.len() - 1, good.len()] {
            let mut form = good.clone();
            form.insert(at, odd);
            // Space around the value is not part of it (RFC 9110 section 5.5); anywhere else it is.
            if !(odd.is_ascii_whitespace() && at == good.len()) {
                table.is_refused(&form);
            }
        }
    }
    table.passes(&good, "as it is");
}

fn name(algorithm: Algorithm) -> String {
    format!("{algorithm:?}")
}

fn header(algorithm: Algorithm) -> String {
    json!({ "alg": name(algorithm), "kid": name(algorithm) }).to_string()
}

fn good() -> Value {
    serde_json::from_str(good_claims()).unwrap()
}

/// A token of the good claims with these in place of theirs.
fn with_claims(changed: &Value) -> String {
    let mut claims = good();
    for (name, value) in changed.as_object().unwrap() {
        claims[name] = value.clone();
    }
    signed(Algorithm::ES256, &header(Algorithm::ES256), &claims.to_string())
}

fn signed(algorithm: Algorithm, header: &str, claims: &str) -> String {
    signed_bytes(algorithm, header, claims.as_bytes())
}

fn signed_bytes(algorithm: Algorithm, header: &str, claims: &[u8]) -> String {
    signed_by(&key(algorithm), algorithm, header, claims)
}

fn signed_by(key: &EncodingKey, algorithm: Algorithm, header: &str, claims: &[u8]) -> String {
    let message = format!("{}.{}", encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// Somebody else's key of the same kind.
fn stranger(algorithm: Algorithm) -> EncodingKey {
    match &name(algorithm)[..2] {
        "HS" => EncodingKey::from_secret(&[0xa5; 64]),
        "RS" | "PS" => EncodingKey::from_rsa_der(&decode(STRANGERS_RSA_PRIVATE)),
        "Ed" => EncodingKey::from_ed_der(&decode(STRANGERS_ED25519_PRIVATE)),
        _ if algorithm == Algorithm::ES256 => EncodingKey::from_ec_der(&decode(STRANGERS_P256_PRIVATE)),
        _ => EncodingKey::from_ec_der(&decode(STRANGERS_P384_PRIVATE)),
    }
}

fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// Big-endian.
fn minus(from: &[u8], number: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut out: Vec<u8> = from
        .iter()
        .zip(number)
        .rev()
        .map(|(a, b)| {
            let difference = i16::from(*a) - i16::from(*b) - borrow;
            borrow = i16::from(difference < 0);
            difference as u8
        })
        .collect();
    out.reverse();
    out
}

/// The same bytes for a lenient decoder: a bit that carries nothing is set, or, where every bit carries something, padding.
fn turn_last(part: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (front, last) = part.split_at(part.len() - 1);
    let value = ALPHABET.find(last).unwrap();
    if part.len().is_multiple_of(4) {
        return format!("{part}====");
    }
    format!("{front}{}", &ALPHABET[value + 1..value + 2])
}
