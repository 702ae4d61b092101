//! What docs/filter.md says of rules and paths, read from there: its tables are the test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::fs;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use postern_access::claims::ClaimsError;
use postern_access::denial::Denial;
use postern_access::jws::{JwsError, NoKey};
use postern_access::path;
use postern_access::policy::{Policy, TokenError, Trace};
use postern_access::state::State;
use serde_json::{Value, json};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: u64 = 1_800_000_000_000;

/// A section of docs/filter.md, without its heading.
fn section(heading: &str) -> String {
    section_of("filter.md", heading)
}

fn section_of(file: &str, heading: &str) -> String {
    let file = format!("{}/../docs/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&file).expect(&file);
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).expect(heading);
    section.split("\n## ").next().unwrap().to_owned()
}

/// The rows of the table whose head begins with this cell.
fn table(section: &str, first: &str) -> Vec<Vec<String>> {
    let mut lines = section
        .lines()
        .skip_while(|line| !line.starts_with(&format!("| {first} |")));
    lines.next().expect(first);
    lines.next().expect("the line below a head");
    let rows: Vec<_> = lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.replace("\\|", "\0");
            let cells = cells.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().replace('\0', "|")).collect()
        })
        .collect();
    assert!(rows.len() > 2, "the table of `{first}` is hardly one");
    rows
}

/// What stands in backticks.
fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn issuer() -> Value {
    use base64::Engine;
    let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(SECRET);
    json!({ "jwks": { "inline": { "keys": [ { "kty": "oct", "alg": "HS256", "k": secret } ] } } })
}

#[test]
fn which_rule_decides() {
    let section = section("Which rule decides");
    let (_, example) = section.split_once("```json\n").unwrap();
    let mut config: Value = serde_json::from_str(example.split("```").next().unwrap()).unwrap();
    config["issuers"] = json!([issuer()]);
    config["login_service"] = json!({ "cluster": "login", "authority": "login" });
    let policy = Policy::parse(config.to_string().as_bytes()).unwrap();
    let mut state = State::new(policy.config(), 1).unwrap();
    let table_of_permissions = json!({ "version": "1", "permissions": [{ "name": "ROLE_R", "url": "/reports/*" }] });
    state
        .apply_permissions(table_of_permissions.to_string().as_bytes(), NOW)
        .unwrap();
    let token = jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &json!({ "exp": NOW / 1000 + 60 }),
        &EncodingKey::from_secret(SECRET),
    )
    .unwrap();
    let authorization = format!("Bearer {token}");
    for row in table(&section, "request") {
        let request = code(&row[0]).next().unwrap();
        let (method, rest) = request.split_once(' ').unwrap();
        let (host, path) = rest.split_at(rest.find('/').unwrap());
        let headers: [(&[u8], &[u8]); 4] = [
            (b":method", method.as_bytes()),
            (b":authority", host.as_bytes()),
            (b":path", path.as_bytes()),
            (b"authorization", authorization.as_bytes()),
        ];
        let mut trace = Trace::default();
        policy.trace(&policy.read(headers.into_iter()), &mut state, NOW, &mut trace);
        let decider = trace.decider.map(|decider| decider.to_string());
        assert_eq!(decider.as_deref(), code(&row[1]).next(), "{request}");
    }
}

#[test]
fn which_paths_are_refused() {
    for row in table(&section("Paths"), "refused") {
        let examples: Vec<_> = code(&row[1]).collect();
        assert!(!examples.is_empty(), "{row:?}");
        for example in examples {
            assert!(path::canonical(example.as_bytes()).is_err(), "{example} passes");
        }
    }
}

#[test]
fn how_paths_go_on() {
    for row in table(&section("Paths"), "comes") {
        let (comes, goes_on) = (code(&row[0]).next().unwrap(), code(&row[1]).next().unwrap());
        let target = path::canonical(comes.as_bytes()).expect(comes);
        assert_eq!(target.rewritten().unwrap_or_else(|| comes.to_owned()), goes_on);
    }
}

/// People and programs compare them: each is documented, and each that is documented is there.
#[test]
fn why_a_token_is_refused() {
    let documented = section_of("policy.md", "verify");
    let tables = [
        "refused because of its form",
        "refused because of its key",
        "refused because of what it says",
    ];
    let documented: Vec<String> = tables
        .iter()
        .flat_map(|first| table(&documented, first))
        .map(|row| code(&row[0]).next().unwrap().to_owned())
        .collect();
    let jws = [
        JwsError::TooLong,
        JwsError::NotCompact,
        JwsError::Header,
        JwsError::Algorithm,
        JwsError::Critical,
        JwsError::EmbeddedKey,
        JwsError::Type,
        JwsError::Claims,
        JwsError::Signature,
    ];
    let keys = [NoKey::Unknown, NoKey::Algorithm, NoKey::Ambiguous];
    let claims = [
        ClaimsError::Expired,
        ClaimsError::NotYet,
        ClaimsError::NoExpiry,
        ClaimsError::Audience,
        ClaimsError::Kind,
        ClaimsError::Malformed,
        ClaimsError::SenderConstrained,
    ];
    // One more of them is to be written there, too.
    let (JwsError::TooLong
    | JwsError::NotCompact
    | JwsError::Header
    | JwsError::Algorithm
    | JwsError::Critical
    | JwsError::EmbeddedKey
    | JwsError::Type
    | JwsError::Claims
    | JwsError::Signature) = jws[0];
    let (NoKey::Unknown | NoKey::Algorithm | NoKey::Ambiguous) = keys[0];
    let (ClaimsError::Expired
    | ClaimsError::NotYet
    | ClaimsError::NoExpiry
    | ClaimsError::Audience
    | ClaimsError::Kind
    | ClaimsError::Malformed
    | ClaimsError::SenderConstrained) = claims[0];
    let others = [
        TokenError::Issuer,
        TokenError::Key,
        TokenError::AmbiguousKey,
        TokenError::BoundToKey,
        TokenError::BoundToCertificate,
    ];
    let mut reasons: Vec<String> = jws.map(|reason| reason.to_string()).to_vec();
    reasons.extend(keys.map(|reason| reason.to_string()));
    reasons.extend(claims.map(|reason| reason.to_string()));
    reasons.extend(others.map(|reason| reason.to_string()));
    reasons.push(Denial::SeveralTokens.to_string());
    reasons.sort();
    let mut documented = documented;
    documented.sort();
    assert_eq!(documented, reasons);
}
