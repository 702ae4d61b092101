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
        let asked = tokio::time::timeout(check.timeout.get(), is_well(endpoint, &check.path.value)).await;
        let well = asked.unwrap_or(false);
        if endpoint.healthy.swap(well, Ordering::Relaxed) != well {
            let state = if well { "well" } else { "ill" };
            tracing::info!(
                cluster = cluster.name,
                endpoint = endpoint.authority,
                "endpoint is {state}"
            );
        }
    }
}

/// Whether a fresh connection answers the request with a status from 200 to 299.
async fn is_well(endpoint: &SharedEndpoint, path: &str) -> bool {
    let Ok(stream) = TcpStream::connect(endpoint.address).await else {
        return false;
    };
    let Ok((mut sender, connection)) = http1::handshake(TokioIo::new(stream)).await else {
        return false;
    };
    let Ok(host) = HeaderValue::from_str(&endpoint.authority) else {
        return false;
    };
    let request = Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, "postern-gateway health check")
        .body(Empty::<Bytes>::new());
    let Ok(request) = request else { return false };
    let answer = sender.send_request(request);
    tokio::select! {
        answer = answer => answer.is_ok_and(|answer| answer.status().is_success()),
        _ = connection => false,
    }
}
