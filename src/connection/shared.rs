//! What a connection's channels share once the connection is open.

use std::sync::Arc;
use std::time::Duration;

use super::Outgoing;
use super::pause::{Pauses, Resume, Then};
use crate::auth::User;
use crate::broker::catalog::Revision;
use crate::broker::{Broker, ConnectionId, Vhost};

/// What the client said it understands (client-properties, `capabilities`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ClientCapabilities {
    pub publisher_confirms: bool,
    pub exchange_exchange_bindings: bool,
    pub basic_nack: bool,
    pub consumer_cancel_notify: bool,
    pub connection_blocked: bool,
    pub authentication_failure_close: bool,
}

/// See the module.
pub struct Shared {
    /// This connection.
    pub id: ConnectionId,
    /// The broker.
    pub broker: Arc<Broker>,
    /// The vhost that the connection opened.
    pub vhost: Arc<Vhost>,
    /// Who logged in.
    pub user: Arc<User>,
    /// Where frames to the client go.
    pub outgoing: Arc<Outgoing>,
    /// The negotiated frame-max in bytes (never 0 here: "no limit" is u32::MAX).
    pub frame_max: u32,
    /// Largest body in bytes; more is refused with PRECONDITION_FAILED.
    pub max_message_bytes: u64,
    /// How long a delivery may stay unacked before its channel is closed (RabbitMQ's
    /// consumer_timeout); None: for ever.
    pub consumer_timeout_ms: Option<u64>,
    /// What the client understands.
    pub capabilities: ClientCapabilities,
    /// What the connection waits for before it takes more input.
    pub pauses: Pauses,
}

impl Shared {
    /// What the catalog still has to store, if anything. A message may have gone to a queue that is
    /// not stored yet, and is not safe before that is.
    pub fn unstored_revision(&self) -> Option<Revision> {
        let catalog = self.vhost.catalog();
        let submitted = catalog.submitted();
        (submitted > catalog.stored()).then_some(submitted)
    }

    /// The same, to go on with the input in any case after so long.
    pub fn pause_at_most(&self, channel: u16, at_most: Duration) -> Resume {
        self.pauses.pause_at_most(&self.outgoing, channel, at_most)
    }

    /// Pauses the connection on behalf of a channel: see [`Pauses`]. Only from the connection's own
    /// task, while it deals with input.
    pub fn pause(&self, channel: u16, then: Then) -> Resume {
        self.pauses.pause(&self.outgoing, channel, then)
    }
}
