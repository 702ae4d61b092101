//! `postern-auth client …`.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::{first_line_of_stdin, print};
use crate::clock;
use crate::db::client::{self, Client};
use crate::db::{Database, server, split};
use crate::entropy;
use crate::profiles::{Profile, principal, tkey};
use crate::registration;
use crate::revoke;
use crate::secret::SecretKey;

/// What to do with clients.
#[derive(Subcommand)]
pub enum ClientCommand {
    /// Register a client.
    Add(Box<Add>),
    /// List the registered clients; secrets are not kept and cannot be shown.
    List,
    /// Remove a client and revoke everything it was given.
    Remove {
        /// The client's id.
        id: String,
    },
}

/// A client to register.
#[derive(Args)]
pub struct Add {
    /// The client's id.
    id: String,
    #[command(flatten)]
    secret: Secret,
    /// The legacy contract whose mounts serve the client.
    #[arg(long)]
    profile: Profile,
    /// The grants it may use, comma-separated: password, refresh_token, client_credentials, authorization_code.
    #[arg(long, value_name = "LIST")]
    grants: String,
    /// The scopes it may ask for, comma-separated; all of them are given when it asks for none.
    #[arg(long, value_name = "LIST")]
    scopes: String,
    /// The authorities of the client's own tokens, comma-separated.
    #[arg(long, value_name = "LIST", default_value = "")]
    authorities: String,
    /// The resources its tokens are for (`aud`), comma-separated.
    #[arg(long, value_name = "LIST", default_value = "")]
    resource_ids: String,
    /// Seconds an access token lives; 0 for ever [default: the profile's, 43200 for spring].
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    access_token_validity: Option<i64>,
    /// Seconds a refresh token lives; 0 for ever [default: the profile's, 2592000 for spring].
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    refresh_token_validity: Option<i64>,
    /// Where authorization answers may be sent, comma-separated: absolute URIs, each compared as a whole. Needed by the
    /// authorization_code grant.
    #[arg(long, value_name = "LIST", default_value = "")]
    redirect_uris: String,
    /// What may be answered at the authorization endpoint, comma-separated: code, token (the implicit grant).
    #[arg(long, value_name = "LIST", default_value = "code")]
    response_types: String,
    /// What the client's tokens say in their `principal` (profile principal): a JSON object, or @FILE to read it from.
    #[arg(long, value_name = "JSON")]
    principal: Option<String>,
    /// Leave a client of that id as it is, instead of failing.
    #[arg(long)]
    if_missing: bool,
}

/// Where the client's secret comes from.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Secret {
    /// The secret itself; other users of the machine can see it in the process list.
    #[arg(long, value_name = "SECRET")]
    secret: Option<String>,
    /// Read the secret from the first line of standard input.
    #[arg(long)]
    secret_stdin: bool,
    /// Draw a secret of 256 bits and print it, this once.
    #[arg(long)]
    generate_secret: bool,
}

/// Runs one of the commands.
pub async fn run(command: ClientCommand, database: Database) -> anyhow::Result<()> {
    match command {
        ClientCommand::Add(arguments) => add(*arguments, &database).await,
        ClientCommand::List => list(&database).await,
        ClientCommand::Remove { id } => remove(&id, &database).await,
    }
}

async fn add(arguments: Add, database: &Database) -> anyhow::Result<()> {
    let id = arguments.id.clone();
    if let Some(why) = registration::unusable(&id) {
        bail!("client id `{id}` {why}; choose another");
    }
    if arguments.profile == Profile::Tkey && !tkey::is_client_id(&id) {
        bail!(
            "client id `{id}` has other characters than letters, digits and underscores; profile tkey knows no others"
        );
    }
    // Before others have to wait for this.
    let secret = arguments.secret.read()?;
    let mut write = database.write().await?;
    if client::exists(&mut write, &id).await? {
        if arguments.if_missing {
            println!("client {id} is already registered");
            return Ok(());
        }
        bail!("client {id} is already registered; remove it first, or pass --if-missing to leave it as it is");
    }
    let key = SecretKey::from_stored(&server::client_secret_key(&mut write).await?)
        .context("the database's key of client secrets is damaged")?;
    let client = Client {
        secret_mac: key.mac(&id, &secret),
        profile: arguments.profile,
        grants: grants(arguments.profile, &arguments.grants)?,
        scopes: scopes(&arguments.scopes)?,
        authorities: split(&arguments.authorities),
        resource_ids: split(&arguments.resource_ids),
        imported_secret: None,
        redirect_uris: redirect_uris(&arguments)?,
        response_types: response_types(&arguments.response_types)?,
        additional_information: additional_information(&arguments)?,
        access_token_validity: arguments.access_token_validity,
        refresh_token_validity: arguments.refresh_token_validity,
        client_id: id.clone(),
    };
    registration::register(&mut write, &client, clock::now_ms()).await?;
    write.commit().await?;
    println!("client {id} registered");
    if arguments.secret.generate_secret {
        println!("secret: {secret}");
    }
    Ok(())
}

