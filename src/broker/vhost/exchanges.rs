//! Exchanges of a vhost: declare, delete, look up.

use std::sync::Arc;

use super::Vhost;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::FieldTable;
use crate::broker::catalog::{Change, Durability};
use crate::broker::declared::{check_arguments, check_names_exchange, check_property};
use crate::broker::exchange::{ALTERNATE_EXCHANGE, Exchange, ExchangeKind, ExchangeSpec};
use crate::broker::ids::ExchangeId;
use crate::broker::names::{self, Resource};
use crate::broker::notices::TRACE_EXCHANGE;

/// The exchanges that every vhost has, and whether they are internal, in the order in which RabbitMQ makes
/// them.
pub(super) const SYSTEM_EXCHANGES: [(&str, ExchangeKind, bool); 7] = [
    ("", ExchangeKind::Direct, false),
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.topic", ExchangeKind::Topic, false),
    ("amq.match", ExchangeKind::Headers, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    (TRACE_EXCHANGE, ExchangeKind::Topic, true),
];

/// The only arguments that have to be the same when an exchange is declared again.
const COMPARED_ARGUMENTS: [&str; 1] = [ALTERNATE_EXCHANGE];

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

impl Vhost {
    /// The exchange of that name; the default exchange is named by the empty string.
    pub fn exchange(&self, name: &str) -> Option<Arc<Exchange>> {
        self.exchanges
            .get(name)
            .map(|exchange| Arc::clone(&exchange))
    }

    /// Whether there is such an exchange (for the check that a publish's exchange exists).
    pub fn has_exchange(&self, name: &str) -> bool {
        self.exchanges.contains_key(name)
    }

    /// exchange.declare: makes it, or checks that it is as declared. Says whether it is durable.
    pub fn declare_exchange(
        self: &Arc<Self>,
        declare: ExchangeDeclare<'_>,
    ) -> Result<Durability, Exception> {
        let name = names::without_line_ends(declare.name);
        let resource = Resource::exchange(&name, self.name());
        if declare.passive {
            names::check_not_default_exchange(&name)?;
            let current = self.exchange(&name).ok_or_else(|| resource.not_found())?;
            return Ok(current.durability());
        }
        let kind = ExchangeKind::from_name(declare.kind)?;
        names::check_not_default_exchange(&name)?;
        let check = |current: &Exchange| {
            check_equivalent(resource, current, kind, &declare)?;
            Ok(current.durability())
        };
        if let Some(current) = self.exchange(&name) {
            return check(&current);
        }
        names::check_not_reserved("exchange", &name)?;
        check_names_exchange(resource, &declare.arguments, ALTERNATE_EXCHANGE)?;

        if declare.durable {
            self.broker.catalog.check()?;
        }
        let id = self.broker.catalog.next_id()?;
        let topology = self.topology.lock();
        topology.check_open(self)?;
        if let Some(current) = self.exchange(&name) {
            drop(topology);
            return check(&current);
        }
        let spec = ExchangeSpec {
            id: ExchangeId(id),
            name: (&*name).into(),
            kind,
            durable: declare.durable,
            auto_delete: declare.auto_delete,
            internal: declare.internal,
            arguments: declare.arguments,
        };
        let exchange = self.put_in_exchange(spec)?;
        Ok(exchange.durability())
    }

    /// Makes one that is not there. Called with the topology locked.
    fn put_in_exchange(self: &Arc<Self>, spec: ExchangeSpec) -> Result<Arc<Exchange>, Exception> {
        let exchange = self.make_exchange(spec)?;
        if exchange.is_durable() {
            let made = Arc::clone(&exchange);
            let change = Change::PutExchange(Arc::clone(self.name()), made);
            // Before anybody finds it and publishes to it.
            if let Some(revision) = self.submit(vec![change]) {
                exchange.submitted(revision);
            }
        }
        self.exchanges
            .insert(Arc::clone(exchange.name()), Arc::clone(&exchange));
        // It may be another exchange's alternate.
        self.bump_epoch();
        self.engine()
            .notices
            .exchange_created(&exchange, self.name());
        Ok(exchange)
    }

    /// One on which the broker itself publishes; it is made if it is not there. Clients can neither make
    /// nor delete it.
    ///
    /// # Errors
    /// The catalog has no number for it, or the vhost is being removed.
    pub(in crate::broker) fn declare_own_exchange(
        self: &Arc<Self>,
        name: &str,
    ) -> Result<Arc<Exchange>, Exception> {
        let id = self.broker.catalog.next_id()?;
        let topology = self.topology.lock();
        topology.check_open(self)?;
        if let Some(current) = self.exchange(name) {
            return Ok(current);
        }
        self.broker.catalog.check()?;
        self.put_in_exchange(ExchangeSpec {
            id: ExchangeId(id),
            name: name.into(),
            kind: ExchangeKind::Topic,
            durable: true,
            auto_delete: false,
            internal: true,
            arguments: FieldTable::new(),
        })
    }

    /// Removes such an exchange, with what is bound to it, if it is there.
    pub(in crate::broker) fn delete_own_exchange(&self, name: &str) {
        let mut topology = self.topology.lock();
        if let Some(exchange) = self.exchange(name) {
            let mut changes = Vec::new();
            self.take_out_exchange(&mut topology, &exchange, &mut changes);
            self.submit(changes);
        }
    }

    /// exchange.delete. An exchange that is not there counts as deleted. Says whether anything
    /// durable went, or may have gone just before.
    pub fn delete_exchange(&self, name: &str, if_unused: bool) -> Result<Durability, Exception> {
        let name = names::without_line_ends(name);
        let resource = Resource::exchange(&name, self.name());
        names::check_not_default_exchange(&name)?;
        names::check_may_be_deleted(resource)?;
        let mut topology = self.topology.lock();
        let Some(exchange) = self.exchange(&name) else {
            return Ok(Durability::Durable);
        };
        if if_unused && topology.bindings.has_source(&exchange) {
            let text = format!("{resource} in use");
            return Err(Exception::new(ReplyCode::PreconditionFailed, text));
        }
        if exchange.is_durable() {
            self.broker.catalog.check()?;
        }
        let mut changes = Vec::new();
        self.take_out_exchange(&mut topology, &exchange, &mut changes);
        let revision = self.submit(changes);
        Ok(revision.map_or(Durability::Transient, Durability::StoredBy))
    }

    /// They are the same in every vhost, so the catalog need not know them.
    pub(super) fn declare_system_exchanges(self: &Arc<Self>) {
        for (index, (name, kind, internal)) in SYSTEM_EXCHANGES.into_iter().enumerate() {
            let spec = ExchangeSpec {
                id: ExchangeId::system(index),
                name: name.into(),
                kind,
                durable: true,
                auto_delete: false,
                internal,
                arguments: FieldTable::new(),
            };
            // They have no arguments that could be wrong.
            if let Ok(exchange) = self.make_exchange(spec) {
                self.exchanges.insert(Arc::clone(exchange.name()), exchange);
            }
        }
    }
}

fn check_equivalent(
    resource: Resource<'_>,
    current: &Exchange,
    kind: ExchangeKind,
    received: &ExchangeDeclare<'_>,
) -> Result<(), Exception> {
    check_property(resource, "type", current.kind(), kind)?;
    check_property(resource, "durable", current.is_durable(), received.durable)?;
    check_property(
        resource,
        "auto_delete",
        current.is_auto_delete(),
        received.auto_delete,
    )?;
    check_property(
        resource,
        "internal",
        current.is_internal(),
        received.internal,
    )?;
    check_arguments(
        resource,
        COMPARED_ARGUMENTS,
        current.arguments(),
        &received.arguments,
    )
}
