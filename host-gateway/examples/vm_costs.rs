//! What VMs cost, as one JSON object per plugin: `vm_costs PLUGIN.wasm…`. `cargo xtask bench plugins` runs it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use postern_gateway::cluster::{CallError, Clusters};
use postern_gateway::plugin::{
    CodeCache, Connection, Loading, PluginConfig, PluginModule, PluginProcess, Plugins, Verdict,
};
use tokio::time::Instant;

type Failed = Box<dyn std::error::Error>;

/// VMs that are started and held at once.
const VMS: u32 = 40;

/// Traps at every request with a path of four bytes.
const TRAPS: &str = r#"(module
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 17)
  (data (i32.const 16) ":path")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $get (i32.const 0) (i32.const 16) (i32.const 5) (i32.const 8) (i32.const 12)))
    (if (i32.eq (i32.load (i32.const 12)) (i32.const 4)) (then unreachable))
    (i32.const 0)))"#;

fn main() -> Result<(), Failed> {
    let folder = std::env::temp_dir().join(format!("postern-vm-costs-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let traps = folder.join("traps.wasm");
    std::fs::write(&traps, wat::parse_str(TRAPS)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for file in std::env::args().skip(1).map(PathBuf::from) {
        let cache = CodeCache::open(&folder.join("cache")).ok_or("no cache")?;
        let (_, _) = timed(|| load(&file, Some(&cache)))?;
        let (_, compile) = timed(|| load(&file, None))?;
        let (module, cached) = timed(|| load(&file, Some(&cache)))?;
        let (start, kib) = tokio::task::LocalSet::new().block_on(&runtime, async { starts(&module) })?;
        let line = serde_json::json!({
            "plugin": file.file_stem().map(|name| name.to_string_lossy()),
            "compile_ms": millis(compile),
            "load_compiled_ms": millis(cached),
            "vm_start_us": micros(start),
            "vm_kib": kib,
        });
        println!("{line}");
    }
    let module = load(&traps, None)?;
    let back = tokio::task::LocalSet::new().block_on(&runtime, trap_to_service(module))?;
    println!(
        "{}",
        serde_json::json!({ "plugin": "one that traps", "trap_to_service_us": micros(back) })
    );
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

fn load(file: &Path, cache: Option<&CodeCache>) -> Result<Arc<PluginModule>, Failed> {
    let config: PluginConfig = serde_json::from_value(serde_json::json!({
        "name": "measured", "wasm": file,
        "configuration": { "rules": [], "public": ["/**"], "issuers": [ { "issuer": "i", "audiences": ["a"],
            "jwks": { "inline": { "keys": [ { "kty": "oct", "alg": "HS256", "kid": "k",
                "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" } ] } } } ] },
    }))?;
    let folder = Path::new(".");
    let loading = Loading {
        folder,
        cache,
        traced: &[],
    };
    Ok(PluginModule::load(&config, &loading)?)
}

/// The median time of a start, and the resident memory of one VM in KiB.
fn starts(module: &Arc<PluginModule>) -> Result<(Duration, u64), Failed> {
    let process = PluginProcess::new();
    let modules = std::slice::from_ref(module);
    let (mut times, mut held) = (Vec::new(), Vec::new());
    let before = resident_kib()?;
    for _ in 0..VMS {
        let clusters = Clusters::answered_by([""; 0], |_, _| Box::pin(async { Err(CallError::UnknownCluster) }));
        let (plugins, time) = timed(|| Ok(Plugins::start(modules, clusters, Arc::clone(&process))?))?;
        times.push(time);
        held.push(plugins);
    }
    let kib = resident_kib()?.saturating_sub(before) / u64::from(VMS);
    times.sort();
    Ok((times[times.len() / 2], kib))
}

/// From a request that traps to the answer of the next one, the median.
async fn trap_to_service(module: Arc<PluginModule>) -> Result<Duration, Failed> {
    let clusters = Clusters::answered_by([""; 0], |_, _| Box::pin(async { Err(CallError::UnknownCluster) }));
    let plugins = Plugins::start(&[module], clusters, PluginProcess::new())?;
    let mut times = Vec::new();
    for _ in 0..9 {
        let began = Instant::now();
        let failed = !passes(&plugins, "/bad").await?;
        let served = passes(&plugins, "/good").await?;
        if !failed || !served {
            return Err("the plugin did not trap, or was not replaced".into());
        }
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2])
}

async fn passes(plugins: &Rc<Plugins>, path: &str) -> Result<bool, Failed> {
    let mut stream = plugins.open(Rc::new(Connection {
        id: 1,
        source: SocketAddr::from(([192, 0, 2, 1], 40_000)),
        destination: SocketAddr::from(([127, 0, 0, 1], 8081)),
        listener: Rc::default(),
    }));
    let (head, ()) = Request::get(path).header("host", "a").body(())?.into_parts();
    Ok(matches!(stream.request_headers(head, true).await, Verdict::Continue(_)))
}

fn timed<T>(work: impl FnOnce() -> Result<T, Failed>) -> Result<(T, Duration), Failed> {
    let began = Instant::now();
    let done = work()?;
    Ok((done, began.elapsed()))
}

fn resident_kib() -> Result<u64, Failed> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e7).round() / 10.0
}
