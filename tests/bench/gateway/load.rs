//! Load and upstream, both on core 1.

use std::{sync::atomic::AtomicBool, time::Duration};

use anyhow::{Context, Result, bail};
use postern_e2e::processes::on_core;
use serde_json::Value;
use xtask::{health, program::Program};

use crate::{Bench, peers::Subject};

/// What is asked for; role `user` may.
pub const PATH: &str = "/api/v1/items?id=42";

/// nginx with an answer of three bytes.
pub fn start_upstream(bench: &Bench) -> Result<Program> {
    let (folder, port) = (bench.folder.display(), bench.upstream_port);
    let configuration = bench.write(
        "upstream.conf",
        &format!(
            "\
worker_processes 1; daemon off; pid {folder}/upstream.pid; error_log {folder}/upstream.err;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 3600s; tcp_nodelay on;
  large_client_header_buffers 4 16k;
  client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi; uwsgi_temp_path {folder}/nginx-uwsgi; scgi_temp_path {folder}/nginx-scgi;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ default_type text/plain; return 200 \"ok\\n\"; }} }}
}}
"
        ),
    )?;
    let mut command = on_core(1, &bench.tools.nginx);
    command.args(["-c", &configuration, "-e", "stderr"]);
    let mut upstream = Program::start("nginx", command, &bench.folder.join("upstream.log"))?;
    health::wait(
        &mut upstream,
        port,
        "/",
        200,
        Duration::from_secs(10),
        &AtomicBool::new(false),
    )?;
    Ok(upstream)
}

/// What wrk saw.
pub struct Load {
    /// Answers.
    pub requests: f64,
    /// How long it ran.
    pub seconds: f64,
    /// Latency, microseconds.
    pub p50: f64,
    pub p99: f64,
}

/// Asks the proxy for so many seconds, with the tokens in turn, beginning after so many of them. Any answer but 200 is an
/// error.
pub fn run(bench: &Bench, subject: &Subject, seconds: u32, after: f64) -> Result<Load> {
    let script = bench.write("tokens.lua", SCRIPT)?;
    let tokens = bench.folder.join(subject.tokens.file());
    let (duration, connections) = (format!("-d{seconds}s"), format!("-c{}", bench.options.connections));
    let mut command = on_core(1, &bench.tools.wrk);
    command.args(["-t1", &connections, &duration, "--timeout", "10s", "-s", &script]);
    command
        .args([&format!("http://127.0.0.1:{}/", subject.port), "--"])
        .arg(tokens)
        .arg(PATH)
        .arg(format!("{after:.0}"));
    let output = command.output().context("cannot run wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(figures) = text.lines().find_map(|line| line.strip_prefix("JSON ")) else {
        bail!("wrk said: {text} {}", String::from_utf8_lossy(&output.stderr));
    };
    let figures: Value = serde_json::from_str(figures).context("wrk's figures")?;
    let figure = |key: &str| figures[key].as_f64().unwrap_or_default();
    if figure("errors") > 0.0 {
        bail!(
            "{} of {} answers were errors: {text}",
            figure("errors"),
            figure("requests")
        );
    }
    Ok(Load {
        requests: figure("requests"),
        seconds: figure("microseconds") / 1e6,
        p50: figure("p50"),
        p99: figure("p99"),
    })
}

/// One token a line in the file of the first argument; the second is the path, the third how many were shown before.
const SCRIPT: &str = r#"local requests, count, turn = {}, 0, 0
function init(arguments)
  for token in io.lines(arguments[1]) do
    count = count + 1
    requests[count] = wrk.format("GET", arguments[2], {["Host"]="svc.example", ["User-Agent"]="wrk/bench",
      ["Accept"]="*/*", ["Authorization"]="Bearer "..token})
  end
  turn = tonumber(arguments[3]) % count
end
function request() turn = turn % count + 1; return requests[turn] end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('JSON {"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"errors":%d}\n', summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99), e.status + e.connect + e.read + e.write + e.timeout))
end
"#;
