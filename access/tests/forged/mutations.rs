//! What can be done to a good token, done to a good token of every algorithm.

use base64::engine::general_purpose::STANDARD;
use postern_access::claims::ClaimsError;

use super::*;

/// The name of an algorithm is compared as it stands there, but for what JSON itself makes of it.
pub fn an_algorithm_has_one_name(table: &mut Table) {
    for algorithm in ALGORITHMS {
        let own = name(algorithm);
        let (family, size) = own.split_at(2);
        for other in [
            own.to_lowercase(),
            own.to_uppercase() + "\\u0000",
            format!("{}{size}", family.to_lowercase()),
            format!(" {own}"),
            format!("{own} "),
            format!("{own}\\n"),
            format!("{own}\\u0000"),
            format!("{family}-{size}"),
            format!("{own},none"),
            format!("{own}\\u200b"),
            format!("\\ufeff{own}"),
            format!("{family}\\uff12{size}"),
        ] {
            let header = format!(r#"{{"alg":"{other}","kid":"{own}"}}"#);
            table.refuses(&signed(algorithm, &header, good_claims()), JwsError::Algorithm, &header);
        }
        let escaped: String = own.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        let header = format!(r#"{{"alg":"{escaped}","kid":"{escaped}"}}"#);
        table.passes(&signed(algorithm, &header, good_claims()), &header);
    }
}

/// An escape in the name of a member hides nothing, and no member changes who is believed. Each is rightly signed.
pub fn a_member_of_the_header_is_what_json_says(table: &mut Table) {
    for algorithm in ALGORITHMS {
        let own = name(algorithm);
        let own_key = jwk(algorithm);
        for (members, error) in [
            (r#""\u0063rit":["exp"]"#, JwsError::Critical),
            (r#""cri\u0074":[]"#, JwsError::Critical),
            (r#""crit":["b64"],"\u0062\u0036\u0034":false"#, JwsError::Critical),
            (r#""b6\u0034":false"#, JwsError::Critical),
            (r#""b64":0"#, JwsError::Critical),
            (r#""jw\u006b":{}"#, JwsError::EmbeddedKey),
            (&*format!(r#""jwk":{own_key}"#), JwsError::EmbeddedKey),
            (&*format!(r#""\u006awk":{own_key}"#), JwsError::EmbeddedKey),
            (
                r#""j\u006bu":"https://id.example/.well-known/jwks.json""#,
                JwsError::EmbeddedKey,
            ),
            (r#""jku":"""#, JwsError::EmbeddedKey),
            (r#""x5\u0075":"https://id.example/x""#, JwsError::EmbeddedKey),
            (r#""x5\u0063":[]"#, JwsError::EmbeddedKey),
            (r#""x5c":null"#, JwsError::EmbeddedKey),
            (r#""al\u0067":"none""#, JwsError::Header),
            (r#""k\u0069d":"x""#, JwsError::Header),
            (r#""typ":"JWT","t\u0079p":"JWT""#, JwsError::Header),
            (r#""x":1,"\u0078":2"#, JwsError::Header),
            (r#""enc":"A256GCM","alg2":"dir""#, JwsError::Header),
            (r#""typ":"at+jwt\u0000""#, JwsError::Type),
            (r#""typ":"text/JWT""#, JwsError::Type),
            (r#""typ":"application/application/jwt""#, JwsError::Type),
        ] {
            let header = header(algorithm).replace('}', &format!(",{members}}}"));
            table.refuses(&signed(algorithm, &header, good_claims()), error, &header);
        }
        // Names are compared in their case (RFC 7515 section 4), and what is not known says nothing.
        for members in [
            r#""Crit":["exp"],"JWK":{},"B64":false,"Alg":"none""#,
            r#""x5t":"AAAA","x5t#S256":"AAAA","nonce":"n","url":"https://x""#,
            r#""p2c":1000000000,"epk":{},"apu":"AA","iv":"AA","tag":"AA""#,
        ] {
            let header = header(algorithm).replace('}', &format!(",{members}}}"));
            table.passes(&signed(algorithm, &header, good_claims()), &header);
        }
        // A key that is named is that one.
        for kid in [
            format!("{own}/../{own}"),
            format!("{own}\\u0000"),
            format!("{own}\\n"),
            own.to_lowercase(),
            format!("{own}|{own}"),
            "%00".into(),
            "file:///dev/null".into(),
            "x".repeat(1000),
        ] {
            let header = format!(r#"{{"alg":"{own}","kid":"{kid}"}}"#);
            table.refuses(&signed(algorithm, &header, good_claims()), TokenError::Key, &header);
        }
    }
}

/// Bytes that are no JSON text of RFC 8259 in UTF-8, or that readers of JSON disagree about. Each is rightly signed.
pub fn what_is_signed_is_one_json_object(table: &mut Table) {
    let broken = |good: &str| -> Vec<(&'static str, Vec<u8>)> {
        let inside = good.trim_end_matches('}').as_bytes();
        let with = |tail: &[u8]| [inside, tail].concat();
        let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
        vec![
            ("empty", Vec::new()),
            ("blanks", b"   ".to_vec()),
            ("a byte order mark", [b"\xef\xbb\xbf", good.as_bytes()].concat()),
            ("UTF-16", utf16),
            ("a NUL behind", [good.as_bytes(), b"\0"].concat()),
            ("a second object", [good.as_bytes(), good.as_bytes()].concat()),
            ("a comma behind", [good.as_bytes(), b","].concat()),
            ("an array around", [b"[", good.as_bytes(), b"]"].concat()),
            ("a text", serde_json::to_vec(good).unwrap()),
            ("cut", inside.to_vec()),
            ("a comment", with(b"/**/}")),
            ("a name without quotes", with(b",x:1}")),
            ("quotes of JavaScript", with(b",'x':1}")),
            ("a comma too many", with(b",}")),
            ("a form feed between", with(b"\x0c}")),
            ("a no-break space between", with(b"\xc2\xa0}")),
            ("a vertical tab between", with(b"\x0b}")),
            ("a line end in a text", with(b",\"x\":\"\n\"}")),
            ("a control character in a text", with(b",\"x\":\"\x01\"}")),
            ("a wrong escape", with(b",\"x\":\"\\x41\"}")),
            ("half an escape", with(b",\"x\":\"\\u00\"}")),
            ("a lone high surrogate", with(b",\"x\":\"\\ud800\"}")),
            ("a lone low surrogate", with(b",\"x\":\"\\udc00\"}")),
            ("surrogates in the wrong order", with(b",\"x\":\"\\udc00\\ud800\"}")),
            ("a lone surrogate in a name", with(b",\"\\ud800\":1}")),
            ("a byte that is not UTF-8", with(b",\"x\":\"\xff\"}")),
            ("an overlong form", with(b",\"x\":\"\xc0\x80\"}")),
            ("a surrogate in UTF-8", with(b",\"x\":\"\xed\xa0\x80\"}")),
            ("a byte cut off", with(b",\"x\":\"\xe2\x82\"}")),
            ("an empty name twice", with(b",\"\":1,\"\":2}")),
            (
                "a name twice deep inside",
                with(b",\"x\":[{\"y\":{\"z\":1,\"\\u007a\":1}}]}"),
            ),
            ("TRUE", with(b",\"x\":TRUE}")),
            ("undefined", with(b",\"x\":undefined}")),
            ("-", with(b",\"x\":-}")),
            ("1.", with(b",\"x\":1.}")),
            ("0x10", with(b",\"x\":0x10}")),
            ("1_000", with(b",\"x\":1_000}")),
            ("1e400", with(b",\"x\":1e400}")),
        ]
    };
    for algorithm in ALGORITHMS {
        let header = header(algorithm);
        for (what, header) in broken(&header) {
            let what = format!("{}: header: {what}", name(algorithm));
            // `is_refused`: an empty part is no part at all.
            let token = signed_parts(algorithm, &header, good_claims().as_bytes());
            let verdict = if header.is_empty() {
                Verdict::IsRefused
            } else {
                Verdict::Refused(JwsError::Header.into())
            };
            table.row(&token, &what, verdict);
        }
        for (what, claims) in broken(good_claims()) {
            let what = format!("{}: claims: {what}", name(algorithm));
            let token = signed_parts(algorithm, header.as_bytes(), &claims);
            table.row(&token, &what, Verdict::Refused(JwsError::Claims.into()));
        }
    }
}

/// Times as no clock has them, and claims twice under one name.
pub fn numbers_and_names_of_claims_have_one_reading(table: &mut Table) {
    let sign = |claims: &str| signed(Algorithm::EdDSA, &header(Algorithm::EdDSA), claims);
    let in_place_of_expiry = |literal: &str| {
        let expiry = format!(r#""exp":{}"#, now() + 600);
        let claims = good_claims().replace(&expiry, &format!(r#""exp":{literal}"#));
        assert_ne!(claims, good_claims());
        claims
    };
    for (literal, error) in [
        ("-1", TokenError::Claims(ClaimsError::Malformed)),
        ("-0.5", ClaimsError::Malformed.into()),
        ("-1e300", ClaimsError::Malformed.into()),
        ("1e300", ClaimsError::Malformed.into()),
        ("18446744073709551615", ClaimsError::Malformed.into()),
        ("18446744073709551616", ClaimsError::Malformed.into()),
        ("99999999999999999999999999999999", ClaimsError::Malformed.into()),
        ("\"9999999999\"", ClaimsError::Malformed.into()),
        ("\"1e10\"", ClaimsError::Malformed.into()),
        ("{\"$numberLong\":\"9999999999\"}", ClaimsError::Malformed.into()),
        ("[9999999999]", ClaimsError::Malformed.into()),
        ("false", ClaimsError::Malformed.into()),
        ("0", ClaimsError::Expired.into()),
        ("0e10", ClaimsError::Expired.into()),
        ("1e-300", ClaimsError::Expired.into()),
        ("0.9999999999", ClaimsError::Expired.into()),
        ("1e400", JwsError::Claims.into()),
        ("-1e400", JwsError::Claims.into()),
        ("1e309", JwsError::Claims.into()),
        ("09999999999", JwsError::Claims.into()),
        ("+9999999999", JwsError::Claims.into()),
        ("0x7fffffff", JwsError::Claims.into()),
        ("Infinity", JwsError::Claims.into()),
        ("NaN", JwsError::Claims.into()),
        ("9999999999.", JwsError::Claims.into()),
        ("", JwsError::Claims.into()),
    ] {
        let claims = in_place_of_expiry(literal);
        table.refuses(&sign(&claims), error, &claims);
    }
    let inside = good_claims().trim_end_matches('}');
    for again in [
        r#""\u0065xp":9999999999"#,
        r#""ex\u0070":0"#,
        r#""i\u0073s":"https://id.example""#,
        r#""a\u0075d":"orders""#,
        r#""s\u0075b":"root""#,
        r#""\u0069at":1"#,
        r#""nbf":1,"nb\u0066":1"#,
        r#""scope":"a","scop\u0065":"admin""#,
        r#""authorities":["a"],"authoritie\u0073":["ROLE_ADMIN"]"#,
        r#""cnf":{"jkt":"x","jk\u0074":"y"}"#,
    ] {
        let claims = format!("{inside},{again}}}");
        table.refuses(&sign(&claims), JwsError::Claims, &claims);
    }
    // Names in another case are other names.
    let others = format!(r#"{inside},"EXP":0,"Nbf":9999999999,"ISS":"x","Aud":[],"CNF":{{}}}}"#);
    table.passes(&sign(&others), &others);
}

/// A token has three parts of base64url without padding (RFC 7515 sections 2 and 7.1), whatever its algorithm.
pub fn every_part_has_one_spelling(table: &mut Table) {
    for algorithm in ALGORITHMS {
        let good = signed(algorithm, &header(algorithm), good_claims());
        table.passes(&good, &good);
        let parts: Vec<&str> = good.split('.').collect();
        for (at, part) in parts.iter().enumerate() {
            let middle = part.len() / 2;
            let (front, back) = part.split_at(middle);
            let bytes = decode(part);
            for form in [
                String::new(),
                turn_last(part),
                format!("{part}="),
                format!("{part}=="),
                format!("{part}A"),
                format!("{part}AA"),
                format!("{part}AAAA"),
                part[1..].to_owned(),
                part[..part.len() - 1].to_owned(),
                format!("{front}={back}"),
                format!("{front}\n{back}"),
                format!("{front}\r\n{back}"),
                format!("{front} {back}"),
                format!("{front}%2D{back}"),
                format!("{front}+{back}"),
                format!("{front}/{back}"),
                format!("{front}.{back}"),
                format!("{front}\u{ff0d}{back}"),
                format!("\"{part}\""),
                format!("{part}\0"),
                STANDARD.encode(&bytes) + "=",
                bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            ] {
                let mut forged = parts.clone();
                forged[at] = &form;
                table.is_refused(&forged.join("."));
            }
        }
        let [header, claims, signature] = parts[..] else {
            panic!("{good}")
        };
        for form in [
            format!("{header}.{claims}"),
            format!("{header}.{claims}."),
            format!("{header}..{signature}"),
            format!(".{claims}.{signature}"),
            format!("{header}.{claims}.{signature}."),
            format!("{header}.{claims}.{signature}.{signature}"),
            format!("{claims}.{header}.{signature}"),
            format!("{header}.{header}.{signature}"),
            format!("{header}.{signature}.{claims}"),
            format!("{header},{claims},{signature}"),
            format!("{header}. {claims}.{signature}"),
            format!("{header}\u{3002}{claims}\u{3002}{signature}"),
            format!("{good}{good}"),
            format!("{good},{good}"),
            format!("{good} {good}"),
            // The other serialisations (RFC 7515 section 7.2).
            json!({ "protected": header, "payload": claims, "signature": signature }).to_string(),
            json!({ "payload": claims, "signatures": [{ "protected": header, "signature": signature }] }).to_string(),
        ] {
            table.is_refused(&form);
        }
        // Encrypted, or said to be: five parts (RFC 7516 section 7.1).
        for jwe in [
            r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#.to_owned(),
            format!(r#"{{"alg":"dir","enc":"A128CBC-HS256","kid":"{}"}}"#, name(algorithm)),
            self::header(algorithm),
        ] {
            let jwe = encode(&jwe);
            table.is_refused(&format!("{jwe}.{claims}.{claims}.{claims}.{signature}"));
            table.is_refused(&format!("{jwe}..{claims}.{claims}.{signature}"));
            table.is_refused(&format!("{jwe}....{signature}"));
        }
        // Nobody signed it, whoever it says did.
        for none in ["none", "None", "NONE", "nOnE", "no\\u006ee", ""] {
            let header = encode(&format!(r#"{{"alg":"{none}","kid":"{}"}}"#, name(algorithm)));
            table.is_refused(&format!("{header}.{claims}."));
            table.is_refused(&format!("{header}.{claims}.{signature}"));
            table.is_refused(&format!("{header}.{claims}.AA"));
        }
    }
}

/// HMAC with what everybody can read of a public key, in each form that somebody keeps it in.
pub fn a_public_key_is_no_secret(table: &mut Table) {
    let rsa = [hex("3082010a0282010100"), decode(RSA_N), hex("0203010001")].concat();
    let rsa_info = [hex("30820122300d06092a864886f70d01010105000382010f00"), rsa.clone()].concat();
    let point = [vec![4], decode(P256_X), decode(P256_Y)].concat();
    let even = decode(P256_Y)[31] % 2;
    let compressed = [vec![2 + even], decode(P256_X)].concat();
    let ec_info = [
        hex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
        point.clone(),
    ]
    .concat();
    let ed_info = [hex("302a300506032b6570032100"), decode(ED25519_X)].concat();
    let keys: Vec<(&str, &str, Vec<u8>)> = vec![
        ("RS256", "RSA PUBLIC KEY", rsa),
        ("PS256", "PUBLIC KEY", rsa_info),
        ("ES256", "PUBLIC KEY", ec_info),
        ("EdDSA", "PUBLIC KEY", ed_info),
    ];
    let mut forms: Vec<(&str, Vec<u8>)> = vec![
        ("ES256", point),
        ("ES256", compressed),
        ("EdDSA", ED25519_X.as_bytes().to_vec()),
        ("RS256", configuration().to_string().into_bytes()),
        ("RS256", Vec::new()),
    ];
    for (kid, label, der) in keys {
        let text = STANDARD.encode(&der);
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        for end in ["\n", "\r\n"] {
            let pem = format!(
                "-----BEGIN {label}-----{end}{}{end}-----END {label}-----",
                lines.join(end)
            );
            forms.push((kid, format!("{pem}{end}").into_bytes()));
            forms.push((kid, pem.into_bytes()));
        }
        let one_line = format!("-----BEGIN {label}-----{text}-----END {label}-----");
        forms.extend([
            (kid, one_line.into_bytes()),
            (kid, text.clone().into_bytes()),
            (kid, der),
        ]);
    }
    for algorithm in ALGORITHMS {
        let kid = name(algorithm);
        if !kid.starts_with("HS") {
            let set = json!({ "keys": [jwk(algorithm)] });
            for text in [
                set.to_string(),
                jwk(algorithm).to_string(),
                format!("{:#}", jwk(algorithm)),
            ] {
                forms.push(("EdDSA", text.into_bytes()));
            }
        }
    }
    for (kid, public) in forms {
        let key = EncodingKey::from_secret(&public);
        for claimed in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let sign = |header: &str| signed_by(&key, claimed, header, good_claims().as_bytes());
            // With the name of the public key; with that of the secret; without any.
            let header = json!({ "alg": name(claimed), "kid": kid }).to_string();
            table.refuses(&sign(&header), TokenError::Key, &header);
            let header = json!({ "alg": name(claimed), "kid": name(claimed) }).to_string();
            table.refuses(&sign(&header), JwsError::Signature, &header);
            let header = json!({ "alg": name(claimed) }).to_string();
            table.refuses(&sign(&header), JwsError::Signature, &header);
        }
    }
}

fn signed_parts(algorithm: Algorithm, header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key(algorithm), algorithm).unwrap();
    format!("{message}.{signature}")
}
