//! TCP connections: bytes between a client and a cluster, both ways through the plugins. What one side does not take is
//! not read from the other.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::{Cluster, ConnectionSlot};
use crate::error::UpstreamError;
use crate::plugin::{
    Closer, Connection, Destination, Ended, Ends, ListenerFacts, Passed, PluginConnection, Plugins, Side, Watch,
};
use crate::tunnels::Tunnel;
use crate::worker::{TcpService, Worker};

/// Most bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// A listener of one worker whose connections go to a cluster as they are.
struct Service {
    worker: Rc<Worker>,
    plugins: Rc<Plugins>,
    to: TcpService,
    listener: Rc<ListenerFacts>,
    /// Where it listens: the route of its connections.
    name: Rc<str>,
}

/// Accepts connections until the gateway stops; those that are open may go on until they are cut off. `place` is that of the listener.
pub async fn accept(worker: Rc<Worker>, place: usize, to: TcpService, listener: StdListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let destination = listener.local_addr()?;
    let mut stop = worker.stop.clone();
    let service = Rc::new(Service {
        plugins: Rc::clone(worker.chains.of(place, || None)),
        listener: Rc::clone(&worker.listeners[place]),
        worker,
        to,
        name: destination.to_string().into(),
    });
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        match accepted {
            Ok((stream, source)) => {
                let service = Rc::clone(&service);
                tokio::task::spawn_local(async move { serve(&service, stream, source, destination).await });
            }
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // Most likely there are no file descriptors left: give the open connections time to end.
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(service: &Service, stream: TcpStream, source: SocketAddr, destination: SocketAddr) {
    if stream.set_nodelay(true).is_err() {
        // The client has left already.
        return;
    }
    let metrics = &service.worker.metrics;
    metrics.connections.add(1);
    metrics.connections_active.add(1);
    let tunnel = service.worker.tunnels.enter();
    let id = service.worker.connections.borrow_mut().next_id();
    let connection = Connection {
        id,
        source,
        destination,
        listener: Rc::clone(&service.listener),
    };
    if let Ok(plugins) = service.plugins.connect(Rc::new(connection)) {
        let watch = plugins.watch();
        let mut relay = Relay {
            service,
            tunnel,
            client: End::new(stream, None),
            upstream: Upstream::None,
            waiting: (BytesMut::new(), false),
            plugins,
            watch,
            closer: Closer::Local,
        };
        if let Err(Ended) = relay.run().await {
            tracing::debug!(client = %source, "a plugin, or the way to the cluster, ended the connection");
        }
        relay.end();
    }
    metrics.connections_active.subtract(1);
}

/// One connection and its way to the cluster.
struct Relay<'a> {
    service: &'a Service,
    tunnel: Tunnel,
    client: End,
    upstream: Upstream,
    /// What the plugins let pass before the upstream is there, and whether that is all.
    waiting: (BytesMut, bool),
    plugins: PluginConnection,
    watch: Watch,
    /// Who ended the connection.
    closer: Closer,
}

type Connected = Result<(TcpStream, Ends, ConnectionSlot), UpstreamError>;

enum Upstream {
    /// The plugins have not let the connection begin.
    None,
    Connecting(Pin<Box<dyn Future<Output = Connected>>>),
    Open(End),
}

/// One of the two ends, with what is to be sent there.
struct End {
    stream: TcpStream,
    unsent: BytesMut,
    /// After the last byte that is unsent the direction ends.
    ends: bool,
    /// The end has been sent.
    shut: bool,
    /// It will not say anything more.
    silent: bool,
    /// Counts a connection to the cluster as open.
    _slot: Option<ConnectionSlot>,
}

/// What there is to do.
enum Due {
    Read(Side),
    Write(Side),
    Connected(Connected),
    Woken,
    Stop,
}

/// What a side says.
pub enum Said {
    Data(Bytes),
    End,
    Nothing,
    /// The connection is gone.
    Broken,
}

impl Relay<'_> {
    /// Until both directions have ended, a side breaks, or a plugin ends the connection.
    async fn run(&mut self) -> Result<(), Ended> {
        let nothing = self.plugins.data(Side::Client, Bytes::new(), false)?;
        self.forward(Side::Client, nothing);
        loop {
            if matches!(self.upstream, Upstream::None) && self.plugins.is_open() {
                self.upstream = self.connect()?;
            }
            match self.due().await {
                Due::Stop => return Ok(()),
                Due::Woken => {
                    for side in [Side::Client, Side::Upstream] {
                        let passed = self.plugins.resumed(side)?;
                        self.forward(side, passed);
                    }
                }
                Due::Connected(connected) => self.connected(connected)?,
                Due::Read(side) => {
                    let (data, end) = match self.end_of(side).map_or(Said::Nothing, End::read) {
                        Said::Nothing => continue,
                        Said::Data(data) => (data, false),
                        Said::End => (Bytes::new(), true),
                        Said::Broken => {
                            self.broken(side);
                            return Ok(());
                        }
                    };
                    let passed = self.plugins.data(side, data, end)?;
                    if end && side == Side::Upstream {
                        self.plugins.closed(side, Closer::Remote);
                    } else if end {
                        self.closer = Closer::Remote;
                    }
                    self.forward(side, passed);
                }
                Due::Write(side) => {
                    if !self.end_of(side).is_none_or(End::flush) {
                        self.broken(side);
                        return Ok(());
                    }
                }
            }
            if let Upstream::Open(upstream) = &self.upstream
                && upstream.shut
                && self.client.shut
            {
                return Ok(());
            }
        }
    }

    /// Where the connection goes: where a plugin says, or the listener.
    fn connect(&mut self) -> Result<Upstream, Ended> {
        let clusters = &self.service.worker.clusters;
        let cluster = match self.plugins.cluster() {
            None => clusters.get(self.service.to.cluster),
            Some(chosen) => clusters.find(&chosen).ok_or_else(|| {
                tracing::warn!(cluster = chosen, "a plugin chose a cluster that does not exist");
                Ended
            })?,
        };
        let cluster = Rc::clone(cluster);
        self.tell_destination(&cluster, None);
        Ok(Upstream::Connecting(Box::pin(
            async move { cluster.connect_tcp().await },
        )))
    }

    fn connected(&mut self, connected: Connected) -> Result<(), Ended> {
        let (stream, ends, slot) = connected.map_err(|error| {
            tracing::debug!(%error, "no upstream for a TCP connection");
            Ended
        })?;
        let clusters = &self.service.worker.clusters;
        let chosen = self.plugins.cluster();
        let cluster = chosen.and_then(|chosen| clusters.find(&chosen).cloned());
        let cluster = cluster.unwrap_or_else(|| Rc::clone(clusters.get(self.service.to.cluster)));
        self.tell_destination(&cluster, Some(ends));
        self.upstream = Upstream::Open(End::new(stream, Some(slot)));
        let (data, end) = std::mem::take(&mut self.waiting);
        self.forward(Side::Client, (data.freeze(), end));
        Ok(())
    }

    fn tell_destination(&mut self, cluster: &Cluster, upstream: Option<Ends>) {
        let destination = Destination {
            route: Rc::clone(&self.service.name),
            cluster: cluster.name().into(),
            route_metadata: Rc::default(),
            cluster_metadata: Rc::clone(cluster.metadata()),
            endpoint_metadata: Rc::clone(cluster.endpoint_metadata()),
        };
        self.plugins.set_destination(Rc::new(destination), upstream);
    }

    /// What passed the plugins, from `side`, goes to the other, or waits for it to be there.
    fn forward(&mut self, side: Side, (data, end): Passed) {
        let other = match side {
            Side::Client => Side::Upstream,
            Side::Upstream => Side::Client,
        };
        match self.end_of(other) {
            Some(other) => {
                other.unsent.extend_from_slice(&data);
                other.ends |= end;
                // Whether it is broken is found out when there is something to write or to read.
                other.flush();
            }
            None => {
                self.waiting.0.extend_from_slice(&data);
                self.waiting.1 |= end;
            }
        }
    }

    fn end_of(&mut self, side: Side) -> Option<&mut End> {
        match (side, &mut self.upstream) {
            (Side::Client, _) => Some(&mut self.client),
            (Side::Upstream, Upstream::Open(end)) => Some(end),
            (Side::Upstream, _) => None,
        }
    }

    fn broken(&mut self, side: Side) {
        match side {
            Side::Client => self.closer = Closer::Remote,
            Side::Upstream => {
                if let Upstream::Open(upstream) = &mut self.upstream
                    && !std::mem::replace(&mut upstream.silent, true)
                {
                    self.plugins.closed(side, Closer::Remote);
                }
            }
        }
    }

    async fn due(&mut self) -> Due {
        let (mut open, mut connecting) = (None, None);
        match &mut self.upstream {
            Upstream::Open(end) => open = Some(&*end),
            Upstream::Connecting(future) => connecting = Some(future),
            Upstream::None => {}
        }
        let (client, watch, tunnel) = (&self.client, &self.watch, &self.tunnel);
        let takes_more = match open {
            Some(upstream) => upstream.unsent.is_empty(),
            None => self.waiting.0.is_empty(),
        };
        tokio::select! {
            () = tunnel.cut_off() => Due::Stop,
            () = sleep_or_never(self.service.to.idle_timeout) => Due::Stop,
            () = watch.woken() => Due::Woken,
            connected = ready_or_never(connecting) => Due::Connected(connected),
            () = client.readable(), if takes_more => Due::Read(Side::Client),
            () = client.writable() => Due::Write(Side::Client),
            () = ready_or_never(open.map(|upstream| Box::pin(upstream.readable()))), if client.unsent.is_empty() => {
                Due::Read(Side::Upstream)
            }
            () = ready_or_never(open.map(|upstream| Box::pin(upstream.writable()))) => Due::Write(Side::Upstream),
        }
    }

    /// Tells the plugins, each side once, and lets both have what they are still owed.
    fn end(mut self) {
        self.client.flush();
        if let Upstream::Open(upstream) = &mut self.upstream {
            upstream.flush();
            if !upstream.silent {
                self.plugins.closed(Side::Upstream, Closer::Local);
            }
        }
        self.plugins.closed(Side::Client, self.closer);
    }
}

