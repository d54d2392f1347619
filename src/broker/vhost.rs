//! A vhost: its exchanges, queues and bindings (skeleton).

use std::sync::Arc;

use super::{ConnectionId, Effects, Queue};
use crate::amqp::reply::Exception;
use crate::amqp::table::FieldTable;

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

/// An exchange.declare.
pub struct ExchangeDeclare<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type, as the client wrote it.
    pub kind: &'a str,
    /// Only look it up.
    pub passive: bool,
    /// Survives a restart.
    pub durable: bool,
    /// Goes with its last binding.
    pub auto_delete: bool,
    /// Cannot be published to by clients.
    pub internal: bool,
    /// x-arguments.
    pub arguments: FieldTable,
}

/// Where a message goes.
#[derive(Clone)]
pub struct Route {
    /// Each queue once; empty if it is unroutable.
    pub queues: Arc<[Arc<Queue>]>,
    /// Whether the same exchange and routing key lead to the same queues, whatever the message's
    /// headers, until the [`Vhost::epoch`] changes.
    pub cacheable: bool,
}

/// See the module.
pub struct Vhost {}

#[allow(unused_variables, missing_docs)]
impl Vhost {
    pub fn name(&self) -> &Arc<str> {
        todo!()
    }
    /// Changes whenever what [`Vhost::route`] found before may no longer hold.
    pub fn epoch(&self) -> u64 {
        todo!()
    }
    /// Where a message goes. `publisher_may_use_internal` is false for clients (ACCESS_REFUSED on
    /// an internal exchange) and true for dead-lettering. `properties` are the encoded property
    /// flags and values; read only where a headers exchange needs them. NOT_FOUND if there is no
    /// such exchange. Follows alternate exchanges. (CC and BCC are the channel's business, which
    /// calls this once per key.)
    pub fn route(
        &self,
        exchange: &str,
        routing_key: &str,
        properties: &[u8],
        publisher_may_use_internal: bool,
    ) -> Result<Route, Exception> {
        todo!()
    }
    pub fn declare_queue(
        self: &Arc<Self>,
        declare: QueueDeclare<'_>,
        connection: ConnectionId,
    ) -> Result<Arc<Queue>, Exception> {
        todo!()
    }
    /// NOT_FOUND, or RESOURCE_LOCKED if it is another connection's exclusive queue.
    pub fn queue(&self, name: &str, connection: ConnectionId) -> Result<Arc<Queue>, Exception> {
        todo!()
    }
    /// queue.delete by a client. A queue that is not there counts as deleted, with 0 messages.
    pub fn delete_queue(
        &self,
        name: &str,
        if_unused: bool,
        if_empty: bool,
        connection: ConnectionId,
        effects: &mut Effects,
    ) -> Result<u64, Exception> {
        todo!()
    }
    /// Deletes a queue that was abandoned (auto-delete, x-expires), unless it is in use again.
    pub fn delete_abandoned(&self, queue: &Arc<Queue>, effects: &mut Effects) {
        todo!()
    }
    /// Deletes what was exclusive to a connection that is gone.
    pub fn connection_closed(&self, connection: ConnectionId, effects: &mut Effects) {
        todo!()
    }
    pub fn declare_exchange(
        self: &Arc<Self>,
        declare: ExchangeDeclare<'_>,
    ) -> Result<(), Exception> {
        todo!()
    }
    pub fn delete_exchange(&self, name: &str, if_unused: bool) -> Result<(), Exception> {
        todo!()
    }
    pub fn bind_queue(
        &self,
        queue: &str,
        exchange: &str,
        routing_key: &str,
        arguments: FieldTable,
        connection: ConnectionId,
    ) -> Result<(), Exception> {
        todo!()
    }
    pub fn unbind_queue(
        &self,
        queue: &str,
        exchange: &str,
        routing_key: &str,
        arguments: FieldTable,
        connection: ConnectionId,
    ) -> Result<(), Exception> {
        todo!()
    }
    pub fn bind_exchange(
        &self,
        destination: &str,
        source: &str,
        routing_key: &str,
        arguments: FieldTable,
    ) -> Result<(), Exception> {
        todo!()
    }
    pub fn unbind_exchange(
        &self,
        destination: &str,
        source: &str,
        routing_key: &str,
        arguments: FieldTable,
    ) -> Result<(), Exception> {
        todo!()
    }
    /// Whether there is such an exchange (for the check that a publish's exchange exists).
    pub fn has_exchange(&self, name: &str) -> bool {
        todo!()
    }
}
