//! What a guest counts.

use proxy_wasm::{
    hostcalls::{define_metric, get_metric, increment_metric, record_metric},
    traits::{Context, HttpContext},
    types::{Action, MetricType, Status},
};

use crate::case::{case, tell};

pub struct Metrics;

impl Context for Metrics {}

impl HttpContext for Metrics {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let lines = match case(self).as_str() {
            "counter" => counter(),
            "add" => define_metric(MetricType::Counter, "phases.added")
                .and_then(|id| increment_metric(id, 1))
                .map(|()| Vec::new()),
            "gauge" => gauge(),
            "histogram" => histogram(),
            "unknown" => Ok(vec![
                format!("{:?}", get_metric(40_001)),
                format!("{:?}", record_metric(40_001, 1)),
                format!("{:?}", increment_metric(40_001, 1)),
            ]),
            _ => twice(),
        };
        tell(self, &lines.unwrap_or_else(|status| vec![format!("{status:?}")]));
        Action::Pause
    }
}

fn counter() -> Result<Vec<String>, Status> {
    let id = define_metric(MetricType::Counter, "phases.counter")?;
    Ok(vec![
        format!("{:?} {:?}", increment_metric(id, 2), get_metric(id)),
        format!("{:?} {:?}", increment_metric(id, 0), get_metric(id)),
        format!("{:?} {:?}", increment_metric(id, -1), get_metric(id)),
        format!("{:?} {:?}", record_metric(id, 5), get_metric(id)),
    ])
}

fn gauge() -> Result<Vec<String>, Status> {
    let id = define_metric(MetricType::Gauge, "phases.gauge")?;
    Ok(vec![
        format!("{:?} {:?}", record_metric(id, 10), get_metric(id)),
        format!("{:?} {:?}", increment_metric(id, -3), get_metric(id)),
        format!("{:?} {:?}", record_metric(id, 1), get_metric(id)),
    ])
}

fn histogram() -> Result<Vec<String>, Status> {
    let id = define_metric(MetricType::Histogram, "phases.histogram")?;
    Ok(vec![
        format!("{:?} {:?}", record_metric(id, 3), record_metric(id, 300)),
        format!("{:?} {:?}", get_metric(id), increment_metric(id, 1)),
    ])
}

/// A name that is defined again is the same metric.
fn twice() -> Result<Vec<String>, Status> {
    let first = define_metric(MetricType::Counter, "phases.twice")?;
    let second = define_metric(MetricType::Counter, "phases.twice")?;
    increment_metric(first, 1)?;
    increment_metric(second, 1)?;
    Ok(vec![
        format!("{:?} {:?}", get_metric(first), get_metric(second)),
        format!("same id {}", first == second),
    ])
}
