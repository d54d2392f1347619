//! What happens in the broker, as messages on `amq.rabbitmq.event`: keys, headers, their types and their
//! order are those of RabbitMQ's event exchange, as far as the broker knows what they say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::publishing::Publication;
use super::{Notices, acting};
use crate::amqp::properties::Properties;
use crate::amqp::table::{FieldTable, FieldValue};
use crate::broker::binding::{Binding, Destination};
use crate::broker::queue::QueueType;
use crate::broker::term::Pretty;
use crate::broker::{ConnectionId, Exchange, Queue, Vhost};

/// Where events go, if they do.
pub(in crate::broker) const EVENT_EXCHANGE: &str = "amq.rabbitmq.event";

/// An event's size, about.
const OWN_BYTES: usize = 1024;

const PERSISTENT: u8 = 2;

const BY: &str = "user_who_performed_action";

/// Something that happened.
pub(super) struct Event {
    key: &'static str,
    headers: FieldTable,
    at_ms: u64,
}

/// A connection, for what is told of it.
pub struct Connected<'a> {
    /// Its number.
    pub id: ConnectionId,
    /// Both ends, as text.
    pub name: &'a str,
    /// The client's end.
    pub peer: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
}

impl Event {
    pub fn bytes(&self) -> usize {
        OWN_BYTES
    }

    pub fn into_publication(mut self, vhost: Arc<Vhost>) -> Publication {
        let at_ms = FieldValue::I64(i64::try_from(self.at_ms).unwrap_or(i64::MAX));
        self.headers.push("timestamp_in_ms", at_ms);
        Publication {
            vhost,
            exchange: EVENT_EXCHANGE,
            routing_key: self.key.into(),
            properties: Properties {
                headers: Some(self.headers),
                delivery_mode: Some(PERSISTENT),
                timestamp: Some(self.at_ms / 1000),
                ..Properties::default()
            },
            body: Default::default(),
        }
    }
}

impl Notices {
    /// Tells of an event, if anybody listens. Any lock may be held.
    fn event(&self, key: &'static str, headers: impl FnOnce() -> FieldTable) {
        if !self.event_listeners.any() {
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let event = Event {
            key,
            headers: headers(),
            at_ms: now.map_or(0, |now| now.as_millis() as u64),
        };
        self.hand_over(super::Notice::Event(Box::new(event)));
    }

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

    /// A client was let in, or was not for that reason.
    pub fn authenticated(
        &self,
        connected: &Connected<'_>,
        user: &str,
        mechanism: &str,
        refused: Option<&str>,
    ) {
        let key = match refused {
            None => "user.authentication.success",
            Some(_) => "user.authentication.failure",
        };
        self.event(key, || {
            let mut headers = FieldTable::new();
            if let Some(why) = refused {
                // RabbitMQ's text is a list of numbers.
                let letters = why
                    .chars()
                    .map(|letter| FieldValue::I64(u32::from(letter).into()));
                headers.push("error", letters.collect::<Vec<_>>());
            }
            headers.push("auth_mechanism", mechanism);
            headers.push("protocol", "{0,9,1}");
            headers.push("peer_port", i64::from(connected.peer.port()));
            headers.push("peer_host", host(connected.peer).as_str());
            headers.push("connection_name", connected.name);
            headers.push("host", host(connected.local).as_str());
            headers.push("name", user);
            headers.push("connection_type", "network");
            headers
        });
    }

    /// A connection is open: with what was agreed on, and what its client calls it.
    pub fn connection_created(
        &self,
        connected: &Connected<'_>,
        user: &str,
        vhost: &str,
        (channel_max, frame_max, heartbeat_s): (u16, u32, u16),
        own_name: Option<&str>,
    ) {
        self.event("connection.created", || {
            let mut headers = FieldTable::new();
            headers.push(BY, user);
            headers.push("node", self.settings.node.as_str());
            headers.push("channel_max", i64::from(channel_max));
            headers.push("frame_max", i64::from(frame_max));
            headers.push("timeout", i64::from(heartbeat_s));
            headers.push("vhost", vhost);
            headers.push("user", user);
            headers.push("protocol", "{0,9,1}");
            headers.push("peer_host", host(connected.peer).as_str());
            headers.push("host", host(connected.local).as_str());
            headers.push("peer_port", i64::from(connected.peer.port()));
            headers.push("port", i64::from(connected.local.port()));
            headers.push("name", connected.name);
            headers.push("pid", self.connection_pid(connected.id).as_str());
            headers.push("type", "network");
            headers.push("user_provided_name", own_name.unwrap_or_default());
            headers
        });
    }

    /// It is open no longer.
    pub fn connection_closed(&self, connected: &Connected<'_>, own_name: Option<&str>) {
        self.event("connection.closed", || {
            let mut headers = FieldTable::new();
            headers.push("node", self.settings.node.as_str());
            headers.push("pid", self.connection_pid(connected.id).as_str());
            headers.push("name", connected.name);
            headers.push("user_provided_name", own_name.unwrap_or_default());
            headers
        });
    }

    /// A channel is open on that connection.
    pub fn channel_created(
        &self,
        connection: ConnectionId,
        connection_name: &str,
        number: u16,
        user: &str,
        vhost: &str,
    ) {
        self.event("channel.created", || {
            let mut headers = FieldTable::new();
            headers.push(BY, user);
            headers.push("vhost", vhost);
            headers.push("user", user);
            headers.push("number", i64::from(number));
            headers.push("connection", self.connection_pid(connection).as_str());
            headers.push("name", format!("{connection_name} ({number})").as_str());
            headers.push("pid", self.channel_pid(connection, number).as_str());
            headers
        });
    }

    /// It is open no longer.
    pub fn channel_closed(&self, connection: ConnectionId, number: u16, user: &str) {
        self.event("channel.closed", || {
            let mut headers = FieldTable::new();
            headers.push(BY, user);
            headers.push("pid", self.channel_pid(connection, number).as_str());
            headers
        });
    }

    /// What stands for a connection's process: by it the events that concern one are known.
    fn connection_pid(&self, id: ConnectionId) -> String {
        format!("<{}.{}.0>", self.settings.node, id.0)
    }

    fn channel_pid(&self, connection: ConnectionId, number: u16) -> String {
        format!("<{}.{}.{number}>", self.settings.node, connection.0)
    }
}

fn by_whom() -> FieldTable {
    let mut headers = FieldTable::new();
    headers.push(BY, &*acting::name());
    headers
}

fn named(headers: &mut FieldTable, name: &str, vhost: &str) {
    headers.push("name", name);
    headers.push("vhost", vhost);
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

/// Arguments as a list of Erlang's terms, each of which is printed.
fn terms(arguments: &FieldTable) -> Vec<FieldValue> {
    let terms = arguments.0.iter().map(|argument| {
        let alone = FieldValue::Table(FieldTable(vec![argument.clone()]));
        let printed = Pretty(&alone).to_string();
        let term = printed
            .strip_prefix('[')
            .and_then(|term| term.strip_suffix(']'));
        FieldValue::from(term.unwrap_or(&printed))
    });
    terms.collect()
}

/// An address as Erlang prints it.
fn host(address: SocketAddr) -> String {
    let parts: Vec<String> = match address {
        SocketAddr::V4(address) => address.ip().octets().iter().map(u8::to_string).collect(),
        SocketAddr::V6(address) => address.ip().segments().iter().map(u16::to_string).collect(),
    };
    format!("{{{}}}", parts.join(","))
}
