//! `postern-auth doctor`: what is weaker than today's best practice, why, and what to do about it.

mod other_files;

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::print;
use crate::clock;
use crate::config::{Config, SpringOauth};
use crate::db::client::{self, Client};
use crate::db::signing_key::{self, SigningKey};
use crate::db::{Database, server};
use crate::profiles::{Format, Profile};
use crate::secret::SecretKey;

/// Which files of other programs to look at too.
#[derive(Args)]
pub struct Doctor {
    /// The configuration of a host, for the filter's settings in it: `gateway.yaml`, or Envoy's bootstrap.
    #[arg(long, value_name = "FILE")]
    gateway: Vec<PathBuf>,
    /// The configuration of the login service: `login.yaml`.
    #[arg(long, value_name = "FILE")]
    login: Option<PathBuf>,
}

/// One weakness.
struct Finding {
    what: String,
    why: &'static str,
    remedy: String,
}

const LONG_ACCESS_S: i64 = 60 * 60;
/// Characters. Nobody types these passwords, so there is no reason for short ones.
const SHORT_PASSWORD: usize = 16;
const OLD_KEY_MS: i64 = 90 * 24 * 60 * 60 * 1000;

/// Prints every finding; finding some is no failure.
pub async fn run(arguments: &Doctor, config: &Config, database: Database) -> anyhow::Result<()> {
    let mut read = database.read().await?;
    let secret_key = SecretKey::from_stored(&server::client_secret_key(&mut read).await?);
    let mut findings = of_config(config);
    for file in &arguments.gateway {
        findings.extend(other_files::of_gateway(file)?);
    }
    if let Some(file) = &arguments.login {
        findings.extend(other_files::of_login_service(file)?);
    }
    for client in client::all(&mut read).await? {
        findings.extend(of_client(&client, secret_key.as_ref()));
    }
    let now_ms = clock::now_ms();
    for profile in Profile::ALL {
        let active = signing_key::active(&mut read, profile.name(), now_ms).await?;
        let keys = signing_key::all(&mut read).await?;
        let active = keys.iter().find(|key| Some(&key.key_id) == active.as_ref());
        findings.extend(active.and_then(|key| of_key(key, now_ms)));
    }
    let mut listed = String::new();
    for finding in &findings {
        let _ = writeln!(
            listed,
            "- {}\n    why: {}\n    do:  {}",
            finding.what, finding.why, finding.remedy
        );
    }
    listed += &match findings.len() {
        0 => "nothing found that is weaker than today's best practice\n".to_owned(),
        1 => "1 finding\n".to_owned(),
        count => format!("{count} findings\n"),
    };
    print(&listed)
}

