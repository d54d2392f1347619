//! A running broker's front: all listeners, and shutting down in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::connections::{Connections, Place};
use super::listener::{self, ListenError, Protocol};
use super::task::Task;
use super::tls::{self, TlsError, TlsFiles, TlsSource};
use super::transport::{Plain, Tls, Transport};
use crate::broker::notices::Secured;
use crate::broker::{Alarms, Broker};
use crate::connection::{Connection, Ends, Outgoing, Settings};
use crate::management;

/// The same trouble is logged no more often than this.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What the server is told about sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetSettings {
    /// `ADDR:PORT` for plain AMQP.
    pub listen: Vec<String>,
    /// `ADDR:PORT` for AMQP through TLS.
    pub listen_tls: Vec<String>,
    /// `ADDR:PORT` for the management pages.
    pub management: Vec<String>,
    /// Certificate and key; needed where `listen_tls` is not empty.
    pub tls: Option<TlsFiles>,
    /// Connections that wait to be accepted.
    pub backlog: u32,
    /// Most connections at a time.
    pub max_connections: usize,
    /// Past so many unsent bytes a client's consumers count as full.
    pub high_water_bytes: usize,
    /// A client that takes nothing for so long is cut off.
    pub write_timeout: Duration,
    /// So many connections at a time may keep a worker awake for a publisher that waits for each
    /// confirm.
    pub lookouts: usize,
    /// Clients have so long to answer when the broker shuts down.
    pub shutdown_timeout: Duration,
}

/// Why the server does not start.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum StartError {
    Listen(ListenError),
    Tls(TlsError),
    /// TLS is to be listened for without a certificate and a key.
    NoCertificate,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(f),
            Self::Tls(error) => write!(f, "TLS: {error}"),
            Self::NoCertificate => {
                f.write_str("TLS: to listen for it, a certificate and a key are needed")
            }
        }
    }
}

impl std::error::Error for StartError {}

/// See the module.
pub struct Server {
    connections: Arc<Connections>,
    tls: Option<Arc<TlsSource>>,
    addresses: Vec<(Protocol, SocketAddr)>,
    tasks: Vec<JoinHandle<()>>,
    shutdown_timeout: Duration,
}

/// What a new connection needs.
struct Reception {
    broker: Arc<Broker>,
    settings: Arc<Settings>,
    connections: Arc<Connections>,
    max_connections: usize,
    high_water_bytes: usize,
    write_timeout: Duration,
}

impl Server {
    /// Listens, and serves from now on. Must be called within a tokio runtime.
    pub fn start(
        broker: &Arc<Broker>,
        settings: Settings,
        net: NetSettings,
    ) -> Result<Self, StartError> {
        let tls = match net.tls {
            Some(files) => Some(Arc::new(TlsSource::load(files).map_err(StartError::Tls)?)),
            None if net.listen_tls.is_empty() => None,
            None => return Err(StartError::NoCertificate),
        };
        let connections = Connections::new(net.lookouts);
        // Whoever connects first is to know of alarms that there are already.
        connections.set_alarms(*broker.alarms().borrow());
        let reception = Arc::new(Reception {
            broker: Arc::clone(broker),
            settings: Arc::new(settings),
            connections: Arc::clone(&connections),
            max_connections: net.max_connections,
            high_water_bytes: net.high_water_bytes,
            write_timeout: net.write_timeout,
        });
        let mut server = Self {
            connections,
            tls,
            addresses: Vec::new(),
            tasks: Vec::new(),
            shutdown_timeout: net.shutdown_timeout,
        };
        let wanted = [
            (Protocol::Amqp, net.listen),
            (Protocol::Amqps, net.listen_tls),
            (Protocol::Http, net.management),
        ];
        for (protocol, addresses) in wanted {
            for address in addresses {
                server.listen(&reception, protocol, &address, net.backlog)?;
            }
        }
        let (broker, connections) = (Arc::clone(broker), Arc::clone(&server.connections));
        server.spawn(carry_alarms(broker, connections));
        server.spawn(Arc::clone(&reception.broker.engine).run_timers());
        server.spawn(Arc::clone(&reception.broker).tidy_queues());
        server.spawn(Arc::clone(&reception.broker).publish_notices());
        Ok(server)
    }

    fn listen(
        &mut self,
        reception: &Arc<Reception>,
        protocol: Protocol,
        address: &str,
        backlog: u32,
    ) -> Result<(), StartError> {
        let listeners = listener::listen(address, protocol, backlog).map_err(StartError::Listen)?;
        for (address, listener) in listeners {
            self.addresses.push((protocol, address));
            let reception = Arc::clone(reception);
            match (protocol, &self.tls) {
                (Protocol::Amqp, _) => {
                    self.spawn(listener::accept(listener, move |socket, peer| {
                        reception.welcome(socket, peer);
                    }))
                }
                (Protocol::Amqps, Some(tls)) => {
                    let tls = Arc::clone(tls);
                    self.spawn(listener::accept(listener, move |socket, peer| {
                        reception.welcome_tls(&tls, socket, peer);
                    }));
                }
                (Protocol::Amqps, None) => return Err(StartError::NoCertificate),
                (Protocol::Http, _) => {
                    let pages = management::Pages::new(
                        Arc::clone(&reception.broker),
                        Arc::clone(&reception.connections),
                    );
                    self.spawn(listener::accept(listener, move |socket, peer| {
                        pages.welcome(socket, peer);
                    }));
                }
            }
        }
        Ok(())
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(tokio::spawn(task));
    }

