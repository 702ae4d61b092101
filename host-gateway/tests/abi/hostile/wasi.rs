//! The functions of WASI that a full-Go guest imports.

use super::*;

const FUNCTIONS: [(&str, &str); 16] = [
    ("fd_write", "iiii"),
    ("fd_read", "iiii"),
    ("fd_close", "i"),
    ("fd_seek", "ilii"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_prestat_get", "ii"),
    ("fd_prestat_dir_name", "iii"),
    ("clock_time_get", "ili"),
    ("random_get", "ii"),
    ("args_sizes_get", "ii"),
    ("args_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("environ_get", "ii"),
    ("poll_oneoff", "iiii"),
    ("sched_yield", ""),
];

fn imports(module: &str) -> String {
    FUNCTIONS
        .iter()
        .map(|(name, params)| {
            let params = params.replace('i', " i32").replace('l', " i64");
            format!(r#"(import "{module}" "{name}" (func ${name} (param{params}) (result i32)))"#)
        })
        .collect()
}

/// One short variable, and one that is longer than a page.
fn with_environment(mut config: PluginConfig) -> PluginConfig {
    config.environment = [("A", "1".to_owned()), ("LONG", "x".repeat(70_000))]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
    config
}

#[test]
fn no_argument_ends_the_vm_in_a_function_of_wasi() {
    on_a_worker(async {
        for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
            let wasm = bare(&format!(
                r#"{} {MEMORY} {}
                   (func (export "_initialize") (call $storm))
                   (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $storm) (i32.const 1))
                   (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                     (call $storm) (i32.const 0))
                   (func (export "proxy_on_log") (param i32) (call $storm))"#,
                imports(module),
                storm_of(FUNCTIONS.into_iter(), &[0, 8, 21, 28, 52, 58])
            ));
            let (plugins, process) = started(with_environment(patient(&wasm)), no_clusters());
            go_on(open(&plugins).request_headers(get("/"), true).await);
            has_not_failed(&process);
        }
    });
}

/// Each call with its errno: 8 is no such descriptor, 21 a bad address, 28 a bad argument, 52 no such function, 58 not
/// supported. The memory has 256 KiB.
const ERRNOS: &[(&str, u32)] = &[
    // What is written: nothing, parts outside of memory, more parts than there may be.
    ("fd_write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 2000)", 0),
    ("fd_write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const -4)", 21),
    (
        "fd_write (i32.const 2) (i32.const -4) (i32.const 1) (i32.const 2000)",
        21,
    ),
    (
        "fd_write (i32.const 2) (i32.const -8) (i32.const 2) (i32.const 2000)",
        21,
    ),
    (
        "fd_write (i32.const 2) (i32.const 0x3fffc) (i32.const 1) (i32.const 2000)",
        21,
    ),
    // At 2400: four bytes before 4 GiB, eight of them.
    (
        "fd_write (i32.const 2) (i32.const 2400) (i32.const 1) (i32.const 2000)",
        21,
    ),
    (
        "fd_write (i32.const 1) (i32.const 0) (i32.const 1025) (i32.const 2000)",
        28,
    ),
    (
        "fd_write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 2000)",
        28,
    ),
    ("fd_write (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2000)", 8),
    (
        "fd_write (i32.const -1) (i32.const -4) (i32.const -1) (i32.const -4)",
        8,
    ),
    (
        "fd_read (i32.const 0) (i32.const -4) (i32.const -1) (i32.const 2000)",
        0,
    ),
    ("fd_read (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -4)", 21),
    ("fd_read (i32.const 3) (i32.const 0) (i32.const 0) (i32.const -4)", 8),
    ("fd_close (i32.const 0)", 8),
    ("fd_close (i32.const -1)", 8),
    ("fd_seek (i32.const 1) (i64.const -1) (i32.const -1) (i32.const -4)", 8),
    // 24 bytes.
    ("fd_fdstat_get (i32.const 1) (i32.const 2001)", 0),
    ("fd_fdstat_get (i32.const 1) (i32.const 0x3ffe8)", 0),
    ("fd_fdstat_get (i32.const 1) (i32.const 0x3ffe9)", 21),
    ("fd_fdstat_get (i32.const 1) (i32.const -24)", 21),
    ("fd_fdstat_get (i32.const 3) (i32.const -24)", 8),
    ("fd_fdstat_set_flags (i32.const -1) (i32.const -1)", 52),
    ("fd_prestat_get (i32.const 3) (i32.const -4)", 8),
    ("fd_prestat_dir_name (i32.const 3) (i32.const -4) (i32.const -1)", 8),
    ("clock_time_get (i32.const 0) (i64.const -1) (i32.const 2001)", 0),
    ("clock_time_get (i32.const 1) (i64.const 0) (i32.const 0x3fff9)", 21),
    ("clock_time_get (i32.const 1) (i64.const 0) (i32.const -8)", 21),
    ("clock_time_get (i32.const -1) (i64.const 0) (i32.const -8)", 58),
    ("random_get (i32.const -1) (i32.const 0)", 21),
    ("random_get (i32.const 0x40000) (i32.const 0)", 0),
    ("random_get (i32.const 0x3ffff) (i32.const 2)", 21),
    ("random_get (i32.const 0) (i32.const 65537)", 28),
    ("random_get (i32.const -1) (i32.const -1)", 28),
    ("args_sizes_get (i32.const 2001) (i32.const 2001)", 0),
    ("args_sizes_get (i32.const -4) (i32.const 2000)", 21),
    ("args_sizes_get (i32.const 2000) (i32.const -4)", 21),
    // There is nothing to write.
    ("args_get (i32.const -4) (i32.const -4)", 0),
    ("environ_sizes_get (i32.const 2001) (i32.const 2001)", 0),
    ("environ_sizes_get (i32.const -4) (i32.const 2000)", 21),
    ("environ_sizes_get (i32.const 2000) (i32.const -4)", 21),
    ("environ_get (i32.const -4) (i32.const 0x10000)", 21),
    ("environ_get (i32.const 2000) (i32.const -4)", 21),
    // The second variable reaches across the end of memory.
    ("environ_get (i32.const 2000) (i32.const 0x30000)", 21),
    ("environ_get (i32.const 2001) (i32.const 0x20000)", 0),
    // Nothing is looked at, nobody sleeps.
    (
        "poll_oneoff (i32.const -4) (i32.const -4) (i32.const -1) (i32.const 2000)",
        0,
    ),
    (
        "poll_oneoff (i32.const 0) (i32.const 0) (i32.const 1) (i32.const -4)",
        21,
    ),
    ("sched_yield", 0),
];

#[test]
fn each_function_of_wasi_has_its_errno() {
    on_a_worker(async {
        // As two decimal digits, of which letters would be too few.
        let calls: String = ERRNOS
            .iter()
            .map(|(call, _)| {
                format!(
                    "(local.set 0 (call ${call}))
                     (call $trace (i32.add (i32.const 48) (i32.div_u (local.get 0) (i32.const 10))))
                     (call $trace (i32.add (i32.const 48) (i32.rem_u (local.get 0) (i32.const 10))))"
                )
            })
            .collect();
        let wasm = guest_with(
            &imports("wasi_snapshot_preview1"),
            &format!(
                r#"(data (i32.const 2400) "\fc\ff\ff\ff\08\00\00\00")
                   (func $all (local i32) {calls})
                   (func (export "_initialize") (call $all))
                   (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                     (call $all) (call $show_trace) (i32.const 0))"#
            ),
        );
        let trace = trace(&plugins(&[with_environment(config(&wasm))])).await;
        assert_eq!(trace.len(), 4 * ERRNOS.len());
        for (place, (call, expected)) in ERRNOS.iter().enumerate() {
            let expected = format!("{expected:02}");
            let seen = [place, ERRNOS.len() + place].map(|place| &trace[2 * place..][..2]);
            assert_eq!(seen, [expected.as_str(); 2], "{call}");
        }
    });
}