async fn sleep_or_never(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

async fn ready_or_never<F: Future + Unpin>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// Reads what there is.
pub fn read(stream: &TcpStream) -> Said {
    let mut chunk = BytesMut::zeroed(CHUNK);
    match stream.try_read(&mut chunk) {
        Ok(0) => Said::End,
        Ok(size) => {
            chunk.truncate(size);
            Said::Data(chunk.freeze())
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Said::Nothing,
        Err(_) => Said::Broken,
    }
}

impl End {
    fn new(stream: TcpStream, slot: Option<ConnectionSlot>) -> Self {
        Self {
            stream,
            unsent: BytesMut::new(),
            ends: false,
            shut: false,
            silent: false,
            _slot: slot,
        }
    }

    async fn readable(&self) {
        if self.silent {
            std::future::pending().await
        }
        // An error is found again by reading.
        let _ = self.stream.readable().await;
    }

    async fn writable(&self) {
        if self.unsent.is_empty() {
            std::future::pending().await
        }
        let _ = self.stream.writable().await;
    }

    fn read(&mut self) -> Said {
        let said = read(&self.stream);
        self.silent |= matches!(said, Said::End);
        said
    }

    /// Writes what the socket takes. `false`: the other end is gone.
    fn flush(&mut self) -> bool {
        while !self.unsent.is_empty() {
            match self.stream.try_write(&self.unsent) {
                Ok(size) => self.unsent.advance(size),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        if self.ends && !self.shut {
            self.shut = true;
            return SockRef::from(&self.stream).shutdown(Shutdown::Write).is_ok();
        }
        true
    }
}
