//! The engine: vhosts, exchanges, bindings, routing, queues, consumers.
//!
//! ```text
//! publish ─▶ vhost ─▶ exchange ─▶ bindings ─▶ queue ─▶ sink (a consumer's channel)
//!                                               │
//!                                               └─▶ effects: what is left to do after the lock
//! ```
//!
//! The engine knows no socket and no channel number. It reaches a consumer through [`Sink`].

pub mod dead_letter;
pub mod effects;
pub mod engine;
pub mod message;
pub mod queue;
pub mod sink;

pub use effects::Effects;
pub use engine::{Alarms, Engine};
pub use message::{Body, Facts, Message};
pub use queue::{Queue, QueueId};
pub use sink::{Delivery, Sink, SinkRef, Taken};

/// Names a connection for as long as the broker runs; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

pub mod metrics;
pub mod vhost;

pub use metrics::Metrics;
pub use vhost::Vhost;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use dashmap::DashMap;

use crate::auth::Users;

/// The broker: vhosts, users, counters. One per process; shared by every connection.
pub struct Broker {
    /// Vhosts by name.
    pub vhosts: DashMap<Arc<str>, Arc<Vhost>>,
    /// Users and their permissions.
    pub users: Users,
    /// What all queues share: the clock, timers, alarms, counters.
    pub engine: Arc<Engine>,
    /// Direct reply-to: where `amq.rabbitmq.reply-to.<key>` leads.
    pub reply_to: DashMap<Bytes, (SinkRef, u32)>,
    next_connection: AtomicU64,
}

impl Broker {
    /// A new broker with the vhost `/`.
    pub fn new(users: Users) -> Arc<Self> {
        let _ = users;
        todo!()
    }

    /// Counters, for the metrics page.
    pub fn metrics(&self) -> &Metrics {
        &self.engine.metrics
    }

    /// Alarms, to be watched.
    pub fn alarms(&self) -> &tokio::sync::watch::Sender<Alarms> {
        &self.engine.alarms
    }

    /// A fresh connection id.
    pub fn next_connection_id(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    /// The vhost of that name.
    pub fn vhost(&self, name: &str) -> Option<Arc<Vhost>> {
        self.vhosts.get(name).map(|vhost| Arc::clone(&vhost))
    }
}
