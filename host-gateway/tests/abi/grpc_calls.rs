//! gRPC calls and streams, against a server of HTTP/2.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use postern_gateway::cluster::Clusters;
use postern_gateway::plugin::{CallTime, PluginProcess, Plugins};
use tokio::net::TcpListener;

use crate::harness::*;
use crate::sharing::two;

/// Opens a call to `Service/Method` of a cluster with the message `hello` for each request, and waits. What is heard is
/// traced: `i`, `m`, `t` and `c` for initial metadata, message, trailing metadata and close. At the end the request is
/// answered: the status is 200 and that of gRPC, the body what was said about it, or the message.
fn calls(open: &str) -> Vec<u8> {
    guest(&format!(
        r#"(global $stream (mut i32) (i32.const 0))
           (func $end (param $status i32)
             (drop (call $set_effective_context (global.get $stream)))
             (drop (call $send_local_response (i32.add (i32.const 200) (local.get $status)) {{}}
               (i32.load (i32.const 2000)) (i32.load (i32.const 2004)) {{}} (i32.const -1))))
           (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
             (global.set $stream (local.get $id))
             {open}
             (i32.const 1))
           (func (export "proxy_on_grpc_receive_initial_metadata") (param i32 i32 i32) (call $trace (i32.const 105)))
           (func (export "proxy_on_grpc_receive") (param $root i32) (param $id i32) (param $size i32)
             (call $trace (i32.const 109))
             (drop (call $get_buffer_bytes (i32.const 5) (i32.const 0) (i32.const -1) (i32.const 2000) (i32.const 2004)))
             (if (i32.ne (local.get $size) (i32.load (i32.const 2004))) (then unreachable))
             (if (i32.eqz (i32.and (local.get $id) (i32.const 1))) (then (call $end (i32.const 0)))))
           (func (export "proxy_on_grpc_receive_trailing_metadata") (param i32 i32 i32)
             (call $trace (i32.const 116))
             (drop (call $get_header_map_value (i32.const 5) {{x-last}} (i32.const 2200) (i32.const 2204))))
           (func (export "proxy_on_grpc_close") (param $root i32) (param $id i32) (param $status i32)
             (call $trace (i32.const 99))
             (if (i32.or (local.get $status) (i32.eqz (i32.and (local.get $id) (i32.const 1))))
               (then (drop (call $get_status (i32.const 2100) (i32.const 2000) (i32.const 2004)))
                     (if (i32.ne (i32.load (i32.const 2100)) (local.get $status)) (then unreachable)))
               (else (i32.store (i32.const 2000) (i32.const 3000))
                     (i32.store (i32.const 2004) (i32.load (i32.const 2900)))))
             (call $end (local.get $status)))"#
    ))
}

const CALL: &str = "(if (call $grpc_call {grpc} {Service} {Method} {} {hello} (i32.const 1000) (i32.const 2100))
  (then unreachable))";

/// A stream on which two messages are sent; the second is the last.
const STREAM: &str = "(if (call $grpc_stream {grpc} {Service} {Method} {} (i32.const 2100)) (then unreachable))
  (if (call $grpc_send (i32.load (i32.const 2100)) {one} (i32.const 0)) (then unreachable))
  (if (call $grpc_send (i32.load (i32.const 2100)) {two} (i32.const 1)) (then unreachable))";

pub fn framed(message: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend((message.len() as u32).to_be_bytes());
    bytes.extend(message.as_bytes());
    bytes
}

pub fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let fields = fields.iter();
    fields
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect()
}

#[derive(Clone, Copy)]
struct OnThisThread;

impl<F> hyper::rt::Executor<F> for OnThisThread
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// What the server answers: HTTP status, fields of the head, body, trailers.
pub type Reply = (u16, HeaderMap, Vec<u8>, HeaderMap);

/// A cluster `grpc` whose server answers from a function of the path and the whole body.
pub async fn server(answer: impl Fn(&Request<()>, Bytes) -> Option<Reply> + 'static) -> Rc<Clusters> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Rc::new(answer);
    tokio::task::spawn_local(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let answer = Rc::clone(&answer);
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = Rc::clone(&answer);
                async move {
                    let (head, body) = request.into_parts();
                    let body = body
                        .collect()
                        .await
                        .map_or_else(|_| Bytes::new(), |body| body.to_bytes());
                    let Some((status, fields, bytes, trailers)) = answer(&Request::from_parts(head, ()), body) else {
                        return std::future::pending().await;
                    };
                    let whole = Full::new(Bytes::from(bytes));
                    let body = whole.with_trailers(async move { (!trailers.is_empty()).then_some(Ok(trailers)) });
                    let mut response = Response::new(body.boxed_unsync());
                    if response.headers().is_empty() && status != 0 {
                        *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
                    }
                    *response.headers_mut() = fields;
                    Ok::<_, Infallible>(response)
                }
            });
            let http2 = hyper::server::conn::http2::Builder::new(OnThisThread);
            tokio::task::spawn_local(http2.serve_connection(TokioIo::new(connection), service));
        }
    });
    cluster_at("grpc", address)
}

