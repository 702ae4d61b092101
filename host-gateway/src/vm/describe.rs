//! What a WebAssembly file is, told without running it.

use wasmtime::{ExternType, Linker, Module};

use super::engine;
use super::entry::Entry;
use super::module::{ModuleError, abi_of, check_exports, one_line};
use crate::abi::functions;

/// A module as plugin authors ask about it.
pub(crate) struct Description {
    /// Every mark of an ABI version.
    pub(crate) marks: Vec<String>,
    /// Why the host would refuse it; `None` if it would not.
    pub(crate) refusal: Option<ModuleError>,
    pub(crate) memory: Option<Memory>,
    /// `proxy_on_memory_allocate` or `malloc`.
    pub(crate) allocator: Option<&'static str>,
    /// The functions that are run before the first callback.
    pub(crate) starts_with: Vec<&'static str>,
    /// Exported callbacks that the host knows.
    pub(crate) callbacks: Vec<&'static str>,
    pub(crate) other_exports: Vec<String>,
    pub(crate) imports: Vec<Import>,
}

/// In pages of 64 KiB.
pub(crate) struct Memory {
    pub(crate) initial: u64,
    pub(crate) maximum: Option<u64>,
}

pub(crate) struct Import {
    /// Module and name.
    pub(crate) name: String,
    pub(crate) kind: ImportKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ImportKind {
    /// The host has it.
    Known,
    /// A stub stands for it.
    Stub,
    /// No function: the host has none of these.
    Impossible,
}

/// Looks at a module. The error is about bytes that are none.
pub(crate) fn describe(bytes: &[u8]) -> Result<Description, ModuleError> {
    let engine = engine::engine().map_err(ModuleError::Engine)?;
    let module = Module::new(engine, bytes).map_err(|error| ModuleError::not_wasm(bytes, &error))?;
    let mut linker = Linker::new(engine);
    functions::link(&mut linker).map_err(|error| ModuleError::Imports(one_line(&error)))?;
    let stubs = functions::link_stubs(&mut linker, &module);
    let imports: Vec<_> = module
        .imports()
        .map(|import| {
            let name = format!("{}.{}", import.module(), import.name());
            let kind = match import.ty() {
                ExternType::Func(_) if stubs.contains(&name) => ImportKind::Stub,
                ExternType::Func(_) => ImportKind::Known,
                _ => ImportKind::Impossible,
            };
            Import { name, kind }
        })
        .collect();
    let exports = |name: &str| module.get_export(name).is_some();
    let known = |names: &[&'static str]| names.iter().copied().filter(|name| exports(name)).collect::<Vec<_>>();
    let marks: Vec<_> = module
        .exports()
        .map(|export| export.name().to_owned())
        .filter(|name| name.starts_with("proxy_abi_version_"))
        .collect();
    let callbacks: Vec<_> = known(&Entry::NAMES)
        .into_iter()
        .filter(|name| name.starts_with("proxy_on_"))
        .collect();
    let allocator = known(&["proxy_on_memory_allocate", "malloc"]).first().copied();
    let starts_with = if exports("_initialize") {
        known(&["_initialize", "main", "__main_void"])
    } else {
        known(&["_start"])
    };
    let memory = match module.get_export("memory") {
        Some(ExternType::Memory(memory)) => Some(Memory {
            initial: memory.minimum(),
            maximum: memory.maximum(),
        }),
        _ => None,
    };
    let other_exports = module.exports().map(|export| export.name()).filter(|name| {
        !callbacks.contains(name)
            && !starts_with.contains(name)
            && !name.starts_with("proxy_abi_version_")
            && !matches!(*name, "memory" | "proxy_on_memory_allocate" | "malloc")
    });
    let refusal = abi_of(&module)
        .err()
        .or_else(|| check_exports(&module).err())
        .or_else(|| {
            let impossible = imports.iter().find(|import| import.kind == ImportKind::Impossible)?;
            Some(ModuleError::ImportsNoFunction(impossible.name.clone()))
        })
        .or_else(|| {
            let linked = linker.instantiate_pre(&module);
            linked.err().map(|error| ModuleError::Imports(one_line(&error)))
        });
    Ok(Description {
        other_exports: other_exports.map(str::to_owned).collect(),
        marks,
        refusal,
        memory,
        allocator,
        starts_with,
        callbacks,
        imports,
    })
}
