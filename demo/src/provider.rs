//! `postern-demo provider`: a service that has data.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

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

async fn data(State(requests): State<Arc<Counter>>) -> Json<Value> {
    requests.add();
    Json(json!({ "items": [{ "id": 1, "name": "first" }, { "id": 2, "name": "second" }] }))
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
