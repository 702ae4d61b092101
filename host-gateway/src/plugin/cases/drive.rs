//! One exchange from its request to its answer, as the proxy would drive it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, request, response};

use super::{Body, Case, NoAnswer, status};
use crate::plugin::{Connection, LocalResponse, PluginStream, Plugins, Verdict};

/// What became of an exchange.
pub(super) struct Outcome {
    /// `None`: the request did not get there.
    pub(super) upstream: Option<Message<request::Parts>>,
    pub(super) answer: Result<Message<response::Parts>, NoAnswer>,
}

pub(super) struct Message<H> {
    pub(super) head: H,
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
    /// It breaks off behind what there is of the body.
    pub(super) broken: bool,
}

/// Why an exchange ended early.
enum Early {
    Local(Box<LocalResponse>),
    Failed,
}

pub(super) async fn drive(plugins: &Rc<Plugins>, case: &Case) -> Result<Outcome, String> {
    let client = SocketAddr::from(([192, 0, 2, 1], 40_000));
    let gateway = SocketAddr::from(([127, 0, 0, 1], 8081));
    let mut stream = plugins.open(Rc::new(Connection {
        id: 1,
        source: client,
        destination: gateway,
        listener: Rc::default(),
    }));
    let watch = stream.watch();
    let mut upstream = None;
    let ended = tokio::time::timeout(case.timeout(), exchange(&mut stream, case, &mut upstream)).await;
    drop(stream);
    let answer = match ended {
        Ok(result) => match result? {
            Ok(answer) => Ok(answer),
            Err(Early::Local(local)) => Ok(from_local(*local)),
            Err(Early::Failed) if watch.is_closed() => Err(NoAnswer::Closed),
            Err(Early::Failed) => Ok(bare(StatusCode::SERVICE_UNAVAILABLE)),
        },
        Err(_) => Err(NoAnswer::Paused),
    };
    Ok(Outcome { upstream, answer })
}

async fn exchange(
    stream: &mut PluginStream,
    case: &Case,
    upstream: &mut Option<Message<request::Parts>>,
) -> Result<Result<Message<response::Parts>, Early>, String> {
    let head = request_head(case)?;
    let (parts, trailers) = (parts(case.request.body.as_ref()), case.request.trailers.as_ref());
    let trailers = trailers.map(|fields| fields.map(&case.name)).transpose()?;
    let end = parts.is_empty() && trailers.is_none();
    let mut parts = Parts::new(parts, trailers.is_some());
    let arriving = async {
        // Plugins of `compat: spec` see the body while they pause at the head.
        let head = stream
            .request_headers_reading(head, end, &mut |_| Poll::Ready(parts.next()))
            .await;
        let head = proceed(head)?;
        let mut body = BytesMut::new();
        if stream.has_read_early() {
            body.extend_from_slice(&proceed(stream.early_request_body().await.0)?);
        }
        while let Some((part, last)) = parts.next() {
            body.extend_from_slice(&proceed(stream.request_body(part, last).await)?);
        }
        let trailers = match trailers {
            Some(trailers) => {
                let trailers = proceed(stream.request_trailers(trailers).await)?;
                body.extend_from_slice(&stream.take_released_request_body());
                trailers
            }
            None => stream.added_request_trailers().unwrap_or_default(),
        };
        Ok(Message::whole(head, body.freeze(), trailers))
    };
    match arriving.await {
        Ok(message) => *upstream = Some(message),
        Err(early) => return Ok(Err(early)),
    }
    answer(stream, case).await
}

async fn answer(stream: &mut PluginStream, case: &Case) -> Result<Result<Message<response::Parts>, Early>, String> {
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = status(case.upstream.status, &case.name)?;
    head.headers = case.upstream.headers.map(&case.name)?;
    let (parts, trailers) = (parts(case.upstream.body.as_ref()), case.upstream.trailers.as_ref());
    let trailers = trailers.map(|fields| fields.map(&case.name)).transpose()?;
    let end = parts.is_empty() && trailers.is_none();
    let mut parts = Parts::new(parts, trailers.is_some());
    let head = stream
        .response_headers_reading(head, end, &mut |_| Poll::Ready(parts.next()))
        .await;
    let head = match proceed(head) {
        Ok(head) => head,
        Err(early) => return Ok(Err(early)),
    };
    // From here on the client has the head.
    let mut body = BytesMut::new();
    let following = async {
        if stream.has_read_early() {
            body.extend_from_slice(&proceed(stream.early_response_body().await.0)?);
        }
        while let Some((part, last)) = parts.next() {
            body.extend_from_slice(&proceed(stream.response_body(part, last).await)?);
        }
        match trailers {
            Some(trailers) => {
                let trailers = proceed(stream.response_trailers(trailers).await)?;
                body.extend_from_slice(&stream.take_released_response_body());
                Ok::<_, Early>(trailers)
            }
            None => Ok(stream.added_response_trailers().unwrap_or_default()),
        }
    };
    let trailers = following.await.ok();
    Ok(Ok(Message {
        head,
        body: body.freeze(),
        broken: trailers.is_none(),
        trailers: trailers.unwrap_or_default(),
    }))
}

impl<H> Message<H> {
    fn whole(head: H, body: Bytes, trailers: HeaderMap) -> Self {
        Self {
            head,
            body,
            trailers,
            broken: false,
        }
    }
}

fn request_head(case: &Case) -> Result<request::Parts, String> {
    let wrong = |error: http::Error| format!("case `{}`: the request cannot be made: {error}", case.name);
    let request = Request::builder()
        .method(case.request.method.as_str())
        .uri(case.request.path.as_str())
        .body(())
        .map_err(wrong)?;
    let (mut head, ()) = request.into_parts();
    head.headers = case.request.headers.map(&case.name)?;
    if !head.headers.contains_key(http::header::HOST) {
        let host = http::HeaderValue::from_static("example.com");
        head.headers.insert(http::header::HOST, host);
    }
    Ok(head)
}

/// The parts of a body that are still to come, with whether it ends with them.
struct Parts {
    left: std::vec::IntoIter<Bytes>,
    trailers_follow: bool,
}

impl Parts {
    fn new(parts: Vec<Bytes>, trailers_follow: bool) -> Self {
        Self {
            left: parts.into_iter(),
            trailers_follow,
        }
    }

    fn next(&mut self) -> Option<(Bytes, bool)> {
        let part = self.left.next()?;
        Some((part, self.left.len() == 0 && !self.trailers_follow))
    }
}

fn parts(body: Option<&Body>) -> Vec<Bytes> {
    body.map(Body::parts).unwrap_or_default()
}

fn proceed<T>(verdict: Verdict<T>) -> Result<T, Early> {
    match verdict {
        Verdict::Continue(part) => Ok(part),
        Verdict::Respond(local) => Err(Early::Local(Box::new(local))),
        Verdict::Fail => Err(Early::Failed),
    }
}

fn from_local(local: LocalResponse) -> Message<response::Parts> {
    let mut message = bare(local.status);
    message.head.headers = local.headers;
    message.body = local.body;
    message.broken = local.breaks_off;
    message
}

fn bare(status: StatusCode) -> Message<response::Parts> {
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = status;
    Message::whole(head, Bytes::new(), HeaderMap::new())
}
