//! Exchanges, queues, bindings and routing, through the vhost's front door: against what RabbitMQ
//! 3.10.8 answered when it was asked, and against models that are too simple to be wrong.

mod bindings;
mod catalog;
mod exchanges;
mod headers;
mod model;
mod queues;
mod races;
mod scale;
mod topics;

use std::collections::BTreeSet;
use std::sync::Arc;

use warren::amqp::properties::Properties;
use warren::amqp::reply::Exception;
use warren::amqp::table::{FieldTable, FieldValue};
use warren::auth::Users;
use warren::broker::catalog::Durability;
use warren::broker::vhost::{ExchangeDeclare, QueueDeclare};
use warren::broker::{Broker, ConnectionId, Effects, Queue, Vhost};

/// Whose connection it is where that does not matter.
const ME: ConnectionId = ConnectionId(1);
const OTHER: ConnectionId = ConnectionId(2);

/// What most tests make does not survive a restart.
const TRANSIENT: Durability = Durability::Transient;
const DURABLE: Durability = Durability::Durable;

/// Whether it is there, and survives a restart.
fn is_durable(declared: Result<Durability, Exception>) -> bool {
    matches!(declared, Ok(Durability::StoredBy(_)))
}

/// Properties without any.
const PLAIN: [u8; 2] = [0, 0];

fn vhost() -> Arc<Vhost> {
    Broker::new(Users::new())
        .vhost("/")
        .expect("every broker has it")
}

fn table(entries: &[(&str, FieldValue)]) -> FieldTable {
    let mut table = FieldTable::new();
    for (name, value) in entries {
        table.push(*name, value.clone());
    }
    table
}

fn exchange<'a>(name: &'a str, kind: &'a str) -> ExchangeDeclare<'a> {
    ExchangeDeclare {
        name,
        kind,
        passive: false,
        durable: false,
        auto_delete: false,
        internal: false,
        arguments: FieldTable::new(),
    }
}

fn queue(name: &str) -> QueueDeclare<'_> {
    QueueDeclare {
        name,
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        arguments: FieldTable::new(),
    }
}

fn declare(vhost: &Arc<Vhost>, name: &str) -> Arc<Queue> {
    vhost.declare_queue(queue(name), ME).expect("declared")
}

fn delete(vhost: &Vhost, name: &str) -> Result<u64, Exception> {
    let deleted = vhost.delete_queue(name, false, false, ME, &mut Effects::new())?;
    Ok(deleted.messages)
}

fn bind(vhost: &Vhost, queue: &str, exchange: &str, key: &str) {
    vhost
        .bind_queue(queue, exchange, key, FieldTable::new(), ME)
        .expect("bound");
}

/// The names of the queues that a message goes to.
fn routed(vhost: &Vhost, exchange: &str, key: &str) -> BTreeSet<String> {
    routed_with(vhost, exchange, key, &PLAIN)
}

fn routed_with(vhost: &Vhost, exchange: &str, key: &str, properties: &[u8]) -> BTreeSet<String> {
    let route = vhost
        .route(exchange, key, properties, false)
        .expect("the exchange is there");
    let names: BTreeSet<String> = route
        .queues
        .iter()
        .map(|queue| queue.name().to_string())
        .collect();
    assert_eq!(names.len(), route.queues.len(), "each queue once");
    names
}

/// Property flags and values with these headers.
fn with_headers(headers: FieldTable) -> Vec<u8> {
    let properties = Properties {
        headers: Some(headers),
        ..Properties::default()
    };
    let mut encoded = Vec::new();
    properties.encode(&mut encoded);
    encoded
}

/// The text of a refusal, with its code's name, as clients see it.
fn refusal<T>(result: Result<T, Exception>) -> String {
    match result {
        Ok(_) => "not refused".into(),
        Err(exception) => exception.reply_text(),
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}
