//! `postern-gateway run`: starts the workers and the admin listener, and stops them again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_saphyr::Spanned;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tracing::subscriber::{NoSubscriber, with_default};

use crate::access_log::Writer;
use crate::admin::{self, Admin};
use crate::cluster::{SharedCluster, Unresolved};
use crate::config::{self, Config, ConfigError, ListenAddress, folder_of};
use crate::cors::Cors;
use crate::metrics::Metrics;
use crate::plugin::chains::ChainPlan;
use crate::plugin::{ListenerFacts, Loading, PluginModule, PluginProcess};
use crate::route::RouteTable;
use crate::vm::engine;
use crate::worker::{Accepts, ListenerPlan, TcpService, Trailers, WorkerError, WorkerPlan};
use crate::{check, health, listener};

/// Serves until SIGTERM or SIGINT. The error is one line for the user.
pub fn run(path: &Path, traced: &[String]) -> Result<(), String> {
    let config = Config::load(path).map_err(|error| error.to_string())?;
    if let Some(name) = traced.iter().find(|name| !config.has_plugin(name)) {
        return Err(format!(
            "--trace-plugin {name}: {} has no plugin of that name",
            path.display()
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let ended = LocalSet::new().block_on(&runtime, serve(config, path, traced));
    // What may still be compiled is of no use to anybody.
    runtime.shutdown_background();
    ended
}

/// Compiles the plugins of a configuration that was read from `file`, or takes what was compiled before.
pub fn load_plugins(config: &Config, file: &Path, traced: &[String]) -> Result<Vec<Arc<PluginModule>>, String> {
    engine::reserve(config.most_vms());
    let cache = config.open_code_cache(folder_of(file));
    let loading = Loading {
        folder: folder_of(file),
        cache: cache.as_ref(),
        traced,
    };
    let load =
        |plugin| PluginModule::load(plugin, &loading).map_err(|error| config.plugin_error(file, &error).to_string());
    let modules = config.plugins.iter().map(|plugin| load(&plugin.value));
    let modules: Vec<_> = modules.collect::<Result<_, _>>()?;
    let checked = config.check_tcp_plugins(file, &modules);
    checked.map(|()| modules).map_err(|error| error.to_string())
}

async fn serve(config: Config, file: &Path, traced: &[String]) -> Result<(), String> {
    // Before anything listens, so that no signal is missed.
    let mut stop_signal = StopSignal::new().map_err(|error| format!("cannot handle signals: {error}"))?;
    let count = config.worker_count();
    let config = Arc::new(config);
    let routes = Arc::new(RouteTable::new(&config));
    let cors = config.cors.as_ref().map(|cors| Arc::new(Cors::new(cors)));
    let clusters = config.clusters.iter().map(|(name, cluster)| {
        SharedCluster::resolve(name, cluster).map_err(|Unresolved { place, problem }| {
            let key = format!("clusters.{name}.endpoints[{place}]");
            ConfigError::about(file, &cluster.endpoints.value[place], key, problem).to_string()
        })
    });
    let clusters: Arc<[Arc<SharedCluster>]> = clusters.collect::<Result<_, _>>()?;
    let metrics = Arc::new(Metrics::new(&config, &routes, count));
    let process = PluginProcess::new();
    let writer = config
        .access_log
        .as_ref()
        .map(|log| {
            let started = Writer::start(log, folder_of(file));
            started.map_err(|problem| ConfigError::about(file, &log.path, "access_log.path", problem).to_string())
        })
        .transpose()?;
    let ready = Arc::new(AtomicBool::new(false));

    let mut listeners: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    let bind = |at: &Spanned<ListenAddress>, key: String, sockets: usize| {
        let bound = listener::bind(at.value.0, sockets);
        bound.map_err(|problem| ConfigError::about(file, at, key, problem).to_string())
    };
    for (place, entry) in config.listeners.value.iter().enumerate() {
        let (address, sockets) = bind(&entry.address, format!("listeners[{place}].address"), count)?;
        addresses.push((address, entry.tcp.as_ref()));
        let tcp = entry.tcp.as_ref().and_then(|tcp| {
            let mut names = config.clusters.keys();
            Some(TcpService {
                cluster: names.position(|name| *name == tcp.cluster.value)?,
                idle_timeout: tcp.idle_timeout.limit(),
            })
        });
        let http = Accepts::Http(Trailers {
            requests: entry.request_trailers,
            responses: entry.response_trailers,
        });
        let accepts = tcp.map_or(http, Accepts::Tcp);
        for (worker, socket) in listeners.iter_mut().zip(sockets) {
            worker.push(ListenerPlan {
                socket,
                accepts,
                facts: ListenerFacts {
                    direction: entry.traffic_direction,
                    metadata: entry.metadata.clone(),
                },
            });
        }
    }
    let admin_address = match &config.admin {
        Some(admin) => {
            let (address, sockets) = bind(&admin.address, "admin.address".to_owned(), 1)?;
            let state = Admin {
                ready: Arc::clone(&ready),
                metrics: Arc::clone(&metrics),
                process: Arc::clone(&process),
                clusters: Arc::clone(&clusters),
            };
            for socket in sockets {
                tokio::task::spawn_local(admin::serve(socket, state.clone()));
            }
            Some(address)
        }
        None => None,
    };

    // Only now: compiling takes seconds, and an operator should not wait for them to learn that a port is in use. Whoever
    // connects meanwhile is served afterwards.
    let compiling = {
        let (config, routes) = (Arc::clone(&config), Arc::clone(&routes));
        let (file, traced) = (file.to_owned(), traced.to_owned());
        tokio::task::spawn_blocking(move || {
            let modules = load_plugins(&config, &file, &traced)?;
            let plan = ChainPlan::new(&config, &routes, modules);
            // What the plugins say at their start, they say again on the workers.
            let silent = NoSubscriber::default();
            with_default(silent, || check::plugins(&config, &file, &plan)).map(|()| plan)
        })
    };
    let plugins = tokio::select! {
        plan = compiling => plan.map_err(|error| format!("cannot load the plugins: {error}"))??,
        () = stop_signal.received() => return Ok(()),
    };

    let (stop, stopped) = watch::channel(false);
    let (started, mut starts) = mpsc::unbounded_channel();
    let plugins = Arc::new(plugins);
    let mut threads = Vec::new();
    for (index, listeners) in listeners.into_iter().enumerate() {
        let metrics = metrics.worker(index);
        let plan = WorkerPlan {
            index,
            listeners,
            routes: Arc::clone(&routes),
            cors: cors.clone(),
            clusters: Arc::clone(&clusters),
            plugins: Arc::clone(&plugins),
            process: Arc::clone(&process),
            access_log: writer.as_ref().map(|writer| writer.worker(&metrics)),
            metrics,
            drain_timeout: config.drain_timeout.get(),
            stop: stopped.clone(),
            started: started.clone(),
        };
        threads.push(spawn(plan)?);
    }
    drop(started);
    for _ in 0..count {
        match starts.recv().await.unwrap_or(Err(WorkerError::Ended)) {
            Ok(()) => {}
            Err(WorkerError::Plugin(error)) => return Err(config.plugin_error(file, &error).to_string()),
            Err(error) => return Err(error.to_string()),
        }
    }
    health::start(&clusters);
    ready.store(true, Ordering::Relaxed);
    announce(&config, &addresses, admin_address, count);

    stop_signal.received().await;
    tracing::info!("stopping: running exchanges may finish");
    ready.store(false, Ordering::Relaxed);
    let _ = stop.send(true);
    tokio::select! {
        // Every worker drops its end of the channel when it has drained.
        _ = starts.recv() => {}
        () = stop_signal.received() => return Err("stopped at once by a second signal".to_owned()),
        // A guest or a kernel that does not let go must not hold the process.
        () = tokio::time::sleep(config.drain_timeout.get() + Duration::from_secs(2)) => return Ok(()),
    }
    for thread in threads {
        let _ = thread.join();
    }
    if let Some(writer) = writer {
        writer.finish();
    }
    tracing::info!("stopped");
    Ok(())
}

fn spawn(plan: WorkerPlan) -> Result<JoinHandle<()>, String> {
    let name = format!("worker-{}", plan.index);
    std::thread::Builder::new()
        .name(name)
        .spawn(move || plan.run())
        .map_err(|error| format!("cannot start a worker: {error}"))
}

/// Tells where the gateway listens and what to try next.
fn announce(
    config: &Config,
    addresses: &[(std::net::SocketAddr, Option<&config::Tcp>)],
    admin: Option<std::net::SocketAddr>,
    workers: usize,
) {
    for (address, tcp) in addresses {
        match tcp {
            None => tracing::info!("listening on http://{address}"),
            Some(tcp) => tracing::info!("listening on tcp://{address} for cluster {}", tcp.cluster.value),
        }
    }
    if let Some(address) = admin {
        tracing::info!("admin on http://{address} (/health/live, /health/ready, /metrics)");
    }
    let plugins: Vec<_> = config.plugins.iter().map(|plugin| plugin.value.name.as_str()).collect();
    let plugins = if plugins.is_empty() {
        "none".to_owned()
    } else {
        plugins.join(", ")
    };
    tracing::info!("workers: {workers}; plugins: {plugins}");
    let http = addresses.iter().find(|(_, tcp)| tcp.is_none());
    if let (Some((address, _)), Some(route)) = (http, config.routes.first()) {
        tracing::info!("try: curl -i http://{address}{}", route.prefix.value);
    }
}

/// SIGTERM or SIGINT.
struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignal {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
