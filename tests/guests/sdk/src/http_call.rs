//! A request of a guest's own.

use std::time::Duration;

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::{Action, Status},
};

use crate::case::{case, listed, tell};

/// More calls at once than the cluster `narrow` takes.
const TOO_MANY: usize = 10;

const PATIENT: Duration = Duration::from_secs(10);

/// Asks a cluster for a path.
pub fn ask(context: &dyn Context, cluster: &str, path: &str, timeout: Duration) -> Result<u32, Status> {
    let head = vec![(":method", "GET"), (":path", path), (":authority", cluster)];
    context.dispatch_http_call(cluster, head, None, vec![], timeout)
}

#[derive(Default)]
pub struct HttpCall {
    case: String,
    /// How many answers are still to come.
    open: usize,
    answers: Vec<String>,
}

impl Context for HttpCall {
    fn on_http_call_response(&mut self, _: u32, headers: usize, size: usize, trailers: usize) {
        let body = self.get_http_call_response_body(0, usize::MAX).unwrap_or_default();
        let body = String::from_utf8_lossy(&body).into_owned();
        match self.case.as_str() {
            "resume" => {
                self.add_http_request_header("x-answer", &body);
                self.resume_http_request();
            }
            "resume-response" => {
                self.add_http_response_header("x-answer", &body);
                self.resume_http_response();
            }
            "forget" => {}
            "too-many" => {
                let status = self.get_http_call_response_header(":status");
                self.answers.push(format!("answered {status:?}"));
                self.open -= 1;
                if self.open == 0 {
                    // Alike, however many a host lets through.
                    self.answers.sort();
                    self.answers.dedup();
                    tell(self, &self.answers);
                }
            }
            "two" => {
                self.answers.push(body);
                self.open -= 1;
                if self.open == 0 {
                    self.answers.sort();
                    tell(self, &self.answers);
                }
            }
            "status" => tell(
                self,
                &[format!(
                    "answered {}, status {:?}",
                    headers > 0,
                    self.get_http_call_response_header(":status")
                )],
            ),
            _ => tell(
                self,
                &[
                    format!("answered {}, {size} bytes, {trailers} trailers", headers > 0),
                    listed(self.get_http_call_response_headers()),
                    format!("{:?}", self.get_http_call_response_header("X-Up")),
                    format!("{:?}", self.get_http_call_response_header("x-missing")),
                    body,
                    listed(self.get_http_call_response_trailers()),
                ],
            ),
        }
    }
}

impl HttpContext for HttpCall {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.case = case(self);
        let asked = match self.case.as_str() {
            "resume-response" | "pass" => return Action::Continue,
            "post" => self.dispatch_http_call(
                "directory",
                vec![
                    (":method", "POST"),
                    (":path", "/answer"),
                    (":authority", "asked.example"),
                    ("x-call", "one"),
                    ("x-call", "two"),
                ],
                Some(b"question"),
                vec![("x-sum", "7")],
                PATIENT,
            ),
            "trailers" => ask(self, "directory", "/trailers", PATIENT),
            "not-found" => ask(self, "directory", "/not-found", PATIENT),
            "empty" => ask(self, "directory", "/empty", PATIENT),
            "refused" => {
                self.case = "status".to_owned();
                ask(self, "nowhere", "/", PATIENT)
            }
            "closed" => {
                self.case = "status".to_owned();
                ask(self, "directory", "/closed", PATIENT)
            }
            "late" => {
                self.case = "status".to_owned();
                ask(self, "directory", "/silent", Duration::from_millis(100))
            }
            "unknown" => ask(self, "unknown", "/", PATIENT),
            "without-path" => {
                let head = vec![(":method", "GET"), (":authority", "a")];
                self.dispatch_http_call("directory", head, None, vec![], PATIENT)
            }
            "two" => {
                self.open = 2;
                ask(self, "directory", "/first", PATIENT).and_then(|_| ask(self, "directory", "/second", PATIENT))
            }
            "too-many" => {
                for _ in 0..TOO_MANY {
                    match ask(self, "narrow", "/answer", PATIENT) {
                        Ok(_) => self.open += 1,
                        Err(status) => self.answers.push(format!("refused: {status:?}")),
                    }
                }
                return Action::Pause;
            }
            "forget" => {
                let path = self.get_http_request_header("x-forget").unwrap_or_default();
                let asked = ask(self, "directory", &path, PATIENT);
                self.add_http_request_header("x-asked", &format!("{}", asked.is_ok()));
                return Action::Continue;
            }
            _ => ask(self, "directory", "/answer", PATIENT),
        };
        if let Err(status) = asked {
            tell(self, &[format!("{status:?}")]);
        }
        Action::Pause
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if self.case == "resume-response" && ask(self, "directory", "/answer", PATIENT).is_ok() {
            return Action::Pause;
        }
        Action::Continue
    }
}
