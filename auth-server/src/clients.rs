//! The registered clients in memory: every call looks one up, and hardly any changes them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sqlx::AnyConnection;
use tokio::sync::Mutex;

use crate::db::client::{self, Client};

/// Every client by its id, as of the last change.
#[derive(Default)]
pub struct Clients {
    by_id: RwLock<HashMap<String, Arc<Client>>>,
    loading: Mutex<()>,
}

impl Clients {
    /// Takes the clients as they stand in the database. One at a time: what was read earlier never replaces what was read
    /// later.
    pub async fn load(&self, connection: &mut AnyConnection) -> sqlx::Result<()> {
        let _turn = self.loading.lock().await;
        let clients = client::all(connection).await?;
        let clients = clients
            .into_iter()
            .map(|client| (client.client_id.clone(), Arc::new(client)))
            .collect();
        *self.by_id.write().unwrap_or_else(PoisonError::into_inner) = clients;
        Ok(())
    }

    /// Whether there is a client of that kind.
    pub fn any(&self, is_one: impl Fn(&Client) -> bool) -> bool {
        let clients = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        clients.values().any(|client| is_one(client))
    }

    /// The client of that id.
    pub fn find(&self, client_id: &str) -> Option<Arc<Client>> {
        self.by_id
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(client_id)
            .cloned()
    }
}
