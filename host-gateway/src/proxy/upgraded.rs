//! A connection that has changed the protocol: bytes between the client and the upstream, both ways through the body
//! callbacks of the plugins, as in Envoy.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io::ErrorKind;
use std::net::Shutdown;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Downstream, SharedStream};
use crate::abi::types::Direction;
use crate::access_log::Record;
use crate::cluster::{Lease, Upgraded};
use crate::plugin::{Verdict, Watch};
use crate::tcp::{self, Said};

/// Both sides of a connection that changes the protocol.
pub(super) struct Switched {
    pub(super) client: OnUpgrade,
    pub(super) upstream: Upgraded,
    /// Counts the exchange as under way.
    pub(super) lease: Lease,
    /// It is closed when nothing moves for so long.
    pub(super) idle_timeout: Option<Duration>,
}

/// The connection is to end, both ways.
struct Over;

/// What there is to do in one direction.
enum Due {
    Data(Bytes),
    End,
    /// A plugin may have let go of what it held.
    LetGo,
}

struct Tunnel {
    client: TcpStream,
    upstream: TcpStream,
    plugins: Option<(SharedStream, Watch)>,
    /// Whether plugins look at the bytes, by direction.
    shown: [bool; 2],
    record: RefCell<Option<Box<Record>>>,
    /// When something moved.
    last_used: Cell<Instant>,
    idle_timeout: Option<Duration>,
}

/// Carries bytes until both directions have ended, a side breaks, a plugin ends it, nothing moves any more, or the worker
/// stops. The end of the exchange, for the plugins and the access log too.
pub(super) async fn carry(
    switched: Switched,
    downstream: Rc<Downstream>,
    plugins: Option<(SharedStream, Watch)>,
    record: Option<Box<Record>>,
) {
    let worker = Rc::clone(&downstream.worker);
    let open = worker.tunnels.enter();
    // The HTTP connection ends, and is not counted any more.
    worker.metrics.connections_active.add(1);
    let Switched {
        client,
        upstream,
        lease: _lease,
        idle_timeout,
    } = switched;
    let carrying = async {
        // The client's side is there once the head of the response is written.
        let (upstream, from_upstream) = socket(upstream.connection).await?;
        let (client, from_client) = socket(client).await?;
        let shown = match &plugins {
            None => [false; 2],
            Some((_, watch)) => [watch.wants_request_body(), watch.wants_response_body()],
        };
        let tunnel = Tunnel {
            client,
            upstream,
            plugins,
            shown,
            record: RefCell::new(record),
            last_used: Cell::new(Instant::now()),
            idle_timeout,
        };
        tunnel.run(from_client, from_upstream).await;
        Some(())
    };
    tokio::select! {
        _ = carrying => {}
        () = open.cut_off() => {}
    }
    worker.metrics.connections_active.subtract(1);
}

/// The socket of a connection, and what was read from it already.
async fn socket(connection: OnUpgrade) -> Option<(TcpStream, Bytes)> {
    let parts = connection.await.ok()?.downcast::<TokioIo<TcpStream>>().ok()?;
    Some((parts.io.into_inner(), parts.read_buf))
}

impl Tunnel {
    async fn run(&self, from_client: Bytes, from_upstream: Bytes) {
        let both_ways = async {
            tokio::try_join!(
                self.one_way(Direction::Request, from_client),
                self.one_way(Direction::Response, from_upstream)
            )
        };
        tokio::select! {
            _ = both_ways => {}
            () = self.ended_by_plugin() => {}
            () = self.unused() => {}
        }
    }

    async fn one_way(&self, direction: Direction, read_before: Bytes) -> Result<(), Over> {
        let (from, to) = match direction {
            Direction::Request => (&self.client, &self.upstream),
            Direction::Response => (&self.upstream, &self.client),
        };
        let mut due = Due::Data(read_before);
        loop {
            let end = matches!(due, Due::End);
            let data = self.pass(direction, due).await?;
            if direction == Direction::Response
                && let Some(record) = &mut *self.record.borrow_mut()
            {
                record.sent(data.len());
            }
            write(to, data).await?;
            if end {
                return SockRef::from(to).shutdown(Shutdown::Write).map_err(|_| Over);
            }
            due = self.due(direction, from).await?;
            self.last_used.set(Instant::now());
        }
    }

    async fn due(&self, direction: Direction, from: &TcpStream) -> Result<Due, Over> {
        let watch = self.plugins.as_ref().filter(|_| self.shown[direction as usize]);
        loop {
            let readable = poll_fn(|task| {
                if from.poll_read_ready(task).is_ready() {
                    return Poll::Ready(true);
                }
                match watch {
                    Some((_, watch)) if watch.may_have_let_go(direction, task) => Poll::Ready(false),
                    _ => Poll::Pending,
                }
            });
            if !readable.await {
                return Ok(Due::LetGo);
            }
            match tcp::read(from) {
                Said::Nothing => {}
                Said::Data(data) => return Ok(Due::Data(data)),
                Said::End => return Ok(Due::End),
                Said::Broken => return Err(Over),
            }
        }
    }

    /// What the plugins let pass.
    async fn pass(&self, direction: Direction, due: Due) -> Result<Bytes, Over> {
        let (data, end) = match due {
            Due::Data(data) if data.is_empty() => return Ok(data),
            Due::Data(data) => (data, false),
            Due::End => (Bytes::new(), true),
            Due::LetGo => (Bytes::new(), false),
        };
        let Some((plugins, _)) = self.plugins.as_ref().filter(|_| self.shown[direction as usize]) else {
            return Ok(data);
        };
        let let_go = data.is_empty() && !end;
        let mut plugins = plugins.lock().await;
        let verdict = match direction {
            Direction::Request if let_go => plugins.let_go_request_body().await,
            Direction::Response if let_go => plugins.let_go_response_body().await,
            Direction::Request => plugins.request_body(data, end).await,
            Direction::Response => plugins.response_body(data, end).await,
        };
        match verdict {
            Verdict::Continue(data) => Ok(data),
            Verdict::Respond(_) | Verdict::Fail => Err(Over),
        }
    }

    async fn ended_by_plugin(&self) {
        let Some((_, watch)) = &self.plugins else {
            return pending().await;
        };
        poll_fn(|task| {
            watch.register(task);
            match watch.is_closed() || watch.has_failed() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    async fn unused(&self) {
        let Some(timeout) = self.idle_timeout else {
            return pending().await;
        };
        loop {
            let due = self.last_used.get() + timeout;
            if due <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }
}

async fn write(to: &TcpStream, mut data: Bytes) -> Result<(), Over> {
    while !data.is_empty() {
        match to.try_write(&data) {
            Ok(size) => data.advance(size),
            Err(error) if error.kind() == ErrorKind::WouldBlock => to.writable().await.map_err(|_| Over)?,
            Err(_) => return Err(Over),
        }
    }
    Ok(())
}