fn with(wasm: &[u8], clusters: Rc<Clusters>) -> Rc<Plugins> {
    start(&[config(wasm)], clusters, &PluginProcess::new()).unwrap()
}

/// Status and body of what the guest answers.
async fn outcome(plugins: &Rc<Plugins>) -> (u16, String) {
    let local = response(open(plugins).request_headers(get("/"), true).await);
    (local.status.as_u16(), String::from_utf8(local.body.to_vec()).unwrap())
}

#[test]
fn a_call_ends_with_its_message() {
    on_a_worker(async {
        let clusters = server(|request, body| {
            assert_eq!(request.uri().path(), "/Service/Method");
            assert_eq!(request.uri().authority().unwrap(), "grpc");
            assert_eq!(request.headers()["content-type"], "application/grpc");
            assert_eq!(request.headers()["te"], "trailers");
            assert_eq!(request.headers()["grpc-timeout"], "1000m");
            assert_eq!(body, framed("hello"));
            Some((200, HeaderMap::new(), framed("answer"), fields(&[("grpc-status", "0")])))
        })
        .await;
        let plugins = with(&calls(CALL), clusters);
        for _ in 0..2 {
            assert_eq!(outcome(&plugins).await, (200, "answer".to_owned()));
        }
    });
}

#[test]
fn in_a_shared_vm_the_root_context_that_calls_is_answered() {
    on_a_worker(async {
        let wasm = guest(
            r#"(global $waits (mut i32) (i32.const 0))
               (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
                 (global.set $waits (local.get $id))
                 (if (call $grpc_call {grpc} {Service} {Method} {} {hello} (i32.const 1000) (i32.const 2100))
                   (then unreachable))
                 (i32.const 1))
               (func (export "proxy_on_grpc_receive") (param $root i32) (param i32 i32)
                 (drop (call $get_property {plugin_name} (i32.const 2000) (i32.const 2004)))
                 (drop (call $set_effective_context (global.get $waits)))
                 (call $show_number (local.get $root))
                 (call $show)
                 (drop (call $continue_stream (i32.const 0))))"#,
        );
        let ended = fields(&[("grpc-status", "0")]);
        let clusters = server(move |_, _| Some((200, HeaderMap::new(), framed("answer"), ended.clone()))).await;
        let plugins = start(&two(&wasm, |_, _| ()), clusters, &PluginProcess::new()).unwrap();
        let head = go_on(open(&plugins).request_headers(get("/"), true).await);
        assert_eq!(values(&head.headers, "n"), ["00000001", "00000002"]);
        assert_eq!(values(&head.headers, "v"), ["first", "second"]);
    });
}

#[test]
fn a_call_that_fails_is_closed_with_the_reason() {
    on_a_worker(async {
        let cases: [(Reply, u16, &str); 5] = [
            (
                (
                    200,
                    fields(&[("grpc-status", "7"), ("grpc-message", "not%20you")]),
                    vec![],
                    HeaderMap::new(),
                ),
                207,
                "not you",
            ),
            (
                (200, HeaderMap::new(), framed("x"), fields(&[("grpc-status", "10")])),
                210,
                "",
            ),
            (
                (200, HeaderMap::new(), vec![], fields(&[("grpc-status", "0")])),
                213,
                "the answer has no message",
            ),
            (
                (200, HeaderMap::new(), framed("x"), fields(&[("x-last", "1")])),
                202,
                "",
            ),
            (
                (503, HeaderMap::new(), b"busy".to_vec(), HeaderMap::new()),
                214,
                "HTTP status 503",
            ),
        ];
        for (reply, status, said) in cases {
            let clusters = server(move |_, _| Some(reply.clone())).await;
            assert_eq!(outcome(&with(&calls(CALL), clusters)).await, (status, said.to_owned()));
        }
    });
}

#[test]
fn nobody_there_is_unavailable_and_no_answer_a_deadline() {
    on_a_worker(async {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(outcome(&with(&calls(CALL), cluster_at("grpc", gone))).await.0, 214);
        let silent = server(|_, _| None).await;
        let hurried = CALL.replace("1000", "30");
        assert_eq!(outcome(&with(&calls(&hurried), silent)).await.0, 204);
    });
}

#[test]
fn a_stream_tells_everything_in_order_and_one_close() {
    on_a_worker(async {
        let clusters = server(|request, body| {
            assert!(!request.headers().contains_key("grpc-timeout"));
            assert_eq!(body, [framed("one"), framed("two")].concat());
            let answers = [framed("a"), framed(""), framed("b")].concat();
            Some((
                200,
                HeaderMap::new(),
                answers,
                fields(&[("grpc-status", "0"), ("x-last", "1")]),
            ))
        })
        .await;
        assert_eq!(
            outcome(&with(&calls(STREAM), clusters)).await,
            (200, "immmtc".to_owned())
        );
    });
}

