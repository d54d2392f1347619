//! Topology as the last run left it: the catalog's records made into vhosts, exchanges, queues and
//! bindings again.
//!
//! In: a broker without vhosts, and what its catalog holds. Out: the same topology under its old
//! numbers, the queues without messages, which `recovery` puts back; nothing is submitted to the
//! catalog. Runs before anybody can connect. What can't be understood is an error: a broker
//! that left it out would lose it with the next thing that is bound to it.

use std::collections::HashMap;
use std::fmt;

use super::binding::Destination;
use super::exchange::{ExchangeKind, ExchangeSpec};
use super::ids::{BindingId, ExchangeId};
use super::queue::QueueId;
use super::vhost::{Metadata, RestoredQueue};
use super::{Broker, Vhost, restore_users};
use crate::amqp::table::FieldTable;
use crate::store::catalog::{BindingRecord, Contents, ExchangeRecord, QueueRecord};

/// A record that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreError {
    what: String,
    why: String,
}

impl RestoreError {
    pub(super) fn new(what: &impl fmt::Display, why: &impl fmt::Display) -> Self {
        Self {
            what: what.to_string(),
            why: why.to_string(),
        }
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, why } = self;
        write!(f, "the catalog's {what} can't be restored: {why}")
    }
}

impl std::error::Error for RestoreError {}

/// What came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Vhosts.
    pub vhosts: usize,
    /// Durable exchanges, without those that every vhost has.
    pub exchanges: usize,
    /// Durable queues.
    pub queues: usize,
    /// Durable bindings.
    pub bindings: usize,
    /// Users who were made at run time.
    pub users: usize,
    /// Runtime parameters.
    pub parameters: usize,
    /// Whether the user `guest` was made at an earlier start.
    pub had_default_user: bool,
}

/// See the module.
///
/// # Errors
/// The first record that makes no sense.
pub fn topology(broker: &Broker, contents: &Contents) -> Result<Restored, RestoreError> {
    for (name, record) in &contents.vhosts {
        let (vhost, _) = broker.put_in_vhost(name);
        vhost.set_metadata(Metadata {
            description: record.description.clone(),
            tags: record.tags.clone(),
            default_queue_type: record.default_queue_type.clone(),
        });
    }
    // Before what they apply to.
    restore_users::parameters(broker, contents)?;
    restore_users::users(broker, contents)?;
    for (id, record) in &contents.exchanges {
        exchange(broker, *id, record)?;
    }
    seen(broker, contents);
    for (id, record) in &contents.queues {
        queue(broker, *id, record)?;
    }
    for (id, record) in &contents.bindings {
        binding(broker, *id, record)?;
    }
    Ok(Restored {
        vhosts: contents.vhosts.len(),
        exchanges: contents.exchanges.len(),
        queues: contents.queues.len(),
        bindings: contents.bindings.len(),
        users: contents.users.len(),
        parameters: contents.parameters.len(),
        had_default_user: restore_users::had_default_user(contents),
    })
}

fn exchange(broker: &Broker, id: u64, record: &ExchangeRecord) -> Result<(), RestoreError> {
    let (name, vhost) = (&record.name, &record.vhost);
    let what = format_args!("exchange '{name}' in vhost '{vhost}'");
    let wrong = |why: &dyn fmt::Display| RestoreError::new(&what, &why);
    let spec = ExchangeSpec {
        id: ExchangeId(id),
        name: name.as_str().into(),
        kind: ExchangeKind::from_name(&record.kind).map_err(|error| wrong(&error))?,
        durable: record.durable,
        auto_delete: record.auto_delete,
        internal: record.internal,
        arguments: FieldTable::decode(&record.arguments).map_err(|error| wrong(&error))?,
    };
    let vhost = broker.vhost(vhost).ok_or_else(|| wrong(&NO_VHOST))?;
    match vhost.restore_exchange(spec) {
        Ok(true) => Ok(()),
        Ok(false) => Err(wrong(&TWICE)),
        Err(error) => Err(wrong(&error)),
    }
}

/// Exchanges remember again what they did when the log's files were freed last; the log has the rest.
fn seen(broker: &Broker, contents: &Contents) {
    let now_ms = broker.engine.clock.now_ms();
    let exchanges = broker.exchanges_with_ids().into_iter();
    let exchanges: HashMap<u64, _> = exchanges
        .map(|(_, exchange)| (exchange.id().0, exchange))
        .collect();
    for ((exchange, block), record) in &contents.seen {
        if let Some(exchange) = exchanges.get(exchange) {
            exchange.restore_ids(|seen| seen.restore_block(*block, record, now_ms));
        }
    }
}

fn queue(broker: &Broker, id: u64, record: &QueueRecord) -> Result<(), RestoreError> {
    let (name, vhost) = (&record.name, &record.vhost);
    let what = format_args!("queue '{name}' in vhost '{vhost}'");
    let wrong = |why: &dyn fmt::Display| RestoreError::new(&what, &why);
    let queue = RestoredQueue {
        id: QueueId(id),
        name,
        durable: record.durable,
        auto_delete: record.auto_delete,
        arguments: FieldTable::decode(&record.arguments).map_err(|error| wrong(&error))?,
    };
    let vhost = broker.vhost(vhost).ok_or_else(|| wrong(&NO_VHOST))?;
    let queue = vhost
        .restore_queue(queue)
        .map_err(|error| wrong(&error))?
        .ok_or_else(|| wrong(&TWICE))?;
    if queue.queue_type().name() != record.kind {
        return Err(wrong(&format_args!("its type is {}", record.kind)));
    }
    Ok(())
}

fn binding(broker: &Broker, id: u64, record: &BindingRecord) -> Result<(), RestoreError> {
    let BindingRecord {
        vhost,
        source,
        destination,
        ..
    } = record;
    let what = format_args!("binding of '{destination}' to '{source}' in vhost '{vhost}'");
    let wrong = |why: &dyn fmt::Display| RestoreError::new(&what, &why);
    let vhost = broker.vhost(vhost).ok_or_else(|| wrong(&NO_VHOST))?;
    let to = end(&vhost, record).ok_or_else(|| wrong(&"what it is bound to is not there"))?;
    let from = vhost.exchange(source);
    let from = from.ok_or_else(|| wrong(&"the exchange is not there"))?;
    let routing_key = std::str::from_utf8(&record.routing_key).map_err(|error| wrong(&error))?;
    let arguments = FieldTable::decode(&record.arguments).map_err(|error| wrong(&error))?;
    match vhost.restore_binding(BindingId(id), from, to, routing_key, arguments) {
        Ok(true) => Ok(()),
        Ok(false) => Err(wrong(&TWICE)),
        Err(error) => Err(wrong(&error)),
    }
}

fn end(vhost: &Vhost, record: &BindingRecord) -> Option<Destination> {
    let name = &record.destination;
    match record.to_exchange {
        true => vhost.exchange(name).map(Destination::Exchange),
        false => vhost.live_queue(name).map(Destination::Queue),
    }
}

const NO_VHOST: &str = "there is no such vhost";
const TWICE: &str = "it is there twice";
