//! `postern-demo service`: what clients call through the gateway.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::BodyExt as _;
use serde::Serialize;
use serde_json::Value;

use crate::json::json;
use crate::metrics::{self, Counter};
use crate::provider_client::{Error, Provider};

/// The identity headers that the filter sets.
const IDENTITY_HEADERS: [&str; 5] = ["x-user-id", "x-user-name", "x-client-id", "x-authorities", "x-scope"];

#[derive(Debug)]
struct Service {
    provider: Provider,
    from_provider: Counter,
    from_fallback: Counter,
}

/// Every route of the service.
pub fn router(provider: &Uri) -> Router {
    let service = Service {
        provider: Provider::new(provider),
        from_provider: Counter::default(),
        from_fallback: Counter::default(),
    };
    Router::new()
        .route("/demo/test", any(ok))
        .route("/demo/test2", any(ok))
        .route("/demo/admin/report", any(ok))
        .route("/demo/echo", any(echo))
        .route("/demo/data", any(data))
        .route("/health/live", get(ok))
        .route("/health/ready", get(ok))
        .route("/metrics", get(page))
        .with_state(Arc::new(service))
}

async fn ok() -> &'static str {
    "ok"
}

/// What a request looked like when it arrived.
#[derive(Serialize)]
struct Echo {
    method: String,
    path: String,
    query: Option<String>,
    /// Those of [`IDENTITY_HEADERS`] that were there; several of one name joined by `, `.
    headers: BTreeMap<&'static str, String>,
    body_bytes: usize,
}

async fn echo(request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let mut body_bytes = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => body_bytes += frame.data_ref().map_or(0, |data| data.len()),
            Err(_) => return StatusCode::BAD_REQUEST.into_response(),
        }
    }
    json(&Echo {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: identity(&parts.headers),
        body_bytes,
    })
}

fn identity(headers: &HeaderMap) -> BTreeMap<&'static str, String> {
    IDENTITY_HEADERS
        .into_iter()
        .filter(|name| headers.contains_key(*name))
        .map(|name| {
            let values: Vec<_> = headers
                .get_all(name)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            (name, values.join(", "))
        })
        .collect()
}

/// What `/demo/data` answers, 200 in every case.
#[derive(Serialize)]
struct Data {
    /// `provider` or `fallback`.
    source: &'static str,
    items: Vec<Value>,
}

async fn data(State(service): State<Arc<Service>>) -> Response {
    match service.provider.items().await {
        Ok(items) => {
            service.from_provider.add();
            json(&Data {
                source: "provider",
                items,
            })
        }
        Err(error) => {
            service.from_fallback.add();
            match error {
                // Said once, by the attempts that opened it.
                Error::Open => {}
                error => tracing::warn!(cause = %error, "the provider gave no data; answering the fallback"),
            }
            json(&Data {
                source: "fallback",
                items: Vec::new(),
            })
        }
    }
}

async fn page(State(service): State<Arc<Service>>) -> String {
    let mut page = String::new();
    let answers = [
        ("{source=\"provider\"}", service.from_provider.get()),
        ("{source=\"fallback\"}", service.from_fallback.get()),
    ];
    metrics::family(
        &mut page,
        "postern_demo_data_total",
        "counter",
        "Answers of /demo/data by source.",
        &answers,
    );
    let help = "1 while the circuit breaker to the provider is open.";
    let open = [("", u64::from(service.provider.is_open()))];
    metrics::family(&mut page, "postern_demo_breaker_open", "gauge", help, &open);
    page
}
