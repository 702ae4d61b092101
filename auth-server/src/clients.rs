//! The registered clients in memory: every call looks one up, and hardly any changes them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sqlx::AnyConnection;
use tokio::sync::Mutex;

use crate::db::Database;
use crate::db::client::{self, Client};
use crate::profiles::Profile;

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

    /// The client of a profile with that id. One that is not known here may have been registered by another process a
    /// moment ago.
    pub async fn of_profile(
        &self,
        database: &Database,
        profile: Profile,
        client_id: &str,
    ) -> sqlx::Result<Option<Arc<Client>>> {
        let known = self.find(client_id);
        if let Some(client) = known.clone().filter(|client| client.profile == profile) {
            return Ok(Some(client));
        }
        let mut read = database.read().await?;
        let renewed = self.renewed(&mut read, client_id, known.as_deref()).await?;
        Ok(renewed.filter(|client| client.profile == profile))
    }

    /// The client of that id as it stands in the database, if that is not what the caller knows: another process may have
    /// registered it a moment ago.
    pub async fn renewed(
        &self,
        connection: &mut AnyConnection,
        client_id: &str,
        known: Option<&Client>,
    ) -> sqlx::Result<Option<Arc<Client>>> {
        let _turn = self.loading.lock().await;
        let stored = client::find(connection, client_id).await?.map(Arc::new);
        let mut by_id = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        match &stored {
            Some(client) => by_id.insert(client_id.to_owned(), Arc::clone(client)),
            None => by_id.remove(client_id),
        };
        Ok(stored.filter(|stored| Some(&**stored) != known))
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
