//! Foreign functions: signatures, verified for the guest.

use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postern_gateway::cluster::Clusters;
use postern_gateway::plugin::PluginProcess;

use crate::harness::*;

/// What was signed by the keys below, once with each algorithm.
const TEXT: &[u8] = b"eyJhbGciOiJ0ZXN0In0.eyJpc3MiOiJrbm93biBhbnN3ZXIifQ";

const RSA: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA4C2XQediRCKEdWH1Wy0rZJLEkuhIU2xRpvFhsM7iwvl8r/h7G+yFsya9ZHgTSZOX4aagNyvjAE3VDFL3XzTEuIEhPgtd6Mxwm5hGnUP3ta0km4VRXvcmWYS19DD+seR857lsumAzivQPqV7CvfGYeq9YbgdRmzAp5IGPS9uDZWfHYa5g3fUMIehw4pvKMPQBAkhr6+1q9crD3zA4vuv8QqZcIQLzEhXj8u0zyppEIyUBXRpL4GkOOP6Z1Cgih9zF5DVAaMI52XXDtP9aAPxlUktyITpnjuu2hwMam5JeNNILKBYoklx7QyIKpMvuWRv2hoCKzDbzmO5sO6gyGyJUqQIDAQAB";
const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEs/cYV3hp68grakKk+lGeKoGaxNpdtbj664kNF6rJtc0R1W+XS3HlGj4pxzDQAId11pDFE0WEQoZLVMGwosaOyA==";
const P384: &str = "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE/GdlYsd777H3lbIPrFK4tHxMlsIBFySkmGdyT8xODmKLEs07I7DjNyVhW6gPcA7fEf+os41qobDgQNRhXC4UsVUJ+MDKOSSiVSqTYeAAnnfi9AILdiKwG+oE7zh45wQI";
const ED: &str = "MCowBQYDK2VwAyEA0uD0gpVa6CwhNp33MjLhhC/hELyIkf+QA3ygpzrz1PE=";
const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==";

/// Function, its first argument, key, signature.
const SIGNATURES: [(&str, &str, &str, &str); 6] = [
    (
        "verify_signature",
        "SHA256",
        RSA,
        "RdBUDHfhe+KU6QUvkFcUXvDKC4XGC3ed/hoFvXqo+jSoSRm+HunO3Owe3K/S2dR/7yvCyXfZIFX+zHv0KiHn6xjQ7r+AURJqjcMZUTh1cn9dn/xjEvJ/NCEspf/gH31xTAG7n/+3iSh95/zP/Ml/lUyMl2W/gvOCzVWP0lnGRrW1EQjEmTub1RKvaUSHswuzMF55p7xFMxGSBbAZca2IZM0hmgrmYG/1vNLj9t59+e+UftX8B96DCMaVwuzbt8NbXuLQ2bC0mGvVqMgVRxwxZnuhrdCCnA8L0l6VQsPM31XdCARnq5bZQbR5FxiHDX3U2Zq6uYm4/yYXlea54T+Fgw==",
    ),
    (
        "verify_signature",
        "sha384",
        P384,
        "MGYCMQD9Lz40Ps2WiX1OUAY0yIyXHclq7nJIjZoBjb5lP+2DjpTn64zQLUOMAtBcdIrreZgCMQCRfAkfHiA/XdmMuBIqku9NEH1ZnbOVyJ/Uf7xyiZQMbe36MSQjZdcxkWm8FpnpCJg=",
    ),
    (
        "verify_jws_signature",
        "EdDSA",
        ED,
        "o/nRWEozKhlBC9RrNxx6BQHbDOYWdbfhnuvIgYL8NEYbLM5JF4Z6CScOqaVVaontwiASDWNG1/18c9HUsOLvAQ==",
    ),
    (
        "verify_jws_signature",
        "PS512",
        RSA,
        "RBurEV36FqjO6LPE/gqiZJ9BOIB2z7ojaEuqg1EVv+kqv8u5U10NminE5+Ja7iJcGYIUSrSKcXK3vDKppdor0n6QEw0yRvXPIA1rYojzBIky0ilNLJI4X+tlrqiQm7/a15fPS2SEtK8vGiWIHbERrntUElK6LW8SLFkNVyVy6Zf7fywJlizkLJa7pOmH9YeRa2C0WR2jMhVibY5TNMEBVnc6WFLq7xKAfHDnY5fa6h8BnctcIWp9hae7UTcep7g+VuTet0zywHunX6+38dPQd5VIKkId1NCMpMQxo93Nn7i1q4k+Zr3Q7oJnYqsUzLnTJzekMpnMKtNZ/98Equl7Hg==",
    ),
    (
        "verify_jws_signature",
        "ES256",
        P256,
        "ILbeYs/65Fc3S6d4/MGmCYmbdgfkIfUV5Y9GtNP/E6lEYA4duigFDJFiF7vLA00cxeCA9paKJKb2ukHI1ujwmg==",
    ),
    (
        "verify_jws_signature",
        "HS256",
        SECRET,
        "WenbO/Qzy3N0Pg+P5gN98tLlc39ELgsLHIZ15I4/v1s=",
    ),
];

