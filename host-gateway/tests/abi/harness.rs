//! Guests from WAT, exchanges without a network, clusters that answer from a function.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, Request, Response, request, response};
use postern_gateway::cluster::{Clusters, SharedCluster};
use postern_gateway::metrics::WorkerMetrics;
use postern_gateway::plugin::{
    Connection, Loading, LocalResponse, PluginConfig, PluginError, PluginModule, PluginProcess, PluginStream, Plugins,
    Verdict,
};
use tokio::net::TcpListener;

/// Every function of `env`, with its parameters (`i` is i32, `l` is i64). Guests call it by its name without `proxy_`.
pub const IMPORTS: &[(&str, &str)] = &[
    ("log", "iii"),
    ("get_log_level", "i"),
    ("get_current_time_nanoseconds", "i"),
    ("set_tick_period_milliseconds", "i"),
    ("set_effective_context", "i"),
    ("done", ""),
    ("get_buffer_bytes", "iiiii"),
    ("get_buffer_status", "iii"),
    ("set_buffer_bytes", "iiiii"),
    ("get_header_map_size", "ii"),
    ("get_header_map_pairs", "iii"),
    ("set_header_map_pairs", "iii"),
    ("get_header_map_value", "iiiii"),
    ("add_header_map_value", "iiiii"),
    ("replace_header_map_value", "iiiii"),
    ("remove_header_map_value", "iii"),
    ("continue_stream", "i"),
    ("close_stream", "i"),
    ("send_local_response", "iiiiiiii"),
    ("http_call", "iiiiiiiiii"),
    ("get_status", "iii"),
    ("grpc_call", "iiiiiiiiiiii"),
    ("grpc_stream", "iiiiiiiii"),
    ("grpc_send", "iiii"),
    ("grpc_cancel", "i"),
    ("grpc_close", "i"),
    ("get_property", "iiii"),
    ("set_property", "iiii"),
    ("get_shared_data", "iiiii"),
    ("set_shared_data", "iiiii"),
    ("register_shared_queue", "iii"),
    ("resolve_shared_queue", "iiiii"),
    ("enqueue_shared_queue", "iii"),
    ("dequeue_shared_queue", "iii"),
    ("define_metric", "iiii"),
    ("increment_metric", "il"),
    ("record_metric", "il"),
    ("get_metric", "ii"),
    ("call_foreign_function", "iiiiii"),
];

/// What every guest has: memory, an allocator, and ways to show what happened.
///
/// `$report` adds a field `r` with a status to the request; `$show` a field `v` with the bytes whose address and size
/// stand at 2000 and 2004, `$answer` gives them as the body of a local response. `$show_number` adds a field `n` with 32
/// bits as hexadecimal digits. `$trace` notes a character, `$show_trace` adds a field `t` with all that were noted.
const PRELUDE: &str = r#"
  (memory (export "memory") 4 1024)
  (global $free (mut i32) (i32.const 65536))
  (func $allocate (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $free))
    (global.set $free (i32.add (local.get $at) (local.get $size)))
    (local.get $at))
  (func $digit (param $at i32) (param $value i32)
    (i32.store8 (local.get $at)
      (i32.add (local.get $value) (select (i32.const 87) (i32.const 48) (i32.gt_u (local.get $value) (i32.const 9))))))
  (func $report (param $status i32)
    (call $digit (i32.const 1000) (i32.div_u (local.get $status) (i32.const 10)))
    (call $digit (i32.const 1001) (i32.rem_u (local.get $status) (i32.const 10)))
    (drop (call $add_header_map_value (i32.const 0) {r} (i32.const 1000) (i32.const 2))))
  (func $show
    (drop (call $add_header_map_value (i32.const 0) {v} (i32.load (i32.const 2000)) (i32.load (i32.const 2004)))))
  (func $answer
    (drop (call $send_local_response (i32.const 200) {}
      (i32.load (i32.const 2000)) (i32.load (i32.const 2004)) {} (i32.const -1))))
  (func $trace (param $letter i32)
    (i32.store8 (i32.add (i32.const 3000) (i32.load (i32.const 2900))) (local.get $letter))
    (i32.store (i32.const 2900) (i32.add (i32.load (i32.const 2900)) (i32.const 1))))
  (func $show_trace
    (drop (call $add_header_map_value (i32.const 0) {t} (i32.const 3000) (i32.load (i32.const 2900)))))
  (func $show_number (param $value i32)
    (local $place i32)
    (local.set $place (i32.const 8))
    (loop $next
      (local.set $place (i32.sub (local.get $place) (i32.const 1)))
      (call $digit (i32.add (i32.const 1000) (local.get $place)) (i32.and (local.get $value) (i32.const 15)))
      (local.set $value (i32.shr_u (local.get $value) (i32.const 4)))
      (br_if $next (local.get $place)))
    (drop (call $add_header_map_value (i32.const 0) {n} (i32.const 1000) (i32.const 8))))
