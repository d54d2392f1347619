//! The firehose: what clients of a traced vhost publish and are delivered, as messages on its exchange
//! `amq.rabbitmq.trace`. Keys, headers, their types and their order are those of RabbitMQ's
//! `rabbit_trace`.

use std::sync::Arc;

use bytes::Bytes;

use super::publishing::Publication;
use crate::amqp::properties::Properties;
use crate::amqp::table::{FieldTable, FieldValue, ShortStr};
use crate::broker::blind_copies;
use crate::broker::reply_addresses::is_address;
use crate::broker::{Message, Queue, Vhost};

/// Where a vhost's firehose goes.
pub(in crate::broker) const TRACE_EXCHANGE: &str = "amq.rabbitmq.trace";

/// A notice's own size, about.
const OWN_BYTES: usize = 256;

/// What happened to a message.
pub enum Happened {
    /// It was published and went to these queues.
    Published(Vec<Arc<str>>),
    /// It was delivered from that queue, maybe not for the first time.
    Delivered(Arc<Queue>, bool),
}

/// Whose channel it came or went through.
#[derive(Clone)]
pub struct Via {
    /// The vhost.
    pub vhost: Arc<Vhost>,
    /// Both ends of the connection, as RabbitMQ writes them.
    pub connection: Arc<str>,
    /// The channel's number.
    pub channel: u16,
    /// Who is logged in.
    pub user: Arc<str>,
}

/// A message that was published or delivered, copied.
pub struct Traced {
    via: Via,
    happened: Happened,
    exchange: Box<[u8]>,
    routing_key: Box<[u8]>,
    properties: Box<[u8]>,
    body: Bytes,
    has_bcc: bool,
}

impl Traced {
    /// Copies a message (and shares a large body). None if it is the firehose's own.
    pub fn of(message: &Message<'_>, via: &Via, happened: Happened) -> Option<Self> {
        let is_own = message.exchange == TRACE_EXCHANGE.as_bytes();
        (!is_own).then(|| Self {
            via: via.clone(),
            happened,
            exchange: message.exchange.into(),
            routing_key: message.routing_key.into(),
            properties: message.properties.into(),
            body: message.body.to_bytes(),
            has_bcc: message.facts.has_bcc,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        let names = self.exchange.len() + self.routing_key.len();
        OWN_BYTES + names + self.properties.len() + self.body.len()
    }

    /// The message that tells of it; None if its properties make no sense.
    pub(super) fn into_publication(self, node: &str) -> Option<Publication> {
        let mut properties = Properties::decode(&self.properties).ok()?;
        let mut keys = vec![Bytes::copy_from_slice(&self.routing_key)];
        if let Some(headers) = &mut properties.headers {
            let bcc = match self.has_bcc {
                true => blind_copies::take(headers),
                false => None,
            };
            keys.extend(blind_copies::routing_keys(headers.get("CC")).cloned());
            keys.extend(blind_copies::routing_keys(bcc.as_ref()).cloned());
        }
        let (verb, place) = match &self.happened {
            Happened::Published(_) => ("publish.", &*self.exchange),
            Happened::Delivered(queue, _) => ("deliver.", queue.name().as_bytes()),
        };
        let routing_key = [verb.as_bytes(), place].concat();

        let mut headers = FieldTable::new();
        headers.push("exchange_name", text(&self.exchange));
        headers.push("routing_keys", texts(&keys));
        headers.push("properties", FieldValue::Table(table_of(properties)));
        headers.push("node", node);
        if let Happened::Delivered(_, redelivered) = self.happened {
            headers.push("redelivered", FieldValue::I32(redelivered.into()));
        }
        headers.push("vhost", &**self.via.vhost.name());
        headers.push("connection", &*self.via.connection);
        headers.push("channel", FieldValue::I32(self.via.channel.into()));
        headers.push("user", &*self.via.user);
        if let Happened::Published(queues) = self.happened {
            let queues = match self.exchange.is_empty() {
                true => by_default(keys),
                false => queues.iter().map(|queue| text(queue.as_bytes())).collect(),
            };
            headers.push("routed_queues", FieldValue::Array(queues));
        }
        Some(Publication {
            vhost: self.via.vhost,
            exchange: TRACE_EXCHANGE,
            routing_key: routing_key.into(),
            properties: Properties {
                headers: Some(headers),
                ..Properties::default()
            },
            body: self.body,
        })
    }
}

/// The default exchange names the queues that the keys name, whether or not they are there; addresses for
/// direct replies are none.
fn by_default(mut keys: Vec<Bytes>) -> Vec<FieldValue> {
    keys.sort_unstable();
    keys.dedup();
    keys.retain(|key| !is_address(key));
    keys.into_iter().map(FieldValue::LongStr).collect()
}

/// Those properties that there are, the last first. Numbers have 32 bits, whatever a timestamp needs.
fn table_of(properties: Properties) -> FieldTable {
    let string = |text: Option<ShortStr>| text.map(|text| self::text(text.as_bytes()));
    let number = |number: Option<u64>| number.map(|number| FieldValue::I32(number as i32));
    let Properties {
        content_type,
        content_encoding,
        headers,
        delivery_mode,
        priority,
        correlation_id,
        reply_to,
        expiration,
        message_id,
        timestamp,
        kind,
        user_id,
        app_id,
        cluster_id,
    } = properties;
    let fields = [
        ("cluster_id", string(cluster_id)),
        ("app_id", string(app_id)),
        ("user_id", string(user_id)),
        ("type", string(kind)),
        ("timestamp", number(timestamp)),
        ("message_id", string(message_id)),
        ("expiration", string(expiration)),
        ("reply_to", string(reply_to)),
        ("correlation_id", string(correlation_id)),
        ("priority", number(priority.map(u64::from))),
        ("delivery_mode", number(delivery_mode.map(u64::from))),
        ("headers", headers.map(FieldValue::Table)),
        ("content_encoding", string(content_encoding)),
        ("content_type", string(content_type)),
    ];
    let mut table = FieldTable::new();
    for (name, value) in fields {
        if let Some(value) = value {
            table.push(name, value);
        }
    }
    table
}

fn text(bytes: &[u8]) -> FieldValue {
    FieldValue::LongStr(Bytes::copy_from_slice(bytes))
}

fn texts(keys: &[Bytes]) -> FieldValue {
    FieldValue::Array(keys.iter().cloned().map(FieldValue::LongStr).collect())
}
