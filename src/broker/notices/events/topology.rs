//! Queues, exchanges and bindings come and go.

use super::{by_whom, named, terms};
use crate::amqp::table::FieldTable;
use crate::broker::binding::{Binding, Destination};
use crate::broker::notices::Notices;
use crate::broker::queue::QueueType;
use crate::broker::{Exchange, Queue};

impl Notices {
    pub(in crate::broker) fn queue_created(&self, queue: &Queue, vhost: &str) {
        self.event("queue.created", || {
            let mut headers = by_whom();
            let owner = queue.exclusive_owner();
            let arguments = terms(queue.arguments());
            // Each type has its own order.
            let queue_type = queue.queue_type();
            match queue_type {
                QueueType::Classic => {
                    let pid = owner.map_or(String::new(), |owner| self.connection_pid(owner));
                    headers.push("exclusive", owner.is_some());
                    headers.push("owner_pid", pid.as_str());
                    headers.push("arguments", arguments);
                }
                QueueType::Quorum => {
                    headers.push("arguments", arguments);
                    headers.push("type", queue_type.module());
                    headers.push("exclusive", false);
                }
                QueueType::Stream => {
                    headers.push("type", queue_type.module());
                    headers.push("arguments", arguments);
                }
            }
            headers.push("auto_delete", queue.is_auto_delete());
            headers.push("durable", queue.is_durable());
            named(&mut headers, queue.name(), vhost);
            headers
        });
    }

    pub(in crate::broker) fn queue_deleted(&self, queue: &Queue, vhost: &str) {
        self.event("queue.deleted", || {
            let mut headers = by_whom();
            named(&mut headers, queue.name(), vhost);
            headers
        });
    }

    pub(in crate::broker) fn exchange_created(&self, exchange: &Exchange, vhost: &str) {
        self.event("exchange.created", || {
            let mut headers = by_whom();
            let policy = exchange.policy_name();
            headers.push("policy", policy.as_deref().unwrap_or_default());
            headers.push("arguments", terms(exchange.arguments()));
            headers.push("internal", exchange.is_internal());
            headers.push("auto_delete", exchange.is_auto_delete());
            headers.push("durable", exchange.is_durable());
            headers.push("type", exchange.kind().name());
            named(&mut headers, exchange.name(), vhost);
            headers
        });
    }

    pub(in crate::broker) fn exchange_deleted(&self, exchange: &Exchange, vhost: &str) {
        self.event("exchange.deleted", || {
            let mut headers = by_whom();
            named(&mut headers, exchange.name(), vhost);
            headers
        });
    }

    pub(in crate::broker) fn binding_created(&self, binding: &Binding, vhost: &str) {
        self.event("binding.created", || of_binding(binding, vhost));
    }

    pub(in crate::broker) fn binding_deleted(&self, binding: &Binding, vhost: &str) {
        self.event("binding.deleted", || of_binding(binding, vhost));
    }
}

fn of_binding(binding: &Binding, vhost: &str) -> FieldTable {
    let kind = match binding.destination {
        Destination::Queue(_) => "queue",
        Destination::Exchange(_) => "exchange",
    };
    let mut headers = by_whom();
    headers.push("vhost", vhost);
    headers.push("arguments", terms(&binding.arguments));
    headers.push("routing_key", &*binding.routing_key);
    headers.push("destination_kind", kind);
    headers.push("destination_name", &**binding.destination.name());
    headers.push("source_kind", "exchange");
    headers.push("source_name", &**binding.source.name());
    headers
}