fn of_config(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mounted = |profile: &Profile| config.mounts.iter().any(|mount| mount.profile == *profile);
    for profile in Profile::ALL.iter().filter(|profile| mounted(profile)) {
        if profile.format() == Format::Jwt {
            findings.push(Finding {
                what: format!("mounts: profile {} signs with HS256", profile.name()),
                why: "whoever can verify a shared-secret token can also make one (RFC 8725 section 3.2, ASVS 9.1.2)",
                remedy: "keep the feed's credentials as safe as a signing key; unmount the profile when its last client has moved".into(),
            });
        }
        if *profile == Profile::Uaa {
            findings.push(Finding {
                what: "mounts: profile uaa registers and removes clients by GET, and repeats their secrets".into(),
                why: "a link is enough to send such a request, and answers end up in caches and logs (ASVS 14.2.1)",
                remedy: "register clients with `client add`; unmount the profile when nobody registers by it".into(),
            });
        }
    }
    if mounted(&Profile::Spring) && config.compat.spring_oauth < SpringOauth::V2_5 {
        findings.push(Finding {
            what: "compat.spring_oauth: errors repeat the presented token in their body".into(),
            why: "error bodies end up in logs of clients (ASVS 16.5.1)",
            remedy: "set compat.spring_oauth: \"2.5\" when no client reads these texts".into(),
        });
    }
    for mount in config.mounts.iter().filter(|mount| mount.danger_open_check_token) {
        findings.push(Finding {
            what: format!(
                "mounts: danger_open_check_token of profile {} at {}/",
                mount.profile.name(),
                mount.path.value
            ),
            why: "anybody may try tokens there, and read what a token says (ASVS 8.2.1, RFC 7662 section 4)",
            remedy: "set it to false when every caller sends the credentials of a client".into(),
        });
    }
    // Only this profile's pages keep somebody logged in.
    for mount in config.mounts.iter().filter(|mount| mount.profile == Profile::Tkey) {
        let what = match mount.secure_cookies {
            Some(true) => continue,
            Some(false) => "false",
            None if config.listen.ip().is_loopback() => continue,
            None => "not set, so that X-Forwarded-Proto decides",
        };
        findings.push(Finding {
            what: format!("mounts: secure_cookies of profile tkey at {}/: {what}", mount.path.value),
            why: "whoever sits on the network between takes the login out of a request by plain HTTP, and is that user (ASVS 3.3.1)",
            remedy: "set secure_cookies: true, and let browsers come by HTTPS only".into(),
        });
    }
    if config.compat.query_credentials {
        findings.push(Finding {
            what: "compat.query_credentials: true".into(),
            why: "browsers, proxies and logs keep the URLs, and with them passwords, client secrets and tokens (RFC 9700 section 4.3.2)",
            remedy: "set it to false when every client sends them in a header or in the body".into(),
        });
    }
    for origin in &config.cors.origins {
        if origin.is_plain() {
            findings.push(Finding {
                what: format!("cors.origins: {} is plain HTTP", origin.text()),
                why: "whoever sits on the network between can put a page of his own there, and it may call",
                remedy: "serve the page by HTTPS, and name that origin".into(),
            });
        }
        if origin.any_port() {
            findings.push(Finding {
                what: format!("cors.origins: {} stands for every port", origin.text()),
                why: "whatever else is served on that host may call too",
                remedy: "name the ports that are needed".into(),
            });
        }
    }
    if config.compat.reuse_refresh_token {
        findings.push(Finding {
            what: "compat.reuse_refresh_token: true".into(),
            why: "a stolen refresh token works until it expires, beside the owner's; with rotation the second of the two to use it is refused, and notices (RFC 9700 section 2.2.2)",
            remedy: "set it to false when every client stores the refresh token of each answer".into(),
        });
    }
    if config.login_service.credentials.is_none() {
        findings.push(Finding {
            what: "login_service.credentials: none".into(),
            why: "a login service that answers anonymous callers lets anybody try passwords and read permissions (ASVS 8.2.1)",
            remedy: "set credentials here and in the login service, and leave its danger_open_reserved off".into(),
        });
    }
    for (key, credentials) in [
        ("feed.credentials", &config.feed.credentials[..]),
        ("login_service.credentials", config.login_service.credentials.as_slice()),
    ] {
        let short = credentials
            .iter()
            .filter(|pair| pair.password_length() < SHORT_PASSWORD);
        findings.extend(short.map(|pair| Finding {
            what: format!(
                "{key}: the password of {} is shorter than {SHORT_PASSWORD} characters",
                pair.user()
            ),
            why: "whoever guesses it reads every verifying secret, or tries passwords of users unnoticed (ASVS 11.5.1)",
            remedy: "draw a long one (`openssl rand -hex 32`), and set it here and at the other end".into(),
        }));
    }
    let host = config
        .login_service
        .url
        .value
        .parse::<http::Uri>()
        .ok()
        .and_then(|url| url.host().map(str::to_owned));
    if !host.as_deref().is_some_and(is_loopback) {
        findings.push(Finding {
            what: format!(
                "login_service.url: {} is plain HTTP to another machine",
                config.login_service.url.value
            ),
            why: "passwords of users cross the network in the clear",
            remedy: "run both on one machine, or put a TLS or mesh proxy between".into(),
        });
    }
    if let Some(host) = config.database_location().host()
        && !is_loopback(&host)
    {
        findings.push(Finding {
            what: format!("database: PostgreSQL at {host} is reached without TLS"),
            why: "signing keys, and with them every token of the legacy profiles, cross the network in the clear",
            remedy: "keep that network to the two machines, or put a TLS proxy or a tunnel between".into(),
        });
    }
    if !config.listen.ip().is_loopback() {
        findings.push(Finding {
            what: format!("listen: {} is reachable from other machines without TLS", config.listen),
            why: "client secrets, passwords and tokens cross the network in the clear (RFC 6749 section 3.2)",
            remedy: "listen on 127.0.0.1 behind the gateway, or let a TLS proxy stand in front".into(),
        });
    }
    findings
}

