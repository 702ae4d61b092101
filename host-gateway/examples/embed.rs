//! A proxy-wasm plugin in a program of one's own, without the gateway: `cargo run -p postern-gateway --example embed --
//! plugin.wasm [CONFIGURATION]` shows what the plugin makes of one request and its answer.

use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Response};
use postern_gateway::cluster::Clusters;
use postern_gateway::plugin::{Connection, Loading, PluginConfig, PluginModule, PluginProcess, Plugins, Verdict};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let wasm = arguments.next().ok_or("usage: embed PLUGIN.wasm [CONFIGURATION]")?;
    let config: PluginConfig = serde_json::from_value(serde_json::json!({
        "name": "mine",
        "wasm": wasm,
        "configuration": arguments.next(),
        "limits": { "memory": "16MiB", "call": "50ms" },
    }))?;
    // Compiled once; each thread makes VMs of it.
    let loading = Loading {
        folder: Path::new("."),
        cache: None,
        traced: &[],
    };
    let module = PluginModule::load(&config, &loading)?;
    let process = PluginProcess::new();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        // The plugin may call the cluster `directory`; we answer, from wherever we like.
        let clusters = Clusters::answered_by(["directory"], |cluster, request: Request<Bytes>| {
            println!("call to {cluster}: {} {}", request.method(), request.uri());
            Box::pin(async { Ok(Response::new(Bytes::from("an answer"))) })
        });
        let plugins = Plugins::start(&[module], clusters, process.clone())?;
        exchange(&plugins).await
    })?;
    let mut metrics = String::new();
    process.render_metrics(&mut metrics);
    println!("{} lines of metrics", metrics.lines().count());
    Ok(())
}

/// One request with a body, answered by ourselves if the plugin lets it pass.
async fn exchange(plugins: &Rc<Plugins>) -> Result<(), Box<dyn std::error::Error>> {
    let mut stream = plugins.open(Rc::new(Connection {
        id: 1,
        source: SocketAddr::from(([192, 0, 2, 1], 40_000)),
        destination: SocketAddr::from(([127, 0, 0, 1], 8081)),
        listener: Rc::default(),
    }));
    let request = Request::post("/hello?a=b").header("host", "example.com").body(())?;
    let Some(head) = shown(stream.request_headers(request.into_parts().0, false).await) else {
        return Ok(());
    };
    println!("upstream: {} {} {:?}", head.method, head.uri, head.headers);
    let Some(body) = shown(stream.request_body(Bytes::from("a body"), true).await) else {
        return Ok(());
    };
    println!("upstream body: {body:?}");

    let response = Response::builder().header("content-type", "text/plain").body(())?;
    let Some(head) = shown(stream.response_headers(response.into_parts().0, false).await) else {
        return Ok(());
    };
    println!("client: {} {:?}", head.status, head.headers);
    if let Some(body) = shown(stream.response_body(Bytes::from("our answer"), true).await) {
        println!("client body: {body:?}");
    }
    // Dropping the stream ends it: the plugin's proxy_on_done, proxy_on_log and proxy_on_delete run.
    Ok(())
}

/// What goes on; nothing if the plugin answers itself or fails.
fn shown<T>(verdict: Verdict<T>) -> Option<T> {
    match verdict {
        Verdict::Continue(part) => return Some(part),
        Verdict::Respond(local) => println!("the plugin answers: {} {:?}", local.status, local.body),
        Verdict::Fail => println!("the plugin failed: 503"),
    }
    None
}
