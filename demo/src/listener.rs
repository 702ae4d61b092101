//! What both services do alike: listen, greet, stop.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

/// How long requests that are being answered may take once the program stops.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or SIGINT. `example` is a path to try.
pub async fn serve(name: &str, address: SocketAddr, example: &str, router: Router) -> Result<(), Error> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|cause| Error::Listen { address, cause })?;
    let address = listener.local_addr()?;
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (stopping, mut stopped) = watch::channel(false);
    let stop = async move {
        tokio::select! { _ = terminated.recv() => {}, _ = interrupted.recv() => {} }
        tracing::info!("stopping");
        stopping.send_replace(true);
    };
    let listener = listener.tap_io(|stream| {
        if let Err(cause) = stream.set_nodelay(true) {
            tracing::debug!(%cause, "cannot set TCP_NODELAY");
        }
    });
    eprintln!("postern-demo {name}: listening on http://{address}");
    eprintln!("  try: curl http://{address}{example}");
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop);
    let grace = async {
        // An error means that the sender is gone, after it has sent.
        let _ = stopped.wait_for(|stopped| *stopped).await;
        sleep(GRACE).await;
    };
    tokio::select! {
        ended = serving.into_future() => ended?,
        () = grace => tracing::warn!("some requests did not end in time"),
    }
    Ok(())
}

/// Why a service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken or not ours.
    #[error("--listen {address}: {cause}; stop the program that has the port, or choose another")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        cause: io::Error,
    },
    /// Sockets, signals or threads.
    #[error("cannot serve: {0}")]
    Io(#[from] io::Error),
}
