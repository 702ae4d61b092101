//! Tasks that belong to plugins: HTTP calls, ticks, restarts.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Starts tasks on the worker from anywhere, even while its `LocalSet` is being torn down: then they are dropped.
#[derive(Clone)]
pub(crate) struct Tasks(UnboundedSender<Pin<Box<dyn Future<Output = ()>>>>);

impl Tasks {
    /// Must be called inside a `LocalSet`.
    pub(crate) fn start() -> Self {
        let (sender, mut receiver) = unbounded_channel();
        tokio::task::spawn_local(async move {
            while let Some(task) = receiver.recv().await {
                tokio::task::spawn_local(task);
            }
        });
        Self(sender)
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        // An error says that the worker is gone, and with it the one the task is for.
        let _ = self.0.send(Box::pin(task));
    }
}
