//! Clusters: where requests go.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, response};

/// Why a call had no answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CallError(pub String);

/// What a whole call answers.
pub type Answer = Result<(response::Parts, Bytes, Option<HeaderMap>), CallError>;

type Responder = Box<dyn Fn(Request<Bytes>) -> Pin<Box<dyn Future<Output = Answer>>>>;

/// The clusters as one worker sees them.
#[derive(Default)]
pub struct Clusters {
    responders: HashMap<String, Responder>,
}

impl Clusters {
    /// Adds a cluster that a function answers for.
    #[must_use]
    pub fn with<F: Future<Output = Answer> + 'static>(
        mut self,
        name: &str,
        respond: impl Fn(Request<Bytes>) -> F + 'static,
    ) -> Self {
        self.responders
            .insert(name.to_owned(), Box::new(move |request| Box::pin(respond(request))));
        self
    }

    /// Whether there is a cluster of that name.
    pub fn contains(&self, cluster: &str) -> bool {
        self.responders.contains_key(cluster)
    }

    /// One whole call.
    pub async fn call(&self, cluster: &str, request: Request<Bytes>, timeout: Duration) -> Answer {
        let Some(responder) = self.responders.get(cluster) else {
            return Err(CallError("unknown".into()));
        };
        tokio::time::timeout(timeout, responder(request))
            .await
            .unwrap_or_else(|_| Err(CallError("timeout".into())))
    }
}
