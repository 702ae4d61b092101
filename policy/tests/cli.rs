//! The commands as somebody types them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: u64 = 1_800_000_000;

/// A file of this test's own.
fn file(name: &str, text: &str) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("policy-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(name);
    fs::write(&file, text).unwrap();
    file
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Ran {
    run_with(arguments, "")
}

fn run_with(arguments: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_postern-policy"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // The answers are read while the questions are still written.
    let writer = std::thread::spawn(move || {
        let _closed_early = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn jwks() -> Value {
    json!({ "keys": [ { "kty": "oct", "alg": "HS256", "kid": "k", "k": URL_SAFE_NO_PAD.encode(SECRET) } ] })
}

fn token(claims: &Value) -> String {
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("k".into());
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

fn config() -> Value {
    json!({
        "issuers": [ { "issuer": "https://id", "audiences": ["orders"], "jwks": { "inline": jwks() } } ],
        "public": [ "GET /health" ],
        "rules": [
            { "path": "/orders/{tenant}/**", "name": "orders", "any_authority": ["ROLE_ORDERS"], "claims": { "tenant": "{tenant}" } },
            { "path": "/new", "any_authority": ["ROLE_NEW"], "mode": "shadow" }
        ]
    })
}

#[test]
fn every_command_has_help() {
    for command in ["lint", "explain", "test", "verify", "schema"] {
        let ran = run(&[command, "--help"]);
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains("Usage: postern-policy"), "{}", ran.out);
    }
    assert!(run(&["--help"]).out.contains("Exit codes"));
}

#[test]
fn the_schema_knows_every_key_that_is_documented() {
    let schema: Value = serde_json::from_str(&run(&["schema"]).out).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    // What lint names as unknown is not in it, and what is in it is not unknown to lint.
    for key in [
        "issuers",
        "rules",
        "public",
        "auth_server",
        "login_service",
        "unmatched",
        "token",
        "forward",
        "debug",
    ] {
        assert!(keys.iter().any(|known| *known == key), "{key}");
    }
    for key in keys {
        let ran = run(&[
            "lint",
            file("plugin.json", &json!({ key: [] }).to_string()).to_str().unwrap(),
        ]);
        assert!(!ran.out.contains("unknown field"), "{key}: {}", ran.out);
        let documented = include_str!("../../docs/filter.md").contains(&format!("`{key}`"));
        assert!(documented, "{key} is not in docs/filter.md");
    }
    for (kind, key) in [
        ("Rule", "any_authority"),
        ("Issuer", "jwks"),
        ("Jwks", "discovery"),
        ("ClaimNames", "preset"),
    ] {
        assert!(schema["$defs"][kind]["properties"][key].is_object(), "{kind}.{key}");
    }
}

/// Every list and table of the schema: it may be empty there exactly if the filter takes it so.
#[test]
fn the_schema_refuses_what_is_empty_where_the_filter_does() {
    let schema: Value = serde_json::from_str(&run(&["schema"]).out).unwrap();
    let mut compared = Vec::new();
    let kinds = schema["$defs"].as_object().unwrap().iter();
    let kinds = kinds
        .map(|(kind, schema)| (kind.as_str(), schema))
        .chain([("Config", &schema)]);
    for (kind, schema) in kinds {
        for (key, said) in schema["properties"].as_object().into_iter().flatten() {
            let has = |wanted: &str| {
                said["type"] == wanted || said["type"].as_array().is_some_and(|all| all.contains(&json!(wanted)))
            };
            let (empty, least) = match () {
                () if has("array") => (json!([]), "minItems"),
                () if has("object") => (json!({}), "minProperties"),
                () => continue,
            };
            let config = match kind {
                "Config" => json!({ key: empty }),
                "Rule" => json!({ "rules": [{ "path": "/a", key: empty }] }),
                "PublicRoute" => json!({ "public": [{ "path": "/a", key: empty }] }),
                "Issuer" => json!({ "issuers": [{ "issuer": "i", key: empty }] }),
                "ClaimNames" => json!({ "issuers": [{ "issuer": "i", "claims": { key: empty } }] }),
                _ => panic!("{kind}.{key}: say here how it stands in a configuration"),
            };
            let refused = run(&["lint", file("empty.json", &config.to_string()).to_str().unwrap()]).out;
            let refused = refused.contains("it is empty");
            assert_eq!(said[least] == json!(1), refused, "{kind}.{key}: {said}");
            compared.push(format!("{kind}.{key}"));
        }
    }
    for known in [
        "Rule.methods",
        "Rule.claims",
        "PublicRoute.hosts",
        "Issuer.audiences",
        "ClaimNames.authorities",
    ] {
        assert!(compared.iter().any(|key| key == known), "{known}: {compared:?}");
    }
}

#[test]
fn what_cannot_be_used_is_one_line_and_code_2() {
    let wrong = file("wrong.json", r#"{"rules":[{"path":"/{a}","claims":{"x":"{b}"}}]}"#);
    let wrong = wrong.to_str().unwrap();
    let broken = file("broken.json", "{");
    let two = file("two.yaml", "rules: []\n---\nrules: []\n");
    let several = file("gateway.yaml", "plugins: [ { name: a }, { name: b } ]");
    for (arguments, says) in [
        (&["lint", "/does/not/exist"][..], "/does/not/exist: cannot be read"),
        (&["lint", broken.to_str().unwrap()], "broken.json: EOF"),
        (
            &["lint", two.to_str().unwrap()],
            "two.yaml:3:1: a second document begins here: leave one, without `---`",
        ),
        (
            &["lint", several.to_str().unwrap()],
            "say which one with --plugin: a, b",
        ),
        (
            &["explain", "--config", wrong, "--request", "GET /a"],
            "wrong.json: plugin configuration: rules[0].claims.x: `{b}` is no segment",
        ),
        (&["verify", "--jwks", "/does/not/exist", "t"], "cannot be read"),
    ] {
        let ran = run(arguments);
        assert_eq!(
            (ran.code, ran.err.lines().count()),
            (2, 1),
            "{arguments:?}: {}",
            ran.err
        );
        assert!(ran.err.starts_with("error: ") && ran.err.contains(says), "{}", ran.err);
    }
    assert_eq!(run(&["verify"]).code, 2);
    assert_eq!(run(&["explain", "--config", wrong]).code, 2);
}

#[test]
fn lint_finds_what_is_hardly_meant() {
    for (change, level, says) in [
        (json!({}), "", ""),
        (json!({ "ruels": [] }), "error", "ruels: unknown field"),
        (json!({ "public": ["/a/**/b"] }), "error", "public[0]: pattern"),
        (
            json!({ "public": ["/admin/health"], "rules": [{ "path": "/admin/**", "any_authority": ["A"] }] }),
            "warning",
            "public[0]: it opens a part of rules[0] (`/admin/**`): `GET /admin/health` needs no token",
        ),
        (
            json!({ "rules": [{ "path": "/a/**" }, { "path": "/a" }, { "path": "/a/*" }, { "path": "/a/*/**" }, { "path": "/a/" }] }),
            "warning",
            "rules[0]: `/a/**` never decides",
        ),
        (
            json!({ "rules": [{ "path": "/**" }, { "path": "/admin", "any_authority": ["A"] }] }),
            "warning",
            "rules[1]: `GET /admin/` is decided by rules[0] (`/**`), which requires less",
        ),
        (
            json!({ "rules": [{ "path": "/a/**" }, { "path": "/a/b/**", "methods": ["GET"], "any_authority": ["A"] }] }),
            "warning",
            "rules[1]: `/a/b/**` is protected for GET only: POST is decided by rules[0]",
        ),
        (
            json!({ "rules": [{ "path": "/a/**", "scopes": ["s"] }, { "path": "/a/b/**", "scopes": ["s"] }] }),
            "note",
            "rules[1]: it changes nothing: rules[0] (`/a/**`) requires the same",
        ),
        (
            json!({ "rules": [{ "path": "/a", "mode": "shadow" }] }),
            "note",
            "rules[0]: in shadow mode everybody passes",
        ),
        (
            json!({ "rules": [{ "path": "/orders/:id/**" }] }),
            "warning",
            "rules[0]: `:id` is this text and nothing else; for any segment, write `{id}`",
        ),
        (json!({ "mode": "shadow" }), "warning", "mode: "),
        (json!({ "token": { "query": "t" } }), "warning", "token.query: "),
        (json!({ "unmatched": "authenticated" }), "note", "unmatched: "),
        (json!({ "issuers": [] }), "warning", "issuers: "),
        (
            json!({ "issuers": [ { "issuer": "https://id", "jwks": { "inline": { "keys": [
                { "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "d": "AA" } ] } } } ] }),
            "warning",
            "issuers[0].jwks: the private half of a key (`d`) stands here",
        ),
    ] {
        let mut config = json!({
            "issuers": [ { "issuer": "https://id", "audiences": ["orders"],
                           "jwks": { "cluster": "id", "uri": "https://id/keys" } } ],
            "rules": [ { "path": "/orders/**", "any_authority": ["ROLE_ORDERS"] } ]
        });
        for (key, value) in change.as_object().unwrap() {
            config[key] = value.clone();
        }
        let ran = run(&["lint", file("plugin.json", &config.to_string()).to_str().unwrap()]);
        assert_eq!(
            ran.code,
            i32::from(matches!(level, "error" | "warning")),
            "{change}: {}",
            ran.out
        );
        let expected = format!("{level}: {says}");
        let fits = |line: &str| {
            if level.is_empty() {
                line.ends_with("nothing to remark")
            } else {
                line.starts_with(&expected)
            }
        };
        assert!(ran.out.lines().any(fits), "{expected}\n{}", ran.out);
        assert!(ran.out.lines().count() <= 7, "{}", ran.out);
    }
}

/// What to write, where; and not what stands there.
#[test]
fn a_value_of_another_type_is_found_by_key_and_line() {
    let config = "{\n  \"rules\": [\n    { \"path\": \"/a\",\n      \"methods\": \"s3cret\" }\n  ]\n}\n";
    let plain = file("plugin.json", config);
    let ran = run(&["lint", plain.to_str().unwrap()]);
    let says = "rules[0].methods: it must be a list (`[ … ]`), not a text";
    assert!(ran.out.contains(&format!("error: {says} (line 4)\n")), "{}", ran.out);
    let ran = run(&["explain", "--config", plain.to_str().unwrap(), "--request", "GET /a"]);
    let expected = format!("{}:4: plugin configuration: {says}\n", plain.display());
    assert_eq!((ran.code, ran.err), (2, format!("error: {expected}")));
    // In another file it has other lines.
    let inside = file(
        "gateway.yaml",
        "plugins: [ { name: a, configuration: { rules: { a: s3cret } } } ]",
    );
    let ran = run(&["lint", inside.to_str().unwrap()]);
    let says = "error: rules: it must be a list (`[ … ]`), not an object\n";
    assert!(ran.out.contains(says), "{}", ran.out);
    for (empty, text) in [
        ("gateway.yaml", "plugins: [ { name: a, configuration: '' } ]"),
        ("gateway.yaml", "plugins: [ { name: a, configuration: null } ]"),
        ("gateway.yaml", "plugins: [ { name: a } ]"),
        ("plugin.json", ""),
        ("plugin.yaml", "\n"),
    ] {
        let ran = run(&["lint", file(empty, text).to_str().unwrap()]);
        assert!(
            ran.out.contains("error: it is empty; write `{}`"),
            "{text}: {}",
            ran.out
        );
    }
    let cases = file("cases.yaml", "cases: GET /a\n");
    let ran = run(&[
        "test",
        "--config",
        file("plugin.json", "{}").to_str().unwrap(),
        cases.to_str().unwrap(),
    ]);
    assert!(ran.err.contains("expected a list, as in `[ a, b ]`"), "{}", ran.err);
}

#[test]
fn what_is_no_truth_to_the_gateway_is_none_here() {
    let config = "issuers: []\nrules: [ { path: /a, deny: yes } ]\n";
    let ran = run(&["lint", "--config", file("plugin.yaml", config).to_str().unwrap()]);
    assert!(
        ran.out
            .contains("rules[0].deny: it must be `true` or `false`, not a text"),
        "{}",
        ran.out
    );
    assert_ne!(ran.code, 0);
}

#[test]
fn lint_finds_every_unknown_key() {
    let config = r#"{ "publik": [], "rules": [ { "path": "/a", "scope": "x" }, { "path": "/b", "any": [] } ], "token": { "heder": "x" } }"#;
    let ran = run(&["lint", "--config", file("plugin.json", config).to_str().unwrap()]);
    for key in ["publik", "rules[0].scope", "rules[1].any", "token.heder"] {
        assert!(
            ran.out.contains(&format!("error: {key}: unknown field")),
            "{key}\n{}",
            ran.out
        );
    }
}

#[test]
fn lint_finds_rows_of_the_permission_table_that_are_never_asked() {
    let config = json!({ "login_service": { "cluster": "l", "authority": "l" }, "public": ["/open/**"],
                         "issuers": config()["issuers"] });
    let rows = json!([ { "id": 1, "name": "ROLE_A", "url": "/open/a" }, { "name": "ROLE_B", "url": "/closed" } ]);
    let ran = run(&[
        "lint",
        file("plugin.json", &config.to_string()).to_str().unwrap(),
        "--permissions",
        file("rows.json", &rows.to_string()).to_str().unwrap(),
    ]);
    assert!(
        ran.out
            .contains("permission ROLE_A /open/a: it is never asked: public[0]"),
        "{}",
        ran.out
    );
    assert!(!ran.out.contains("ROLE_B"), "{}", ran.out);
}

/// What people begin with must not be what they are warned of.
#[test]
fn every_shipped_configuration_lints_clean() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let documented = ["docs", "demo", "envoy"].map(|folder| format!("{root}/{folder}"));
    let shipped: Vec<_> = documented
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|file| matches!(file.extension().and_then(|name| name.to_str()), Some("yaml" | "json")))
        .filter(|file| std::fs::read_to_string(file).unwrap().contains("postern_filter"))
        .collect();
    assert!(!shipped.is_empty());
    for file in shipped {
        let ran = run(&["lint", file.to_str().unwrap()]);
        assert!(
            ran.code == 0 && ran.out.ends_with("nothing to remark\n"),
            "{}: {}",
            file.display(),
            ran.out
        );
    }
}

#[test]
fn explain_prints_each_step() {
    let plugin = file("plugin.json", &config().to_string());
    let gateway = file(
        "gateway.yaml",
        &format!(
            "plugins:\n  - name: other\n  - name: auth\n    configuration: {}\n",
            config()
        ),
    );
    for (source, extra) in [(plugin, &[][..]), (gateway, &["--plugin", "auth"])] {
        let explain = |more: &[&str]| {
            let now = NOW.to_string();
            let mut arguments = vec!["explain", "--config", source.to_str().unwrap(), "--now", &now];
            arguments.extend(extra);
            arguments.extend(more);
            let ran = run(&arguments);
            assert_eq!(ran.code, 0, "{}", ran.err);
            ran.out
        };
        let out = explain(&["--request", "GET https://api.example.com/%6Frders/acme/7?x=1"]);
        assert!(out.contains("path       /orders/acme/7 (and so it goes on"), "{out}");
        assert!(out.contains("rule       rules[0] {\"name\":\"orders\""), "{out}");
        assert!(
            out.ends_with("token      none\ndecision   deny 401 no_token: no token\n"),
            "{out}"
        );

        let good = token(
            &json!({ "iss": "https://id", "aud": "orders", "exp": NOW + 9, "authorities": ["ROLE_ORDERS"], "tenant": "acme" }),
        );
        let out = explain(&["--request", "GET /orders/acme/7", "--token", &good]);
        assert!(
            out.contains("requires   one of the authorities ROLE_ORDERS: met"),
            "{out}"
        );
        assert!(out.ends_with("decision   allow\n"), "{out}");
        assert!(!out.contains(&good), "{out}");

        let out = explain(&[
            "--request",
            "GET /orders/other/7",
            "--claims",
            r#"{"authorities":["ROLE_ORDERS"],"tenant":"acme"}"#,
        ]);
        assert!(out.contains("requires   claim tenant is {tenant}: acme"), "{out}");
        assert!(out.ends_with("decision   deny 403 forbidden: not permitted\n"), "{out}");

        let out = explain(&[
            "--request",
            "GET /orders/a",
            "--token",
            &token(&json!({ "iss": "https://id", "aud": "orders", "exp": 1 })),
        ]);
        assert!(
            out.ends_with("decision   deny 401 bad_token: the token has expired\n"),
            "{out}"
        );
        assert!(
            explain(&["--request", "GET /health"])
                .ends_with("rule       public[0] \"GET /health\"\ndecision   allow\n")
        );
        assert!(
            explain(&["--request", "GET /new"])
                .ends_with("decision   allow, in shadow mode; otherwise deny 401 no_token: no token\n")
        );
        let out = explain(&["--request", "GET /a/../b"]);
        assert_eq!(
            out,
            "path       refused: the path has a dot segment\ndecision   deny 400 path: ambiguous path: the path has a dot segment\n"
        );
    }
}

#[test]
fn test_runs_a_table_and_counts() {
    let plugin = file("plugin.json", &config().to_string());
    let cases = |expected: &str| {
        let text = format!(
            r#"
now: {NOW}
tokens:
  alice: {{ claims: {{ sub: alice, authorities: [ ROLE_ORDERS ], tenant: acme }} }}
  late: {{ claims: {{ exp: {late} }} }}
  elsewhere: {{ claims: {{ iss: "https://else" }} }}
cases:
  - request: GET https://api.example.com/orders/acme/7
    expect: {{ none: 401, alice: {expected}, late: bad_token, elsewhere: 401 }}
    rule: orders
  - request: GET /orders/other/7
    token: alice
    expect: forbidden
  - {{ request: GET /health, expect: allow, rule: "public[0]" }}
  - {{ request: GET /new, expect: shadow }}
  - {{ request: GET /a//b, expect: path }}
  - {{ request: GET /nothing, token: {{ claims: {{ sub: bob }} }}, expect: deny, rule: unmatched }}
"#,
            late = NOW - 1
        );
        let cases = file("cases.yaml", &text);
        run(&["test", "--config", plugin.to_str().unwrap(), cases.to_str().unwrap()])
    };
    let ran = cases("allow");
    assert_eq!((ran.code, ran.out.as_str()), (0, "9 passed, 0 failed\n"), "{}", ran.err);
    let ran = cases("deny");
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.out,
        "failed: cases[0]: GET https://api.example.com/orders/acme/7, token alice: expected deny by orders, got allow, by rules[0]\n8 passed, 1 failed\n"
    );
    let ran = cases("Allow");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("cases[0]: expect: `Allow` is neither"), "{}", ran.err);
    let none = file("none.yaml", "cases: []");
    let ran = run(&["test", "--config", plugin.to_str().unwrap(), none.to_str().unwrap()]);
    assert!(
        ran.err
            .contains("none.yaml: cases: is empty: describe at least one request"),
        "{}",
        ran.err
    );
}

#[test]
fn verify_says_why() {
    let keys = file("keys.json", &jwks().to_string());
    let keys = keys.to_str().unwrap();
    let now = NOW.to_string();
    let good = token(&json!({ "iss": "https://id", "aud": "orders", "exp": NOW + 9 }));
    let verify = |more: &[&str]| run(&[&["verify", "--jwks", keys, "--now", &now], more].concat());
    let ran = verify(&[&good]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "accepted\n"), "{}", ran.err);
    assert_eq!(
        verify(&["--issuer", "https://id", "--audience", "orders", &good]).code,
        0
    );
    for (more, why) in [
        (
            &["--issuer", "https://else", good.as_str()][..],
            "the token's issuer is not known",
        ),
        (&["--audience", "else", &good], "the token is for another audience"),
        (&[&token(&json!({ "exp": NOW }))], "the token has expired"),
        (&[&token(&json!({ "sub": "x" }))], "the token never expires"),
        (&["rubbish"], "the token is not a compact JWS"),
    ] {
        let ran = verify(more);
        assert_eq!((ran.code, ran.out), (1, format!("refused: {why}\n")));
    }
}

#[test]
fn a_batch_answers_every_line_in_order() {
    let line = |token: &str, now: Value| json!({ "jwks": jwks(), "token": token, "now": now }).to_string();
    let good = token(&json!({ "iss": "anybody", "exp": NOW + 9 }));
    let (head, _) = good.rsplit_once('.').unwrap();
    let lines = [
        (line(&good, json!(NOW)), None),
        (line(&good, json!(NOW + 9)), Some("the token has expired")),
        // Of each line its own time: nothing is remembered.
        (line(&good, json!(NOW)), None),
        (line(&good, json!(NOW as f64 + 8.5)), None),
        (
            line(&format!("{head}.AAAA"), json!(NOW)),
            Some("the token's signature is not valid"),
        ),
        (
            line(&format!(" {good}"), json!(NOW)),
            Some("the token is not a compact JWS"),
        ),
        (line("", json!(NOW)), Some("the token is not a compact JWS")),
        (line(&good, json!("soon")), Some("`now` is no time in Unix seconds")),
        ("rubbish".into(), Some("the line is not a JSON object")),
        ("[]".into(), Some("the line is not a JSON object")),
        // Which of both is meant, nobody knows.
        (
            line(&good, json!(NOW)).replacen('{', r#"{"now":1,"#, 1),
            Some("the line is not a JSON object"),
        ),
        (
            line(&good, json!(NOW)).replace(r#""kty":"oct""#, r#""kty":"oct","kty":"oct""#),
            Some("the line is not a JSON object"),
        ),
        (json!({ "token": good }).to_string(), Some("`jwks` is missing")),
        (json!({ "jwks": jwks() }).to_string(), Some("`token` is missing")),
        (
            json!({ "jwks": { "keys": [] }, "token": good }).to_string(),
            Some("jwks: no key"),
        ),
        (
            json!({ "jwks": jwks(), "token": good, "now": NOW, "audience": "a" }).to_string(),
            Some("the token is for another"),
        ),
        (
            json!({ "jwks": jwks()["keys"][0], "token": good, "now": NOW }).to_string(),
            None,
        ),
    ];
    let input: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
    let ran = run_with(&["verify", "--batch"], &input);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let answers: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), lines.len());
    for (answer, (line, refused)) in answers.iter().zip(&lines) {
        assert_eq!(answer["accepted"], refused.is_none(), "{line}: {answer}");
        let reason = answer["reason"].as_str().unwrap_or_default();
        assert!(reason.starts_with(refused.unwrap_or_default()), "{line}: {answer}");
    }
}

#[test]
fn signature_only_takes_any_payload_and_no_wrong_signature() {
    // RFC 7520 section 4.4: the payload is no JSON.
    let jwks = json!({ "keys": [ { "kty": "oct", "kid": "018c0ae5-4d9b-471b-bfd6-eef314bc7037", "use": "sig", "alg": "HS256",
        "k": "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg" } ] });
    let good = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0";
    let forged = good.replace(".s0h6", ".t0h6");
    let input: String = [good, &forged]
        .iter()
        .map(|token| format!("{}\n", json!({ "jwks": jwks, "token": token })))
        .collect();
    let ran = run_with(&["verify", "--batch", "--signature-only"], &input);
    let accepted: Vec<_> = ran
        .out
        .lines()
        .map(|line| line.contains(r#""accepted":true"#))
        .collect();
    assert_eq!(accepted, [true, false], "{}", ran.out);
    let ran = run_with(&["verify", "--batch"], &input);
    assert!(!ran.out.contains("true"), "{}", ran.out);
}
