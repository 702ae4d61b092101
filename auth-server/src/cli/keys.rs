//! `postern-auth keys …`.

use std::fmt::Write as _;

use anyhow::bail;
use clap::Subcommand;

use super::print;
use crate::clock;
use crate::db::{Database, signing_key};
use crate::profiles::Profile;
use crate::signing;

/// What to do with keys.
#[derive(Subcommand)]
pub enum KeysCommand {
    /// List the signing keys, without their secrets.
    List,
    /// Draw a new key. It signs from a second later on, when every gateway knows it; the old one goes on verifying
    /// until the last token signed with it has expired. Refused while 32 keys are needed for that.
    Rotate {
        /// The profile whose key it is.
        #[arg(long)]
        profile: Profile,
    },
}

/// Runs one of the commands.
pub async fn run(command: KeysCommand, database: Database) -> anyhow::Result<()> {
    match command {
        KeysCommand::List => list(&database).await,
        KeysCommand::Rotate { profile } => {
            let key_id = signing::rotate(&database, profile, clock::now_ms()).await?;
            println!(
                "key {key_id} of profile {} signs from a second on; the ones before only verify",
                profile.name()
            );
            Ok(())
        }
    }
}

async fn list(database: &Database) -> anyhow::Result<()> {
    let mut read = database.read().await?;
    let now_ms = clock::now_ms();
    let keys = signing_key::all(&mut read).await?;
    if keys.is_empty() {
        bail!("there are no keys yet; `serve` draws them for the mounted profiles");
    }
    let mut listed = String::new();
    for key in keys {
        let active = signing_key::active(&mut read, &key.profile, now_ms).await?;
        let state = match () {
            () if active.as_deref() == Some(&key.key_id) => "signs and verifies",
            () if key.active_from_ms > now_ms => "verifies, and signs in a moment",
            () => "only verifies",
        };
        let days = (now_ms - key.created_at_ms) / 86_400_000;
        let _ = writeln!(
            listed,
            "{} profile {} {} {} bits, {days} days old, {state}",
            key.key_id,
            key.profile,
            if key.profile == signing::INTROSPECTION {
                "ES256"
            } else {
                "HS256"
            },
            key.secret.len() * 8
        );
    }
    print(&listed)
}
