//! What happens in the broker, as messages on `amq.rabbitmq.event`: keys, headers, their types and their
//! order are those of RabbitMQ's event exchange, as far as the broker knows what they say.
//!
//! ```text
//! topology      queues, exchanges, bindings      connections   logins, connections, channels
//! consumers     who consumes from a queue        accounts      users and their permissions
//! settings      vhosts, parameters, policies, limits; alarms
//! ```

mod accounts;
mod connections;
mod consumers;
mod settings;
mod topology;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

pub use connections::{Client, Connected, Secured};
pub use consumers::Consumed;

use super::publishing::Publication;
use super::{Notices, acting};
use crate::amqp::properties::Properties;
use crate::amqp::table::{FieldTable, FieldValue};
use crate::broker::json_term::PrettyJson;
use crate::broker::term::Pretty;
use crate::broker::{ConnectionId, Vhost};

/// Where events go, if they do.
pub(in crate::broker) const EVENT_EXCHANGE: &str = "amq.rabbitmq.event";

/// What an event takes besides what it says, about.
const OWN_BYTES: usize = 512;

const PERSISTENT: u8 = 2;

const BY: &str = "user_who_performed_action";

/// Something that happened.
pub(super) struct Event {
    key: &'static str,
    headers: FieldTable,
    at_ms: u64,
}

impl Event {
    pub fn bytes(&self) -> usize {
        OWN_BYTES + table_bytes(&self.headers)
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
    push_by_whom(&mut headers);
    headers
}

fn push_by_whom(headers: &mut FieldTable) {
    headers.push(BY, &*acting::name());
}

fn named(headers: &mut FieldTable, name: &str, vhost: &str) {
    headers.push("name", name);
    headers.push("vhost", vhost);
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

/// A JSON value as RabbitMQ makes a header of one: an object within it is printed as Erlang's map.
fn json_value(value: &Value) -> FieldValue {
    match value {
        Value::Null => FieldValue::from("null"),
        Value::Bool(value) => FieldValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => FieldValue::I64(number),
            None => FieldValue::F32(number.as_f64().unwrap_or_default() as f32),
        },
        Value::String(text) => FieldValue::from(text.as_str()),
        Value::Array(values) => values.iter().map(json_value).collect::<Vec<_>>().into(),
        Value::Object(_) => {
            let printed = PrettyJson(value).to_string();
            let on_one_line: String = printed.lines().map(str::trim_start).collect();
            FieldValue::from(on_one_line.as_str())
        }
    }
}

/// The last key first; of none, RabbitMQ does not know that it was a table.
fn json_table(map: &Map<String, Value>) -> FieldValue {
    if map.is_empty() {
        return Vec::new().into();
    }
    let mut table = FieldTable::new();
    for (key, value) in map.iter().rev() {
        table.push(key.as_str(), json_value(value));
    }
    FieldValue::Table(table)
}

/// About what a table takes in memory.
fn table_bytes(table: &FieldTable) -> usize {
    let entries = table.0.iter();
    entries
        .map(|(name, value)| name.len() + value_bytes(value))
        .sum()
}

fn value_bytes(value: &FieldValue) -> usize {
    const EACH: usize = 64;
    EACH + match value {
        FieldValue::LongStr(bytes) | FieldValue::Bytes(bytes) => bytes.len(),
        FieldValue::Array(values) => values.iter().map(value_bytes).sum(),
        FieldValue::Table(table) => table_bytes(table),
        _ => 0,
    }
}
