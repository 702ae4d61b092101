//! Tokens that are bound to a client certificate (RFC 8705), over real TLS: where Envoy ends it, and a client shows the
//! certificate, another one, or none.

#![allow(clippy::expect_used, reason = "a test may panic")]

use std::{fs, path::Path, process::Command};

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use postern_e2e::{
    host::{self, Host},
    issuer::{FakeIssuer, ISSUER, KEYS},
    real_client::installed,
    upstream::EchoUpstream,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use xtask::stack::HostKind;

use crate::issuers::{plugin, stack};

/// A certificate that signed itself, and its key; made for this test, they open nothing.
struct Pair {
    certificate: &'static str,
    key: &'static str,
}

const SERVER: Pair = Pair {
    certificate: "-----BEGIN CERTIFICATE-----
MIIBaDCCAQ6gAwIBAgIUSCEGuqS2mFPWU7LmRC11dUhtPeQwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOc2VydmVyLmV4YW1wbGUwIBcNMjAwMTAxMDAwMDAwWhgPMjEy
MDAxMDEwMDAwMDBaMBkxFzAVBgNVBAMMDnNlcnZlci5leGFtcGxlMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEGTZmYNCkEiXo4DuUJqDVVFeLImwmqDd/xAKsu392
wCgC5bkczARTHFiGJd49gY/+EJcVmezGPpsgpMs6t2MpX6MyMDAwDwYDVR0TAQH/
BAUwAwEB/zAdBgNVHQ4EFgQUZE8TdBdazuGLYu7MDVT56vmiEMkwCgYIKoZIzj0E
AwIDSAAwRQIhAOqjLdNfXQyXDuzhtOv/muY0loIiq5rjJ68GDQClXqUMAiB+vu2x
UADAAfBd8zbJeavXX3R5sLnvUCFYLvyAU3VOfw==
-----END CERTIFICATE-----
",
    key: "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7S/MhMedkx8CcwDj
PQyny8b/FMe6YNXW7Ob3k7ZpmcehRANCAAQZNmZg0KQSJejgO5QmoNVUV4sibCao
N3/EAqy7f3bAKALluRzMBFMcWIYl3j2Bj/4QlxWZ7MY+myCkyzq3Yylf
-----END PRIVATE KEY-----
",
};
const CLIENT: Pair = Pair {
    certificate: "-----BEGIN CERTIFICATE-----
MIIBaTCCAQ6gAwIBAgIUe/VJWRpx+SRGJpSKR680JzdJeEEwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOY2xpZW50LmV4YW1wbGUwIBcNMjAwMTAxMDAwMDAwWhgPMjEy
MDAxMDEwMDAwMDBaMBkxFzAVBgNVBAMMDmNsaWVudC5leGFtcGxlMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEVKy6TfQfBk03va5tUjxFhPnW4GDyeSWzkG8U8ezo
ApKBTqc2oNqsVM5nJDhsAkJdSySGWwbaVPWHNIaME+rhq6MyMDAwDwYDVR0TAQH/
BAUwAwEB/zAdBgNVHQ4EFgQUENrlC5njOLKzBN8E/HYuUAsz+7wwCgYIKoZIzj0E
AwIDSQAwRgIhAKCzzwrb06mSa4biWtPX3ogOFHJzV+FRrzJPOM4PabgNAiEA3AFW
SiM9LBvZzC46iS7O1o56vSlEJO7Qg7WbsrecL3A=
-----END CERTIFICATE-----
",
    key: "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgtMunclp4N+ObJvbi
7d2P7aNR71aTmY49fG0OVvKU1vyhRANCAARUrLpN9B8GTTe9rm1SPEWE+dbgYPJ5
JbOQbxTx7OgCkoFOpzag2qxUzmckOGwCQl1LJIZbBtpU9Yc0howT6uGr
-----END PRIVATE KEY-----
",
};
const THIEF: Pair = Pair {
    certificate: "-----BEGIN CERTIFICATE-----
MIIBZjCCAQygAwIBAgIUfjNFXPdUZ2u6fk0RGEZDktcAzCEwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNdGhpZWYuZXhhbXBsZTAgFw0yMDAxMDEwMDAwMDBaGA8yMTIw
MDEwMTAwMDAwMFowGDEWMBQGA1UEAwwNdGhpZWYuZXhhbXBsZTBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABB9GVtbfCWcnl3oJNOPWFYTuGDrV+MTkVdpNCSSYyFOL
HivfBxA9V9cq+7SJtTRKkv4ElGd8Y/qdwY9aYMR56LejMjAwMA8GA1UdEwEB/wQF
MAMBAf8wHQYDVR0OBBYEFJ+kuF3w5hVAD+TtDVa8QV4hl3iiMAoGCCqGSM49BAMC
A0gAMEUCIQDmL4DV1NGe+FtJfON/dlioeT3Njf0popUictVBy33GaQIgYxy2tInw
LTuQWpo/PFfq/Tz4AbFI/nstyAbocGrhJ/g=
-----END CERTIFICATE-----
",
    key: "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7E9oG/E0IdO2ugY5
mwPPIAFya6fOrVO2rgxHsjXazv2hRANCAAQfRlbW3wlnJ5d6CTTj1hWE7hg61fjE
5FXaTQkkmMhTix4r3wcQPVfXKvu0ibU0SpL+BJRnfGP6ncGPWmDEeei3
-----END PRIVATE KEY-----
",
};

/// `x5t#S256`: the hash of the certificate in DER.
fn thumbprint(pair: &Pair) -> String {
    let base64: String = pair
        .certificate
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let der = BASE64_STANDARD.decode(base64).expect("a constant");
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(der))
}

