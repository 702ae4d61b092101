//! `postern-auth serve`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::app::App;
use crate::config::Config;
use crate::db::Database;
use crate::db::observer::Observer;
use crate::{follow, janitor, router};

/// How long open requests may take to finish after a signal.
const LONGEST_STOP: Duration = Duration::from_secs(10);

/// Serves until SIGTERM or SIGINT, then answers what is open and stops.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = listen(&config)?;
    let address = listener.local_addr()?;
    let database = Database::open(&config.database_location()).await?;
    let (stop, stopping) = watch::channel(false);
    let observer = Observer::new(&database).await?;
    let app = App::start(config, database.clone(), stopping.clone())
        .await
        .context("the database cannot be read")?;
    tokio::spawn(follow::follow(Arc::clone(&app), observer));
    tokio::spawn(janitor::clean(Arc::clone(&app)));

    say_hello(&app, &address.to_string());
    let nodelay = |stream: &mut tokio::net::TcpStream| {
        let _ = stream.set_nodelay(true);
    };
    let mut asked = stopping.clone();
    let server = axum::serve(listener.tap_io(nodelay), router::router(app)).with_graceful_shutdown(async move {
        let _ = asked.wait_for(|stopping| *stopping).await;
    });
    let signals = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        // Wakes the held polls too, so that nobody waits for theirs to end.
        let _ = stop.send(true);
        tokio::time::sleep(LONGEST_STOP).await;
    };
    tokio::select! {
        ended = server.into_future() => ended.context("serving failed")?,
        () = signals => tracing::warn!("some requests did not end in time and were cut off"),
    }
    database.close().await;
    Ok(())
}

fn listen(config: &Config) -> anyhow::Result<TcpListener> {
    let address = config.listen;
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // A restart need not wait for the connections of the last run to leave the kernel's tables.
    socket.set_reuseaddr(true)?;
    socket
        .bind(address)
        .and_then(|()| socket.listen(4096))
        .with_context(|| {
            format!("cannot listen on {address}; choose another address under `listen`, or stop what has it")
        })
}

fn say_hello(app: &App, address: &str) {
    let mounts: Vec<String> = app
        .mounts
        .iter()
        .map(|mount| format!("{} at {}/", mount.profile.name(), mount.path.value))
        .collect();
    let mounts = if mounts.is_empty() {
        "no legacy profile".to_owned()
    } else {
        mounts.join(", ")
    };
    eprintln!("postern-auth listens on http://{address} ({mounts})");
    if let Some(mount) = app.mounts.first() {
        let url = format!("http://{address}{}/oauth/token", mount.path.value);
        eprintln!("try: curl -u CLIENT:SECRET -d 'grant_type=password&username=USER&password=PASSWORD' {url}");
    }
}
