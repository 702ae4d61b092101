//! Which exports of the filter a host gets to see.
//!
//! The SDK exports every callback of the ABI, and a host enters the guest for each one it finds: a callback that does
//! nothing costs as much as one that does something. Hosts skip what is absent.

use anyhow::{Result, bail};
use wasm_encoder::{ExportKind, ExportSection, Module, RawSection};
use wasmparser::{ExternalKind, Parser, Payload};

/// What stays, and why. A callback that the filter begins to override needs a row here, or no host will call it.
const KEPT: &[(&str, &str)] = &[
    ("memory", "every value passes through it"),
    ("_initialize", "runs the constructors, and so the SDK's registration"),
    (
        "proxy_abi_version_0_2_1",
        "names the ABI; without it a host refuses the module",
    ),
    ("proxy_on_memory_allocate", "the host allocates what it hands over"),
    (
        "proxy_on_context_create",
        "the SDK makes its context for each plugin and stream here",
    ),
    ("proxy_on_vm_start", "a host insists on it before configuring"),
    ("proxy_on_configure", "reads the plugin configuration"),
    ("proxy_on_tick", "starts and retries the feeds"),
    ("proxy_on_request_headers", "the decision"),
    (
        "proxy_on_request_trailers",
        "identity headers must not come in as trailers; only called where there are any",
    ),
    (
        "proxy_on_http_call_response",
        "answers of the feeds and of the permission look-up",
    ),
    (
        "proxy_on_delete",
        "the SDK drops its context here; without it every stream would leak",
    ),
];

/// The module with the exports of [`KEPT`] and no other.
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
    let mut missing: Vec<&str> = KEPT.iter().map(|(name, _)| *name).collect();
    for export in exports {
        let export = export?;
        let Some(position) = missing.iter().position(|name| *name == export.name) else {
            continue;
        };
        let kind = match export.kind {
            ExternalKind::Func => ExportKind::Func,
            ExternalKind::Memory => ExportKind::Memory,
            other => bail!("export `{}` is a {other:?}", export.name),
        };
        missing.remove(position);
        section.export(export.name, kind, export.index);
    }
    if !missing.is_empty() {
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
        let kept: Vec<&str> = KEPT.iter().map(|(name, _)| *name).collect();
        let mut functions = kept[1..].to_vec();
        functions.insert(3, "proxy_on_log");
        functions.push("proxy_on_response_headers");
        let stripped = strip(&module(&functions)).unwrap();
        assert_eq!(exported(&stripped), kept);
    }

    #[test]
    fn names_what_is_missing() {
        let error = strip(&module(&["proxy_on_log"])).unwrap_err().to_string();
        assert!(error.contains("proxy_on_request_headers"), "{error}");
    }
}
