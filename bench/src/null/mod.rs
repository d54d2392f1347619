//! A null broker: the machine's ceiling, in the same table as the brokers.
//!
//! It shakes hands, remembers which queue is bound where and who consumes from it, and hands every
//! publish on as deliveries. It keeps nothing: what nobody consumes is dropped, acks are ignored,
//! every confirm is granted. So it costs what moving the bytes costs, and no broker can do less.
//!
//! ```text
//! socket ─▶ session ─▶ handoff ─▶ consumer's socket
//!              └─▶ topology ◀─┘
//! ```

mod handoff;
mod session;
mod topology;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use session::Session;
use topology::Topology;

/// Enough for a session, which recurses nowhere; 10,000 idle connections are 10,000 threads.
const STACK_BYTES: usize = 64 * 1024;

/// A null broker that listens.
pub struct NullBroker {
    listener: TcpListener,
}

impl NullBroker {
    /// Listens.
    pub fn bind(address: &str) -> io::Result<NullBroker> {
        Ok(NullBroker {
            listener: TcpListener::bind(address)?,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves every connection on a thread of its own, for ever.
    pub fn serve(self) -> io::Result<()> {
        let topology = Arc::new(Topology::default());
        loop {
            let (stream, peer) = self.listener.accept()?;
            let topology = Arc::clone(&topology);
            let serve = move || serve(stream, peer, topology);
            thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn(serve)?;
        }
    }
}

fn serve(stream: TcpStream, peer: SocketAddr, topology: Arc<Topology>) {
    let result = Session::new(stream, topology).and_then(Session::run);
    match result {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            ) =>
        {
            eprintln!("{peer}: {error}");
        }
        _ => {}
    }
}
