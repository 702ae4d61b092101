//! What only a plugin itself can tell about its part of the file.

use std::path::Path;
use std::sync::Arc;

use serde_saphyr::Location;

use super::named_key::{self, Step};
use super::{Config, ConfigError, Route, Source};
use crate::plugin::{CodeCache, Isolation, PluginError, PluginModule, default_folder};

impl Config {
    /// Whether there is a plugin of this name.
    pub fn has_plugin(&self, name: &str) -> bool {
        self.plugin(name).is_some()
    }

    /// The place of a plugin.
    pub fn plugin(&self, name: &str) -> Option<usize> {
        self.plugins.iter().position(|plugin| plugin.value.name == name)
    }

    /// Whether some route has something to say about plugins.
    pub fn has_route_plugins(&self) -> bool {
        let named = |route: &Route| route.plugins.as_ref().is_some_and(|plugins| !plugins.value.is_empty());
        self.routes.iter().any(named)
    }

    /// Whether a route has something to say about a plugin. Both are places.
    pub fn says_whether(&self, route: Option<usize>, plugin: usize) -> bool {
        let name = &self.plugins[plugin].value.name;
        route.is_some_and(|route| self.routes[route].plugin(name).is_some())
    }

    /// Worker threads: what is configured, or one per core.
    pub fn worker_count(&self) -> usize {
        match &self.workers {
            Some(workers) => workers.value,
            None => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// VMs that may live at once in the process. Twice what the workers start, because one that has failed or grown may
    /// still be held while its successor starts; and for each plugin with `isolation: request` those of open exchanges.
    pub fn most_vms(&self) -> usize {
        const OF_EXCHANGES: usize = 1024;
        let on_routes = |name: &str| {
            let own = self.routes.iter().filter_map(|route| route.plugin(name));
            own.filter(|own| own.configuration.is_some()).count()
        };
        let by_plugin = self.plugins.iter().map(|plugin| {
            let modules = 1 + on_routes(&plugin.value.name);
            let of_exchanges = match plugin.value.isolation {
                Isolation::Worker => 0,
                Isolation::Request => OF_EXCHANGES,
            };
            modules * (2 * self.worker_count() + of_exchanges)
        });
        by_plugin.sum()
    }

    /// The folder of compiled plugins, if there is to be one and it can be used. `folder` is that of the configuration.
    pub fn open_code_cache(&self, folder: &Path) -> Option<CodeCache> {
        match &self.code_cache {
            _ if self.plugins.is_empty() => None,
            Some(off) if off == Path::new("off") => None,
            Some(named) => CodeCache::open(&folder.join(named)),
            None => CodeCache::open(&default_folder()?),
        }
    }

    /// Refuses a file in which a TCP listener names a plugin that does not look at connections, or in which requests would not pass a plugin only because a TCP listener names it. `modules` are those of
    /// `plugins`, in their order.
    pub fn check_tcp_plugins(&self, file: &Path, modules: &[Arc<PluginModule>]) -> Result<(), ConfigError> {
        let listeners = || self.listeners.value.iter().enumerate();
        let of_tcp = || {
            listeners().filter_map(|(index, listener)| {
                let tcp = listener.tcp.is_some();
                listener.plugins.as_ref().filter(|_| tcp).map(|names| (index, names))
            })
        };
        for (index, names) in of_tcp() {
            let blind = names.value.iter().find_map(|name| {
                let place = self.plugin(name)?;
                (!modules[place].sees_connections()).then_some((name, place))
            });
            if let Some((name, place)) = blind {
                let why = match self.plugins[place].value.service {
                    true => "has `service: true`, so it sees no connections",
                    false => "has no callback for TCP connections that it may use, so it would let everything pass",
                };
                let key = format!("listeners[{index}].plugins");
                let problem = format!("`{name}` {why}: take it off this listener");
                return Err(ConfigError::at(file, names.referenced, key, problem));
            }
        }
        // On other listeners it is on or off because somebody said so.
        let mut of_all = listeners().filter(|(_, listener)| listener.tcp.is_none() && listener.plugins.is_none());
        let Some((open, _)) = of_all.next() else { return Ok(()) };
        for (index, names) in of_tcp() {
            let unseen = names.value.iter().find(|name| {
                let plugin = self.plugin(name);
                plugin.is_some_and(|place| !self.plugins[place].value.disabled && modules[place].sees_requests())
            });
            if let Some(name) = unseen {
                let problem = format!(
                    "`{name}` looks at requests too, but those to listeners[{open}] would not pass it: name the plugins \
                     of listeners[{open}], or write `disabled: true` at `{name}` if it is for TCP only"
                );
                let key = format!("listeners[{index}].plugins");
                return Err(ConfigError::at(file, names.referenced, key, problem));
            }
        }
        Ok(())
    }

    /// Says where in `file`, from which this configuration was read, the plugin stands that cannot run.
    pub fn plugin_error(&self, file: &Path, error: &PluginError) -> ConfigError {
        let named = |index: &usize| self.plugins[*index].value.name == error.plugin();
        // Names are unique, and every plugin comes from here.
        let index = (0..self.plugins.len()).find(named).unwrap_or_default();
        if let PluginError::Configuration { route, cause, .. } = error {
            let (at, key) = self.place_in_configuration(file, index, route.as_deref(), cause);
            return ConfigError::at(file, at, key, error.to_string());
        }
        let at = self
            .plugins
            .get(index)
            .map_or(Location::UNKNOWN, |plugin| plugin.referenced);
        let key = match error {
            PluginError::Unreadable { .. } | PluginError::Module { .. } | PluginError::Stream { .. } => {
                format!("plugins[{index}].wasm")
            }
            PluginError::Capability { .. } => {
                format!("plugins[{index}].capability_restriction_config.allowed_capabilities")
            }
            PluginError::Configuration { .. } | PluginError::Start { .. } => format!("plugins[{index}]"),
        };
        ConfigError::at(file, at, key, error.to_string())
    }

    /// Where the key stands that a plugin means when it refuses its configuration, or that on a route: as near as can be told
    /// from what it said. And the key of the configuration.
    fn place_in_configuration(&self, file: &Path, index: usize, route: Option<&str>, said: &str) -> (Location, String) {
        let plugin = &self.plugins[index];
        let name = &plugin.value.name;
        let of_route = route.and_then(|prefix| {
            let place = self.routes.iter().position(|route| route.prefix.value == *prefix)?;
            Some((place, self.routes[place].plugins.as_ref()?))
        });
        let (near, key, configuration) = match of_route {
            Some((place, plugins)) => (
                plugins.referenced,
                format!("routes[{place}].plugins.{name}.configuration"),
                plugins.value.get(name).and_then(|own| own.configuration.as_ref()),
            ),
            None => (
                plugin.referenced,
                format!("plugins[{index}].configuration"),
                plugin.value.configuration.as_ref(),
            ),
        };
        let step = |name: &str| Step::Key(name.to_owned());
        let mut path = match of_route {
            Some((place, _)) => vec![step("routes"), Step::Item(place), step("plugins"), step(name)],
            None => vec![step("plugins"), Step::Item(index)],
        };
        path.push(step("configuration"));
        path.extend(
            configuration
                .map(|value| named_key::named(said, value))
                .unwrap_or_default(),
        );
        // It was read before: if it cannot be read any more, the place is less exact.
        let source = Source::read(file).ok();
        let found = source.and_then(|source| named_key::place(source.text(), &path));
        (found.unwrap_or(near), key)
    }
}
