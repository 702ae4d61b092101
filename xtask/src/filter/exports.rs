//! Which exports of the filter a host gets to see.
//!
//! The SDK exports every callback of the ABI, and a host enters the guest for each one it finds: a callback that does
//! nothing costs as much as one that does something. Hosts skip what is absent.

use anyhow::{Result, bail};
use wasm_encoder::{ExportKind, ExportSection, Module, RawSection};
use wasmparser::{ExternalKind, Parser, Payload};

/// What stays, from which export of the build, and why. A callback that the filter begins to override needs a row here, or
/// no host will call it.
const KEPT: &[(&str, &str, &str)] = &[
    ("memory", "memory", "every value passes through it"),
    (
        "_initialize",
        "_initialize",
        "runs the constructors, and so the SDK's registration",
    ),
    (
        "proxy_abi_version_0_2_1",
        "proxy_abi_version_0_2_1",
        "names the ABI; without it a host refuses the module",
    ),
    (
        "proxy_on_memory_allocate",
        "postern_on_memory_allocate",
        "the host allocates what it hands over",
    ),
    (
        "proxy_on_context_create",
        "postern_on_context_create",
        "tells whose streams they are; without what the SDK does for each",
    ),
    (
        "proxy_on_vm_start",
        "proxy_on_vm_start",
        "a host insists on it before configuring",
    ),
    (
        "proxy_on_configure",
        "proxy_on_configure",
        "reads the plugin configuration",
    ),
    (
        "proxy_on_tick",
        "postern_on_tick",
        "starts and retries the feeds, and looks for root contexts that are gone",
    ),
    ("proxy_on_request_headers", "postern_on_request_headers", "the decision"),
    (
        "proxy_on_request_trailers",
        "postern_on_request_trailers",
        "identity headers must not come in as trailers; only called where there are any",
    ),
    (
        "proxy_on_http_call_response",
        "proxy_on_http_call_response",
        "answers of the feeds and of the permission look-up",
    ),
];

/// The module with the exports of [`KEPT`], under their names there, and no other.
///
/// # Errors
/// When the bytes are no module, or one of the exports is not there.
pub fn strip(module: &[u8]) -> Result<Vec<u8>> {
    let mut stripped = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ExportSection(exports) => stripped.section(&kept(exports)?),
            other => match other.as_section() {
                Some((id, range)) => stripped.section(&RawSection {
                    id,
                    data: &module[range],
                }),
                None => &mut stripped,
            },
        };
    }
    Ok(stripped.finish())
}

fn kept(exports: wasmparser::ExportSectionReader<'_>) -> Result<ExportSection> {
    let mut section = ExportSection::new();
    let mut missing: Vec<(&str, &str)> = KEPT.iter().map(|(name, built, _)| (*name, *built)).collect();
    for export in exports {
        let export = export?;
        let Some(position) = missing.iter().position(|(_, built)| *built == export.name) else {
            continue;
        };
        let kind = match export.kind {
            ExternalKind::Func => ExportKind::Func,
            ExternalKind::Memory => ExportKind::Memory,
            other => bail!("export `{}` is a {other:?}", export.name),
        };
        let (name, _) = missing.remove(position);
        section.export(name, kind, export.index);
    }
    if !missing.is_empty() {
        let missing: Vec<&str> = missing.iter().map(|(_, built)| *built).collect();
        bail!("the module does not export {}", missing.join(", "));
    }
    Ok(section)
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{CodeSection, Function, FunctionSection, MemorySection, MemoryType, TypeSection};

    use super::*;

    /// A module that exports its memory and, for each name, an empty function.
    fn module(functions: &[&str]) -> Vec<u8> {
        let (mut types, mut declared, mut memories) =
            (TypeSection::new(), FunctionSection::new(), MemorySection::new());
        let (mut exports, mut code) = (ExportSection::new(), CodeSection::new());
        types.ty().function([], []);
        memories.memory(MemoryType {
            minimum: 1,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        exports.export("memory", ExportKind::Memory, 0);
        for (index, name) in (0..).zip(functions) {
            declared.function(0);
            exports.export(name, ExportKind::Func, index);
            let mut body = Function::new([]);
            body.instructions().end();
            code.function(&body);
        }
        let mut module = Module::new();
        module
            .section(&types)
            .section(&declared)
            .section(&memories)
            .section(&exports)
            .section(&code);
        module.finish()
    }

    fn exported(module: &[u8]) -> Vec<String> {
        Parser::new(0)
            .parse_all(module)
            .filter_map(|payload| match payload.unwrap() {
                Payload::ExportSection(exports) => {
                    Some(exports.into_iter().map(|export| export.unwrap().name.to_owned()))
                }
                _ => None,
            })
            .flatten()
            .collect()
    }

    #[test]
    fn keeps_the_table_and_nothing_else() {
        let kept: Vec<&str> = KEPT.iter().map(|(name, ..)| *name).collect();
        let mut functions: Vec<&str> = KEPT[1..].iter().map(|(_, built, _)| *built).collect();
        functions.insert(3, "proxy_on_request_headers");
        functions.push("proxy_on_response_headers");
        let stripped = strip(&module(&functions)).unwrap();
        assert_eq!(exported(&stripped), kept);
    }

    #[test]
    fn names_what_is_missing() {
        let error = strip(&module(&["proxy_on_log"])).unwrap_err().to_string();
        assert!(error.contains("postern_on_request_headers"), "{error}");
    }
}
