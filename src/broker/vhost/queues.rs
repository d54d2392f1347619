//! Queues of a vhost: declare, delete, look up; and what deletes them without being asked.
//!
//! A queue is deleted in two steps: it is closed, which decides who deleted it and drops its
//! messages, and then it is taken out of the topology. In between it counts as gone.

use std::sync::Arc;

use super::Vhost;
use super::topology::Topology;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::{FieldTable, FieldValue};
use crate::broker::catalog::{Change, Durability};
use crate::broker::declared::{check_arguments, check_names_exchange, check_property};
use crate::broker::names::{self, Resource};
use crate::broker::queue::{Queue, QueueArguments, QueueId, QueueSpec};
use crate::broker::{ConnectionId, Effects};

/// A queue.declare.
pub struct QueueDeclare<'a> {
    /// Empty: the broker makes one up (`amq.gen-...`).
    pub name: &'a str,
    /// Only look it up.
    pub passive: bool,
    /// Survives a restart.
    pub durable: bool,
    /// For this connection alone.
    pub exclusive: bool,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    /// x-arguments.
    pub arguments: FieldTable,
}

/// What came of a queue.delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// How many messages were ready.
    pub messages: u64,
    /// Whether anything durable went, or may have gone just before.
    pub durability: Durability,
}

/// RESOURCE_LOCKED if it is another connection's exclusive queue.
pub(super) fn check_exclusive_access(
    vhost: &Vhost,
    queue: &Queue,
    connection: ConnectionId,
) -> Result<(), Exception> {
    match queue.exclusive_owner() {
        None => Ok(()),
        Some(owner) if owner == connection => Ok(()),
        Some(_) => Err(locked(Resource::queue(queue.name(), vhost.name()))),
    }
}

fn locked(resource: Resource<'_>) -> Exception {
    let text = format!(
        "cannot obtain exclusive access to locked {resource}. It could be originally declared on \
         another connection or the exclusive property value does not match that of the original \
         declaration."
    );
    Exception::new(ReplyCode::ResourceLocked, text)
}

impl Vhost {
    /// The queue of that name, for a client. NOT_FOUND, or RESOURCE_LOCKED if it is another
    /// connection's exclusive queue.
    pub fn queue(&self, name: &str, connection: ConnectionId) -> Result<Arc<Queue>, Exception> {
        let not_found = || Resource::queue(name, self.name()).not_found();
        let queue = self.live_queue(name).ok_or_else(not_found)?;
        check_exclusive_access(self, &queue, connection)?;
        Ok(queue)
    }

    /// Whether there is a queue of that name, whoever may use it.
    pub fn has_queue(&self, name: &str) -> bool {
        self.live_queue(name).is_some()
    }

    /// The queue of that name, whoever may use it, unless it is being deleted.
    pub(in crate::broker) fn live_queue(&self, name: &str) -> Option<Arc<Queue>> {
        let queue = self.queues.get(name)?;
        (!queue.is_deleted()).then(|| Arc::clone(&queue))
    }

    /// queue.declare: makes it, or checks that it is as declared.
    pub fn declare_queue(
        self: &Arc<Self>,
        mut declare: QueueDeclare<'_>,
        connection: ConnectionId,
    ) -> Result<Arc<Queue>, Exception> {
        self.fill_in_queue_type(&mut declare);
        let name = names::without_line_ends(declare.name);
        if declare.passive {
            let queue = self.queue(&name, connection)?;
            queue.touch();
            return Ok(queue);
        }
        if name.is_empty() {
            let name = names::made_up("amq.gen");
            return self.declare_server_named_queue(&name, declare, connection);
        }
        names::check_not_reserved("queue", &name)?;
        self.declare_named_queue(&name, declare, connection)
    }

    /// queue.declare without a name, under one that [`names::made_up`] gave: for who has to know
    /// the name before, to check permissions for it.
    pub fn declare_server_named_queue(
        self: &Arc<Self>,
        name: &str,
        mut declare: QueueDeclare<'_>,
        connection: ConnectionId,
    ) -> Result<Arc<Queue>, Exception> {
        self.fill_in_queue_type(&mut declare);
        if let Some(kind @ ("quorum" | "stream")) = declare
            .arguments
            .get("x-queue-type")
            .and_then(FieldValue::as_str)
        {
            return Err(Exception::new(
                ReplyCode::PreconditionFailed,
                format!("Cannot declare a server-named queue for type rabbit_{kind}_queue"),
            ));
        }
        self.declare_named_queue(name, declare, connection)
    }

