//! The service's side of the provider: one call, cut off after a time, behind a circuit breaker.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use crate::breaker::{Breaker, Rules};
use crate::clock;

/// A provider that takes longer is as good as none.
const TIMEOUT: Duration = Duration::from_millis(500);

const RULES: Rules = Rules {
    failures: 3,
    pause: Duration::from_secs(2),
};

/// More bytes than any answer of the provider has.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// The provider, as the service sees it.
#[derive(Debug)]
pub struct Provider {
    client: Client<HttpConnector, Empty<Bytes>>,
    data: Uri,
    breaker: Mutex<Breaker>,
}

/// What the provider answers at `/data`.
#[derive(Debug, Deserialize)]
struct Answer {
    items: Vec<Value>,
}

impl Provider {
    /// The provider at `http://HOST:PORT`.
    pub fn new(base: &Uri) -> Self {
        let mut parts = base.clone().into_parts();
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/data"));
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            data: Uri::from_parts(parts).unwrap_or_default(),
            breaker: Mutex::new(Breaker::new(RULES)),
        }
    }

    /// The provider's items. `Err` at once where the breaker is open, after half a second at the latest otherwise.
    pub async fn items(&self) -> Result<Vec<Value>, Error> {
        if !self.breaker().permits(clock::now()) {
            return Err(Error::Open);
        }
        let outcome = match timeout(TIMEOUT, self.fetch()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Slow),
        };
        match &outcome {
            Ok(_) => self.breaker().succeeded(),
            Err(_) => self.breaker().failed(clock::now()),
        }
        outcome
    }

    /// Whether the breaker is open.
    pub fn is_open(&self) -> bool {
        self.breaker().is_open()
    }

    async fn fetch(&self) -> Result<Vec<Value>, Error> {
        let answer = self.client.get(self.data.clone()).await.map_err(Error::Unreachable)?;
        if !answer.status().is_success() {
            return Err(Error::Status(answer.status().as_u16()));
        }
        let body = Limited::new(answer.into_body(), LONGEST_ANSWER)
            .collect()
            .await
            .map_err(|_| Error::Malformed)?;
        let answer: Answer = serde_json::from_slice(&body.to_bytes()).map_err(|_| Error::Malformed)?;
        Ok(answer.items)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no data.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It failed too often lately to be asked.
    #[error("the circuit breaker is open")]
    Open,
    /// No answer within [`TIMEOUT`].
    #[error("no answer in time")]
    Slow,
    /// No connection.
    #[error("cannot reach it: {0}")]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    /// An answer other than success.
    #[error("it answered {0}")]
    Status(u16),
    /// A body that breaks off, is too long, or is no answer of a provider.
    #[error("it answered something else than data")]
    Malformed,
}
