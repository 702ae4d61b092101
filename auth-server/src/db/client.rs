//! Registered OAuth clients.

use std::collections::HashSet;

use sqlx::AnyConnection;

use crate::db::{join, split};
use crate::profiles::Profile;

/// A registered client. Lists keep the order of registration: it is the order of scopes in answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The id it authenticates with.
    pub client_id: String,
    /// The one contract whose mounts serve it.
    pub profile: Profile,
    /// HMAC of its secret, see [`crate::secret`].
    pub secret_mac: Vec<u8>,
    /// A bcrypt hash of its secret from an import, as long as the client has not shown the secret since.
    pub imported_secret: Option<String>,
    /// The grants it may use.
    pub grants: Vec<String>,
    /// The scopes it may ask for; empty: any.
    pub scopes: Vec<String>,
    /// The authorities of its own tokens (client_credentials).
    pub authorities: Vec<String>,
    /// The resources its tokens are for: their `aud`.
    pub resource_ids: Vec<String>,
    /// Where authorization answers may be sent.
    pub redirect_uris: Vec<String>,
    /// What may be answered at the authorization endpoint: `code`, `token`.
    pub response_types: Vec<String>,
    /// A JSON object: what profile `principal` says of the client, for one.
    pub additional_information: serde_json::Map<String, serde_json::Value>,
    /// Seconds; `None`: the profile's default; 0 or less: for ever.
    pub access_token_validity: Option<i64>,
    /// Seconds; `None`: the profile's default; 0 or less: for ever.
    pub refresh_token_validity: Option<i64>,
}

impl Client {
    /// Whether the client may use a grant.
    pub fn may_use(&self, grant: &str) -> bool {
        self.grants.iter().any(|registered| registered == grant)
    }

    /// Whether this is the same registration: nothing of it was changed but that an imported secret is kept as others are.
    pub fn is_still(&self, before: &Self) -> bool {
        self == before
            || before.imported_secret.is_some()
                && *self
                    == Self {
                        secret_mac: self.secret_mac.clone(),
                        imported_secret: None,
                        ..before.clone()
                    }
    }

    /// The authorities of its own tokens, as they stand there.
    pub fn sorted_authorities(&self) -> Vec<String> {
        let mut authorities = self.authorities.clone();
        authorities.sort_unstable();
        authorities.dedup();
        authorities
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    client_id: String,
    profile: String,
    secret_mac: Vec<u8>,
    imported_secret: Option<String>,
    grants: String,
    scopes: String,
    authorities: String,
    resource_ids: String,
    redirect_uris: String,
    response_types: String,
    additional_information: String,
    access_token_validity: Option<i64>,
    refresh_token_validity: Option<i64>,
}

impl TryFrom<Row> for Client {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        Ok(Self {
            profile: row
                .profile
                .parse()
                .map_err(|error: String| sqlx::Error::Decode(error.into()))?,
            client_id: row.client_id,
            secret_mac: row.secret_mac,
            imported_secret: row.imported_secret,
            grants: split(&row.grants),
            scopes: split(&row.scopes),
            authorities: split(&row.authorities),
            resource_ids: split(&row.resource_ids),
            redirect_uris: split(&row.redirect_uris),
            response_types: split(&row.response_types),
            additional_information: serde_json::from_str(&row.additional_information)
                .map_err(|error| sqlx::Error::Decode(error.into()))?,
            access_token_validity: row.access_token_validity,
            refresh_token_validity: row.refresh_token_validity,
        })
    }
}

/// Every client, by id.
pub async fn all(connection: &mut AnyConnection) -> sqlx::Result<Vec<Client>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT client_id, profile, secret_mac, imported_secret, grants, scopes, authorities, resource_ids, redirect_uris, \
         response_types, additional_information, access_token_validity, refresh_token_validity FROM client",
    )
    .fetch_all(connection)
    .await?;
    let mut clients: Vec<Client> = rows.into_iter().map(Client::try_from).collect::<sqlx::Result<_>>()?;
    // PostgreSQL would order them as its locale does.
    clients.sort_unstable_by(|a, b| a.client_id.cmp(&b.client_id));
    Ok(clients)
}

