//! `postern-demo provider`: a service that has data.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use crate::json::json;
use crate::metrics::{self, Counter};

/// Every route of the provider.
pub fn router() -> Router {
    Router::new()
        .route("/data", get(data))
        .route("/health/live", get(up))
        .route("/health/ready", get(up))
        .route("/metrics", get(page))
        .with_state(Arc::default())
}

/// What `/data` answers.
#[derive(Serialize)]
struct Data {
    items: [Item; 2],
}

#[derive(Serialize)]
struct Item {
    id: u32,
    name: &'static str,
}

async fn data(State(requests): State<Arc<Counter>>) -> Response {
    requests.add();
    json(&Data {
        items: [Item { id: 1, name: "first" }, Item { id: 2, name: "second" }],
    })
}

async fn up() -> &'static str {
    "ok"
}

async fn page(State(requests): State<Arc<Counter>>) -> String {
    let mut page = String::new();
    let help = "Requests for data.";
    metrics::family(
        &mut page,
        "postern_demo_provider_requests_total",
        "counter",
        help,
        &[("", requests.get())],
    );
    page
}