/// A field of a protocol buffer that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let size = bytes.len();
    let size = if size < 0x80 {
        vec![size as u8]
    } else {
        vec![0x80 | (size & 0x7f) as u8, (size >> 7) as u8]
    };
    [vec![number << 3 | 2], size, bytes.to_vec()].concat()
}

fn arguments(name: &str, key: &[u8], signature: &[u8], text: &[u8]) -> Vec<u8> {
    [
        field(1, name.as_bytes()),
        field(2, key),
        field(3, signature),
        field(4, text),
    ]
    .concat()
}

/// Status and first byte of the result (8: right, 12: wrong with a reason, in hexadecimal) of a call with these arguments.
async fn ask(function: &str, arguments: &[u8]) -> (String, String) {
    ask_beside(no_clusters(), function, arguments).await
}

/// The same where there are clusters.
async fn ask_beside(clusters: Rc<Clusters>, function: &str, arguments: &[u8]) -> (String, String) {
    let escaped: String = arguments.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let wasm = guest(&format!(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (call $report (call $call_foreign_function {{{function}}} {{{escaped}}} (i32.const 2000) (i32.const 2004)))
             (if (i32.load (i32.const 2004)) (then (call $show_number (i32.load8_u (i32.load (i32.const 2000))))))
             (i32.const 0))"#
    ));
    let plugins = start(&[config(&wasm)], clusters, &PluginProcess::new()).unwrap();
    let headers = go_on(open(&plugins).request_headers(get("/"), true).await).headers;
    (values(&headers, "r").concat(), values(&headers, "n").concat())
}

#[test]
fn right_signatures_are_told_from_wrong_ones() {
    on_a_worker(async {
        for (function, name, key, signature) in SIGNATURES {
            let (key, signature) = (STANDARD.decode(key).unwrap(), STANDARD.decode(signature).unwrap());
            let says = async |name: &str, signature: &[u8], text: &[u8]| {
                let (status, result) = ask(function, &arguments(name, &key, signature, text)).await;
                assert_eq!(status, "00", "{function} {name}");
                result
            };
            assert_eq!(says(name, &signature, TEXT).await, "00000008", "{function} {name}");
            let mut turned = signature.clone();
            *turned.last_mut().unwrap() ^= 1;
            assert_eq!(
                says(name, &turned, TEXT).await,
                "00000012",
                "{function} {name}: signature"
            );
            assert_eq!(
                says(name, &signature, &TEXT[1..]).await,
                "00000012",
                "{function} {name}: text"
            );
            assert_eq!(
                says(name, b"", TEXT).await,
                "00000012",
                "{function} {name}: no signature"
            );
        }
        let (rsa, signature) = (STANDARD.decode(RSA).unwrap(), STANDARD.decode(SIGNATURES[0].3).unwrap());
        for (function, name) in [
            ("verify_signature", "sha1"),
            ("verify_signature", "md5"),
            ("verify_jws_signature", "ES256"),
            ("verify_jws_signature", "none"),
        ] {
            let result = ask(function, &arguments(name, &rsa, &signature, TEXT)).await;
            assert_eq!(result, ("00".into(), "00000012".into()), "{function} {name}");
        }
    });
}

#[test]
fn a_plugin_learns_whether_there_is_a_cluster() {
    on_a_worker(async {
        let clusters = cluster("up", |_| None).await;
        for (name, known) in [
            (b"up".as_slice(), "00000001"),
            (b"Up", "00000000"),
            (b"", "00000000"),
            (b"\xff", "00000000"),
        ] {
            let answer = ask_beside(Rc::clone(&clusters), "has_cluster", name).await;
            assert_eq!(answer, ("00".into(), known.into()), "{name:?}");
        }
    });
}

