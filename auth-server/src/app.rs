//! What every request handler shares.

use std::sync::Arc;

use postern_access::config::Issuer;
use postern_access::snapshot::Introspection;
use tokio::sync::watch;

use crate::clients::Clients;
use crate::clock;
use crate::config::{Compat, Config, Mount};
use crate::cors::Origin;
use crate::credentials::Credentials;
use crate::db::{Database, change, server};
use crate::feed::Feed;
use crate::imported_secret::ImportedSecrets;
use crate::login::LoginService;
use crate::metrics::Metrics;
use crate::profiles::{Format, Profile};
use crate::secret::SecretKey;
use crate::signing::{self, Signing};
use crate::throttle::Throttle;

/// The running server.
pub struct App {
    /// Where everything is kept.
    pub database: Database,
    /// Clients, in memory.
    pub clients: Clients,
    /// Keys, in memory.
    pub signing: Signing,
    /// The key of the stored client secrets.
    pub secret_key: SecretKey,
    /// Checks secrets that were imported as bcrypt hashes.
    pub imported_secrets: ImportedSecrets,
    /// Who knows users and permissions.
    pub login: LoginService,
    /// What gateways are told.
    pub feed: Feed,
    /// Who may follow the feed.
    pub feed_credentials: Vec<Credentials>,
    /// Counters.
    pub metrics: Metrics,
    /// How exactly the legacy contracts are followed.
    pub compat: Compat,
    /// The origins whose pages may call the mounts.
    pub cors_origins: Vec<Origin>,
    /// Who has been guessing passwords and secrets.
    pub throttle: Throttle,
    /// Which contracts are served, and where.
    pub mounts: Vec<Arc<Mount>>,
}

impl App {
    /// Takes over a database: draws missing keys and brings everything into memory.
    pub async fn start(config: Config, database: Database, stopping: watch::Receiver<bool>) -> sqlx::Result<Arc<Self>> {
        for mount in &config.mounts {
            signing::create_missing(&database, mount.profile, clock::now_ms()).await?;
        }
        let mut read = database.read().await?;
        let secret_key = SecretKey::from_stored(&server::client_secret_key(&mut read).await?)
            .ok_or_else(|| sqlx::Error::Decode("the key of the client secrets is not 32 bytes long".into()))?;
        // The number first: what changes while the rest is read will be told once more rather than not at all.
        let (_, number) = change::range(&mut read).await?;
        let feed = Feed::new(server::lineage(&mut read).await?, number, stopping);
        let (clients, signing) = (Clients::default(), Signing::default());
        clients.load(&mut read).await?;
        signing.load(&mut read).await?;
        drop(read);
        Ok(Arc::new(Self {
            database,
            clients,
            signing,
            secret_key,
            imported_secrets: ImportedSecrets::default(),
            login: LoginService::new(&config.login_service),
            feed,
            feed_credentials: config.feed.credentials,
            metrics: Metrics::default(),
            compat: config.compat,
            cors_origins: config.cors.origins,
            throttle: Throttle::default(),
            mounts: config.mounts.into_iter().map(Arc::new).collect(),
        }))
    }

    /// Every mounted issuer with its verifying keys, as the feed tells it.
    pub fn issuers(&self) -> Vec<Issuer> {
        let mounted = |profile: &Profile| self.mounts.iter().any(|mount| mount.profile == *profile);
        Profile::ALL
            .into_iter()
            .filter(mounted)
            .filter_map(|profile| profile.issuer(&self.signing))
            .collect()
    }

    /// Which tokens of this server the gateways cannot verify by themselves.
    pub fn introspection(&self) -> Introspection {
        let opaque = |mount: &Arc<Mount>| mount.profile.format() == Format::Opaque;
        Introspection {
            opaque: self.mounts.iter().any(opaque),
            imported: false,
        }
    }
}
