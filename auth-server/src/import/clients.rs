//! `oauth_client_details`.

use std::collections::HashMap;

use postern_mysql_dump::Row;
use serde_json::{Map, Value};

use super::report::Report;
use super::{CLIENTS, Place, optional};
use crate::db::change::{self, Kind};
use crate::db::client::{self, Client};
use crate::db::imported_client;
use crate::db::{Write, split};
use crate::imported_secret;
use crate::profiles::Profile;
use crate::registration;
use crate::secret::SecretKey;

/// A client as a row describes it.
pub struct Candidate {
    place: Place,
    client: Client,
    secret: Secret,
}

/// A secret as it stands in the row. Not `Debug`: it is one.
enum Secret {
    Plain(String),
    /// A bcrypt hash that was found good.
    Bcrypt(String),
}

/// The clients that can be taken.
pub fn read(rows: &[(Place, Row<'_>)], profile: Profile, report: &mut Report) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for (place, row) in rows {
        let mut notes = Vec::new();
        let subject = match row.text("client_id") {
            Ok(Some(id)) if registration::unusable(id).is_none() => format!("client {id}"),
            _ => String::new(),
        };
        match candidate(place, row, profile, &mut notes) {
            Ok(candidate) => {
                for note in notes {
                    report.note(CLIENTS, place, &subject, note);
                }
                candidates.push(candidate);
            }
            Err(reason) => report.refuse(CLIENTS, place, &subject, reason),
        }
    }
    candidates
}

/// Registers what is new. What is registered here already is left alone, also where the dump says otherwise, unless
/// `overwrite`. What was imported once and is gone stays gone.
pub async fn store(
    write: &mut Write,
    candidates: Vec<Candidate>,
    profile: Profile,
    key: &SecretKey,
    overwrite: bool,
    now_ms: i64,
    report: &mut Report,
) -> sqlx::Result<()> {
    let all = client::all(write).await?.into_iter();
    let mut registered: HashMap<String, Client> = all.map(|client| (client.client_id.clone(), client)).collect();
    let mut known = imported_client::ids(write, profile).await?;
    for Candidate {
        place,
        mut client,
        secret,
    } in candidates
    {
        let id = client.client_id.clone();
        let subject = format!("client {id}");
        let Some(registered) = registered.get_mut(&id) else {
            if known.contains(&id) {
                let reason = "it was removed here since it was imported; `client add` registers it again";
                report.refuse(CLIENTS, &place, &subject, reason);
                continue;
            }
            imported_client::remember(write, profile, &id).await?;
            known.insert(id.clone());
            secret.keep_in(&mut client, key);
            registration::register(write, &client, now_ms).await?;
            registered.insert(id, client);
            report.take(CLIENTS);
            continue;
        };
        if registered.profile != client.profile {
            let reason = format!(
                "it is registered here for profile {}; `client remove {id}` removes it",
                registered.profile.name()
            );
            report.refuse(CLIENTS, &place, &subject, reason);
            continue;
        }
        let mut differences = differences(registered, &client);
        if secret.is_of(registered, key) {
            client.secret_mac.clone_from(&registered.secret_mac);
            client.imported_secret.clone_from(&registered.imported_secret);
        } else {
            secret.keep_in(&mut client, key);
            differences.insert(0, "secret");
        }
        let differences = differences.join(", ");
        // Also one that was registered before this was remembered; but not one that the dump describes as another.
        if (differences.is_empty() || overwrite) && known.insert(id.clone()) {
            imported_client::remember(write, profile, &id).await?;
        }
        match overwrite {
            _ if differences.is_empty() => report.keep(CLIENTS),
            false => {
                let reason =
                    format!("registered here with another {differences}; --overwrite takes what the dump says");
                report.refuse(CLIENTS, &place, &subject, reason);
            }
            true => {
                client::update(write, &client).await?;
                change::append(write, Kind::ClientAdded, &id, now_ms, None).await?;
                *registered = client;
                report.change(CLIENTS);
                report.note(CLIENTS, &place, &subject, format!("changed: {differences}"));
            }
        }
    }
    Ok(())
}

/// What the row says; an error is the reason why it cannot be taken.
fn candidate(place: &Place, row: &Row<'_>, profile: Profile, notes: &mut Vec<String>) -> Result<Candidate, String> {
    let text = |column| optional(row, column).map_err(|error| error.to_string());
    let list = |column| Ok::<_, String>(split(text(column)?.unwrap_or_default()));
    let client_id = row.text("client_id").map_err(|error| error.to_string())?;
    let client_id = client_id.unwrap_or_default().to_owned();
    if let Some(why) = registration::unusable(&client_id) {
        return Err(format!("its client_id {why}"));
    }
    let secret = Secret::read(text("client_secret")?)?;
    let (grants, response_types) = grants(text("authorized_grant_types")?, profile, notes)?;
    let mut redirect_uris = list("web_server_redirect_uri")?;
    redirect_uris.retain(|uri| match registration::unusable_redirect_uri(uri) {
        None => true,
        Some(why) => {
            notes.push(format!("the redirect URI `{uri}` {why}; left out"));
            false
        }
    });
    if redirect_uris.is_empty() && !response_types.is_empty() {
        notes.push("it has no redirect URI, and cannot use the authorization endpoint until one is registered".into());
    }
    let lifetime = |column| match text(column)? {
        None => Ok(None),
        Some(seconds) => {
            let seconds = seconds.trim().parse::<i64>();
            seconds.map(Some).map_err(|_| format!("its {column} is no number"))
        }
    };
    if text("autoapprove")?.is_some_and(|scopes| scopes != "false") {
        notes.push("its autoapprove is not needed: no page asks users for approval".into());
    }
    let scopes = scopes(list("scope")?, notes);
    if scopes.is_empty() && profile == Profile::Uaa {
        notes.push("it has no scopes, and may ask for any but ADMIN; register it anew if it needs that".into());
    }
    let client = Client {
        profile,
        secret_mac: Vec::new(),
        imported_secret: None,
        grants,
        scopes,
        authorities: list("authorities")?,
        resource_ids: list("resource_ids")?,
        redirect_uris,
        response_types,
        additional_information: additional_information(text("additional_information")?, notes),
        access_token_validity: lifetime("access_token_validity")?,
        refresh_token_validity: lifetime("refresh_token_validity")?,
        client_id,
    };
    Ok(Candidate {
        place: place.clone(),
        client,
        secret,
    })
}

/// The grants, and what may be answered at the authorization endpoint.
fn grants(
    registered: Option<&str>,
    profile: Profile,
    notes: &mut Vec<String>,
) -> Result<(Vec<String>, Vec<String>), String> {
    // The original's own default.
    let grants = split(registered.unwrap_or("authorization_code,refresh_token"));
    let has_endpoint = profile.grants().contains(&"authorization_code");
    let (mut kept, mut response_types) = (Vec::new(), Vec::new());
    for grant in grants {
        match grant.as_str() {
            "implicit" if has_endpoint => response_types.push("token".to_owned()),
            name if profile.grants().contains(&name) => {
                if name == "authorization_code" {
                    response_types.insert(0, "code".to_owned());
                }
                kept.push(grant);
            }
            name => notes.push(format!(
                "profile {} does not serve its grant `{name}`; left out",
                profile.name()
            )),
        }
    }
    if kept.is_empty() && response_types.is_empty() {
        return Err(format!("profile {} serves none of its grants", profile.name()));
    }
    Ok((kept, response_types))
}

/// A scope has no blanks and no plus signs: they part scopes where one is asked for.
fn scopes(registered: Vec<String>, notes: &mut Vec<String>) -> Vec<String> {
    let mut scopes = Vec::new();
    for scope in registered {
        let parts: Vec<&str> = scope
            .split([' ', '\t', '\r', '\n', '+'])
            .filter(|part| !part.is_empty())
            .collect();
        if parts != [scope.as_str()] {
            notes.push(format!("its scope `{scope}` is taken as {}", parts.join(", ")));
        }
        scopes.extend(parts.into_iter().map(str::to_owned));
    }
    scopes
}

fn additional_information(text: Option<&str>, notes: &mut Vec<String>) -> Map<String, Value> {
    match text.map(serde_json::from_str) {
        None => Map::new(),
        Some(Ok(Value::Object(object))) => object,
        Some(_) => {
            notes.push("its additional_information is no JSON object; left out".into());
            Map::new()
        }
    }
}

/// What the two say differently, apart from their secrets.
fn differences(registered: &Client, dumped: &Client) -> Vec<&'static str> {
    [
        ("grants", registered.grants != dumped.grants),
        ("scopes", registered.scopes != dumped.scopes),
        ("authorities", registered.authorities != dumped.authorities),
        ("resource ids", registered.resource_ids != dumped.resource_ids),
        ("redirect URIs", registered.redirect_uris != dumped.redirect_uris),
        ("response types", response_types(registered) != response_types(dumped)),
        (
            "additional information",
            registered.additional_information != dumped.additional_information,
        ),
        (
            "access token lifetime",
            registered.access_token_validity != dumped.access_token_validity,
        ),
        (
            "refresh token lifetime",
            registered.refresh_token_validity != dumped.refresh_token_validity,
        ),
    ]
    .into_iter()
    .filter_map(|(what, differs)| differs.then_some(what))
    .collect()
}

