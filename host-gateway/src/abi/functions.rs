//! The table of host functions: one row each, with its parameters and the earliest moment a guest may call it.

use wasmtime::{Caller, ExternType, Linker, Module, Val, ValType};

use super::HostState;
use super::capabilities::CapabilityRestriction;
use super::failure::{Errno, Status, to_guest};
use super::{
    buffers, clocks_and_timers, contexts, foreign_functions, grpc_calls, http_calls, http_fields, local_response,
    logging, metrics, properties, shared_data, shared_queues, stream_operations, trace, wasi,
};
use crate::vm::memory::Host;

/// When a guest may call a function. Ordered: what is allowed `Always` is allowed everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum When {
    /// In callbacks.
    Callback,
    /// In `_initialize`, `_start` and `main` as well.
    Start,
    /// Even in the allocator, while a host function waits for memory.
    Always,
}

/// One `func_wrap` per row. `$fault` is what a guest is told that names memory it does not have.
macro_rules! rows {
    ($linker:ident, $module:expr, $fault:expr; $( $name:literal ( $($type:ident)* ) $when:ident $function:path; )*) => {
        $( rows!(@name [$linker, $module, $fault, $name, $when, $function] [$($type)*] [a b c d e f g h i j k l] []); )*
    };
    // Gives each parameter a name, so that the closure below can be written down.
    (@name $row:tt [$type:ident $($types:ident)*] [$arg:ident $($args:ident)*] [$($named:tt)*]) => {
        rows!(@name $row [$($types)*] [$($args)*] [$($named)* ($arg $type)])
    };
    (@name [$linker:ident, $module:expr, $fault:expr, $name:literal, $when:ident, $function:path]
     [] [$($unused:ident)*] [$(($arg:ident $type:ident))*]) => {
        $linker.func_wrap(
            $module,
            $name,
            |caller: Caller<'_, HostState>, $($arg: $type),*| -> wasmtime::Result<u32> {
                let mut host = Host::new(caller);
                let answer = host.permit($name, When::$when).and_then(|()| $function(&mut host, $($arg),*));
                if host.state().trace {
                    trace::called(&host, $name, &[$($arg as u64),*], &answer);
                }
                to_guest(answer, $fault as u32)
            },
        )?;
    };
}

/// Links every function of the table.
pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    link_proxy(linker)?;
    // The older name of preview 1; the functions guests use are the same.
    for module in WASI_MODULES {
        link_wasi(linker, module)?;
    }
    link_emscripten(linker)
}

const WASI_MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

