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
use crate::current::{self, Current};
use crate::db::{Database, change, server};
use crate::feed::Feed;
use crate::imported::Imports;
use crate::imported_secret::ImportedSecrets;
use crate::known_tokens::KnownTokens;
use crate::login::LoginService;
use crate::metrics::Metrics;
use crate::new_tokens::{self, NewTokens};
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
    /// Tokens, in memory.
    pub known_tokens: KnownTokens,
    /// Keeps all of these current.
    pub current: Current,
    /// Where new tokens are put into the database together.
    pub new_tokens: NewTokens,
    /// The key of the stored client secrets.
    pub secret_key: SecretKey,
    /// Checks secrets that were imported as bcrypt hashes.
    pub imported_secrets: ImportedSecrets,
    /// Whether there are tokens of another system to honour.
    pub imports: Imports,
    /// Who knows users and permissions.
    pub login: LoginService,
    /// What gateways are told.
    pub feed: Feed,
    /// `iss` and `aud` of signed answers.
    pub issuer: String,
    /// The services behind the gateways.
    pub audience: String,
    /// Who may follow the feed.
    pub feed_credentials: Vec<Credentials>,
    /// Counters.
    pub metrics: Metrics,
    /// How exactly the legacy contracts are followed.
    pub compat: Compat,
    /// The origins whose pages may call the mounts.
    pub cors_origins: Vec<Origin>,
    /// Who has been guessing passwords and secrets.
    pub throttle: Arc<Throttle>,
    /// Which contracts are served, and where.
    pub mounts: Vec<Arc<Mount>>,
}

impl App {
    /// Takes over a database: draws missing keys and brings everything into memory.
    pub async fn start(config: Config, database: Database, stopping: watch::Receiver<bool>) -> sqlx::Result<Arc<Self>> {
        for mount in &config.mounts {
            signing::create_missing(&database, mount.profile, clock::now_ms()).await?;
        }
        signing::create_missing_for_answers(&database, clock::now_ms()).await?;
        let mut read = database.read().await?;
        let secret_key = SecretKey::from_stored(&server::client_secret_key(&mut read).await?)
            .ok_or_else(|| sqlx::Error::Decode("the key of the client secrets is not 32 bytes long".into()))?;
        // The newest change first: what changes while the rest is read will be told once more rather than not at all.
        let newest = change::newest(&mut read).await?;
        let feed = Feed::new(server::lineage(&mut read).await?, newest, stopping);
        let (clients, signing, imports) = (Clients::default(), Signing::default(), Imports::default());
        clients.load(&mut read).await?;
        signing.load(&mut read).await?;
        imports.load(&mut read, clock::now_ms()).await?;
        drop(read);
        let known_tokens = KnownTokens::default();
        known_tokens.apply(newest.number, None);
        let (current, questions) = Current::new();
        let (new_tokens, waiting) = NewTokens::new();
        let app = Arc::new(Self {
            database,
            clients,
            signing,
            known_tokens,
            current,
            new_tokens,
            secret_key,
            imported_secrets: ImportedSecrets::default(),
            imports,
            login: LoginService::new(&config.login_service),
            feed,
            issuer: config.issuer,
            audience: config.audience,
            feed_credentials: config.feed.credentials,
            metrics: Metrics::default(),
            compat: config.compat,
            cors_origins: config.cors.origins,
            throttle: Arc::default(),
            mounts: config.mounts.into_iter().map(Arc::new).collect(),
        });
        tokio::spawn(current::look(Arc::downgrade(&app), questions));
        tokio::spawn(new_tokens::insert(Arc::downgrade(&app), waiting));
        Ok(app)
    }

    /// Whether the contract of a profile is served anywhere.
    pub fn serves(&self, profile: Profile) -> bool {
        self.mounts.iter().any(|mount| mount.profile == profile)
    }

    /// Every mounted issuer with its verifying keys, as the feed tells it.
    pub fn issuers(&self) -> Vec<Issuer> {
        Profile::ALL
            .into_iter()
            .filter(|profile| self.serves(*profile))
            .filter_map(|profile| profile.issuer(&self.signing))
            .collect()
    }

