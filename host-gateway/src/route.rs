//! Which cluster serves a path.

use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;

use crate::config::{Config, Metadata, Upgrade};
use crate::proxy::{is_respelled, is_unambiguous, may_be_respelled};

/// One route, with its cluster as an index into the clusters in the order of their names.
#[derive(Debug)]
pub struct Route {
    /// Place in the configuration.
    pub entry: usize,
    pub prefix: String,
    pub cluster: usize,
    /// Bytes taken off the front of the path before it goes upstream.
    pub strip: usize,
    /// Longest wait for the head of the response.
    pub timeout: Option<Duration>,
    pub retries: u32,
    /// A client may go on in the WebSocket protocol.
    pub websocket: bool,
    /// Of a connection that has become one.
    pub idle_timeout: Option<Duration>,
    /// For plugins.
    pub metadata: Metadata,
}

/// The routes, the longest prefix first.
#[derive(Debug)]
pub struct RouteTable {
    routes: Vec<Route>,
    /// Some route switches plugins on or off, or configures them: what reads the path must read it as the upstream does.
    chooses_plugins: bool,
    /// Some prefix has characters that a path may write in several ways.
    respelled: bool,
}

impl RouteTable {
    pub fn new(config: &Config) -> Self {
        let cluster = |name: &str| config.clusters.keys().position(|known| known == name);
        let mut routes: Vec<Route> = config
            .routes
            .iter()
            .enumerate()
            .filter_map(|(entry, route)| {
                Some(Route {
                    entry,
                    prefix: route.prefix.value.clone(),
                    cluster: cluster(&route.cluster.value)?,
                    strip: route
                        .strip_prefix
                        .as_ref()
                        .map_or(0, |strip| strip.value.trim_end_matches('/').len()),
                    timeout: route.timeout.limit(),
                    retries: route.retries,
                    websocket: route.upgrades.contains(&Upgrade::Websocket),
                    idle_timeout: route.idle_timeout.limit(),
                    metadata: route.metadata.clone(),
                })
            })
            .collect();
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        Self {
            routes,
            chooses_plugins: config.has_route_plugins(),
            respelled: config.routes.iter().any(|route| may_be_respelled(&route.prefix.value)),
        }
    }

    /// Whether the route of a path (without its query) may decide about plugins: the upstream cannot read the path as that
    /// of another route.
    pub fn may_choose_by(&self, path: &str) -> bool {
        !self.chooses_plugins || (is_unambiguous(path) && !(self.respelled && is_respelled(path)))
    }

    /// A route by its place.
    pub fn get(&self, place: usize) -> Option<&Route> {
        self.routes.get(place)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// The place of a path's route in the table.
    pub fn place(&self, path: &str) -> Option<usize> {
        self.find(path).map(|(place, _)| place)
    }

    /// The route of a path without its query, and its place in the table.
    pub fn find(&self, path: &str) -> Option<(usize, &Route)> {
        self.routes.iter().enumerate().find(|(_, route)| route.matches(path))
    }
}

impl Route {
    /// A prefix ends at a segment boundary, as `path_separated_prefix` does in Envoy.
    fn matches(&self, path: &str) -> bool {
        path.strip_prefix(self.prefix.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || self.prefix.ends_with('/'))
    }

    /// The request target for the upstream: origin form, without the stripped prefix. `None` when what is left is no
    /// target.
    pub fn target(&self, uri: &Uri) -> Option<Uri> {
        let whole = uri.path_and_query()?;
        let rest = &whole.as_str()[self.strip..];
        let target = if self.strip == 0 {
            whole.clone()
        } else if rest.starts_with('/') {
            PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(rest.as_bytes())).ok()?
        } else {
            PathAndQuery::try_from(format!("/{rest}")).ok()?
        };
        Some(Uri::from(target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(prefix: &str, strip: usize) -> Route {
        Route {
            entry: 0,
            prefix: prefix.to_owned(),
            cluster: 0,
            strip,
            timeout: None,
            retries: 0,
            websocket: false,
            idle_timeout: None,
            metadata: Metadata::default(),
        }
    }

    #[test]
    fn prefixes_end_at_segment_boundaries() {
        let matches = |prefix, path| route(prefix, 0).matches(path);
        assert!(matches("/a", "/a"));
        assert!(matches("/a", "/a/b"));
        assert!(!matches("/a", "/ab"));
        assert!(matches("/a/", "/a/"));
        assert!(matches("/a/", "/a/b"));
        assert!(!matches("/a/", "/a"));
        assert!(matches("/", "/anything"));
    }

    #[test]
    fn stripping_leaves_a_path_with_its_query() {
        let target = |prefix, strip, uri: &'static str| {
            route(prefix, strip)
                .target(&Uri::from_static(uri))
                .map(|uri| uri.to_string())
        };
        assert_eq!(target("/service/", 8, "/service/a?b=c").as_deref(), Some("/a?b=c"));
        assert_eq!(target("/service", 8, "/service?b=c").as_deref(), Some("/?b=c"));
        assert_eq!(target("/service", 8, "/service").as_deref(), Some("/"));
        assert_eq!(target("/a", 0, "http://host/a?b").as_deref(), Some("/a?b"));
    }
}
