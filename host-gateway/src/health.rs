//! Active health checks: asks the endpoints of a cluster regularly, beside the workers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::cluster::{SharedCluster, SharedEndpoint};
use crate::config::HealthCheck;

/// Starts one task per endpoint of the clusters that want it, on the current `LocalSet`.
pub fn start(clusters: &Arc<[Arc<SharedCluster>]>) {
    for cluster in clusters.iter() {
        let Some(check) = &cluster.health_check else { continue };
        for place in 0..cluster.endpoints.len() {
            tokio::task::spawn_local(watch(Arc::clone(cluster), place, check.clone()));
        }
    }
}

async fn watch(cluster: Arc<SharedCluster>, place: usize, check: HealthCheck) {
    let endpoint = &cluster.endpoints[place];
    let mut times = tokio::time::interval(check.interval.get().max(std::time::Duration::from_millis(10)));
    times.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        let asked = tokio::time::timeout(check.timeout.get(), ask(endpoint, &check.path.value)).await;
        let asked = asked.unwrap_or_else(|_| Err("there is no answer within health_check.timeout".to_owned()));
        if endpoint.healthy.swap(asked.is_ok(), Ordering::Relaxed) != asked.is_ok() {
            let (cluster, endpoint) = (&cluster.name, &endpoint.authority);
            match asked {
                Ok(()) => tracing::info!(cluster, endpoint, "endpoint is well"),
                Err(reason) => tracing::warn!(
                    cluster,
                    endpoint,
                    reason,
                    "endpoint is ill: it is asked no more, if others are well"
                ),
            }
        }
    }
}

/// Whether a fresh connection answers the request with a status from 200 to 299; if not, why.
async fn ask(endpoint: &SharedEndpoint, path: &str) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let stream = TcpStream::connect(endpoint.address)
        .await
        .map_err(|error| text(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| text(&error))?;
    let host = HeaderValue::from_str(&endpoint.authority).map_err(|error| text(&error))?;
    let request = Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, "postern-gateway health check")
        .body(Empty::<Bytes>::new())
        .map_err(|error| text(&error))?;
    // It ends with the sender, and may end with the answer: what it ends with is told by the answer.
    tokio::task::spawn_local(connection);
    let answer = sender.send_request(request).await.map_err(|error| text(&error))?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("it answers {}", status.as_u16())),
    }
}