/// Without the grant, a code is worth nothing.
fn response_types(client: &Client) -> Vec<&String> {
    let types = client.response_types.iter();
    types
        .filter(|name| *name != "code" || client.may_use("authorization_code"))
        .collect()
}

impl Secret {
    /// What stands in the column: the secret itself, `{noop}` and the secret, or a bcrypt hash, with or without `{bcrypt}`.
    fn read(text: Option<&str>) -> Result<Self, String> {
        const NONE: &str = "it has no secret, and whoever knew its id was let in; register it with `client add`";
        let text = text.ok_or(NONE)?;
        if let Some(hash) = text.strip_prefix("{bcrypt}") {
            imported_secret::check_hash(hash)?;
            return Ok(Self::Bcrypt(hash.to_owned()));
        }
        if let Some(secret) = text.strip_prefix("{noop}") {
            return match secret {
                "" => Err(NONE.into()),
                secret => Ok(Self::Plain(secret.to_owned())),
            };
        }
        if let Some((encoding, _)) = text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            // What stands between the braces could be a part of a secret.
            let known = [
                "ldap", "MD4", "MD5", "pbkdf2", "scrypt", "SHA-1", "SHA-256", "sha256", "argon2",
            ];
            let encoding = known.iter().find(|known| encoding.starts_with(**known));
            let encoding = encoding.map_or("an unknown encoding".to_owned(), |known| format!("`{{{known}}}`"));
            return Err(format!(
                "its secret is stored in {encoding}; register it with `client add`"
            ));
        }
        if ["$2a$", "$2b$", "$2x$", "$2y$"]
            .iter()
            .any(|head| text.starts_with(head))
        {
            imported_secret::check_hash(text)?;
            return Ok(Self::Bcrypt(text.to_owned()));
        }
        Ok(Self::Plain(text.to_owned()))
    }

    /// Whether it is the one that is kept for a registered client. One that has been shown here since its hash was
    /// imported is kept as ours, and can no longer be compared with that hash.
    fn is_of(&self, registered: &Client, key: &SecretKey) -> bool {
        match (self, &registered.imported_secret) {
            (Self::Plain(secret), None) => key.verify(&registered.client_id, secret, &registered.secret_mac),
            (Self::Plain(_), Some(_)) => false,
            (Self::Bcrypt(hash), Some(kept)) => hash == kept,
            (Self::Bcrypt(_), None) => true,
        }
    }

    fn keep_in(self, client: &mut Client, key: &SecretKey) {
        match self {
            Self::Plain(secret) => client.secret_mac = key.mac(&client.client_id, &secret),
            // No secret has this HMAC.
            Self::Bcrypt(hash) => {
                client.secret_mac = Vec::new();
                client.imported_secret = Some(hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2a$10$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzabcde";

    fn kind(secret: &str) -> String {
        match Secret::read((!secret.is_empty()).then_some(secret)) {
            Ok(Secret::Plain(secret)) => format!("plain {secret}"),
            Ok(Secret::Bcrypt(hash)) => format!("bcrypt {hash}"),
            Err(reason) => reason,
        }
    }

    #[test]
    fn secrets_are_recognised() {
        assert_eq!(kind("s3cret"), "plain s3cret");
        assert_eq!(kind("{noop}s3cret"), "plain s3cret");
        assert_eq!(kind("{s3cret"), "plain {s3cret");
        assert_eq!(kind(HASH), format!("bcrypt {HASH}"));
        assert_eq!(kind(&format!("{{bcrypt}}{HASH}")), format!("bcrypt {HASH}"));
        for (secret, reason) in [
            ("", "no secret"),
            ("{noop}", "no secret"),
            ("{bcrypt}abc", "not a whole bcrypt hash"),
            ("$2a$10$abc", "not a whole bcrypt hash"),
            ("{pbkdf2}abc", "stored in `{pbkdf2}`"),
            ("{hidden}abc", "stored in an unknown encoding"),
        ] {
            assert!(kind(secret).contains(reason), "{secret}: {}", kind(secret));
        }
    }

    #[test]
    fn grants_that_a_profile_does_not_serve_are_left_out() {
        let read = |grants, profile| {
            let mut notes = Vec::new();
            let (grants, types) = super::grants(grants, profile, &mut notes)?;
            Ok::<_, String>(format!("{} | {} | {}", grants.join(" "), types.join(" "), notes.len()))
        };
        let spring = |grants| read(grants, Profile::Spring).unwrap();
        assert_eq!(spring(Some("password, refresh_token")), "password refresh_token |  | 0");
        assert_eq!(
            spring(Some("implicit,authorization_code,sms")),
            "authorization_code | code token | 1"
        );
        assert_eq!(spring(None), "authorization_code refresh_token | code | 0");
        assert_eq!(spring(Some("implicit")), " | token | 0");
        assert!(read(Some("password,implicit"), Profile::Uaa).is_err());
    }

    #[test]
    fn a_scope_with_blanks_is_several() {
        let mut notes = Vec::new();
        assert_eq!(
            scopes(vec!["read".into(), "a b+c".into()], &mut notes),
            ["read", "a", "b", "c"]
        );
        assert_eq!(notes.len(), 1);
    }
}
