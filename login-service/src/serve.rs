//! `postern-login serve`: from a configuration to a running service, and its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{interval, sleep};

use crate::app::App;
use crate::config::Loaded;
use crate::db::{self, Database, changes};
use crate::feed::Feed;
use crate::metrics::Metrics;
use crate::password::{self, Checker};
use crate::{clock, router};

/// How long requests that are being answered may take once the service stops.
const GRACE: Duration = Duration::from_secs(10);

/// How often changes that are older than the retention are forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// Serves until SIGTERM or SIGINT.
pub async fn serve(loaded: Loaded) -> Result<(), Error> {
    let database = Database::open(&loaded.database()).await.map_err(|cause| Error::Open {
        key: loaded.database_key(),
        cause,
    })?;
    let address = loaded.config.listen.value;
    let listener = TcpListener::bind(address).await.map_err(|cause| Error::Listen {
        key: loaded.listen_key(),
        address,
        cause,
    })?;
    let address = listener.local_addr()?;

    let retention_seconds = loaded.config.changed_user_retention.seconds;
    prune_once(&database, retention_seconds).await?;
    let app = Arc::new(App {
        feed: Feed::open(database.clone(), retention_seconds).await?,
        passwords: Checker::new(&loaded.config.password_checks)?,
        credentials: loaded.config.credentials.value.clone(),
        open_reserved: loaded.config.danger_open_reserved,
        metrics: Metrics::default(),
        database: database.clone(),
    });
    tokio::spawn(follow(Arc::clone(&app)));
    tokio::spawn(prune(database.clone(), retention_seconds));

    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = {
        let app = Arc::clone(&app);
        async move {
            tokio::select! { _ = terminated.recv() => {}, _ = interrupted.recv() => {} }
            tracing::info!("stopping");
            app.feed.stop();
        }
    };
    let listener = listener.tap_io(|stream| {
        // An answer to a held poll is one small write that must not wait for another.
        if let Err(cause) = stream.set_nodelay(true) {
            tracing::debug!(%cause, "cannot set TCP_NODELAY");
        }
    });
    let serving = axum::serve(listener, router::router(Arc::clone(&app))).with_graceful_shutdown(stop);
    greet(address, &loaded);
    tokio::select! {
        ended = serving.into_future() => ended?,
        () = grace(&app) => tracing::warn!("some requests did not end in time"),
    }
    database.close().await;
    Ok(())
}

/// Where the service listens, and what to try next.
fn greet(address: SocketAddr, loaded: &Loaded) {
    let file = loaded.file.display();
    eprintln!("postern-login: listening on http://{address}");
    if loaded.config.danger_open_reserved {
        eprintln!("postern-login: danger_open_reserved is on: anybody who reaches this port may try passwords");
        eprintln!("  try: curl 'http://{address}/getAllPermission'");
    } else {
        eprintln!("  try: curl -u USER:PASSWORD 'http://{address}/getAllPermission'   (credentials of {file})");
    }
    eprintln!("  add a user: postern-login --config {file} user add NAME --password-stdin");
}

async fn follow(app: Arc<App>) {
    app.feed.follow().await;
}

/// Forgets changes that are older than the retention, from time to time.
async fn prune(database: Database, retention_seconds: i64) {
    let mut ticks = interval(PRUNE_EVERY);
    // The first tick is at once, and that was done before the service listened.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if let Err(cause) = prune_once(&database, retention_seconds).await {
            tracing::warn!(%cause, "cannot forget old changes; trying again in an hour");
        }
    }
}

async fn prune_once(database: &Database, retention_seconds: i64) -> Result<(), db::Error> {
    let mut write = database.write().await?;
    let forgotten = changes::prune(&mut write, clock::now_ms() / 1000 - retention_seconds).await?;
    db::commit(write).await?;
    if forgotten > 0 {
        tracing::info!(forgotten, "forgot changes older than the retention");
    }
    Ok(())
}

/// Ends when the service has been stopping for [`GRACE`].
async fn grace(app: &App) {
    app.feed.stopped().await;
    sleep(GRACE).await;
}

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database of the configuration.
    #[error("{key}: {cause}")]
    Open {
        /// `FILE:LINE: KEY`
        key: String,
        /// What is wrong with it.
        cause: db::OpenError,
    },
    /// The address of the configuration.
    #[error("{key}: cannot listen on {address}: {cause}; stop the program that has the port, or choose another")]
    Listen {
        /// `FILE:LINE: KEY`
        key: String,
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        cause: io::Error,
    },
    /// The database, later.
    #[error(transparent)]
    Database(#[from] db::Error),
    /// Hashing does not work here.
    #[error(transparent)]
    Password(#[from] password::Error),
    /// Sockets or signals.
    #[error("cannot serve: {0}")]
    Io(#[from] io::Error),
}