    /// Which tokens of this server the gateways cannot verify by themselves.
    pub fn introspection(&self) -> Introspection {
        let opaque = |mount: &Arc<Mount>| mount.profile.format() == Format::Opaque;
        Introspection {
            opaque: self.mounts.iter().any(opaque),
            imported: self
                .imports
                .any(|profile| profile.format() == Format::Jwt && self.serves(profile)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_auth::{Presented, authenticate};
    use crate::db::client::{self, Client};
    use crate::error::Refusal;
    use crate::grants::{client_credentials, refresh_token};
    use crate::issue::{Grantee, User, issue};
    use crate::{known_tokens, revoke};

    const SECRET: &str = "secret";

    /// A server on the database of a folder, which does not follow what others write there while nobody calls.
    async fn start(folder: &tempfile::TempDir) -> Arc<App> {
        let file = folder.path().join("auth.yaml");
        let text = "{ listen: 127.0.0.1:0, database: sqlite:auth.db, login_service: { url: http://127.0.0.1:1 }, \
                    feed: { credentials: [] }, mounts: [ { profile: spring, path: / } ] }";
        std::fs::write(&file, text).unwrap();
        let config = Config::read(&file).unwrap();
        let database = Database::open(&config.database_location()).await.unwrap();
        App::start(config, database, watch::channel(false).1).await.unwrap()
    }

    async fn register(app: &App, secret: &str, scopes: &[&str]) {
        let client = Client {
            client_id: "c".into(),
            profile: Profile::Spring,
            secret_mac: app.secret_key.mac("c", secret),
            imported_secret: None,
            grants: vec!["client_credentials".into(), "refresh_token".into()],
            scopes: scopes.iter().map(|&scope| scope.into()).collect(),
            authorities: Vec::new(),
            resource_ids: Vec::new(),
            redirect_uris: Vec::new(),
            response_types: Vec::new(),
            additional_information: Default::default(),
            access_token_validity: None,
            refresh_token_validity: None,
        };
        let mut write = app.database.write().await.unwrap();
        client::insert(&mut write, &client, clock::now_ms()).await.unwrap();
        write.commit().await.unwrap();
    }

    async fn log_in(app: &App, secret: &str) -> Result<Arc<Client>, Refusal> {
        let presented = Presented::Basic {
            client_id: "c".into(),
            secret: secret.into(),
        };
        authenticate(app, Profile::Spring, &presented).await
    }

    #[tokio::test]
    async fn a_client_that_another_server_registered_is_served_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (start(&folder).await, start(&folder).await);
        register(&a, SECRET, &["all"]).await;
        assert_eq!(log_in(&b, SECRET).await.unwrap().scopes, ["all"]);

        let mut write = a.database.write().await.unwrap();
        revoke::client(&mut write, "c", clock::now_ms()).await.unwrap();
        write.commit().await.unwrap();
        register(&a, "another", &["less"]).await;
        assert_eq!(log_in(&b, "another").await.unwrap().scopes, ["less"]);
    }

    #[tokio::test]
    async fn what_another_server_replaced_is_given_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (start(&folder).await, start(&folder).await);
        register(&a, SECRET, &["all"]).await;
        let before = log_in(&b, SECRET).await.unwrap();
        let mut write = a.database.write().await.unwrap();
        revoke::client(&mut write, "c", clock::now_ms()).await.unwrap();
        write.commit().await.unwrap();
        for registered_again in [false, true] {
            if registered_again {
                register(&a, "another", &["all"]).await;
            }
            let refused = client_credentials::grant(&b, Arc::clone(&before), vec!["all".into()]).await;
            assert!(matches!(refused, Err(Refusal::BadBasicCredentials)));
        }
    }

    #[tokio::test]
    async fn a_token_that_another_server_took_back_is_neither_given_again_nor_good() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b, c) = (start(&folder).await, start(&folder).await, start(&folder).await);
        register(&a, SECRET, &["all"]).await;
        let client = log_in(&b, SECRET).await.unwrap();
        let ask = async || client_credentials::grant(&b, Arc::clone(&client), vec!["all".into()]).await;
        let first = ask().await.unwrap();
        assert_eq!(ask().await.unwrap().access_token, first.access_token);
        let is_good = async || known_tokens::find(&c, &first.access_token).await.unwrap().is_some();
        assert!(is_good().await);

        let mut write = a.database.write().await.unwrap();
        let now_ms = clock::now_ms();
        revoke::access_token(&mut write, &first.token_id, first.expires_at_ms, now_ms)
            .await
            .unwrap();
        write.commit().await.unwrap();
        assert_ne!(ask().await.unwrap().access_token, first.access_token);
        assert!(!is_good().await);
    }

    #[tokio::test]
    async fn a_key_that_another_server_drew_is_known_when_it_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b, c) = (start(&folder).await, start(&folder).await, start(&folder).await);
        register(&a, SECRET, &["all"]).await;
        signing::rotate(&a.database, Profile::Spring, clock::now_ms())
            .await
            .unwrap();
        let later = clock::now_ms() + 60_000;
        let grantee = Grantee {
            grant: "password",
            client: log_in(&a, SECRET).await.unwrap(),
            user: Some(User {
                id: "u".into(),
                name: "u".into(),
            }),
            authorities: Vec::new(),
            scope: vec!["all".into()],
        };
        let first = issue(&a, &grantee, later).await.unwrap();
        let token = first.refresh_token.unwrap();
        // It is known: what fails is that nobody can say what the user may do.
        let refreshed = refresh_token::grant(&b, Arc::clone(&grantee.client), Vec::new(), &token).await;
        assert!(matches!(refreshed, Err(Refusal::Login(_))));

        let again = issue(&c, &grantee, later).await.unwrap();
        assert_eq!(again.access_token, first.access_token);
    }
}