#[rustfmt::skip]
fn link_proxy(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    rows! { linker, "env", Status::InvalidMemoryAccess;
        // Logging
        "proxy_log" (u32 u32 u32)                                            Always   logging::log;
        "proxy_get_log_level" (u32)                                          Always   logging::get_log_level;
        // Clocks and timers
        "proxy_get_current_time_nanoseconds" (u32)                           Start    clocks_and_timers::get_current_time_nanoseconds;
        "proxy_set_tick_period_milliseconds" (u32)                           Callback clocks_and_timers::set_tick_period_milliseconds;
        // Contexts
        "proxy_set_effective_context" (u32)                                  Callback contexts::set_effective_context;
        "proxy_done" ()                                                      Callback contexts::done;
        // Buffers
        "proxy_get_buffer_bytes" (u32 u32 u32 u32 u32)                       Callback buffers::get_buffer_bytes;
        "proxy_get_buffer_status" (u32 u32 u32)                              Callback buffers::get_buffer_status;
        "proxy_set_buffer_bytes" (u32 u32 u32 u32 u32)                       Callback buffers::set_buffer_bytes;
        // HTTP fields
        "proxy_get_header_map_size" (u32 u32)                                Callback http_fields::get_header_map_size;
        "proxy_get_header_map_pairs" (u32 u32 u32)                           Callback http_fields::get_header_map_pairs;
        "proxy_set_header_map_pairs" (u32 u32 u32)                           Callback http_fields::set_header_map_pairs;
        "proxy_get_header_map_value" (u32 u32 u32 u32 u32)                   Callback http_fields::get_header_map_value;
        "proxy_add_header_map_value" (u32 u32 u32 u32 u32)                   Callback http_fields::add_header_map_value;
        "proxy_replace_header_map_value" (u32 u32 u32 u32 u32)               Callback http_fields::replace_header_map_value;
        "proxy_remove_header_map_value" (u32 u32 u32)                        Callback http_fields::remove_header_map_value;
        // Stream operations
        "proxy_continue_stream" (u32)                                        Callback stream_operations::continue_stream;
        "proxy_close_stream" (u32)                                           Callback stream_operations::close_stream;
        // Local responses
        "proxy_send_local_response" (u32 u32 u32 u32 u32 u32 u32 i32)        Callback local_response::send_local_response;
        // HTTP calls
        "proxy_http_call" (u32 u32 u32 u32 u32 u32 u32 u32 u32 u32)          Callback http_calls::http_call;
        "proxy_get_status" (u32 u32 u32)                                     Callback http_calls::get_status;
        // gRPC calls
        "proxy_grpc_call" (u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32)  Callback grpc_calls::grpc_call;
        "proxy_grpc_stream" (u32 u32 u32 u32 u32 u32 u32 u32 u32)            Callback grpc_calls::grpc_stream;
        "proxy_grpc_send" (u32 u32 u32 u32)                                  Callback grpc_calls::grpc_send;
        "proxy_grpc_cancel" (u32)                                            Callback grpc_calls::grpc_cancel;
        "proxy_grpc_close" (u32)                                             Callback grpc_calls::grpc_close;
        // Properties
        "proxy_get_property" (u32 u32 u32 u32)                               Callback properties::get_property;
        "proxy_set_property" (u32 u32 u32 u32)                               Callback properties::set_property;
        // Shared data and queues
        "proxy_get_shared_data" (u32 u32 u32 u32 u32)                        Callback shared_data::get_shared_data;
        "proxy_set_shared_data" (u32 u32 u32 u32 u32)                        Callback shared_data::set_shared_data;
        "proxy_register_shared_queue" (u32 u32 u32)                          Callback shared_queues::register_shared_queue;
        "proxy_resolve_shared_queue" (u32 u32 u32 u32 u32)                   Callback shared_queues::resolve_shared_queue;
        "proxy_enqueue_shared_queue" (u32 u32 u32)                           Callback shared_queues::enqueue_shared_queue;
        "proxy_dequeue_shared_queue" (u32 u32 u32)                           Callback shared_queues::dequeue_shared_queue;
        // Metrics
        "proxy_define_metric" (u32 u32 u32 u32)                              Callback metrics::define_metric;
        "proxy_increment_metric" (u32 i64)                                   Callback metrics::increment_metric;
        "proxy_record_metric" (u32 u64)                                      Callback metrics::record_metric;
        "proxy_get_metric" (u32 u32)                                         Callback metrics::get_metric;
        // Foreign functions
        "proxy_call_foreign_function" (u32 u32 u32 u32 u32 u32)              Callback foreign_functions::call_foreign_function;
        // ABI 0.1.0 only
        "proxy_get_configuration" (u32 u32)                                  Callback buffers::get_configuration;
        "proxy_continue_request" ()                                          Callback stream_operations::continue_request;
        "proxy_continue_response" ()                                         Callback stream_operations::continue_response;
        "proxy_clear_route_cache" ()                                         Callback stream_operations::clear_route_cache;
    }
    Ok(())
}

