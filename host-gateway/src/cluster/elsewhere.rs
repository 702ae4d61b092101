//! Clusters without a network: somebody else answers what plugins ask of them. For programs that host plugins without the
//! proxy, and for tests of plugins.

use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response};

use super::CallError;

/// The answer to a call, or how it failed.
pub type Answering = Pin<Box<dyn Future<Output = Result<Response<Bytes>, CallError>>>>;

/// Takes the name of a cluster and what is asked of it.
type Answerer = dyn Fn(&str, Request<Bytes>) -> Answering;

/// The names of clusters, and who answers for them.
pub(super) struct Elsewhere {
    names: Vec<String>,
    answer: Box<Answerer>,
}

impl Elsewhere {
    pub(super) fn new(
        names: impl IntoIterator<Item = impl Into<String>>,
        answer: impl Fn(&str, Request<Bytes>) -> Answering + 'static,
    ) -> Self {
        Self {
            names: names.into_iter().map(Into::into).collect(),
            answer: Box::new(answer),
        }
    }

    pub(super) fn contains(&self, cluster: &str) -> bool {
        self.names.iter().any(|name| name == cluster)
    }

    pub(super) fn call(&self, cluster: &str, request: Request<Bytes>) -> Answering {
        (self.answer)(cluster, request)
    }
}
