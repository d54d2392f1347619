//! What is changed under a vhost's topology lock, and what goes along with what: bindings with
//! their ends, auto-delete exchanges with the last binding from them.

use std::collections::HashMap;
use std::sync::Arc;

use super::Vhost;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::broker::ConnectionId;
use crate::broker::binding::{Binding, Bindings};
use crate::broker::catalog::{Change, Revision};
use crate::broker::exchange::Exchange;
use crate::broker::notices::Acting;
use crate::broker::queue::{Queue, QueueId};

/// See the module.
#[derive(Default)]
pub(super) struct Topology {
    pub bindings: Bindings,
    /// Exclusive queues, which go with their connection.
    pub exclusive: HashMap<ConnectionId, HashMap<QueueId, Arc<Queue>>>,
    /// The vhost is being removed; nothing can be made in it.
    pub is_closed: bool,
}

impl Topology {
    /// Refuses to make something in a vhost that is being removed.
    pub fn check_open(&self, vhost: &Vhost) -> Result<(), Exception> {
        if !self.is_closed {
            return Ok(());
        }
        let text = format!("vhost '{}' is being deleted", vhost.name());
        Err(Exception::new(ReplyCode::InternalError, text))
    }
}

impl Vhost {
    /// Hands changes over to the catalog; says by which revision they are stored, if there were any.
    /// Called with the topology locked.
    pub(super) fn submit(&self, changes: Vec<Change>) -> Option<Revision> {
        let any = !changes.is_empty();
        any.then(|| self.broker.catalog.submit(changes))
    }

    /// Takes a queue out of the topology, after it was closed: its name is free, its bindings go.
    pub(super) fn take_out_queue(
        &self,
        topology: &mut Topology,
        queue: &Arc<Queue>,
        changes: &mut Vec<Change>,
    ) {
        let was_there = self
            .queues
            .remove_if(&**queue.name(), |_, there| Arc::ptr_eq(there, queue))
            .is_some();
        if !was_there {
            return;
        }
        if let Some(owner) = queue.exclusive_owner()
            && let Some(queues) = topology.exclusive.get_mut(&owner)
        {
            queues.remove(&queue.id());
            if queues.is_empty() {
                topology.exclusive.remove(&owner);
            }
        }
        let bindings = topology.bindings.remove_destination(queue.id().0);
        let internally = Acting::on_behalf_of(None);
        self.take_out_bindings(topology, bindings, changes);
        drop(internally);
        if queue.is_durable() {
            changes.push(Change::DeleteQueue(queue.id()));
        }
        self.broker.engine.metrics.queues_deleted.add(1);
        self.broker.engine.notices.queue_deleted(queue, self.name());
        self.bump_epoch();
    }

    /// Takes an exchange out of the topology, with all bindings from it and to it.
    pub(super) fn take_out_exchange(
        &self,
        topology: &mut Topology,
        exchange: &Arc<Exchange>,
        changes: &mut Vec<Change>,
    ) {
        let mut leaving = vec![Arc::clone(exchange)];
        while let Some(exchange) = leaving.pop() {
            let is_it = |_: &Arc<str>, there: &Arc<Exchange>| Arc::ptr_eq(there, &exchange);
            if self
                .exchanges
                .remove_if(&**exchange.name(), is_it)
                .is_none()
            {
                continue;
            }
            self.engine()
                .notices
                .exchange_deleted(&exchange, self.name());
            for binding in topology.bindings.remove_source(&exchange) {
                self.forget_binding(&binding, changes);
            }
            exchange.clear();
            exchange.drop_delayed();
            for binding in topology.bindings.remove_destination(exchange.id().0) {
                self.take_out_of_source(topology, &binding, &mut leaving, changes);
            }
            if exchange.is_durable() && !exchange.id().is_system() {
                changes.push(Change::DeleteExchange(exchange.id()));
            }
        }
        self.bump_epoch();
    }

    /// Takes out bindings that are no longer in the book, and what goes along with them.
    pub(super) fn take_out_bindings(
        &self,
        topology: &mut Topology,
        bindings: Vec<Arc<Binding>>,
        changes: &mut Vec<Change>,
    ) {
        let mut leaving = Vec::new();
        for binding in bindings {
            self.take_out_of_source(topology, &binding, &mut leaving, changes);
        }
        for exchange in leaving {
            self.take_out_exchange(topology, &exchange, changes);
        }
        self.bump_epoch();
    }

    fn take_out_of_source(
        &self,
        topology: &Topology,
        binding: &Binding,
        leaving: &mut Vec<Arc<Exchange>>,
        changes: &mut Vec<Change>,
    ) {
        let source = &binding.source;
        source.remove(binding);
        self.forget_binding(binding, changes);
        if source.is_auto_delete() && !topology.bindings.has_source(source) {
            leaving.push(Arc::clone(source));
        }
    }

    fn forget_binding(&self, binding: &Binding, changes: &mut Vec<Change>) {
        self.engine().notices.binding_deleted(binding, self.name());
        if binding.is_durable() {
            changes.push(Change::DeleteBinding(binding.id));
        }
    }
}
