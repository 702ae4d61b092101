//! The two hosts.

use std::{fs, path::PathBuf, sync::LazyLock};

use serde_json::json;
use xtask::{
    envoy,
    program::Program,
    stack::{HostKind, HostPorts, Plugin, Stack, demo_plugin},
};

use crate::{ports, servers::Servers};

/// A running host. Dropped, it stops.
pub struct Host {
    /// Which one.
    pub kind: HostKind,
    /// Where clients connect.
    pub port: u16,
    /// Where operators look.
    pub admin: u16,
    /// What it and the filter log.
    pub log: PathBuf,
    _program: Program,
}

impl Host {
    /// Starts a host with the plugin in front of a stack.
    pub fn start(stack: &Stack, kind: HostKind, plugin: &Plugin) -> Self {
        let ports = HostPorts {
            gateway: ports::free(),
            admin: ports::free(),
        };
        let name = format!("{}-{}", name(kind), ports.gateway);
        let program = stack
            .start_host(&name, kind, ports, plugin)
            .unwrap_or_else(|error| panic!("{error:#}"));
        Self {
            kind,
            port: ports.gateway,
            admin: ports.admin,
            log: stack.log(&name),
            _program: program,
        }
    }

    /// Starts Envoy with the plugin in front of a stack, its bootstrap (JSON) changed.
    pub fn start_envoy(stack: &Stack, plugin: &Plugin, change: impl FnOnce(&mut serde_json::Value)) -> Self {
        let ports = HostPorts {
            gateway: ports::free(),
            admin: ports::free(),
        };
        let name = format!("envoy-{}", ports.gateway);
        let bootstrap = stack
            .envoy_bootstrap(&name, ports, plugin)
            .unwrap_or_else(|error| panic!("{error:#}"));
        let mut bootstrap = serde_json::from_str(&bootstrap).expect("a bootstrap is JSON");
        change(&mut bootstrap);
        let program = stack
            .start_envoy_on(&name, ports.admin, &bootstrap.to_string())
            .unwrap_or_else(|error| panic!("{error:#}"));
        Self {
            kind: HostKind::Envoy,
            port: ports.gateway,
            admin: ports.admin,
            log: stack.log(&name),
            _program: program,
        }
    }

    /// Starts a host on `envoy/gateway.yaml` as it is, but for its ports and the place of the filter.
    pub fn start_shipped(stack: &Stack, kind: HostKind) -> Self {
        let file = stack.workspace.root.join("envoy/gateway.yaml");
        let shipped = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let filter = stack.workspace.filter().display().to_string();
        Self::start_on(stack, kind, |port, admin| {
            let mut text = shipped;
            for (from, to) in [
                ("127.0.0.1:8081", format!("127.0.0.1:{port}")),
                ("127.0.0.1:8086", format!("127.0.0.1:{}", stack.ports.auth)),
                ("127.0.0.1:8087", format!("127.0.0.1:{}", stack.ports.login)),
                ("127.0.0.1:8088", format!("127.0.0.1:{}", stack.ports.service)),
                ("127.0.0.1:9901", format!("127.0.0.1:{admin}")),
                ("../dist/postern_filter.wasm", filter),
            ] {
                assert!(text.contains(from), "no {from} in {}", file.display());
                text = text.replace(from, &to);
            }
            text
        })
    }

    /// Starts a host on a `gateway.yaml` that is written for its port and that of its admin interface.
    pub fn start_on(stack: &Stack, kind: HostKind, text: impl FnOnce(u16, u16) -> String) -> Self {
        Self::start_on_changed(stack, kind, text, |_| {})
    }

