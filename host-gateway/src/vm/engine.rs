//! The process's one wasmtime engine, and the clock that interrupts endless guests.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

/// How often the epoch advances: the granularity of a plugin's call deadline.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// VMs that may live at once when they come from the pool, unless more are [reserved](reserve).
static POOLED_VMS: AtomicU32 = AtomicU32::new(256);

/// Most VMs that a pool may have: each takes 4 GiB of addresses, of which a process has 128 TiB.
pub(crate) const MOST_VMS: usize = 16_000;

/// Asks for a pool of so many VMs at least. What is asked for after the engine was built comes too late.
pub(crate) fn reserve(vms: usize) {
    POOLED_VMS.fetch_max(vms.min(MOST_VMS) as u32, Ordering::Relaxed);
}

/// The engine all plugins are compiled for, or why there is none.
pub(crate) fn engine() -> Result<&'static Engine, &'static str> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    ENGINE.get_or_init(build).as_ref().map_err(String::as_str)
}

fn build() -> Result<Engine, String> {
    let engine = match Engine::new(&pooled()) {
        Ok(engine) => engine,
        Err(refused) => {
            // Containers with little address space or few mappings cannot reserve a pool.
            tracing::warn!(reason = %refused, "VMs are allocated on demand: the pool could not be reserved");
            Engine::new(&config()).map_err(|error| format!("the WebAssembly engine does not start: {error}"))?
        }
    };
    start_ticker(engine.clone())?;
    Ok(engine)
}

fn config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.cranelift_opt_level(OptLevel::Speed);
    config.memory_init_cow(true);
    // Collecting frames makes every trap dearer and tells an operator nothing without the guest's symbols.
    config.wasm_backtrace_max_frames(None);
    config
}

fn pooled() -> Config {
    let mut pool = PoolingAllocationConfig::new();
    let vms = POOLED_VMS.load(Ordering::Relaxed);
    pool.total_core_instances(vms);
    pool.total_memories(vms);
    pool.total_tables(vms * 2);
    pool.max_tables_per_module(2);
    // Full-Go guests need about 6,300 entries.
    pool.table_elements(10_000);
    pool.max_core_instance_size(4 << 20);
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// A thread of its own: a worker that is stuck in a guest cannot advance the epoch that would free it.
fn start_ticker(engine: Engine) -> Result<(), String> {
    std::thread::Builder::new()
        .name("vm-epoch".to_owned())
        .spawn(move || {
            loop {
                std::thread::sleep(TICK);
                engine.increment_epoch();
            }
        })
        .map(|_| ())
        .map_err(|error| format!("the thread that interrupts endless plugins does not start: {error}"))
}