#[test]
fn a_cancelled_call_is_not_heard_of_again() {
    on_a_worker(async {
        let cancelled = format!("{CALL} (if (call $grpc_cancel (i32.load (i32.const 2100))) (then unreachable))");
        let clusters =
            server(|_, _| Some((200, HeaderMap::new(), framed("late"), fields(&[("grpc-status", "0")])))).await;
        let plugins = with(&calls(&cancelled), clusters);
        let mut stream = open(&plugins);
        let waiting = stream.request_headers(get("/"), true);
        assert!(
            tokio::time::timeout(std::time::Duration::from_millis(50), waiting)
                .await
                .is_err()
        );
    });
}

#[test]
fn a_closed_stream_still_hears_the_other_side() {
    on_a_worker(async {
        let closed = format!(
            "{} (if (call $grpc_close (i32.load (i32.const 2100))) (then unreachable))",
            STREAM.replace("(i32.const 1))", "(i32.const 0))")
        );
        let clusters = server(|_, body| {
            assert_eq!(body, [framed("one"), framed("two")].concat());
            Some((200, HeaderMap::new(), framed("a"), fields(&[("grpc-status", "0")])))
        })
        .await;
        assert_eq!(
            outcome(&with(&calls(&closed), clusters)).await,
            (200, "imtc".to_owned())
        );
    });
}

#[test]
fn a_service_may_be_envoys_message() {
    on_a_worker(async {
        // GrpcService { envoy_grpc { cluster_name: "grpc", authority: "elsewhere" } }
        let service = CALL.replacen("{grpc}", "{\\0a\\11\\0a\\04grpc\\12\\09elsewhere}", 1);
        let clusters = server(|request, _| {
            assert_eq!(request.uri().authority().unwrap(), "elsewhere");
            Some((200, HeaderMap::new(), framed("found"), fields(&[("grpc-status", "0")])))
        })
        .await;
        assert_eq!(outcome(&with(&calls(&service), clusters)).await.1, "found");
    });
}

#[test]
fn each_function_has_its_statuses() {
    on_a_worker(async {
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 ;; Which is nobody's cluster.
                 (call $report (call $grpc_call {none} {S} {M} {} {x} (i32.const 10) (i32.const 2100)))
                 (call $report (call $grpc_stream {none} {S} {M} {} (i32.const 2100)))
                 ;; Not a path, not pairs.
                 (call $report (call $grpc_call {grpc} {S S} {M} {} {x} (i32.const 10) (i32.const 2100)))
                 (call $report (call $grpc_stream {grpc} {S} {M} {xyz} (i32.const 2100)))
                 (call $report (call $grpc_stream {grpc} {S} {M} {} (i32.const -2)))
                 ;; A call takes no message; there are no others.
                 (call $report (call $grpc_call {grpc} {S} {M} {} {x} (i32.const 10) (i32.const 2100)))
                 (call $report (call $grpc_send (i32.load (i32.const 2100)) {x} (i32.const 0)))
                 (call $report (call $grpc_close (i32.load (i32.const 2100))))
                 (call $report (call $grpc_close (i32.load (i32.const 2100))))
                 (call $report (call $grpc_cancel (i32.load (i32.const 2100))))
                 (call $report (call $grpc_send (i32.const 77) {x} (i32.const 0)))
                 (call $report (call $grpc_close (i32.const 77)))
                 (i32.const 0))"#,
        );
        let clusters = server(|_, _| None).await;
        let head = go_on(open(&with(&wasm, clusters)).request_headers(get("/"), true).await);
        let expected = ["04", "04", "04", "04", "06", "00", "02", "00", "01", "01", "01", "01"];
        assert_eq!(values(&head.headers, "r"), expected);
    });
}

/// Of this process, in MiB: `VmRSS` is what it has now, `VmHWM` the most it ever had.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|found| found.starts_with(line)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn calls_that_are_cancelled_before_they_are_sent_take_no_memory() {
    on_a_worker(async {
        // 1500 times a message of 1 MiB.
        let wasm = guest(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (local $left i32) (local.set $left (i32.const 1500))
                 (drop (memory.grow (i32.const 16)))
                 (loop $again
                   (if (call $grpc_call {grpc} {S} {M} {} (i32.const 0) (i32.const 1048576)
                         (i32.const 1000) (i32.const 2100)) (then unreachable))
                   (if (call $grpc_cancel (i32.load (i32.const 2100))) (then unreachable))
                   (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                   (br_if $again (local.get $left)))
                 (i32.const 0))"#,
        );
        let mut config = config(&wasm);
        config.limits.call = CallTime(Duration::from_secs(30));
        let clusters = server(|_, _| None).await;
        let plugins = start(&[config], clusters, &PluginProcess::new()).unwrap();
        let before = memory("VmRSS:");
        go_on(open(&plugins).request_headers(get("/"), true).await);
        let most = memory("VmHWM:");
        assert!(most < before + 900, "{before} MiB, then {most} MiB");
    });
}
