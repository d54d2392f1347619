//! What the broker writes into every message, where settings want it: when a message came, which broker
//! took it, and when it was sent to a client.
//!
//! In: a message's properties as they came, before it is routed, or as they are to be sent. Out: the same with
//! headers that say so. As in RabbitMQ the headers are sorted by name then. Nobody comes here unless settings
//! want it.
//!
//! Source: RabbitMQ's `rabbit_msg_interceptor_timestamp`, `rabbit_msg_interceptor_routing_node`.

use std::sync::Arc;

use bytes::Bytes;

use crate::amqp::properties::Properties;
use crate::amqp::table::{FieldTable, FieldValue};

/// When a message came, in milliseconds since 1970.
const RECEIVED: &str = "timestamp_in_ms";
/// Which broker took it.
const ROUTED_BY: &str = "x-routed-by";
/// When it was sent, in milliseconds since 1970.
const SENT: &str = "x-opt-rabbitmq-sent-time";

/// What becomes of a header, or property, that a message has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays.
    Kept,
    /// It is replaced.
    Overwritten,
}

/// See the module. By default nothing is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interceptors {
    /// Writes when a message came: the header `timestamp_in_ms` and the property timestamp.
    pub received_time: Option<Existing>,
    /// Writes which broker took it: the header `x-routed-by`.
    pub routing_node: Option<Existing>,
    /// Writes when it was sent to a client: the header `x-opt-rabbitmq-sent-time`.
    pub sent_time: bool,
    /// What this broker is called.
    pub node: Arc<str>,
}

impl Interceptors {
    /// Whether anything is written into what clients publish.
    pub(super) fn intercept_publishes(&self) -> bool {
        self.received_time.is_some() || self.routing_node.is_some()
    }

    /// A published message's properties with what is to be written there; None: they make no sense, or
    /// nothing is.
    pub(super) fn received(&self, properties: &[u8], now_ms: u64) -> Option<Bytes> {
        let mut properties = Properties::decode(properties).ok()?;
        let headers = properties.headers.get_or_insert_default();
        let mut is_changed = false;
        if let Some(existing) = self.received_time {
            is_changed |= write(headers, RECEIVED, number(now_ms), existing);
            if properties.timestamp.is_none() || existing == Existing::Overwritten {
                properties.timestamp = Some(now_ms / 1000);
                is_changed = true;
            }
        }
        if let Some(existing) = self.routing_node {
            let node = FieldValue::from(&*self.node);
            is_changed |= write(headers, ROUTED_BY, node, existing);
        }
        is_changed.then(|| encoded(&mut properties))
    }

    /// The properties of a message that is sent now. None if they make no sense, or would be longer than
    /// `most_bytes`.
    pub(super) fn sent(properties: &[u8], now_ms: u64, most_bytes: usize) -> Option<Bytes> {
        let mut properties = Properties::decode(properties).ok()?;
        let headers = properties.headers.get_or_insert_default();
        write(headers, SENT, number(now_ms), Existing::Overwritten);
        Some(encoded(&mut properties)).filter(|encoded| encoded.len() <= most_bytes)
    }
}

/// Says whether anything was written.
fn write(headers: &mut FieldTable, name: &str, value: FieldValue, existing: Existing) -> bool {
    if existing == Existing::Kept && headers.contains(name) {
        return false;
    }
    headers.remove(name);
    headers.push(name, value);
    true
}

fn number(value: u64) -> FieldValue {
    FieldValue::I64(i64::try_from(value).unwrap_or(i64::MAX))
}

fn encoded(properties: &mut Properties) -> Bytes {
    if let Some(headers) = &mut properties.headers {
        // The first of those with one name stays.
        headers
            .0
            .sort_by(|(one, _), (other, _)| one.as_bytes().cmp(other.as_bytes()));
        headers.0.dedup_by(|(later, _), (first, _)| later == first);
        if headers.0.is_empty() {
            properties.headers = None;
        }
    }
    let mut encoded = Vec::new();
    properties.encode(&mut encoded);
    encoded.into()
}