async fn list(database: &Database) -> anyhow::Result<()> {
    let lifetime = |validity: Option<i64>, default: i64| match validity.unwrap_or(default) {
        seconds if seconds <= 0 => "for ever".to_owned(),
        seconds => format!("{seconds} s"),
    };
    let clients = client::all(&mut *database.read().await?).await?;
    if clients.is_empty() {
        // Not on stdout: there, every line is about a client.
        eprintln!("no client is registered yet; `client add` registers one");
    }
    let mut listed = String::new();
    for client in clients {
        let _ = writeln!(listed, "{} (profile {})", client.client_id, client.profile.name());
        for (name, values) in [
            ("grants", &client.grants),
            ("scopes", &client.scopes),
            ("authorities", &client.authorities),
            ("resource ids", &client.resource_ids),
            ("redirect URIs", &client.redirect_uris),
        ] {
            if !values.is_empty() {
                let _ = writeln!(listed, "  {name}: {}", values.join(", "));
            }
        }
        let _ = writeln!(
            listed,
            "  lifetimes: access token {}, refresh token {}",
            lifetime(client.access_token_validity, client.profile.access_token_validity()),
            lifetime(client.refresh_token_validity, client.profile.refresh_token_validity())
        );
    }
    print(&listed)
}

async fn remove(id: &str, database: &Database) -> anyhow::Result<()> {
    let mut write = database.write().await?;
    if !revoke::client(&mut write, id, clock::now_ms()).await? {
        bail!("there is no client {id}; `client list` shows those there are");
    }
    write.commit().await?;
    println!("client {id} removed, its tokens revoked");
    Ok(())
}

impl Secret {
    fn read(&self) -> anyhow::Result<String> {
        if let Some(secret) = &self.secret {
            return Ok(secret.clone());
        }
        if self.generate_secret {
            return Ok(entropy::hex(&entropy::bytes::<32>()));
        }
        first_line_of_stdin().context("--secret-stdin")
    }
}

fn grants(profile: Profile, list: &str) -> anyhow::Result<Vec<String>> {
    let grants = split(list);
    if grants.is_empty() {
        bail!("--grants: name at least one of {}", profile.grants().join(", "));
    }
    if let Some(unknown) = grants.iter().find(|grant| !profile.grants().contains(&grant.as_str())) {
        bail!(
            "--grants: profile {} does not serve `{unknown}`; possible are {}",
            profile.name(),
            profile.grants().join(", ")
        );
    }
    Ok(grants)
}

fn redirect_uris(arguments: &Add) -> anyhow::Result<Vec<String>> {
    let uris = split(&arguments.redirect_uris);
    if uris.is_empty()
        && split(&arguments.grants)
            .iter()
            .any(|grant| grant == "authorization_code")
    {
        bail!("--redirect-uris: the authorization_code grant needs one, as in https://app.example.com/callback");
    }
    if uris.is_empty() && split(&arguments.response_types).iter().any(|name| name == "token") {
        bail!("--redirect-uris: response type token needs one, as in https://app.example.com/callback");
    }
    for uri in &uris {
        if let Some(why) = registration::unusable_redirect_uri(uri) {
            bail!("--redirect-uris: `{uri}` {why}");
        }
    }
    Ok(uris)
}

fn additional_information(arguments: &Add) -> anyhow::Result<Map<String, Value>> {
    let Some(text) = &arguments.principal else {
        return Ok(Map::new());
    };
    if arguments.profile != Profile::Principal {
        let profile = arguments.profile.name();
        bail!("--principal: tokens of profile {profile} have none; leave it out, or register for profile principal");
    }
    let text = match text.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("--principal: {file} cannot be read"))?,
        None => text.clone(),
    };
    let Ok(Value::Object(registered)) = serde_json::from_str(&text) else {
        bail!("--principal: write a JSON object, as in '{{\"id\":1,\"username\":\"admin\"}}', or @FILE");
    };
    if let Some(member) = principal::never_said(&registered) {
        bail!("--principal: `{member}` is never put into a token; leave it out");
    }
    if let Some(name) = principal::no_name(&registered) {
        bail!("--principal: `{name}` is no name; write a text or a whole number of 64 bits");
    }
    Ok(Map::from_iter([(principal::MEMBER.to_owned(), registered.into())]))
}

fn response_types(list: &str) -> anyhow::Result<Vec<String>> {
    let types = split(list);
    if let Some(unknown) = types.iter().find(|name| !["code", "token"].contains(&name.as_str())) {
        bail!("--response-types: there is no response type `{unknown}`; possible are code, token");
    }
    Ok(types)
}

fn scopes(list: &str) -> anyhow::Result<Vec<String>> {
    let scopes = split(list);
    if let Some(wrong) = scopes
        .iter()
        .find(|scope| scope.contains(|c: char| c.is_whitespace() || c == '+'))
    {
        bail!("--scopes: `{wrong}`: a scope has no blanks and no plus signs; part them with commas");
    }
    Ok(scopes)
}
