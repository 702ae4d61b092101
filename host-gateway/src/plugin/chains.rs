//! Which plugins a request passes, in which order and with which configuration: chosen by its listener and its route.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::slot::{Seat, Slot};
use super::tasks::Tasks;
use super::{Needs, PluginError, PluginModule, PluginProcess, Plugins};
use crate::cluster::Clusters;
use crate::config::Config;
use crate::route::RouteTable;

/// The chains of a gateway, the same for all workers.
pub struct ChainPlan {
    /// Every plugin in every configuration it has somewhere.
    modules: Vec<Arc<PluginModule>>,
    /// Places in `modules`; no chain stands here twice.
    chains: Vec<Vec<usize>>,
    /// By listener, and by place in the route table; last the chain of paths that have no route.
    chosen: Vec<Vec<usize>>,
}

impl ChainPlan {
    /// `modules` are those of `config.plugins`, in their order.
    pub fn new(config: &Config, routes: &RouteTable, modules: Vec<Arc<PluginModule>>) -> Self {
        let mut plan = Self {
            modules,
            chains: Vec::new(),
            chosen: Vec::new(),
        };
        // By place in the route table: which module stands for which plugin.
        let variants: Vec<Vec<(bool, usize)>> = routes
            .iter()
            .map(|route| plan.variants(config, Some(route.entry)))
            .collect();
        let plain = plan.variants(config, None);
        for listener in &config.listeners.value {
            if listener.tcp.is_some() {
                // Connections have no route.
                let names = listener.plugins.iter().flat_map(|names| &names.value);
                let chain = names.filter_map(|name| config.plugin(name)).collect();
                let chain = plan.place(chain);
                plan.chosen.push(vec![chain]);
                continue;
            }
            // Whom the listener names is on there, unless the route says otherwise.
            let names: Vec<usize> = match &listener.plugins {
                Some(names) => names.value.iter().filter_map(|name| config.plugin(name)).collect(),
                None => (0..config.plugins.len()).collect(),
            };
            let chosen = variants.iter().zip(routes.iter().map(|route| Some(route.entry)));
            let chosen = chosen.chain([(&plain, None)]).map(|(variants, route)| {
                let chain = names.iter().filter_map(|plugin| {
                    let (on, module) = variants[*plugin];
                    let named = listener.plugins.is_some() && !config.says_whether(route, *plugin);
                    (on || named).then_some(module)
                });
                chain.collect::<Vec<_>>()
            });
            let chosen: Vec<Vec<usize>> = chosen.collect();
            let chosen = chosen.into_iter().map(|chain| plan.place(chain)).collect();
            plan.chosen.push(chosen);
        }
        plan
    }

    /// For every plugin: whether it is on, and its module, on a route (its place in the configuration) or where there is
    /// none.
    fn variants(&mut self, config: &Config, route: Option<usize>) -> Vec<(bool, usize)> {
        let mut variants = Vec::with_capacity(config.plugins.len());
        for (index, plugin) in config.plugins.iter().enumerate() {
            let plugin = &plugin.value;
            let own = route.and_then(|route| config.routes[route].plugin(&plugin.name));
            let by_default = !plugin.disabled && !config.is_for_tcp(&plugin.name);
            let on = own.map_or(by_default, |own| !own.disabled);
            let module = match own.and_then(|own| own.configuration.as_ref()) {
                Some(configuration) if on => {
                    let prefix = route.map_or("", |route| config.routes[route].prefix.value.as_str());
                    self.modules.push(self.modules[index].on_route(prefix, configuration));
                    self.modules.len() - 1
                }
                _ => index,
            };
            variants.push((on, module));
        }
        variants
    }

    fn place(&mut self, chain: Vec<usize>) -> usize {
        let known = self.chains.iter().position(|known| *known == chain);
        known.unwrap_or_else(|| {
            self.chains.push(chain);
            self.chains.len() - 1
        })
    }

    /// Starts the VMs of one worker, inside its `LocalSet`.
    pub fn start(&self, clusters: &Rc<Clusters>, process: &Arc<PluginProcess>) -> Result<Chains, PluginError> {
        let places = self.used();
        let seats = Slot::start_all(&self.modules_at(&places), clusters, process, &Tasks::start())?;
        let seat = |module: &usize| {
            places
                .iter()
                .position(|place| place == module)
                .map(|place| seats[place].clone())
        };
        let chain = |modules: &Vec<usize>| {
            let seats: Vec<Seat> = modules.iter().filter_map(seat).collect();
            let mut needs = Needs::default();
            for seat in &seats {
                needs.add(&seat.module.guest);
            }
            Rc::new(Plugins { seats, needs })
        };
        Ok(Chains {
            chains: self.chains.iter().map(chain).collect(),
            chosen: self.chosen.clone(),
            seats: seats.clone(),
        })
    }

    /// Starts everything once, and throws it away, as [`Plugins::check`] does.
    pub fn check(&self, clusters: &Rc<Clusters>) -> Result<(), PluginError> {
        Plugins::check(&self.modules_at(&self.used()), clusters)
    }

    /// Places of the modules that do something somewhere.
    fn used(&self) -> Vec<usize> {
        let used =
            |module: &usize| self.modules[*module].service || self.chains.iter().any(|chain| chain.contains(module));
        (0..self.modules.len()).filter(used).collect()
    }

    fn modules_at(&self, places: &[usize]) -> Vec<Arc<PluginModule>> {
        places.iter().map(|place| Arc::clone(&self.modules[*place])).collect()
    }
}

/// The chains of one worker, with their VMs.
pub struct Chains {
    chains: Vec<Rc<Plugins>>,
    chosen: Vec<Vec<usize>>,
    /// All plugins, those of no chain too.
    seats: Vec<Seat>,
}

impl Chains {
    /// Ends the root contexts; those that ask to wait have until the limit.
    pub async fn stop(&self, limit: Duration) {
        super::stop(&self.seats, limit).await;
    }

    /// The chain of a request that came to a listener. `route` finds its place in the route table, and is only asked if
    /// that matters.
    pub fn of(&self, listener: usize, route: impl FnOnce() -> Option<usize>) -> &Rc<Plugins> {
        if let [only] = &self.chains[..] {
            return only;
        }
        let chosen = &self.chosen[listener];
        let place = route().unwrap_or(chosen.len() - 1);
        &self.chains[chosen[place]]
    }
}