fn of_client(client: &Client, secret_key: Option<&SecretKey>) -> Vec<Finding> {
    let id = &client.client_id;
    let mut findings = Vec::new();
    if client.may_use("password") {
        findings.push(Finding {
            what: format!("client {id}: password grant"),
            why: "the client sees its users' passwords; RFC 9700 section 2.4 forbids it",
            remedy: "move the client to the authorization code grant with PKCE".into(),
        });
    }
    let secret_is = |guess: &str| secret_key.is_some_and(|key| key.verify(id, guess, &client.secret_mac));
    let new_secret = || format!("`client remove {id}` and add it again with --generate-secret");
    if client.imported_secret.is_some() {
        findings.push(Finding {
            what: format!("client {id}: imported bcrypt secret, not shown since"),
            why: "each call with it costs a slow hash until the right secret is shown once; nobody may need the client any more",
            remedy: format!("let it authenticate once, or `client remove {id}`"),
        });
    } else if secret_is("") {
        findings.push(Finding {
            what: format!("client {id}: empty secret"),
            why: "anybody who knows the id is the client",
            remedy: new_secret(),
        });
    } else if guesses(id).iter().any(|guess| secret_is(guess)) {
        findings.push(Finding {
            what: format!("client {id}: its secret is among the first that anybody would guess"),
            why: "wrong secrets are answered slowly, but not that slowly (RFC 6749 section 10.10)",
            remedy: new_secret(),
        });
    }
    if client.response_types.iter().any(|name| name == "token") {
        findings.push(Finding {
            what: format!("client {id}: implicit grant (response type token)"),
            why: "access tokens stand in URLs, and any page that gets hold of one can use it; RFC 9700 section 2.1.2 forbids it",
            remedy: "move the client to response type code with PKCE".into(),
        });
    }
    for uri in client.redirect_uris.iter().filter(|uri| is_plain(uri)) {
        findings.push(Finding {
            what: format!("client {id}: redirect URI {uri} is plain HTTP"),
            why: "codes cross the network in the clear (RFC 9700 section 2.6)",
            remedy: "serve the page by HTTPS, and register that address".into(),
        });
    }
    if client.scopes.is_empty() {
        findings.push(Finding {
            what: format!("client {id}: no registered scopes"),
            why: "it may ask for any scope it likes",
            remedy: "register the scopes it needs".into(),
        });
    }
    let access = client
        .access_token_validity
        .unwrap_or(client.profile.access_token_validity());
    if !(1..=LONG_ACCESS_S).contains(&access) {
        let lives = if access <= 0 {
            "for ever".to_owned()
        } else {
            format!("{access} s")
        };
        findings.push(Finding {
            what: format!("client {id}: access tokens live {lives}"),
            why: "a stolen access token works until somebody notices and revokes it",
            remedy: "set --access-token-validity to an hour or less for clients that can refresh".into(),
        });
    }
    if client.refresh_token_validity.is_some_and(|validity| validity <= 0) {
        findings.push(Finding {
            what: format!("client {id}: refresh tokens never expire"),
            why: "a forgotten one works for ever (ASVS 10.4.8)",
            remedy: "set --refresh-token-validity".into(),
        });
    }
    findings
}

fn of_key(key: &SigningKey, now_ms: i64) -> Option<Finding> {
    (now_ms - key.created_at_ms > OLD_KEY_MS).then(|| Finding {
        what: format!("key {} of profile {} is older than 90 days", key.key_id, key.profile),
        why: "the longer a secret is in use, the more copies of it there are",
        remedy: format!("`keys rotate --profile {}`; tokens stay good", key.profile),
    })
}

/// What a client's secret is when somebody did not care.
fn guesses(id: &str) -> Vec<String> {
    let fixed = [
        "secret", "password", "changeit", "changeme", "123456", "admin", "client", "test",
    ];
    let made = [
        id.to_owned(),
        format!("{id}secret"),
        format!("{id}Secret"),
        format!("{id}-secret"),
        format!("{id}_secret"),
        format!("{id}123"),
        format!("{id}123456"),
        id.chars().rev().collect(),
    ];
    fixed.map(str::to_owned).into_iter().chain(made).collect()
}

/// Whether what is sent to a URI crosses a network in the clear.
fn is_plain(uri: &str) -> bool {
    let uri = uri.parse::<http::Uri>();
    uri.is_ok_and(|uri| uri.scheme_str() == Some("http") && !uri.host().is_some_and(is_loopback))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
