//! A compiled plugin module: checked, linked and ready to become VMs.

use wasmtime::{ExternType, InstancePre, Linker, Module};

use super::cache::CodeCache;
use super::engine;
use super::entry::Entry;
use crate::abi::callbacks::CallbackSet;
use crate::abi::capabilities::CapabilityRestriction;
use crate::abi::types::AbiVersion;
use crate::abi::{HostState, functions};

/// Why a file is not a plugin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModuleError {
    #[error("{0}")]
    Engine(&'static str),
    #[error("it is not a WebAssembly module: {0}")]
    NotWasm(String),
    #[error("it is a WebAssembly component; plugins are modules: build it for wasm32-wasip1")]
    Component,
    #[error("it is WebAssembly as a text; plugins are binary: translate it, for example with wat2wasm")]
    Text,
    #[error("it exports no proxy_abi_version_… function, so it is no proxy-wasm plugin")]
    NoAbiMark,
    #[error("it is built for {0}; known are ABI 0.1.0, 0.2.0 and 0.2.1")]
    UnknownAbi(String),
    #[error("it exports no memory")]
    NoMemory,
    #[error("it exports neither proxy_on_memory_allocate nor malloc, so it cannot be handed any data")]
    NoAllocator,
    #[error("it imports {0}, which is not a function")]
    ImportsNoFunction(String),
    #[error("its imports do not fit the host functions: {0}")]
    Imports(String),
    #[error("`{0}` is neither a host function nor a callback")]
    UnknownCapability(String),
}

impl ModuleError {
    /// What cannot be compiled, by its first bytes.
    pub(crate) fn not_wasm(bytes: &[u8], error: &wasmtime::Error) -> Self {
        // Where a module has its version, a component has that of its format and its layer.
        if bytes.starts_with(b"\0asm\x0d\0\x01\0") {
            return Self::Component;
        }
        if bytes.trim_ascii_start().starts_with(b"(") {
            return Self::Text;
        }
        Self::NotWasm(one_line(error))
    }
}

/// Shared by all threads; each makes its own VMs of it.
pub(crate) struct GuestModule {
    pub(crate) prepared: InstancePre<HostState>,
    pub(crate) abi: AbiVersion,
    pub(crate) callbacks: CallbackSet,
    /// Whether the guest can change bodies.
    pub(crate) writes_bodies: bool,
    /// Whether the guest can read header maps or properties after the head has gone on.
    pub(crate) reads_exchange: bool,
    /// Whether the guest can ask for `request.time` and `request.duration`.
    pub(crate) reads_properties: bool,
    /// Imported functions that stubs stand for.
    pub(crate) stubs: Vec<String>,
    pub(crate) allowed: CapabilityRestriction,
}

impl GuestModule {
    /// Compiles a plugin, or takes its code from the cache.
    pub(crate) fn compile(
        bytes: &[u8],
        allowed: &CapabilityRestriction,
        cache: Option<&CodeCache>,
    ) -> Result<Self, ModuleError> {
        let engine = engine::engine().map_err(ModuleError::Engine)?;
        let module = match cache {
            Some(cache) => cache.module(engine, bytes),
            None => Module::new(engine, bytes),
        };
        let module = module.map_err(|error| ModuleError::not_wasm(bytes, &error))?;
        let abi = abi_of(&module)?;
        check_exports(&module)?;
        if let Some(import) = module
            .imports()
            .find(|import| !matches!(import.ty(), ExternType::Func(_)))
        {
            return Err(ModuleError::ImportsNoFunction(format!(
                "{}.{}",
                import.module(),
                import.name()
            )));
        }
        let mut linker = Linker::new(engine);
        functions::link(&mut linker).map_err(|error| ModuleError::Imports(one_line(&error)))?;
        let exports = |name: &str| module.get_export(name).is_some() || Entry::NAMES.contains(&name);
        let imports = |name: &str| module.imports().any(|import| import.name() == name);
        let unknown = |name: &&String| !exports(name) && !imports(name) && !functions::knows(&linker, name);
        if let Some(unknown) = allowed.allowed_capabilities.keys().find(unknown) {
            return Err(ModuleError::UnknownCapability(unknown.clone()));
        }
        functions::restrict(&mut linker, &module, allowed).map_err(|error| ModuleError::Imports(one_line(&error)))?;
        let stubs = functions::link_stubs(&mut linker, &module);
        let prepared = linker
            .instantiate_pre(&module)
            .map_err(|error| ModuleError::Imports(one_line(&error)))?;
        let reads_properties = imports("proxy_get_property");
        Ok(Self {
            abi,
            callbacks: CallbackSet::of(&module, allowed),
            allowed: allowed.clone(),
            writes_bodies: imports("proxy_set_buffer_bytes"),
            reads_exchange: reads_properties
                || imports("proxy_get_header_map_value")
                || imports("proxy_get_header_map_pairs"),
            reads_properties,
            stubs,
            prepared,
        })
    }
}

pub(super) fn abi_of(module: &Module) -> Result<AbiVersion, ModuleError> {
    let marks: Vec<&str> = module
        .exports()
        .map(|export| export.name())
        .filter(|name| name.starts_with(AbiVersion::MARK))
        .collect();
    match marks.iter().filter_map(|mark| AbiVersion::from_mark(mark)).max() {
        Some(abi) => Ok(abi),
        None => Err(marks.first().map_or(ModuleError::NoAbiMark, |mark| {
            ModuleError::UnknownAbi((*mark).to_owned())
        })),
    }
}

pub(super) fn check_exports(module: &Module) -> Result<(), ModuleError> {
    let is_function = |name| matches!(module.get_export(name), Some(ExternType::Func(_)));
    if !matches!(module.get_export("memory"), Some(ExternType::Memory(_))) {
        return Err(ModuleError::NoMemory);
    }
    if !is_function("proxy_on_memory_allocate") && !is_function("malloc") {
        return Err(ModuleError::NoAllocator);
    }
    Ok(())
}

/// wasmtime explains in several lines; an error of ours is one.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}
