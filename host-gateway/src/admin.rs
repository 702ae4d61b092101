//! The operator's listener: health, readiness, metrics.

use std::convert::Infallible;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::cluster::SharedCluster;
use crate::metrics::Metrics;
use crate::plugin::PluginProcess;

/// What the answers are made of.
#[derive(Clone)]
pub struct Admin {
    /// All workers serve, and the gateway is not stopping.
    pub ready: Arc<AtomicBool>,
    pub metrics: Arc<Metrics>,
    pub process: Arc<PluginProcess>,
    pub clusters: Arc<[Arc<SharedCluster>]>,
}

/// Answers operators until the runtime ends.
pub async fn serve(listener: StdListener, admin: Admin) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let admin = admin.clone();
        tokio::task::spawn_local(async move {
            let answer = service_fn(|request| {
                let answer = admin.answer(&request);
                async { Ok::<_, Infallible>(answer) }
            });
            // An operator who leaves early is no event.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(60))
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

impl Admin {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        }
        match request.uri().path() {
            "/health/live" => text(StatusCode::OK, "ok\n"),
            "/health/ready" if self.ready.load(Ordering::Relaxed) => text(StatusCode::OK, "ok\n"),
            "/health/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            "/metrics" => self.render_metrics(),
            _ => text(StatusCode::NOT_FOUND, "try /health/live, /health/ready or /metrics\n"),
        }
    }

    fn render_metrics(&self) -> Response<Full<Bytes>> {
        let mut out = String::new();
        self.metrics.render(&mut out);
        out.push_str("# HELP postern_gateway_endpoint_healthy What the last health check said.\n");
        out.push_str("# TYPE postern_gateway_endpoint_healthy gauge\n");
        for cluster in self.clusters.iter().filter(|cluster| cluster.health_check.is_some()) {
            for endpoint in &cluster.endpoints {
                let healthy = u8::from(endpoint.healthy.load(Ordering::Relaxed));
                let (name, authority) = (&cluster.name, &endpoint.authority);
                out.push_str(&format!(
                    "postern_gateway_endpoint_healthy{{cluster=\"{name}\",endpoint=\"{authority}\"}} {healthy}\n"
                ));
            }
        }
        self.process.render_metrics(&mut out);
        text(StatusCode::OK, out)
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let prometheus = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, prometheus);
    response
}
