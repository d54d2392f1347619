//! What queues and consumers are made from.

use std::sync::{Arc, Weak};

use super::QueueType;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::FieldTable;
use crate::broker::sink::SinkRef;
use crate::broker::{ConnectionId, Engine, Vhost};

/// Names a queue for as long as the data folder lives; never used again, not even for a new
/// queue of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u64);

/// What a queue is declared with.
pub struct QueueSpec {
    /// Its id.
    pub id: QueueId,
    /// What all queues share.
    pub engine: Arc<Engine>,
    /// Its vhost, where it dead-letters to.
    pub vhost: Weak<Vhost>,
    /// The vhost's name, for error texts.
    pub vhost_name: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Survives a restart.
    pub durable: bool,
    /// Is deleted when its last consumer goes.
    pub auto_delete: bool,
    /// The connection that alone may use it, and with which it goes.
    pub exclusive_owner: Option<ConnectionId>,
    /// x-arguments as declared.
    pub arguments: FieldTable,
}

impl QueueSpec {
    /// A quorum queue and a stream are durable, for everybody, and stay.
    pub(super) fn check_properties(&self, queue_type: QueueType) -> Result<(), Exception> {
        let wrong = match queue_type {
            QueueType::Classic => return Ok(()),
            _ if self.auto_delete => "auto-delete",
            _ if self.exclusive_owner.is_some() => "exclusive-owner",
            _ if !self.durable => "non-durable",
            QueueType::Quorum | QueueType::Stream => return Ok(()),
        };
        Err(Exception::new(
            ReplyCode::PreconditionFailed,
            format!(
                "invalid property '{wrong}' for queue '{}' in vhost '{}'",
                self.name, self.vhost_name
            ),
        ))
    }
}

/// A consumer to be added.
pub struct ConsumerSpec {
    /// The consumer tag, for listings.
    pub tag: Arc<str>,
    /// Where its deliveries go.
    pub sink: SinkRef,
    /// What the sink knows the consumer as.
    pub slot: u32,
    /// Whether what it is given counts as settled at once.
    pub no_ack: bool,
    /// Whether it wants to be the only one.
    pub exclusive: bool,
    /// x-priority; higher goes first.
    pub priority: i32,
}