/// The client of that id.
pub async fn find(connection: &mut AnyConnection, client_id: &str) -> sqlx::Result<Option<Client>> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT client_id, profile, secret_mac, imported_secret, grants, scopes, authorities, resource_ids, redirect_uris, \
         response_types, additional_information, access_token_validity, refresh_token_validity FROM client \
         WHERE client_id = $1",
    )
    .bind(client_id)
    .fetch_optional(connection)
    .await?;
    row.map(Client::try_from).transpose()
}

/// The ids of a profile's clients.
pub async fn ids(connection: &mut AnyConnection, profile: Profile) -> sqlx::Result<HashSet<String>> {
    let ids: Vec<String> = sqlx::query_scalar("SELECT client_id FROM client WHERE profile = $1")
        .bind(profile.name())
        .fetch_all(connection)
        .await?;
    Ok(ids.into_iter().collect())
}

/// Whether the client is still registered.
pub async fn exists(connection: &mut AnyConnection, client_id: &str) -> sqlx::Result<bool> {
    let found: Option<String> = sqlx::query_scalar("SELECT client_id FROM client WHERE client_id = $1")
        .bind(client_id)
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

/// The name of the profile that a client is registered for.
pub async fn profile_of(connection: &mut AnyConnection, client_id: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT profile FROM client WHERE client_id = $1")
        .bind(client_id)
        .fetch_optional(connection)
        .await
}

/// Registers a client.
pub async fn insert(connection: &mut AnyConnection, client: &Client, now_ms: i64) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO client (client_id, profile, secret_mac, imported_secret, grants, scopes, authorities, resource_ids, \
         redirect_uris, response_types, additional_information, access_token_validity, refresh_token_validity, \
         created_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(client.client_id.as_str())
    .bind(client.profile.name())
    .bind(client.secret_mac.clone())
    .bind(client.imported_secret.clone())
    .bind(join(&client.grants))
    .bind(join(&client.scopes))
    .bind(join(&client.authorities))
    .bind(join(&client.resource_ids))
    .bind(join(&client.redirect_uris))
    .bind(join(&client.response_types))
    .bind(serde_json::Value::from(client.additional_information.clone()).to_string())
    .bind(client.access_token_validity)
    .bind(client.refresh_token_validity)
    .bind(now_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Puts everything in the place of what a registered client has, except its profile.
pub async fn update(connection: &mut AnyConnection, client: &Client) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE client SET secret_mac = $2, imported_secret = $3, grants = $4, scopes = $5, authorities = $6, \
         resource_ids = $7, redirect_uris = $8, response_types = $9, additional_information = $10, \
         access_token_validity = $11, refresh_token_validity = $12 WHERE client_id = $1",
    )
    .bind(client.client_id.as_str())
    .bind(client.secret_mac.clone())
    .bind(client.imported_secret.clone())
    .bind(join(&client.grants))
    .bind(join(&client.scopes))
    .bind(join(&client.authorities))
    .bind(join(&client.resource_ids))
    .bind(join(&client.redirect_uris))
    .bind(join(&client.response_types))
    .bind(serde_json::Value::from(client.additional_information.clone()).to_string())
    .bind(client.access_token_validity)
    .bind(client.refresh_token_validity)
    .execute(connection)
    .await?;
    Ok(())
}

/// The client has shown the secret of an imported hash: from now on it is kept as all others are. `false`: that hash is
/// not the client's any more.
pub async fn replace_secret(
    connection: &mut AnyConnection,
    client_id: &str,
    imported_secret: &str,
    secret_mac: &[u8],
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE client SET secret_mac = $3, imported_secret = NULL WHERE client_id = $1 AND imported_secret = $2",
    )
    .bind(client_id)
    .bind(imported_secret)
    .bind(secret_mac.to_vec())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets a client; `false`: there was none.
pub async fn delete(connection: &mut AnyConnection, client_id: &str) -> sqlx::Result<bool> {
    let done = sqlx::query("DELETE FROM client WHERE client_id = $1")
        .bind(client_id)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}
