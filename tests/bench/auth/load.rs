//! The load, on core 1.

use anyhow::{Context, Result, bail};
use postern_e2e::processes::on_core;
use serde_json::Value;

use crate::Bench;

/// What wrk saw.
pub struct Load {
    /// Answers.
    pub calls: f64,
    /// How long it ran.
    pub seconds: f64,
    /// Latency, microseconds.
    pub p50: f64,
    pub p99: f64,
}

/// Sends the requests in turn for so many seconds. Any answer but 200 is an error. `run` makes the numbers in the
/// requests other ones than those of other runs.
pub fn run(bench: &Bench, port: u16, path: &str, requests: &str, seconds: u32, run: &str) -> Result<Load> {
    let script = bench.write("calls.lua", SCRIPT)?;
    let requests = bench.write("requests", requests)?;
    let (duration, connections) = (format!("-d{seconds}s"), format!("-c{}", bench.options.connections));
    let mut command = on_core(1, &bench.wrk);
    command
        .args(["-t1", &connections, &duration, "--timeout", "10s", "-s"])
        .arg(script);
    command
        .args([&format!("http://127.0.0.1:{port}/"), "--"])
        .arg(requests)
        .args([path, run]);
    let output = command.output().context("cannot run wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(figures) = text.lines().find_map(|line| line.strip_prefix("JSON ")) else {
        bail!("wrk said: {text} {}", String::from_utf8_lossy(&output.stderr));
    };
    let figures: Value = serde_json::from_str(figures).context("wrk's figures")?;
    let figure = |key: &str| figures[key].as_f64().unwrap_or_default();
    if figure("errors") > 0.0 || figure("calls") == 0.0 {
        bail!(
            "{} of {} answers were errors: {text}",
            figure("errors"),
            figure("calls")
        );
    }
    Ok(Load {
        calls: figure("calls"),
        seconds: figure("microseconds") / 1e6,
        p50: figure("p50"),
        p99: figure("p99"),
    })
}

/// Arguments: the file with requests, the path, the name of the run.
const SCRIPT: &str = r#"local requests, count, turn = {}, 0, 0
local path, run
function init(arguments)
  path, run = arguments[2], arguments[3]
  for line in io.lines(arguments[1]) do
    local authorization, form = line:match("^(.-)\t(.*)$")
    local headers = {["Host"]="id.example", ["Authorization"]=authorization,
      ["Content-Type"]="application/x-www-form-urlencoded"}
    count = count + 1
    requests[count] = {headers, form, not form:find("{n}", 1, true) and wrk.format("POST", path, headers, form)}
  end
end
function request()
  turn = turn + 1
  local headers, form, whole = unpack(requests[turn % count + 1])
  return whole or wrk.format("POST", path, headers, (form:gsub("{n}", run .. "-" .. turn)))
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('JSON {"calls":%d,"microseconds":%d,"p50":%d,"p99":%d,"errors":%d}\n', summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99), e.status + e.connect + e.read + e.write + e.timeout))
end
"#;
