//! How a VM comes up: from the module to root contexts that have taken their configuration.

use std::fmt;
use std::sync::Arc;

use wasmtime::{Store, Trap};

use super::deadline::Deadline;
use super::entry::Entry;
use super::instance::{GuestFailure, enter, give_time, sentence};
use super::limits::Limits;
use super::module::{GuestModule, one_line};
use crate::abi::HostState;
use crate::abi::callbacks::{Callbacks, optional};
use crate::abi::contexts::{Effective, FIRST_ROOT};
use crate::abi::types::Phase;

/// Why a VM did not start, in one line.
#[derive(Debug)]
pub(crate) struct StartError {
    pub(crate) failure: StartFailure,
    /// The last error that the guest logged: its own words for the reason. Nobody else tells it.
    pub(crate) said: Option<String>,
    /// Place of the plugin among those of the VM.
    pub(crate) plugin: usize,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.said {
            Some(said) => write!(f, "{}: {said}", self.failure),
            None => write!(f, "{}", self.failure),
        }
    }
}

/// Where a start ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartFailure {
    #[error("it has no plugin")]
    Empty,
    /// No room, for now: the plugin was not even run.
    #[error("there is no room for its VM: {0}")]
    Exhausted(String),
    #[error("its VM cannot be created: {0}")]
    Create(String),
    #[error("its export {0} does not have the type that the ABI gives it")]
    ExportType(&'static str),
    #[error("{0}")]
    Guest(GuestFailure),
    #[error("its proxy_on_vm_start refused to start")]
    Refused,
    #[error("its proxy_on_configure refused the configuration")]
    Configuration,
    /// It has started, and no stream can be opened in it.
    #[error("{0}")]
    Stream(GuestFailure),
}

/// From the module to a root context that has taken its configuration.
pub(super) fn bring_up(
    store: &mut Store<HostState>,
    module: &GuestModule,
    limits: &Limits,
) -> Result<Callbacks, StartFailure> {
    let deadline = limits.start_deadline();
    // Instantiation may run a start function.
    give_time(store, deadline);
    let instance = module.prepared.instantiate(&mut *store).map_err(|error| {
        match error.is::<Trap>() || store.data().share.denied {
            true => StartFailure::Create(reason(&error, limits, store)),
            // The pool is empty or, without a pool, the system gives no more memory.
            false => StartFailure::Exhausted(one_line(&error)),
        }
    })?;
    store.data_mut().memory = instance.get_memory(&mut *store, "memory");
    store.data_mut().allocator = match optional(&instance, store, "proxy_on_memory_allocate") {
        Ok(Some(allocator)) => Some(allocator),
        Ok(None) => optional(&instance, store, "malloc").map_err(StartFailure::ExportType)?,
        Err(name) => return Err(StartFailure::ExportType(name)),
    };
    let callbacks =
        Callbacks::of(&instance, &mut *store, module.abi, &module.allowed).map_err(StartFailure::ExportType)?;
    initialize(&instance, store, deadline)?;
    store.data_mut().phase = Phase::Running;
    configure_all(store, &callbacks, deadline)?;
    Ok(callbacks)
}

/// The root contexts, one after the other: created, started, configured, in this order.
fn configure_all(store: &mut Store<HostState>, callbacks: &Callbacks, deadline: Deadline) -> Result<(), StartFailure> {
    for root in FIRST_ROOT..FIRST_ROOT + store.data().roots.len() as u32 {
        store.data_mut().turn_to(root);
        configure(store, callbacks, deadline, root)?;
    }
    Ok(())
}

fn configure(
    store: &mut Store<HostState>,
    callbacks: &Callbacks,
    deadline: Deadline,
    id: u32,
) -> Result<(), StartFailure> {
    let root = Effective::Root;
    let identity = Arc::clone(&store.data().identity);
    if let Some(create) = &callbacks.context_create {
        let name = Entry::ContextCreate;
        enter(store, deadline, name, create, root.clone(), (id, 0)).map_err(StartFailure::Guest)?;
    }
    if let Some(start) = &callbacks.vm_start {
        let (name, size) = (Entry::VmStart, identity.vm_configuration.len() as u32);
        let started = enter(store, deadline, name, start, root.clone(), (id, size));
        if started.map_err(StartFailure::Guest)? == 0 {
            return Err(StartFailure::Refused);
        }
    }
    if let Some(configure) = &callbacks.configure {
        let (name, size) = (Entry::Configure, identity.configuration.len() as u32);
        let taken = enter(store, deadline, name, configure, root, (id, size));
        if taken.map_err(StartFailure::Guest)? == 0 {
            return Err(StartFailure::Configuration);
        }
    }
    Ok(())
}

/// `_initialize` and then `main`, or `_start` where there is no `_initialize`.
fn initialize(
    instance: &wasmtime::Instance,
    store: &mut Store<HostState>,
    deadline: Deadline,
) -> Result<(), StartFailure> {
    let function = |store: &mut Store<HostState>, name| {
        optional::<(), ()>(instance, store, name).map_err(StartFailure::ExportType)
    };
    if let Some(initialize) = function(store, "_initialize")? {
        enter(store, deadline, Entry::Initialize, &initialize, Effective::Root, ()).map_err(StartFailure::Guest)?;
        return run_main(instance, store, deadline);
    }
    if let Some(start) = function(store, "_start")? {
        enter(store, deadline, Entry::Start, &start, Effective::Root, ()).map_err(StartFailure::Guest)?;
    }
    Ok(())
}

fn run_main(
    instance: &wasmtime::Instance,
    store: &mut Store<HostState>,
    deadline: Deadline,
) -> Result<(), StartFailure> {
    if let Ok(Some(main)) = optional::<(u32, u32), u32>(instance, store, "main") {
        enter(store, deadline, Entry::Main, &main, Effective::Root, (0, 0)).map_err(StartFailure::Guest)?;
    } else if let Ok(Some(main)) = optional::<(), u32>(instance, store, "__main_void") {
        enter(store, deadline, Entry::Main, &main, Effective::Root, ()).map_err(StartFailure::Guest)?;
    }
    Ok(())
}

fn reason(error: &wasmtime::Error, limits: &Limits, store: &Store<HostState>) -> String {
    if store.data().share.denied {
        return format!("it needs more memory than limits.memory gives ({})", limits.memory);
    }
    sentence(error, false)
}