#[test]
fn a_key_may_be_pem() {
    on_a_worker(async {
        let (_, name, _, signature) = SIGNATURES[0];
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{RSA}\n-----END PUBLIC KEY-----\n");
        let signature = STANDARD.decode(signature).unwrap();
        let with_pem = [arguments(name, b"", &signature, TEXT), field(5, pem.as_bytes())].concat();
        assert_eq!(
            ask("verify_signature", &with_pem).await,
            ("00".into(), "00000008".into())
        );
        let both = [arguments(name, b"key", &signature, TEXT), field(5, pem.as_bytes())].concat();
        assert_eq!(ask("verify_signature", &both).await, ("02".into(), String::new()));
    });
}

#[test]
fn what_cannot_be_read_is_a_bad_argument() {
    on_a_worker(async {
        let rsa = STANDARD.decode(RSA).unwrap();
        for function in ["verify_signature", "verify_jws_signature"] {
            for (what, arguments) in [
                ("no message", b"\xff".to_vec()),
                ("no key", arguments("sha256", b"", b"s", TEXT)),
                ("a key cut short", arguments("sha256", &rsa[..40], b"s", TEXT)),
                (
                    "a key and more",
                    arguments("sha256", &[&rsa[..], b"x"].concat(), b"s", TEXT),
                ),
                (
                    "another key",
                    arguments("sha256", b"\x30\x05\x30\x00\x03\x01\x00", b"s", TEXT),
                ),
            ] {
                assert_eq!(
                    ask(function, &arguments).await,
                    ("02".into(), String::new()),
                    "{function}: {what}"
                );
            }
        }
        assert_eq!(ask("sign", b"").await, ("01".into(), String::new()));
    });
}

#[test]
fn what_is_compressed_is_uncompressed_again() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $report (call $call_foreign_function {compress} {aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab}
                   (i32.const 2000) (i32.const 2004)))
                 ;; zlib begins with 78.
                 (call $show_number (i32.load8_u (i32.load (i32.const 2000))))
                 (call $report (i32.ge_u (i32.load (i32.const 2004)) (i32.const 33)))
                 (call $report (call $call_foreign_function {uncompress}
                   (i32.load (i32.const 2000)) (i32.load (i32.const 2004)) (i32.const 2000) (i32.const 2004)))
                 (call $show)
                 (call $report (call $call_foreign_function {uncompress} {nonsense} (i32.const 2000) (i32.const 2004)))
                 (call $report (call $call_foreign_function {clear_route_cache} {} (i32.const 2000) (i32.const 2004)))
                 ;; The property a, and nothing that could be declared.
                 (call $report (call $call_foreign_function {declare_property} {\0a\01a} (i32.const 0) (i32.const 0)))
                 (call $report (call $call_foreign_function {declare_property} {} (i32.const 0) (i32.const 0)))
                 (i32.const 0))"#,
        );
        let head = first_head(&wasm).await;
        assert_eq!(values(&head.headers, "r"), ["00", "00", "00", "03", "00", "00", "02"]);
        assert_eq!(values(&head.headers, "n"), ["00000078"]);
        assert_eq!(values(&head.headers, "v"), ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"]);
    });
}

#[test]
fn filter_state_is_found_under_its_whole_name() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 ;; path: my.key, value: mine
                 (call $report (call $call_foreign_function {set_envoy_filter_state}
                   {\0a\06my.key\12\04mine} (i32.const 0) (i32.const 0)))
                 (call $report (call $get_property {filter_state\00my.key} (i32.const 2000) (i32.const 2004))) (call $show)
                 (call $report (call $get_property {my.key} (i32.const 2000) (i32.const 2004)))
                 ;; What a property sets stands under another name.
                 (drop (call $set_property {own} {x}))
                 (call $report (call $get_property {filter_state\00wasm.own} (i32.const 2000) (i32.const 2004))) (call $show)
                 (call $report (call $get_property {own} (i32.const 2000) (i32.const 2004))) (call $show)
                 (i32.const 0))"#,
        );
        let head = first_head(&wasm).await;
        assert_eq!(values(&head.headers, "r"), ["00", "00", "01", "00", "00"]);
        assert_eq!(values(&head.headers, "v"), ["mine", "x", "x"]);
    });
}