"#;

/// A guest of ABI 0.2.1 with [`PRELUDE`] around `body`.
pub fn guest(body: &str) -> Vec<u8> {
    guest_of_abi("0_2_1", body)
}

/// A [`guest`] with imports of its own.
pub fn guest_with(imports: &str, body: &str) -> Vec<u8> {
    guest_of_abi_with("0_2_1", imports, body)
}

/// [`guest`] for another ABI. Text in braces becomes the address and size of those bytes; `\hh` is a byte in hexadecimal.
pub fn guest_of_abi(abi: &str, body: &str) -> Vec<u8> {
    guest_of_abi_with(abi, "", body)
}

/// The same with imports of its own.
pub fn guest_of_abi_with(abi: &str, imports: &str, body: &str) -> Vec<u8> {
    let marks = format!(
        r#"(func (export "proxy_abi_version_{abi}"))
           (export "proxy_on_memory_allocate" (func $allocate))"#
    );
    wat::parse_str(module(&format!("{imports}{PRELUDE}{marks}{body}"))).unwrap()
}

/// A module with the imports and `body`, nothing else.
pub fn bare(body: &str) -> Vec<u8> {
    wat::parse_str(module(body)).unwrap()
}

fn module(body: &str) -> String {
    let mut text = String::from("(module\n");
    for (name, params) in IMPORTS {
        let params = params.replace('i', " i32").replace('l', " i64");
        writeln!(
            text,
            r#"  (import "env" "proxy_{name}" (func ${name} (param{params}) (result i32)))"#
        )
        .unwrap();
    }
    // Places from 4096 on are for texts.
    let (mut data, mut next) = (String::new(), 4096);
    let mut rest = body;
    while let Some((before, after)) = rest.split_once('{') {
        let (literal, after) = after.split_once('}').unwrap();
        let size = literal.len() - 2 * literal.matches('\\').count();
        writeln!(data, "(data (i32.const {next}) \"{literal}\")").unwrap();
        write!(text, "{before}(i32.const {next}) (i32.const {size})").unwrap();
        next += size;
        rest = after;
    }
    format!("{text}{rest}{data})")
}

/// `plugins:` entry for a guest, written to a file of its own.
pub fn config(wasm: &[u8]) -> PluginConfig {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let name = format!(
        "guest-{}-{}.wasm",
        std::process::id(),
        FILES.fetch_add(1, Ordering::Relaxed)
    );
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, wasm).unwrap();
    serde_json::from_value(serde_json::json!({ "name": "guest", "wasm": file })).unwrap()
}

pub fn load(config: &PluginConfig) -> Result<Arc<PluginModule>, PluginError> {
    let loaded = PluginModule::load(
        config,
        &Loading {
            folder: Path::new("/"),
            cache: None,
            traced: &[],
        },
    );
    let _ = std::fs::remove_file(&config.wasm);
    loaded
}

/// Runs a test on a worker's kind of thread.
pub fn on_a_worker(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

/// Plugins of one worker, in this order, with no clusters.
pub fn plugins(configs: &[PluginConfig]) -> Rc<Plugins> {
    start(configs, no_clusters(), &PluginProcess::new()).unwrap()
}

/// The plugin of one worker.
pub fn plugin(wasm: &[u8]) -> Rc<Plugins> {
    plugins(&[config(wasm)])
}

pub fn start(
    configs: &[PluginConfig],
    clusters: Rc<Clusters>,
    process: &Arc<PluginProcess>,
) -> Result<Rc<Plugins>, PluginError> {
    let modules = configs.iter().map(load).collect::<Result<Vec<_>, _>>()?;
    Plugins::start(&modules, clusters, Arc::clone(process))
}

pub fn no_clusters() -> Rc<Clusters> {
    Clusters::new(&[], 0, &Arc::new(WorkerMetrics::new(0, 0)))
}

/// One cluster of that name. `answer` makes the bytes of the response from those of the request; `None` never answers.
pub async fn cluster(name: &str, answer: impl Fn(&str) -> Option<String> + 'static) -> Rc<Clusters> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Rc::new(answer);
    tokio::task::spawn_local(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let answer = Rc::clone(&answer);
            tokio::task::spawn_local(async move {
                let mut request = vec![0; 65536];
                let size = loop {
                    connection.readable().await.unwrap();
                    // Readiness may be a false alarm.
                    if let Ok(size) = connection.try_read(&mut request) {
                        break size;
                    }
                };
                match answer(&String::from_utf8_lossy(&request[..size])) {
                    Some(answer) => assert_eq!(connection.try_write(answer.as_bytes()).unwrap(), answer.len()),
                    None => std::future::pending().await,
                }
            });
        }
    });
    cluster_at(name, address)
}