    /// The same, with the bootstrap changed if it is Envoy.
    pub fn start_on_changed(
        stack: &Stack,
        kind: HostKind,
        text: impl FnOnce(u16, u16) -> String,
        change: impl FnOnce(&mut serde_json::Value),
    ) -> Self {
        let (port, admin) = (ports::free(), ports::free());
        let name = format!("own-{}-{port}", name(kind));
        let text = text(port, admin);
        let started = match kind {
            HostKind::Gateway => stack.start_host_on(&name, kind, admin, &text),
            HostKind::Envoy => stack.bootstrap(&name, &text).and_then(|bootstrap| {
                let mut bootstrap = serde_json::from_str(&bootstrap).expect("a bootstrap is JSON");
                change(&mut bootstrap);
                stack.start_envoy_on(&name, admin, &bootstrap.to_string())
            }),
        };
        let program = started.unwrap_or_else(|error| panic!("{error:#}"));
        Self {
            kind,
            port,
            admin,
            log: stack.log(&name),
            _program: program,
        }
    }

    /// Starts a host with one worker, so that everybody is in one VM, with the shipped filter in front of the cluster `up`.
    /// `clusters`: each with the port of its only endpoint on this machine.
    pub fn start_with_one_vm(
        stack: &Stack,
        kind: HostKind,
        clusters: &[(&str, u16)],
        configuration: &serde_json::Value,
    ) -> Self {
        let endpoints = |port: &u16| json!({ "endpoints": [ format!("127.0.0.1:{port}") ] });
        let clusters: serde_json::Map<_, _> = clusters
            .iter()
            .map(|(name, port)| ((*name).to_owned(), endpoints(port)))
            .collect();
        let wasm = stack.workspace.filter();
        Self::start_on(stack, kind, |port, admin| {
            json!({
                "workers": 1,
                "listeners": [ { "address": format!("127.0.0.1:{port}") } ],
                "admin": { "address": format!("127.0.0.1:{admin}") },
                "routes": [ { "prefix": "/", "cluster": "up" } ],
                "clusters": clusters,
                "plugins": [ { "name": "auth", "wasm": wasm, "configuration": configuration } ],
            })
            .to_string()
        })
    }

    /// The host of this kind in front of [`Servers::shared`], with the demo's plugin configuration.
    pub fn shared(kind: HostKind) -> &'static Self {
        static GATEWAY: LazyLock<Host> = LazyLock::new(|| start_shared(HostKind::Gateway));
        static ENVOY: LazyLock<Host> = LazyLock::new(|| start_shared(HostKind::Envoy));
        match kind {
            HostKind::Gateway => &GATEWAY,
            HostKind::Envoy => &ENVOY,
        }
    }
}

fn start_shared(kind: HostKind) -> Host {
    let stack = &Servers::shared().stack;
    Host::start(stack, kind, &filter_plugin(stack, &[]))
}

/// The shipped filter with the demo's configuration, in which some keys have other values (JSON).
pub fn filter_plugin(stack: &Stack, changes: &[(&str, serde_json::Value)]) -> Plugin {
    let mut configuration: serde_json::Value =
        serde_json::from_str(&demo_plugin()).expect("the demo's configuration is JSON");
    for (key, value) in changes {
        configuration[*key] = value.clone();
    }
    Plugin {
        wasm: stack.workspace.filter(),
        configuration: configuration.to_string(),
    }
}

/// A short name, for files, logs and users.
pub fn name(kind: HostKind) -> &'static str {
    match kind {
        HostKind::Gateway => "gateway",
        HostKind::Envoy => "envoy",
    }
}

/// The hosts to run on: Envoy may be missing where things may be skipped (`cargo xtask test` says so at the end).
pub fn kinds() -> Vec<HostKind> {
    let workspace = crate::servers::workspace();
    let envoy = envoy::find(&workspace).unwrap_or_else(|error| panic!("{error:#}"));
    let must = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(
        envoy.is_some() || !must,
        "Envoy is not there, and nothing may be skipped when CI=true"
    );
    [Some(HostKind::Gateway), envoy.map(|_| HostKind::Envoy)]
        .into_iter()
        .flatten()
        .collect()
}