#[rustfmt::skip]
fn link_wasi(linker: &mut Linker<HostState>, module: &'static str) -> wasmtime::Result<()> {
    rows! { linker, module, Errno::Fault;
        "fd_write" (u32 u32 u32 u32)          Always   wasi::fd_write;
        "clock_time_get" (u32 u64 u32)        Always   wasi::clock_time_get;
        "poll_oneoff" (u32 u32 u32 u32)       Always   wasi::poll_oneoff;
        "sched_yield" ()                      Always   wasi::sched_yield;
        "fd_read" (u32 u32 u32 u32)           Start    wasi::fd_read;
        "fd_close" (u32)                      Start    wasi::fd_close;
        "fd_seek" (u32 i64 u32 u32)           Start    wasi::fd_seek;
        "fd_fdstat_get" (u32 u32)             Start    wasi::fd_fdstat_get;
        "fd_fdstat_set_flags" (u32 u32)       Start    wasi::fd_fdstat_set_flags;
        "fd_prestat_get" (u32 u32)            Start    wasi::fd_prestat_get;
        "fd_prestat_dir_name" (u32 u32 u32)   Start    wasi::fd_prestat_dir_name;
        "random_get" (u32 u32)                Start    wasi::random_get;
        "args_sizes_get" (u32 u32)            Start    wasi::no_strings_sizes;
        "args_get" (u32 u32)                  Start    wasi::no_strings;
        "environ_sizes_get" (u32 u32)         Start    wasi::environ_sizes_get;
        "environ_get" (u32 u32)               Start    wasi::environ_get;
    }
    // Returns nothing, so it cannot be a row.
    linker.func_wrap(module, "proc_exit", |caller: Caller<'_, HostState>, code: u32| -> wasmtime::Result<()> {
        to_guest(wasi::proc_exit(&mut Host::new(caller), code), Errno::Fault as u32).map(|_| ())
    })?;
    Ok(())
}

/// What C++ guests import from emscripten.
fn link_emscripten(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "emscripten_notify_memory_growth", |_memory: u32| ())?;
    linker.func_wrap("env", "pthread_equal", |a: u32, b: u32| u32::from(a == b))?;
    Ok(())
}

/// Whether a linker with all functions of the table has one of this name.
pub(crate) fn knows(linker: &Linker<HostState>, name: &str) -> bool {
    // The linker takes a name once.
    let mut linker = linker.clone();
    let mut modules = WASI_MODULES.into_iter().chain(["env"]);
    modules.any(|module| linker.func_wrap(module, name, || ()).is_err())
}

/// Puts a refusal in the place of every function that a plugin may not call: the guest is told, and goes on.
pub(crate) fn restrict(
    linker: &mut Linker<HostState>,
    module: &Module,
    allowed: &CapabilityRestriction,
) -> wasmtime::Result<()> {
    for import in module.imports() {
        let wasi = WASI_MODULES.contains(&import.module());
        let ours = wasi || import.name().starts_with("proxy_");
        let ExternType::Func(function) = import.ty() else {
            continue;
        };
        if !ours || allowed.allows(import.name()) {
            continue;
        }
        let refusal = if wasi {
            Errno::NotCapable as i32
        } else {
            Status::InternalFailure as i32
        };
        let refuse = move |_: Caller<'_, HostState>, _: &[Val], results: &mut [Val]| {
            if let [result] = results {
                *result = Val::I32(refusal);
            }
            Ok(())
        };
        linker.allow_shadowing(true);
        linker.func_new(import.module(), import.name(), function, refuse)?;
        linker.allow_shadowing(false);
    }
    Ok(())
}

/// Gives every function the module imports and we do not know a stub, and returns their names. WASI's answer
/// "no such function"; any other ends the VM when it is called.
pub(crate) fn link_stubs(linker: &mut Linker<HostState>, module: &Module) -> Vec<String> {
    let mut stubs = Vec::new();
    for import in module.imports() {
        let ExternType::Func(function) = import.ty() else {
            continue;
        };
        let name = format!("{}.{}", import.module(), import.name());
        let answers_errno = WASI_MODULES.contains(&import.module())
            && function.results().len() == 1
            && function.results().all(|result| matches!(result, ValType::I32));
        let called = name.clone();
        let stub = move |_: Caller<'_, HostState>, _: &[Val], results: &mut [Val]| match results {
            [result] if answers_errno => {
                *result = Val::I32(Errno::NoSuchFunction as i32);
                Ok(())
            }
            _ => Err(wasmtime::Error::msg(format!(
                "it called {called}, which no host function answers"
            ))),
        };
        // The linker takes a name once: what the table has is not replaced.
        if linker.func_new(import.module(), import.name(), function, stub).is_ok() {
            stubs.push(name);
        }
    }
    stubs
}