    fn declare_named_queue(
        self: &Arc<Self>,
        name: &str,
        declare: QueueDeclare<'_>,
        connection: ConnectionId,
    ) -> Result<Arc<Queue>, Exception> {
        let owner = declare.exclusive.then_some(connection);
        // An exclusive queue goes with its connection, so it is not durable whatever was asked.
        let durable = declare.durable && !declare.exclusive;
        let check = |current: Arc<Queue>| {
            check_equivalent(self, &current, owner, durable, &declare)?;
            current.touch();
            Ok(current)
        };
        if let Some(current) = self.live_queue(name) {
            return check(current);
        }
        let resource = Resource::queue(name, self.name());
        self.check_queue_limit(name)?;
        check_names_exchange(resource, &declare.arguments, "x-dead-letter-exchange")?;
        if durable {
            self.broker.catalog.check()?;
        }
        let id = QueueId(self.broker.catalog.next_id()?);
        let mut topology = self.topology.lock();
        topology.check_open(self)?;
        let there = self.queues.get(name).map(|queue| Arc::clone(&queue));
        let mut changes = Vec::new();
        match there {
            Some(current) if !current.is_deleted() => {
                drop(topology);
                return check(current);
            }
            // Somebody has closed it and is about to take it out.
            Some(closed) => self.take_out_queue(&mut topology, &closed, &mut changes),
            None => {}
        }
        if let Err(refused) = self.check_queue_limit(name) {
            self.submit(changes);
            return Err(refused);
        }
        let queue = self.make_queue(QueueSpec {
            id,
            engine: Arc::clone(&self.broker.engine),
            vhost: Arc::downgrade(self),
            vhost_name: Arc::clone(self.name()),
            name: name.into(),
            durable,
            auto_delete: declare.auto_delete,
            exclusive_owner: owner,
            arguments: declare.arguments,
        });
        let queue = queue.and_then(|queue| {
            if owner.is_none() {
                QueueArguments::check_master_locator(queue.arguments(), name, self.name())?;
            }
            Ok(queue)
        });
        if let Ok(queue) = &queue
            && queue.is_durable()
        {
            changes.push(Change::PutQueue(Arc::clone(self.name()), Arc::clone(queue)));
        }
        let revision = self.submit(changes);
        if let Ok(queue) = &queue {
            // Before anybody finds it and publishes to it.
            if let Some(revision) = revision.filter(|_| queue.is_durable()) {
                queue.stored_by().set(revision);
            }
            self.put_in_queue(&mut topology, queue);
        }
        queue
    }

    /// A new queue changes no route that was found before: to where there was none, none is kept.
    pub(super) fn put_in_queue(&self, topology: &mut Topology, queue: &Arc<Queue>) {
        self.queues
            .insert(Arc::clone(queue.name()), Arc::clone(queue));
        if let Some(owner) = queue.exclusive_owner() {
            let owned = topology.exclusive.entry(owner).or_default();
            owned.insert(queue.id(), Arc::clone(queue));
        }
        self.broker.engine.metrics.queues_declared.add(1);
        self.broker.engine.notices.queue_created(queue, self.name());
    }

    /// queue.delete by a client. A queue that is not there counts as deleted, with 0 messages.
    pub fn delete_queue(
        &self,
        name: &str,
        if_unused: bool,
        if_empty: bool,
        connection: ConnectionId,
        effects: &mut Effects,
    ) -> Result<Deleted, Exception> {
        let name = names::without_line_ends(name);
        let Some(queue) = self.live_queue(&name) else {
            return Ok(Deleted {
                messages: 0,
                durability: Durability::Durable,
            });
        };
        check_exclusive_access(self, &queue, connection)?;
        queue.check_delete_flags(if_unused, if_empty)?;
        if queue.is_durable() {
            self.broker.catalog.check()?;
        }
        let messages = queue.close(if_unused, if_empty, effects)?;
        let any = self.forget(&queue);
        Ok(Deleted {
            messages: messages.unwrap_or(0),
            durability: Durability::of(any || queue.is_durable()),
        })
    }

    /// Deletes a queue that was abandoned (auto-delete, x-expires), unless it is in use again.
    pub fn delete_abandoned(&self, queue: &Arc<Queue>, effects: &mut Effects) {
        if queue.close(true, false, effects).is_ok() {
            self.forget(queue);
        }
    }

    /// Deletes what was exclusive to a connection that is gone.
    pub fn connection_closed(&self, connection: ConnectionId, effects: &mut Effects) {
        let owned = self
            .topology
            .lock()
            .exclusive
            .remove(&connection)
            .unwrap_or_default();
        for queue in owned.values() {
            self.delete_whatever(queue, effects);
        }
    }

    /// Deletes everything, because the vhost is removed. Gives what the catalog is to forget.
    pub(in crate::broker) fn close(&self, effects: &mut Effects) -> Vec<Change> {
        self.topology.lock().is_closed = true;
        for queue in self.queues() {
            // Without conditions it cannot be refused.
            let _ = queue.close(false, false, effects);
        }
        let mut changes = Vec::new();
        let mut topology = self.topology.lock();
        // Also those that somebody else has closed and is about to take out: whatever the catalog
        // has of the vhost goes at once.
        let queues: Vec<_> = self.queues.iter().map(|queue| Arc::clone(&queue)).collect();
        for queue in queues {
            self.take_out_queue(&mut topology, &queue, &mut changes);
        }
        for exchange in self.exchanges() {
            self.take_out_exchange(&mut topology, &exchange, &mut changes);
        }
        changes
    }

    fn delete_whatever(&self, queue: &Arc<Queue>, effects: &mut Effects) {
        // Without conditions it cannot be refused.
        if queue.close(false, false, effects).is_ok() {
            self.forget(queue);
        }
    }

    /// Takes a closed queue out of the topology; says whether anything durable went.
    fn forget(&self, queue: &Arc<Queue>) -> bool {
        let mut changes = Vec::new();
        let mut topology = self.topology.lock();
        self.take_out_queue(&mut topology, queue, &mut changes);
        self.submit(changes).is_some()
    }
}

fn check_equivalent(
    vhost: &Vhost,
    current: &Queue,
    owner: Option<ConnectionId>,
    durable: bool,
    received: &QueueDeclare<'_>,
) -> Result<(), Exception> {
    let resource = Resource::queue(current.name(), vhost.name());
    if current.exclusive_owner() != owner {
        return Err(locked(resource));
    }
    check_property(resource, "durable", current.is_durable(), durable)?;
    check_property(
        resource,
        "auto_delete",
        current.is_auto_delete(),
        received.auto_delete,
    )?;
    check_arguments(
        resource,
        current.queue_type().compared(),
        current.arguments(),
        &received.arguments,
    )
}
