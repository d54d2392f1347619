//! Putting back into a vhost what its catalog holds. See `broker::restore`.

use std::sync::Arc;

use super::Vhost;
use crate::amqp::reply::Exception;
use crate::amqp::table::FieldTable;
use crate::broker::binding::{BindingRequest, Destination};
use crate::broker::exchange::{Exchange, ExchangeSpec};
use crate::broker::ids::BindingId;
use crate::broker::queue::{Queue, QueueId, QueueSpec};

/// A queue as it was declared.
pub(in crate::broker) struct RestoredQueue<'a> {
    /// Its old number.
    pub id: QueueId,
    /// Its name.
    pub name: &'a str,
    /// Survives a restart.
    pub durable: bool,
    /// Goes with its last consumer, of which it had none yet in this run.
    pub auto_delete: bool,
    /// x-arguments.
    pub arguments: FieldTable,
}

impl Vhost {
    /// Puts an exchange back; says whether its name was free.
    pub(in crate::broker) fn restore_exchange(
        self: &Arc<Self>,
        spec: ExchangeSpec,
    ) -> Result<bool, Exception> {
        let _topology = self.topology.lock();
        if self.has_exchange(&spec.name) {
            return Ok(false);
        }
        let exchange = self.make_exchange(spec)?;
        self.exchanges.insert(Arc::clone(exchange.name()), exchange);
        Ok(true)
    }

    /// Puts a queue back, without messages; None if its name is taken. For x-expires it counts as
    /// used now.
    pub(in crate::broker) fn restore_queue(
        self: &Arc<Self>,
        restored: RestoredQueue<'_>,
    ) -> Result<Option<Arc<Queue>>, Exception> {
        let mut topology = self.topology.lock();
        if self.has_queue(restored.name) {
            return Ok(None);
        }
        let spec = QueueSpec {
            id: restored.id,
            engine: Arc::clone(&self.broker.engine),
            vhost: Arc::downgrade(self),
            vhost_name: Arc::clone(self.name()),
            name: restored.name.into(),
            durable: restored.durable,
            auto_delete: restored.auto_delete,
            exclusive_owner: None,
            arguments: restored.arguments,
        };
        let queue = self.make_queue(spec)?;
        // The catalog has it.
        self.put_in_queue(&mut topology, &queue);
        Ok(Some(queue))
    }

    /// Puts a binding back; says whether there was no such binding.
    pub(in crate::broker) fn restore_binding(
        &self,
        id: BindingId,
        source: Arc<Exchange>,
        destination: Destination,
        routing_key: &str,
        arguments: FieldTable,
    ) -> Result<bool, Exception> {
        source.check_binding(routing_key, &arguments, &destination)?;
        let mut topology = self.topology.lock();
        let request = BindingRequest::new(source, destination, routing_key, arguments);
        if topology.bindings.find(&request).is_some() {
            return Ok(false);
        }
        let binding = request.into_binding(id);
        topology.bindings.insert(&binding);
        // Nothing went through it yet.
        let _ = binding.source.add(&binding);
        Ok(true)
    }
}