/// One cluster of that name with one endpoint.
pub fn cluster_at(name: &str, address: SocketAddr) -> Rc<Clusters> {
    cluster_with(name, &format!("endpoints: [ \"{address}\" ]"))
}

/// One cluster of that name with these keys.
pub fn cluster_with(name: &str, keys: &str) -> Rc<Clusters> {
    let config = serde_saphyr::from_str(keys).unwrap();
    let shared = SharedCluster::resolve(name, &config).unwrap();
    Clusters::new(&[shared], 0, &Arc::new(WorkerMetrics::new(0, 1)))
}

/// A response for [`cluster`].
pub fn ok(body: &str) -> Option<String> {
    Some(format!(
        "HTTP/1.1 200 OK\r\nx-from: cluster\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

pub fn open(plugins: &Rc<Plugins>) -> PluginStream {
    plugins.open(Rc::new(Connection {
        id: 7,
        source: SocketAddr::from(([192, 0, 2, 1], 4711)),
        destination: SocketAddr::from(([127, 0, 0, 1], 8081)),
        listener: Rc::default(),
    }))
}

/// `GET path` to `example.com`.
pub fn get(path: &str) -> request::Parts {
    Request::builder()
        .uri(path)
        .header("host", "example.com")
        .body(())
        .unwrap()
        .into_parts()
        .0
}

pub fn answered(status: u16) -> response::Parts {
    Response::builder().status(status).body(()).unwrap().into_parts().0
}

/// The request head after one plugin has seen `GET /`.
pub async fn first_head(wasm: &[u8]) -> request::Parts {
    go_on(open(&plugin(wasm)).request_headers(get("/"), true).await)
}

/// The values of a field, in order.
pub fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect()
}

#[track_caller]
pub fn go_on<T: std::fmt::Debug>(verdict: Verdict<T>) -> T {
    match verdict {
        Verdict::Continue(part) => part,
        other => panic!("the exchange does not go on: {other:?}"),
    }
}

#[track_caller]
pub fn response<T: std::fmt::Debug>(verdict: Verdict<T>) -> LocalResponse {
    match verdict {
        Verdict::Respond(response) => response,
        other => panic!("no local response: {other:?}"),
    }
}

#[track_caller]
pub fn fails<T: std::fmt::Debug>(verdict: Verdict<T>) {
    assert!(matches!(verdict, Verdict::Fail), "did not fail: {verdict:?}");
}

/// Pairs as the ABI serializes them.
pub fn pairs(bytes: &[u8]) -> Vec<(String, String)> {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut at = 4 + number(0) * 8;
    let mut next = |size: usize| {
        let text = String::from_utf8_lossy(&bytes[at..at + size]).into_owned();
        assert_eq!(bytes[at + size], 0);
        at += size + 1;
        text
    };
    (0..number(0))
        .map(|pair| (next(number(4 + pair * 8)), next(number(8 + pair * 8))))
        .collect()
}

/// What the guest's `$show_trace` shows on a request.
pub async fn trace(plugins: &Rc<Plugins>) -> String {
    let head = go_on(open(plugins).request_headers(get("/trace"), true).await);
    values(&head.headers, "t").concat()
}

pub fn metrics(process: &PluginProcess) -> String {
    let mut text = String::new();
    process.render_metrics(&mut text);
    text
}

/// Long enough for tasks that are ready to run.
/// Asks again and again, however slow the machine is; what has not come after half a minute never comes.
pub async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..3000 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not happen")
}

pub async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}