/// TLS at the first listener, with certificates of clients that are welcome and not needed.
fn with_tls(bootstrap: &mut Value) {
    let text = |text: String| json!({ "inline_string": text });
    bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "tls_certificates": [ {
                    "certificate_chain": text(SERVER.certificate.into()), "private_key": text(SERVER.key.into())
                } ],
                "validation_context": { "trusted_ca": text(format!("{}{}", CLIENT.certificate, THIEF.certificate)) }
            }
        }
    });
}

/// The status of a call with curl; the client shows the certificate, if there is one.
fn call(curl: &Path, host: &Host, folder: &Path, shown: Option<&Pair>, token: &str, more: &[&str]) -> u16 {
    let mut command = Command::new(curl);
    // Who the server is does not matter here.
    command.args([
        "--disable",
        "--silent",
        "--show-error",
        "--max-time",
        "60",
        "--insecure",
    ]);
    command.args(["--output", "-", "--write-out", "\n%{http_code}"]);
    if let Some(pair) = shown {
        let (certificate, key) = (folder.join("shown.crt"), folder.join("shown.key"));
        fs::write(&certificate, pair.certificate).expect("a file in the test's own folder");
        fs::write(&key, pair.key).expect("a file in the test's own folder");
        command.arg("--cert").arg(certificate).arg("--key").arg(key);
    }
    let output = command
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(more)
        .arg(format!("https://127.0.0.1:{}/demo/test", host.port))
        .output()
        .expect("curl is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let (_, status) = text.rsplit_once('\n').expect("curl writes the status behind the body");
    status.parse().expect("a status")
}

#[test]
fn a_token_is_good_over_tls_with_the_certificate_it_is_bound_to_and_no_other() {
    let Some(curl) = installed().curl else { return };
    if !host::kinds().contains(&HostKind::Envoy) {
        return;
    }
    let (provider, upstream) = (FakeIssuer::start(), EchoUpstream::start());
    let mut key = KEYS[0].public();
    key["kid"] = json!("first");
    let issuer = json!({ "issuer": ISSUER, "jwks": { "inline": { "keys": [key] } } });
    let stack = stack(&provider, &upstream);
    let host = Host::start_envoy(&stack, &plugin(&stack, issuer, json!({})), with_tls);
    let call = |shown, token: &str| call(&curl, &host, &stack.folder, shown, token, &[]);

    let cnf = json!({ "x5t#S256": thumbprint(&CLIENT) });
    let bound = KEYS[0].token("first", &json!({ "authorities": ["clerk"], "cnf": cnf }));
    // Whatever worker takes the connection, and however often: the certificate is that of the connection, not of the token.
    for _ in 0..8 {
        assert_eq!(call(Some(&CLIENT), &bound), 200);
        assert_eq!(call(Some(&THIEF), &bound), 401);
        assert_eq!(call(None, &bound), 401);
    }
    let plain = KEYS[0].token("first", &json!({ "authorities": ["clerk"] }));
    assert_eq!(call(Some(&CLIENT), &plain), 200);
    assert_eq!(call(None, &plain), 200);
    // What a header says of a certificate proves nothing.
    let said = format!("x-forwarded-client-cert: Hash={}", thumbprint(&CLIENT));
    let told = self::call(&curl, &host, &stack.folder, Some(&THIEF), &bound, &["--header", &said]);
    assert_eq!(told, 401);
    // Bound to both: the certificate alone is half of it.
    let both = json!({ "x5t#S256": thumbprint(&CLIENT), "jkt": thumbprint(&THIEF) });
    let both = KEYS[0].token("first", &json!({ "authorities": ["clerk"], "cnf": both }));
    assert_eq!(call(Some(&CLIENT), &both), 401);
}
