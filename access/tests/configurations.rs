//! Configurations that are refused, and the line that says why; and what a configuration promises whatever names it gives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use postern_access::policy::Policy;

fn error(json: &str) -> String {
    match Policy::parse(json.as_bytes()) {
        Ok(_) => panic!("{json} is taken"),
        Err(error) => error.to_string(),
    }
}

/// A name for each key that names a header, and what is said of it.
#[test]
fn names_of_headers() {
    let keys = [
        ("forward.user_id", r#"{"forward":{"user_id":NAME}}"#),
        ("forward.user_name", r#"{"forward":{"user_name":NAME}}"#),
        ("forward.client_id", r#"{"forward":{"client_id":NAME}}"#),
        ("forward.authorities", r#"{"forward":{"authorities":NAME}}"#),
        ("forward.scope", r#"{"forward":{"scope":NAME}}"#),
        ("token.header", r#"{"token":{"header":NAME}}"#),
        (
            "debug.header",
            r#"{"debug":{"header":NAME,"secret":"0123456789abcdef"}}"#,
        ),
    ];
    let no_name = [
        "",
        ":path",
        ":authority",
        "x a",
        "x:a",
        "x\\na",
        "ä",
        "x\\u0000",
        "x\\\"",
        "x,a",
        "(x)",
    ];
    let taken = [
        "host",
        "Host",
        "cookie",
        "Set-Cookie",
        "dpop",
        "DPoP",
        "connection",
        "content-length",
        "content_length",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "expect",
        "content-type",
        "content-encoding",
        "forwarded",
        "x-forwarded-for",
        "X-Forwarded-Proto",
        "x-forwarded-host",
    ];
    for (key, json) in keys {
        let said = |name: &str| error(&json.replace("NAME", &format!("\"{name}\"")));
        for name in no_name {
            let found = said(name);
            let begin = format!("plugin configuration: {key}: `");
            assert!(found.starts_with(&begin), "{name}: {found}");
            assert!(found.contains("` is not the name of a header"), "{name}: {found}");
        }
        for name in taken {
            let expected = format!("plugin configuration: {key}: `{name}` has another meaning already");
            assert!(said(name).starts_with(&expected), "{}", said(name));
        }
        for own in ["x-own", "X-Own", "x_own", "x-forwarded-user", "user"] {
            let json = json.replace("NAME", &format!("\"{own}\""));
            Policy::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"));
        }
        if key != "token.header" {
            let expected = format!("plugin configuration: {key}: `Authorization` has another meaning already");
            assert!(said("Authorization").starts_with(&expected));
        }
    }
}

#[test]
fn other_values_that_could_not_do_what_they_are_there_for() {
    for (json, expected) in [
        // Two headers of one name.
        (
            r#"{"token":{"header":"x-user-id"}}"#,
            "forward.user_id: `x-user-id` is that of `token.header` already",
        ),
        (
            r#"{"token":{"header":"X_User_Id"}}"#,
            "forward.user_id: `x-user-id` is that of `token.header` already",
        ),
        (
            r#"{"forward":{"user_id":"x-a","user_name":"x_A"}}"#,
            "forward.user_name: `x_A` is that of `forward.user_id` already",
        ),
        (
            r#"{"debug":{"header":"x-scope","secret":"0123456789abcdef"}}"#,
            "debug.header: `x-scope` is that of `forward.scope` already",
        ),
        (r#"{"token":{"cookie":""}}"#, "token.cookie: `` is no name"),
        (r#"{"token":{"cookie":"a b"}}"#, "token.cookie: `a b` is no name"),
        (r#"{"token":{"cookie":"a=b"}}"#, "token.cookie: `a=b` is no name"),
        (r#"{"token":{"query":""}}"#, "token.query: `` is no name"),
        (r#"{"token":{"query":"a&b"}}"#, "token.query: `a&b` is no name"),
        (r#"{"token":{"query":"a%62"}}"#, "token.query: `a%62` is no name"),
        // Times.
        (
            r#"{"max_stale":"0s"}"#,
            "max_stale: a lost feed is relied on for 1s to 24h",
        ),
        (
            r#"{"max_stale":"999ms"}"#,
            "max_stale: a lost feed is relied on for 1s to 24h",
        ),
        (
            r#"{"max_stale":"25h"}"#,
            "max_stale: a lost feed is relied on for 1s to 24h",
        ),
        (r#"{"hold":"10h"}"#, "hold: a request waits for 60s at most"),
        (r#"{"hold":"61s"}"#, "hold: a request waits for 60s at most"),
        (r#"{"leeway":"61m"}"#, "leeway: clocks are an hour apart at most"),
        (
            r#"{"dpop":{"nonce_lifetime":"100000h"}}"#,
            "dpop.nonce_lifetime: a nonce is good for 1s to 24h",
        ),
        // Issuers.
        (
            r#"{"issuers":[{"issuer":"a","jwks":{"keys":[]}}]}"#,
            "issuers[0].jwks.keys: a key set in place stands under `inline`",
        ),
        (
            r#"{"issuers":[{"issuer":"a","jwks":{"keys":[{"kty":"oct","k":"x"}]}}]}"#,
            "issuers[0].jwks.keys: a key set in place stands under `inline`",
        ),
        (
            r#"{"issuers":[{"introspection":{"cluster":"a","uri":"https://a/i"},"foreign_users":true}]}"#,
            "issuers[0].foreign_users: users of an issuer of the configuration are never",
        ),
        (
            r#"{"issuers":[{"introspection":{"cluster":"a","uri":"https://a/i"},"claims":{"user_id":"a.*.b"}}]}"#,
            "issuers[0].claims: `*` stands for several members",
        ),
        (
            r#"{"issuers":[{"introspection":{"cluster":"a","uri":"https://a/i"},"claims":{"token_id":"*"}}]}"#,
            "issuers[0].claims: `*` stands for several members",
        ),
        // What is not there.
        ("", "it is empty; write `{}` if every request is to be refused"),
        (" \n\t", "it is empty; write `{}` if every request is to be refused"),
    ] {
        let found = error(json);
        let expected = format!("plugin configuration: {expected}");
        assert!(found.starts_with(&expected), "{json}\n  {found}");
        assert!(!found.contains('\n'), "{found}");
    }
    for json in [
        r#"{"max_stale":"1s","hold":"0s","leeway":"1h"}"#,
        r#"{"max_stale":"24h","hold":"60s","dpop":{"nonce_lifetime":"24h"}}"#,
        r#"{"token":{"header":null,"cookie":"__Host-t","query":"access_token"}}"#,
        r#"{"issuers":[{"introspection":{"cluster":"a","uri":"https://a/i"},"claims":{"user_id":["a","*","b"],"authorities":["a.*.b"]}}]}"#,
    ] {
        Policy::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"));
    }
}

/// What to write is said, and not what stands there: it may be a secret in the wrong place.
#[test]
fn values_of_another_type() {
    const TEXT: &str = "it must be a text in quotes (`\"…\"`), not ";
    const LIST: &str = "it must be a list (`[ … ]`), not ";
    const OBJECT: &str = "it must be an object (`{ … }`), not ";
    const TRUTH: &str = "it must be `true` or `false`, not ";
    const TIME: &str = "it must be a length of time in quotes, as in `\"5m\"`, not ";
    let values = [
        (r#""s3cret""#, "a text"),
        ("5051", "a number"),
        ("-5051", "a number"),
        ("50.51", "a number"),
        ("true", "`true` or `false`"),
        (r#"["s3cret"]"#, "a list"),
        (r#"{"s3cret":"s3cret"}"#, "an object"),
        ("null", "`null` (leave the key out where nothing is meant)"),
    ];
    let optional = [
        "auth_server",
        "login_service",
        "debug",
        "dpop",
        "auth_server.credentials",
        "resource_metadata",
        "token.header",
        "token.cookie",
        "token.query",
        "forward.user_id",
        "dpop.nonce_secret",
        "rules[0].name",
        "rules[0].max_age",
        "issuers[0].issuer",
        "issuers[0].jwks",
        "issuers[0].introspection",
        "issuers[0].claims.authorities",
    ];
    let server = r#"{"cluster":"a","authority":"b","credentials":VALUE}"#;
    for (key, json, wanted) in [
        ("", "VALUE", OBJECT),
        ("auth_server", r#"{"auth_server":VALUE}"#, OBJECT),
        ("login_service", r#"{"login_service":VALUE}"#, OBJECT),
        ("issuers", r#"{"issuers":VALUE}"#, LIST),
        ("public", r#"{"public":VALUE}"#, LIST),
        ("rules", r#"{"rules":VALUE}"#, LIST),
        ("rules[0]", r#"{"rules":[VALUE]}"#, OBJECT),
        ("token", r#"{"token":VALUE}"#, OBJECT),
        ("forward", r#"{"forward":VALUE}"#, OBJECT),
        ("debug", r#"{"debug":VALUE}"#, OBJECT),
        ("dpop", r#"{"dpop":VALUE}"#, OBJECT),
        ("max_stale", r#"{"max_stale":VALUE}"#, TIME),
        ("hold", r#"{"hold":VALUE}"#, TIME),
        ("leeway", r#"{"leeway":VALUE}"#, TIME),
        ("resource_metadata", r#"{"resource_metadata":VALUE}"#, TEXT),
        (
            "auth_server.credentials",
            &format!(r#"{{"auth_server":{server}}}"#),
            TEXT,
        ),
        ("token.header", r#"{"token":{"header":VALUE}}"#, TEXT),
        ("token.cookie", r#"{"token":{"cookie":VALUE}}"#, TEXT),
        ("token.query", r#"{"token":{"query":VALUE}}"#, TEXT),
        ("forward.user_id", r#"{"forward":{"user_id":VALUE}}"#, TEXT),
        ("debug.secret", r#"{"debug":{"secret":VALUE}}"#, TEXT),
        ("dpop.nonce", r#"{"dpop":{"nonce":VALUE}}"#, TRUTH),
        ("dpop.nonce_secret", r#"{"dpop":{"nonce_secret":VALUE}}"#, TEXT),
        ("rules[0].path", r#"{"rules":[{"path":VALUE}]}"#, TEXT),
        ("rules[0].name", r#"{"rules":[{"path":"/a","name":VALUE}]}"#, TEXT),
        ("rules[0].methods", r#"{"rules":[{"path":"/a","methods":VALUE}]}"#, LIST),
        ("rules[0].hosts", r#"{"rules":[{"path":"/a","hosts":VALUE}]}"#, LIST),
        ("rules[0].scopes", r#"{"rules":[{"path":"/a","scopes":VALUE}]}"#, LIST),
        (
            "rules[0].any_authority",
            r#"{"rules":[{"path":"/a","any_authority":VALUE}]}"#,
            LIST,
        ),
        (
            "rules[0].all_authorities",
            r#"{"rules":[{"path":"/a","all_authorities":VALUE}]}"#,
            LIST,
        ),
        ("rules[0].acr", r#"{"rules":[{"path":"/a","acr":VALUE}]}"#, LIST),
        ("rules[0].claims", r#"{"rules":[{"path":"/a","claims":VALUE}]}"#, OBJECT),
        (
            "rules[0].claims.t",
            r#"{"rules":[{"path":"/a","claims":{"t":VALUE}}]}"#,
            TEXT,
        ),
        ("rules[0].max_age", r#"{"rules":[{"path":"/a","max_age":VALUE}]}"#, TIME),
        ("rules[0].deny", r#"{"rules":[{"path":"/a","deny":VALUE}]}"#, TRUTH),
        ("public[0].path", r#"{"public":[{"path":VALUE}]}"#, TEXT),
        (
            "public[0].methods",
            r#"{"public":[{"path":"/a","methods":VALUE}]}"#,
            LIST,
        ),
        ("issuers[0]", r#"{"issuers":[VALUE]}"#, OBJECT),
        ("issuers[0].issuer", r#"{"issuers":[{"issuer":VALUE}]}"#, TEXT),
        ("issuers[0].audiences", r#"{"issuers":[{"audiences":VALUE}]}"#, LIST),
        (
            "issuers[0].required_claims",
            r#"{"issuers":[{"required_claims":VALUE}]}"#,
            LIST,
        ),
        ("issuers[0].jwks", r#"{"issuers":[{"jwks":VALUE}]}"#, OBJECT),
        (
            "issuers[0].introspection",
            r#"{"issuers":[{"introspection":VALUE}]}"#,
            OBJECT,
        ),
        ("issuers[0].claims", r#"{"issuers":[{"claims":VALUE}]}"#, OBJECT),
        (
            "issuers[0].claims.authorities",
            r#"{"issuers":[{"claims":{"authorities":VALUE}}]}"#,
            LIST,
        ),
    ] {
        for (value, found) in values {
            let right = match wanted {
                TEXT | TIME => found == "a text",
                LIST => found == "a list",
                OBJECT => found == "an object",
                _ => found == "`true` or `false`",
            };
            let json = json.replace("VALUE", value);
            if right || (value == "null" && optional.contains(&key)) {
                // What is wrong then, if anything is, is something else.
                let read = Policy::parse(json.as_bytes()).map_or_else(|error| error.to_string(), |_| String::new());
                assert!(!read.contains(wanted), "{json}: {read}");
                continue;
            }
            let place = if key.is_empty() {
                String::new()
            } else {
                format!("{key}: ")
            };
            assert_eq!(
                error(&json),
                format!("plugin configuration: {place}{wanted}{found}"),
                "{json}"
            );
        }
    }
    for (json, expected) in [
        (
            r#"{"mode":VALUE}"#,
            "mode: unknown variant `5051`, expected `enforce` or `shadow`",
        ),
        (
            r#"{"unmatched":VALUE}"#,
            "unmatched: unknown variant `5051`, expected `deny` or `authenticated`",
        ),
        (
            r#"{"errors":VALUE}"#,
            "errors: unknown variant `5051`, expected `spring` or `rfc6750`",
        ),
        (
            r#"{"forward":{"authorization":VALUE}}"#,
            "forward.authorization: unknown variant `5051`, expected one of `keep`, `remove`, `jwt`",
        ),
        (
            r#"{"rules":[{"path":"/a","mode":VALUE}]}"#,
            "rules[0].mode: unknown variant `5051`, expected `enforce` or `shadow`",
        ),
        (
            r#"{"issuers":[{"expiry":VALUE}]}"#,
            "issuers[0].expiry: unknown variant `5051`, expected `required` or `optional`",
        ),
    ] {
        let expected = format!("plugin configuration: {expected}");
        assert_eq!(error(&json.replace("VALUE", "5051")), expected);
        assert_eq!(error(&json.replace("VALUE", "true")), expected.replace("5051", "true"));
        assert_eq!(error(&json.replace("VALUE", "null")), expected.replace("5051", "null"));
        // One of the words as a key is none of the words.
        for value in [r#"{"shadow":null}"#, r#"{"deny":null}"#, r#"["shadow"]"#] {
            assert!(error(&json.replace("VALUE", value)).contains(TEXT));
        }
    }
}

/// On a public path too: nobody but us says who calls, wherever tokens stand.
#[test]
fn identity_headers_of_a_client_are_taken_off_whatever_else_is_configured() {
    for token in [
        r#"{"header":"authorization"}"#,
        r#"{"header":"X-Token"}"#,
        r#"{"header":"x-user","cookie":"x-user-id"}"#,
        r#"{"header":null,"query":"x-user-id"}"#,
    ] {
        let json =
            format!(r#"{{"public":["/**"],"token":{token},"forward":{{"user_id":"X-User-Id","scope":"My_Scope"}}}}"#);
        let policy = Policy::parse(json.as_bytes()).unwrap();
        let names = [
            "x-user-id",
            "x_user_id",
            "X-User-ID",
            "x-user-name",
            "my_scope",
            "my-scope",
            "x-other",
        ];
        let headers = names.iter().map(|name| (name.as_bytes(), b"root".as_slice()));
        let request = policy.read(headers);
        let taken: Vec<_> = request
            .spoofed
            .iter()
            .map(|name| std::str::from_utf8(name).unwrap())
            .collect();
        assert_eq!(taken, &names[..6], "{token}");
        assert_eq!(policy.config().forward.user_id.as_deref(), Some("x-user-id"));
    }
}

#[test]
fn clusters_are_known_by_the_keys_that_name_them() {
    let json = r#"{
        "auth_server": { "cluster": "a", "authority": "x" }, "login_service": { "cluster": "b", "authority": "x" },
        "issuers": [
            { "issuer": "1", "jwks": { "cluster": "c", "uri": "https://x/k" } },
            { "issuer": "2", "jwks": { "cluster": "d", "discovery": "https://x", "keys": { "cluster": "e", "authority": "y" } },
              "introspection": { "cluster": "f", "uri": "https://x/i", "prefix": "p" } },
            { "issuer": "3", "jwks": { "inline": { "keys": [ { "kty": "oct", "alg": "HS256",
              "k": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" } ] } } }
        ]
    }"#;
    let policy = Policy::parse(json.as_bytes()).unwrap();
    let found: Vec<_> = policy
        .config()
        .clusters()
        .map(|(key, name)| format!("{key}={name}"))
        .collect();
    assert_eq!(
        found,
        [
            "auth_server.cluster=a",
            "login_service.cluster=b",
            "issuers[0].jwks.cluster=c",
            "issuers[1].jwks.cluster=d",
            "issuers[1].jwks.keys.cluster=e",
            "issuers[1].introspection.cluster=f"
        ]
    );
}

#[test]
fn a_list_that_came_out_empty_is_refused() {
    const REQUIRES: &str = "it is empty, and would require nothing: name at least one, or leave the key out";
    const SELECTS: &str = "it is empty: name at least one, or leave the key out where all are meant";
    for (config, key, expected) in [
        (
            r#"{"rules":[{"path":"/a","any_authority":[]}]}"#,
            "rules[0].any_authority",
            REQUIRES,
        ),
        (
            r#"{"rules":[{"path":"/a","all_authorities":[]}]}"#,
            "rules[0].all_authorities",
            REQUIRES,
        ),
        (r#"{"rules":[{"path":"/a","scopes":[]}]}"#, "rules[0].scopes", REQUIRES),
        (r#"{"rules":[{"path":"/a","acr":[]}]}"#, "rules[0].acr", REQUIRES),
        (r#"{"rules":[{"path":"/a","claims":{}}]}"#, "rules[0].claims", REQUIRES),
        (
            r#"{"issuers":[{"issuer":"i","audiences":[]}]}"#,
            "issuers[0].audiences",
            REQUIRES,
        ),
        (
            r#"{"issuers":[{"issuer":"i","required_claims":[]}]}"#,
            "issuers[0].required_claims",
            REQUIRES,
        ),
        (
            r#"{"issuers":[{"issuer":"i","forbidden_claims":[]}]}"#,
            "issuers[0].forbidden_claims",
            REQUIRES,
        ),
        (r#"{"rules":[{"path":"/a","methods":[]}]}"#, "rules[0].methods", SELECTS),
        (r#"{"rules":[{"path":"/a","hosts":[]}]}"#, "rules[0].hosts", SELECTS),
        (
            r#"{"public":[{"path":"/a","methods":[]}]}"#,
            "public[0].methods",
            SELECTS,
        ),
        (r#"{"public":[{"path":"/a","hosts":[]}]}"#, "public[0].hosts", SELECTS),
    ] {
        assert_eq!(error(config), format!("plugin configuration: {key}: {expected}"));
    }
    // Nothing is open without them.
    for config in [r#"{"rules":[]}"#, r#"{"public":[]}"#, r#"{"issuers":[]}"#] {
        Policy::parse(config.as_bytes()).unwrap();
    }
}
