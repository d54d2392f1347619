//! What a connection's channels share once the connection is open.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::Outgoing;
use super::interceptors::Interceptors;
use super::link::Ends;
use super::pause::{Pauses, Resume, Then};
use crate::auth::User;
use crate::broker::catalog::Revision;
use crate::broker::notices::Via;
use crate::broker::queue::ConsumerTimeout;
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
    /// How long a delivery may stay unacked, and what becomes of it then, where neither its consumer nor
    /// its queue says so.
    pub consumer_timeout: ConsumerTimeout,
    /// The shortest timeout of any delivery that there may be; `u64::MAX`: there is none.
    pub shortest_timeout_ms: AtomicU64,
    /// What is written into every message.
    pub interceptors: Interceptors,
    /// What the client understands.
    pub capabilities: ClientCapabilities,
    /// What the connection waits for before it takes more input.
    pub pauses: Pauses,
    /// Between whom it is.
    pub ends: Ends,
    /// The same as text, once somebody has asked.
    pub name: OnceLock<Arc<str>>,
}

impl Shared {
    /// What a connection is called.
    pub(super) fn name(&self) -> &Arc<str> {
        self.name.get_or_init(|| self.ends.to_string().into())
    }

    pub(super) fn tell_channel_created(&self, number: u16) {
        let notices = &self.broker.engine.notices;
        if notices.wants_events() {
            let (user, vhost) = (self.user.name(), self.vhost.name());
            notices.channel_created(self.id, self.name(), number, user, vhost);
        }
    }

    /// Whose messages go through that channel.
    pub(super) fn via(&self, channel: u16) -> Via {
        Via {
            vhost: Arc::clone(&self.vhost),
            connection: Arc::clone(self.name()),
            channel,
            user: Arc::clone(self.user.name()),
        }
    }

    /// There may be deliveries with that timeout from now on.
    pub(super) fn note_timeout(&self, limit_ms: u64) {
        self.shortest_timeout_ms
            .fetch_min(limit_ms, Ordering::Relaxed);
    }

    /// That revision, if the catalog still has to store it. A message may have gone to a queue that is
    /// not stored yet, and is not safe before that is.
    pub fn unstored(&self, revision: Revision) -> Option<Revision> {
        (revision > self.vhost.catalog().stored()).then_some(revision)
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
