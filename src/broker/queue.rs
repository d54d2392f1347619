//! A queue (skeleton; grows into a folder).

use std::sync::{Arc, Weak};

use super::{ConnectionId, Delivery, Effects, Engine, Message, SinkRef};
use crate::amqp::reply::Exception;
use crate::amqp::table::FieldTable;
use crate::broker::vhost::Vhost;

/// Names a queue for as long as the data folder lives; never used again, not even for a new
/// queue of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u64);

/// Names a consumer within its queue; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerId(pub u64);

/// What a queue is declared with.
pub struct QueueSpec {
    /// Its id.
    pub id: QueueId,
    /// What all queues share.
    pub engine: Arc<Engine>,
    /// Its vhost, where it dead-letters to.
    pub vhost: Weak<Vhost>,
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

/// A message given back.
#[derive(Clone, Copy, Debug)]
pub struct Returned {
    /// Its place in the queue.
    pub sequence: u64,
    /// [`Delivery::returns`] as it was delivered with.
    pub returns: u32,
}

/// Message and consumer counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages waiting.
    pub ready: u64,
    /// Messages delivered and not yet settled.
    pub unacked: u64,
    /// Consumers.
    pub consumers: u32,
}

/// A queue: a lock around a list of chunks and its consumers. Every call is short; what is left
/// to do afterwards is put into the caller's [`Effects`].
pub struct Queue {
    spec: QueueSpec,
}

#[allow(unused_variables, missing_docs)]
impl Queue {
    /// Checks the x-arguments (types, ranges, combinations; RabbitMQ's texts) and makes the queue.
    pub fn new(spec: QueueSpec) -> Result<Arc<Self>, Exception> {
        todo!()
    }
    pub fn id(&self) -> QueueId {
        self.spec.id
    }
    pub fn name(&self) -> &Arc<str> {
        &self.spec.name
    }
    pub fn is_durable(&self) -> bool {
        self.spec.durable
    }
    pub fn is_auto_delete(&self) -> bool {
        self.spec.auto_delete
    }
    pub fn exclusive_owner(&self) -> Option<ConnectionId> {
        self.spec.exclusive_owner
    }
    pub fn arguments(&self) -> &FieldTable {
        &self.spec.arguments
    }
    pub fn counts(&self) -> Counts {
        todo!()
    }
    /// Takes messages: all of `batch`, or those at the indices `picks`. Messages refused by a
    /// length limit are named in `effects.refused`.
    pub fn publish(self: &Arc<Self>, batch: &[Message<'_>], picks: Option<&[u32]>, effects: &mut Effects) {
        todo!()
    }
    /// Adds a consumer, which gets nothing until [`Queue::resume`] is called for it.
    /// Refuses by exclusivity (ACCESS_REFUSED) as RabbitMQ does; NOT_FOUND if the queue was deleted.
    pub fn add_consumer(self: &Arc<Self>, spec: ConsumerSpec) -> Result<ConsumerId, Exception> {
        todo!()
    }
    /// The consumer has room (again): deliver to it.
    pub fn resume(self: &Arc<Self>, consumer: ConsumerId, effects: &mut Effects) {
        todo!()
    }
    /// Removes a consumer. What it has unacked stays with its channel. An auto-delete queue whose
    /// last consumer this was is put into `effects`.
    pub fn remove_consumer(self: &Arc<Self>, consumer: ConsumerId, effects: &mut Effects) {
        todo!()
    }
    /// Takes the first message, if there is one, and shows it to `take` together with how many
    /// remain ready. `take` is called with the queue's lock held, under the rules of a sink.
    pub fn get(self: &Arc<Self>, no_ack: bool, effects: &mut Effects, take: &mut dyn FnMut(&Delivery<'_>, u64)) -> bool {
        todo!()
    }
    /// Settles messages for good, as ranges `(first, last)` of sequences, all of which this
    /// caller has unacked; then resumes consumers which got room by it.
    pub fn ack(self: &Arc<Self>, ranges: &[(u64, u64)], resume: &[ConsumerId], effects: &mut Effects) {
        todo!()
    }
    /// Gives messages back to their place. `counted` says whether the return counts as a failed
    /// delivery (basic.nack/reject with requeue do; recover and a closed channel do not count
    /// for [`Delivery::returns`] but still set `redelivered`).
    pub fn requeue(self: &Arc<Self>, returned: &[Returned], counted: bool, resume: &[ConsumerId], effects: &mut Effects) {
        todo!()
    }
    /// Rejects messages without requeue: dead-letters them with reason `rejected`, or drops them.
    pub fn reject(self: &Arc<Self>, returned: &[Returned], resume: &[ConsumerId], effects: &mut Effects) {
        todo!()
    }
    /// Drops all ready messages and says how many.
    pub fn purge(self: &Arc<Self>, effects: &mut Effects) -> u64 {
        todo!()
    }
    /// Marks the queue as deleted if the conditions hold (PRECONDITION_FAILED with RabbitMQ's text
    /// otherwise), cancels its consumers, drops its messages and says how many were ready. Called by
    /// [`Vhost`], which then forgets the queue. None if it was deleted already.
    pub fn close(self: &Arc<Self>, if_unused: bool, if_empty: bool, effects: &mut Effects) -> Result<Option<u64>, Exception> {
        todo!()
    }
    /// Its time has come: expires messages, or the queue itself.
    pub fn on_timer(self: &Arc<Self>, effects: &mut Effects) {
        todo!()
    }
    /// Whether [`Queue::close`] has happened.
    pub fn is_deleted(&self) -> bool {
        todo!()
    }
}
