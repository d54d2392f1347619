//! What a connection has from its first byte to its last, whatever stage it is in.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Outgoing, Settings};
use crate::amqp::encode;
use crate::amqp::method::Method;
use crate::broker::notices::{Connected, Secured};
use crate::broker::{Broker, ConnectionId};

/// The two ends of the connection; printed as RabbitMQ prints them in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client's address.
    pub peer: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
}

impl Ends {
    /// The client's IP address.
    pub fn peer_ip(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.peer, self.local)
    }
}

/// See the module.
pub(super) struct Link {
    pub id: ConnectionId,
    pub broker: Arc<Broker>,
    pub settings: Arc<Settings>,
    pub ends: Ends,
    /// How it is kept secret, if it is and somebody is to be told of it.
    pub secured: Option<Arc<Secured>>,
    /// When it was accepted, in milliseconds since 1970.
    pub connected_at_ms: u64,
    pub outgoing: Arc<Outgoing>,
}

impl Link {
    /// The connection, for what is told of it; `name` is its ends as text.
    pub fn connected<'a>(&'a self, name: &'a str) -> Connected<'a> {
        Connected {
            id: self.id,
            name,
            peer: self.ends.peer,
            local: self.ends.local,
            secured: self.secured.as_deref(),
        }
    }

    /// Appends a method to what the client will be sent.
    pub fn send(&self, channel: u16, method: &Method) {
        encode::method_frame(&mut self.outgoing.lock().frames, channel, method);
    }

    /// Appends bytes that are frames already.
    pub fn send_encoded(&self, frames: &[u8]) {
        self.outgoing.lock().frames.extend_from_slice(frames);
    }
}
