//! Bindings of a vhost: bind and unbind, of queues and of exchanges.

use std::sync::Arc;

use super::Vhost;
use super::queues::check_exclusive_access;
use crate::amqp::reply::Exception;
use crate::amqp::table::FieldTable;
use crate::broker::ConnectionId;
use crate::broker::binding::{BindingRequest, Destination};
use crate::broker::catalog::{Change, Durability};
use crate::broker::exchange::Exchange;
use crate::broker::ids::BindingId;
use crate::broker::names::{self, Resource};

/// What a binding's destination is called.
#[derive(Clone, Copy)]
enum End<'a> {
    Queue(&'a str, ConnectionId),
    Exchange(&'a str),
}

impl Vhost {
    /// queue.bind. The same once more changes nothing. Says whether the binding is durable.
    pub fn bind_queue(
        &self,
        queue: &str,
        exchange: &str,
        routing_key: &str,
        arguments: FieldTable,
        connection: ConnectionId,
    ) -> Result<Durability, Exception> {
        let queue = names::without_line_ends(queue);
        self.bind(
            End::Queue(&queue, connection),
            exchange,
            routing_key,
            arguments,
        )
    }

    /// queue.unbind. A binding that is not there counts as removed.
    pub fn unbind_queue(
        &self,
        queue: &str,
        exchange: &str,
        routing_key: &str,
        arguments: FieldTable,
        connection: ConnectionId,
    ) -> Result<Durability, Exception> {
        let queue = names::without_line_ends(queue);
        self.unbind(
            End::Queue(&queue, connection),
            exchange,
            routing_key,
            arguments,
        )
    }

    /// exchange.bind. The same once more changes nothing. Says whether the binding is durable.
    pub fn bind_exchange(
        &self,
        destination: &str,
        source: &str,
        routing_key: &str,
        arguments: FieldTable,
    ) -> Result<Durability, Exception> {
        let destination = names::without_line_ends(destination);
        names::check_not_default_exchange(&destination)?;
        self.bind(End::Exchange(&destination), source, routing_key, arguments)
    }

    /// exchange.unbind. A binding that is not there counts as removed.
    pub fn unbind_exchange(
        &self,
        destination: &str,
        source: &str,
        routing_key: &str,
        arguments: FieldTable,
    ) -> Result<Durability, Exception> {
        let destination = names::without_line_ends(destination);
        names::check_not_default_exchange(&destination)?;
        self.unbind(End::Exchange(&destination), source, routing_key, arguments)
    }

    fn bind(
        &self,
        end: End<'_>,
        source: &str,
        routing_key: &str,
        arguments: FieldTable,
    ) -> Result<Durability, Exception> {
        let source = names::without_line_ends(source);
        names::check_not_default_exchange(&source)?;
        let mut topology = self.topology.lock();
        let (source, destination) = self.ends(&source, end)?;
        source.check_binding(routing_key, &arguments, &destination)?;
        self.check_access(&destination, end)?;
        let request = BindingRequest::new(source, destination, routing_key, arguments);
        if let Some(there) = topology.bindings.find(&request) {
            return Ok(there.durability());
        }
        if request.is_durable() {
            self.broker.catalog.check()?;
        }
        let binding = request.into_binding(BindingId(self.broker.catalog.next_id()?));
        topology.bindings.insert(&binding);
        let history = binding.source.add(&binding);
        // After it, so that who listens from now on is told of that.
        self.engine().notices.binding_created(&binding, self.name());
        self.bump_epoch();
        if binding.is_durable() {
            let change = Change::PutBinding(Arc::clone(self.name()), Arc::clone(&binding));
            if let Some(revision) = self.submit(vec![change]) {
                binding.stored_by.set(revision);
            }
        }
        let durability = binding.durability();
        drop(topology);
        if !history.is_empty() {
            self.send_history(&binding.destination, &history);
        }
        Ok(durability)
    }

    fn unbind(
        &self,
        end: End<'_>,
        source: &str,
        routing_key: &str,
        arguments: FieldTable,
    ) -> Result<Durability, Exception> {
        let source = names::without_line_ends(source);
        names::check_not_default_exchange(&source)?;
        let mut topology = self.topology.lock();
        // What has no ends is not bound. It may have been, to something durable that just went.
        let Ok((source, destination)) = self.ends(&source, end) else {
            return Ok(Durability::Durable);
        };
        let request = BindingRequest::new(source, destination, routing_key, arguments);
        let mut durability = Durability::of(request.is_durable());
        let Some(binding) = topology.bindings.find(&request).map(Arc::clone) else {
            return Ok(durability);
        };
        self.check_access(&binding.destination, end)?;
        if binding.is_durable() {
            self.broker.catalog.check()?;
        }
        let mut changes = Vec::new();
        topology.bindings.remove(&binding);
        self.take_out_bindings(&mut topology, vec![binding], &mut changes);
        // A durable exchange may go along with a transient binding.
        if let Some(revision) = self.submit(changes) {
            durability = Durability::StoredBy(revision);
        }
        Ok(durability)
    }

    /// Both ends of a binding; NOT_FOUND for the first that is missing.
    fn ends(&self, source: &str, end: End<'_>) -> Result<(Arc<Exchange>, Destination), Exception> {
        let exchange = |name: &str| {
            self.exchange(name)
                .ok_or_else(|| Resource::exchange(name, self.name()).not_found())
        };
        let source = exchange(source)?;
        let destination = match end {
            End::Exchange(name) => Destination::Exchange(exchange(name)?),
            End::Queue(name, _) => {
                let not_found = || Resource::queue(name, self.name()).not_found();
                Destination::Queue(self.live_queue(name).ok_or_else(not_found)?)
            }
        };
        Ok((source, destination))
    }

    fn check_access(&self, destination: &Destination, end: End<'_>) -> Result<(), Exception> {
        match (destination, end) {
            (Destination::Queue(queue), End::Queue(_, connection)) => {
                check_exclusive_access(self, queue, connection)
            }
            _ => Ok(()),
        }
    }
}
