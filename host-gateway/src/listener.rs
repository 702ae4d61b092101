//! Listening sockets and the clients' connections.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::proxy::{self, Downstream};
use crate::worker::{Trailers, Worker};

/// Longest request or response head in bytes; longer request heads are answered 431.
pub const LARGEST_HEAD: usize = 64 * 1024;
/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;
/// A client may hold a connection for so many seconds without a request, or while it sends the head of one.
const LONGEST_UNUSED: u32 = 60;

/// One socket per worker on the same address, among which the kernel spreads the connections. The error says what to do.
pub fn bind(address: SocketAddr, workers: usize) -> Result<(SocketAddr, Vec<StdListener>), String> {
    let explain = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("cannot listen on {address}: the port is in use; stop the other program or choose another address")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("cannot listen on {address}: this machine does not have that address; 0.0.0.0 is all that it has")
        }
        io::ErrorKind::PermissionDenied => format!(
            "cannot listen on {address}: {error}; choose a port from 1024 on, or give the program the capability \
             CAP_NET_BIND_SERVICE"
        ),
        _ => format!("cannot listen on {address}: {error}"),
    };
    // With SO_REUSEPORT a second gateway would share the port without an error: look first, without that option.
    let bound = socket(address, false)
        .and_then(|probe| probe.local_addr())
        .map_err(explain)?;
    let sockets = (0..workers)
        .map(|_| socket(bound, true))
        .collect::<Result<_, _>>()
        .map_err(explain)?;
    Ok((bound, sockets))
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted gateway need not wait for old connections to time out.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The open connections of one worker.
pub struct Connections {
    open: HashMap<u64, (Rc<Downstream>, Waker)>,
    /// Id of the last connection, unique in the process: the worker's number in the upper bits.
    last: u64,
}

impl Connections {
    pub fn new(worker: usize) -> Self {
        Self {
            open: HashMap::new(),
            last: (worker as u64) << 48,
        }
    }

    pub fn next_id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub fn any_busy(&self) -> bool {
        self.open.values().any(|(downstream, _)| downstream.is_busy())
    }

    /// Lets every connection look again at whether it should go on.
    pub fn wake_all(&self) {
        for (_, waker) in self.open.values() {
            waker.wake_by_ref();
        }
    }

    /// To be called every second: ends connections that nobody uses.
    pub fn wake_unused(&self) {
        for (downstream, waker) in self.open.values() {
            if downstream.unused_for() > LONGEST_UNUSED {
                waker.wake_by_ref();
            }
        }
    }
}

/// Accepts connections until the worker drains. `place` is that of the listener in the configuration; `trailers`
/// are let through or not.
pub async fn accept(worker: Rc<Worker>, place: usize, trailers: Trailers, listener: StdListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let destination = listener.local_addr()?;
    let mut draining = worker.stop.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            _ = draining.wait_for(|stop| *stop) => return Ok(()),
        };
        match accepted {
            Ok((stream, source)) => open(&worker, place, trailers, stream, source, destination),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // Most likely there are no file descriptors left: give the open connections time to end.
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn open(
    worker: &Rc<Worker>,
    place: usize,
    trailers: Trailers,
    stream: TcpStream,
    source: SocketAddr,
    destination: SocketAddr,
) {
    if stream.set_nodelay(true).is_err() {
        // The client has left already.
        return;
    }
    let id = worker.connections.borrow_mut().next_id();
    let downstream = Downstream::new(worker, place, trailers, id, source, destination);
    let serving = Rc::clone(&downstream);
    let service = service_fn(move |request| proxy::serve(Rc::clone(&serving), request));
    let http = worker
        .http
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    worker.metrics.connections.add(1);
    worker.metrics.connections_active.add(1);
    tokio::task::spawn_local(ClientConnection {
        http,
        downstream,
        registered: false,
        told: false,
    });
}

/// The settings of clients' connections.
pub fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.max_header_size(LARGEST_HEAD)
        // Also the most that is read ahead of a slow upstream.
        .max_buf_size(LARGEST_HEAD)
        // A client that has closed its side has left: the upstream request is cancelled.
        .half_close(false);
    http
}

/// A connection with its place among the worker's open connections.
struct ClientConnection<H> {
    http: H,
    downstream: Rc<Downstream>,
    registered: bool,
    /// The HTTP connection knows that it should end.
    told: bool,
}

/// What [`ClientConnection`] needs of hyper's connection, whose type cannot be written down.
trait Http: Future<Output = hyper::Result<()>> + Unpin {
    fn end_after_this_exchange(self: Pin<&mut Self>);
}

impl<S> Http for http1::UpgradeableConnection<TokioIo<TcpStream>, S>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = proxy::ResponseBody>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    Self: Future<Output = hyper::Result<()>> + Unpin,
{
    fn end_after_this_exchange(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<H: Http> Future for ClientConnection<H> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if !this.registered {
            this.registered = true;
            let entry = (Rc::clone(&this.downstream), cx.waker().clone());
            this.downstream
                .worker
                .connections
                .borrow_mut()
                .open
                .insert(this.downstream.connection.id, entry);
        }
        if this.downstream.worker.draining.get() && !this.told {
            this.told = true;
            Pin::new(&mut this.http).end_after_this_exchange();
        }
        match Pin::new(&mut this.http).poll(cx) {
            Poll::Ready(result) => {
                if let Err(error) = result {
                    tracing::debug!(client = %this.downstream.connection.source, %error, "connection ended");
                }
                Poll::Ready(())
            }
            Poll::Pending if this.downstream.unused_for() > LONGEST_UNUSED => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<H> Drop for ClientConnection<H> {
    fn drop(&mut self) {
        let worker = &self.downstream.worker;
        worker.metrics.connections_active.subtract(1);
        let closed = worker
            .connections
            .borrow_mut()
            .open
            .remove(&self.downstream.connection.id);
        drop(closed);
    }
}