    /// Where it listens; what port 0 became.
    pub fn addresses(&self) -> &[(Protocol, SocketAddr)] {
        &self.addresses
    }

    /// The first address at which that is spoken.
    pub fn address(&self, protocol: Protocol) -> Option<SocketAddr> {
        let mut addresses = self.addresses.iter();
        addresses
            .find(|(spoken, _)| *spoken == protocol)
            .map(|(_, address)| *address)
    }

    /// Who is connected.
    pub fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// Reads certificates and keys again.
    pub fn reload_tls(&self) -> Result<(), TlsError> {
        match &self.tls {
            Some(tls) => tls.reload(),
            None => Ok(()),
        }
    }

    /// Accepts nobody any more, tells everybody that we close, and waits a moment for them.
    pub async fn shut_down(mut self) {
        self.stop();
        let connections = self.connections.count();
        tracing::info!(connections, "closing all connections");
        self.connections.shut_down();
        let gone = tokio::time::timeout(self.shutdown_timeout, self.connections.all_gone()).await;
        if gone.is_err() {
            let left = self.connections.count();
            tracing::warn!(left, "clients did not answer in time");
        }
    }

    fn stop(&mut self) {
        self.tasks.drain(..).for_each(|task| task.abort());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        self.connections.shut_down();
    }
}

async fn carry_alarms(broker: Arc<Broker>, connections: Arc<Connections>) {
    let mut alarms = broker.alarms().subscribe();
    let mut seen = Alarms::default();
    loop {
        let now = *alarms.borrow_and_update();
        connections.set_alarms(now);
        if now.memory != seen.memory {
            log_memory_alarm(&broker, now.memory);
        }
        seen = now;
        if alarms.changed().await.is_err() {
            return;
        }
    }
}

/// Who watches the disk tells of the other alarm.
fn log_memory_alarm(broker: &Broker, is_short: bool) {
    let used_bytes = broker.engine.memory.used_bytes();
    let limit_bytes = broker.engine.memory.limit_bytes();
    if is_short {
        tracing::warn!(
            used_bytes,
            limit_bytes,
            "messages take too much memory: publishers are blocked until they take less"
        );
    } else {
        tracing::info!(
            used_bytes,
            limit_bytes,
            "messages take little enough memory"
        );
    }
}

impl Reception {
    fn welcome(self: &Arc<Self>, socket: TcpStream, peer: SocketAddr) {
        let (Some(place), Ok(local)) = (self.admit(peer), socket.local_addr()) else {
            return;
        };
        let (read, write) = socket.into_split();
        let outgoing = Outgoing::direct(write, self.high_water_bytes, &self.broker.engine);
        let task = self.task(Ends { peer, local }, Plain(read), None, outgoing, place);
        tokio::spawn(task.run());
    }

    fn welcome_tls(self: &Arc<Self>, tls: &TlsSource, socket: TcpStream, peer: SocketAddr) {
        let (Some(place), Ok(local)) = (self.admit(peer), socket.local_addr()) else {
            return;
        };
        let (reception, acceptor) = (Arc::clone(self), tls.acceptor());
        tokio::spawn(async move {
            let timeout = reception.settings.limits.handshake_timeout;
            // Boxed, so that it takes no room in the task once it is done.
            let accepted = Box::pin(tokio::time::timeout(timeout, acceptor.accept(socket))).await;
            let ends = Ends { peer, local };
            let stream = match accepted {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    tracing::warn!(%ends, %error, "TLS handshake failed");
                    return;
                }
                Err(_) => {
                    tracing::warn!(%ends, "TLS handshake took too long");
                    return;
                }
            };
            let outgoing = Outgoing::owned(reception.high_water_bytes, &reception.broker.engine);
            let secured = tls::secured(stream.get_ref().1);
            let task = reception.task(ends, Tls { stream }, Some(secured), outgoing, place);
            drop(reception);
            task.run().await;
        });
    }

    fn admit(&self, peer: SocketAddr) -> Option<Place> {
        let place = self.connections.admit(self.max_connections);
        if place.is_none() {
            warn_of_limit(peer, self.max_connections);
        }
        place
    }

    fn task<T: Transport>(
        &self,
        ends: Ends,
        transport: T,
        secured: Option<Secured>,
        outgoing: Arc<Outgoing>,
        place: Place,
    ) -> Task<T> {
        let mut connection = Connection::new(
            Arc::clone(&self.broker),
            Arc::clone(&self.settings),
            ends,
            Arc::clone(&outgoing),
            Instant::now(),
        );
        let (write_timeout, engine) = (self.write_timeout, &self.broker.engine);
        if let Some(secured) = secured
            && engine.notices.tells_events()
        {
            connection = connection.over_tls(secured);
        }
        Task::new(
            connection,
            transport,
            outgoing,
            place,
            write_timeout,
            engine,
        )
    }
}

fn warn_of_limit(peer: SocketAddr, max_connections: usize) {
    static LOGGED: parking_lot::Mutex<Option<Instant>> = parking_lot::Mutex::new(None);
    let mut logged = LOGGED.lock();
    if logged.is_none_or(|at| at.elapsed() > LOG_INTERVAL) {
        *logged = Some(Instant::now());
        tracing::warn!(%peer, max_connections, "turned a client away: too many connections");
    }
}
