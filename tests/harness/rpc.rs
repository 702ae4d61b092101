//! A gRPC server, by its methods' names.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, TcpListener},
    thread,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};

/// `Echo` sends all messages back, `Refuse` none, `Half` the first, and `Silent` never answers. Returns the port.
pub fn start() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    listener.set_nonblocking(true).expect("a socket can be made so");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime starts").block_on(serve(listener))
    });
    port
}

async fn serve(listener: TcpListener) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket that does not block");
    while let Ok((stream, _)) = listener.accept().await {
        let connection =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service_fn(answer));
        // How it ends is the host's business.
        tokio::spawn(async move { drop(connection.await) });
    }
}

type Answer = Response<http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>>;

async fn answer(request: Request<Incoming>) -> Result<Answer, Infallible> {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let told: Vec<&[u8]> = request
        .headers()
        .get_all("x-meta")
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let begun = HeaderValue::from_bytes(&told.join(&b' ')).ok();
    let sent = request.into_body().collect().await;
    let mut sent = sent.map_or_else(|_| Bytes::new(), |body| body.to_bytes());
    let mut end = HeaderMap::new();
    end.insert("grpc-status", HeaderValue::from_static("0"));
    end.insert("x-last", HeaderValue::from_static("done"));
    match method.as_str() {
        "Silent" => return std::future::pending().await,
        "Refuse" => {
            sent.clear();
            end.insert("grpc-status", HeaderValue::from_static("5"));
            end.insert("grpc-message", HeaderValue::from_static("no%20such thing"));
        }
        "Half" => {
            // The first of two alike, each with its prefix of five bytes.
            sent.truncate(sent.len() / 2);
            end.insert("grpc-status", HeaderValue::from_static("13"));
        }
        _ => {}
    }
    let mut answer = Response::new(
        Full::new(sent)
            .with_trailers(async move { Some(Ok(end)) })
            .boxed_unsync(),
    );
    let fields = answer.headers_mut();
    fields.insert("content-type", HeaderValue::from_static("application/grpc"));
    fields.extend(begun.map(|begun| (http::HeaderName::from_static("x-begun"), begun)));
    Ok(answer)
}
