//! Listening sockets, and accepting from them for ever.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol as Transport, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// Accepting failed, most likely because there are no file descriptors left: wait this long,
/// twice as long the next time, and so on up to a second.
const FIRST_BACKOFF: Duration = Duration::from_millis(5);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// The same trouble is logged no more often than this.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What is spoken at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// AMQP in plain text.
    Amqp,
    /// AMQP through TLS.
    Amqps,
    /// The management pages.
    Http,
}

impl Protocol {
    /// Its name in URLs and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amqp => "amqp",
            Self::Amqps => "amqps",
            Self::Http => "http",
        }
    }
}

/// Why an address cannot be listened on.
#[derive(Debug)]
pub struct ListenError {
    /// The address as it was given.
    pub address: String,
    /// What the system says.
    pub error: io::Error,
}

impl std::fmt::Display for ListenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, self.error)
    }
}

impl std::error::Error for ListenError {}

/// Listens on every address that `ADDR:PORT` stands for, and logs each; port 0 picks a free one.
pub(super) fn listen(
    address: &str,
    protocol: Protocol,
    backlog: u32,
) -> Result<Vec<(SocketAddr, TcpListener)>, ListenError> {
    let failed = |error| ListenError {
        address: address.to_string(),
        error,
    };
    let addresses = address.to_socket_addrs().map_err(failed)?;
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = bind(address, backlog).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let protocol = protocol.name();
        tracing::info!(%address, %protocol, "listening");
        listeners.push((address, listener));
    }
    Ok(listeners)
}

fn bind(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Transport::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // So that [::]:5672 and 0.0.0.0:5672 can be listened on side by side.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // What is accepted has it from here.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// Accepts for ever and gives each socket to `serve`. Trouble passes.
pub(super) async fn accept(listener: TcpListener, mut serve: impl FnMut(TcpStream, SocketAddr)) {
    let mut backoff = FIRST_BACKOFF;
    let mut logged: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                backoff = FIRST_BACKOFF;
                serve(socket, peer);
            }
            // The client gave up while it was waiting; others are not concerned.
            Err(error) if is_of_one_client(&error) => {}
            Err(error) => {
                if logged.is_none_or(|at| at.elapsed() > LOG_INTERVAL) {
                    tracing::error!(%error, "cannot accept connections");
                    logged = Some(Instant::now());
                }
                tokio::time::sleep(backoff).await;
                backoff = (2 * backoff).min(LONGEST_BACKOFF);
            }
        }
    }
}

fn is_of_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
