//! What every request can reach.

use crate::config::Credentials;
use crate::db::Database;
use crate::feed::Feed;
use crate::metrics::Metrics;
use crate::password::Checker;

/// The running service.
#[derive(Debug)]
pub struct App {
    /// Users, roles and permissions.
    pub database: Database,
    /// The feed of the gateways.
    pub feed: Feed,
    /// Bounded password checks.
    pub passwords: Checker,
    /// Who may call.
    pub credentials: Vec<Credentials>,
    /// The reserved interfaces answer anybody.
    pub open_reserved: bool,
    /// What `/metrics` shows.
    pub metrics: Metrics,
}
